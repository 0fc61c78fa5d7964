"""Batches hold whole exams, every clip once, in an order fixed by the seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from apical.learn.batches import exam_batches, two_frames

PATIENTS = st.lists(st.integers(0, 12), min_size=1, max_size=80).map(lambda p: np.array(p, dtype=np.int64))


@given(PATIENTS, st.integers(2, 30), st.integers(0, 99))
def test_every_clip_once_and_exams_whole(patient, batch_clips, seed):
    batches = exam_batches(patient, batch_clips, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(patient)))
    homes = [{number for number, batch in enumerate(batches) if p in patient[batch]} for p in set(patient)]
    assert all(len(home) == 1 for home in homes)


@given(PATIENTS, st.integers(2, 30), st.integers(0, 99))
def test_only_a_large_exam_or_the_joined_rest_overfills_a_batch(patient, batch_clips, seed):
    batches = exam_batches(patient, batch_clips, np.random.default_rng(seed))
    for batch in batches[:-1]:
        assert len(batch) <= batch_clips or len(set(patient[batch])) == 1


def test_order_depends_on_the_seed_only():
    patient = np.repeat(np.arange(20), 7).astype(np.int64)
    first, again, other = (exam_batches(patient, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=False))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(0, 99))
def test_two_frames_lie_in_their_clip_and_differ_where_they_can(counts, seed):
    count = np.array(counts, dtype=np.int64)
    first = np.cumsum(count) - count
    generator = np.random.default_rng(seed)
    one, other = two_frames(first, count, distinct=True, generator=generator)
    for rows in (one, other):
        assert ((rows >= first) & (rows < first + count)).all()
    assert ((one != other) == (count > 1)).all()
    same, twice = two_frames(first, count, distinct=False, generator=generator)
    assert np.array_equal(same, twice)
