"""Windows use every frame they can, once, and are spread over the whole clip."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apical.learn.windows import windows

COUNTS = st.lists(st.integers(1, 20), min_size=1, max_size=10).map(lambda c: np.array(c, dtype=np.int64))


@given(COUNTS, st.integers(1, 6))
def test_windows_lie_in_their_clip_in_order(count, frames):
    first = np.cumsum(count) - count + 5
    clip, rows = windows(first, count, frames, all_of_clip=True)
    assert rows.shape == (len(clip), frames)
    assert ((rows >= first[clip, None]) & (rows < (first + count)[clip, None])).all()
    assert (np.diff(rows, axis=1) >= (1 if frames > 1 and (count[clip] >= frames).all() else 0)).all()
    for number, available in enumerate(count):
        own = rows[clip == number]
        assert len(own) == max(1, available // frames)
        if available >= frames:
            assert len(np.unique(own)) == own.size  # no frame twice
            steps = np.diff(own, axis=1)
            assert steps.size == 0 or steps.max() - steps.min() <= 1  # evenly
            assert (own[:, -1] - first[number] >= available * (frames - 1) // frames).all()  # to its end


@given(COUNTS)
def test_windows_of_one_frame_are_the_frames(count):
    first = np.cumsum(count) - count
    clip, rows = windows(first, count, 1, all_of_clip=True)
    assert rows[:, 0].tolist() == list(range(count.sum()))
    assert clip.tolist() == np.repeat(np.arange(len(count)), count).tolist()


def test_one_window_is_one_of_all():
    first, count = np.array([0, 10]), np.array([10, 2])
    clip, rows = windows(first, count, 3)
    assert clip.tolist() == [0, 1]
    assert rows.tolist() == [[1, 4, 7], [10, 10, 11]]
    assert windows(np.array([0]), np.array([7]), 4)[1].tolist() == [[0, 1, 3, 5]]
    assert windows(first, count, 1)[1].tolist() == [[5], [11]]
