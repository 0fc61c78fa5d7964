"""Rows of a store's file equal the array's own; a file that is gone or cut is one line, not a crash."""

import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.errors import CannotDo
from apical.learn.reading import FrameFile

FRAMES = np.random.default_rng(0).integers(0, 255, (40, 6, 6), dtype=np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "frames.npy"
    np.save(path, FRAMES)
    return path


def opened(path):
    return FrameFile.of(np.load(path, mmap_mode="r"))


@given(rows=st.lists(st.integers(0, 39), max_size=30))
def test_equals_the_array_for_rows_in_any_order_and_more_than_once(path, rows):
    file = opened(path)
    assert np.array_equal(file[np.array(rows, dtype=np.int64)], FRAMES[np.array(rows, dtype=np.int64)])


@pytest.mark.parametrize("part", [slice(3, 17), slice(None), slice(0, 0), slice(30, 99)])
def test_equals_the_array_for_slices(path, part):
    assert np.array_equal(opened(path)[part], FRAMES[part])


def test_length_and_shape(path):
    assert len(opened(path)) == 40
    assert opened(path).shape == (40, 6, 6)


def test_an_array_in_memory_stays_what_it_is():
    assert FrameFile.of(FRAMES) is FRAMES


@pytest.mark.parametrize("row", [-1, 40])
def test_rows_outside(path, row):
    with pytest.raises(IndexError):
        opened(path)[np.array([row])]


def test_what_is_read_is_a_copy_that_may_be_changed(path):
    file = opened(path)
    file[np.array([0])][:] = 0
    assert np.array_equal(file[np.array([0])], FRAMES[:1])


def test_a_file_cut_short_is_one_line_and_what_is_left_can_be_read(tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    file = opened(tmp_path / "frames.npy")
    with (tmp_path / "frames.npy").open("r+b") as cut:
        cut.truncate(file.offset + 10 * 36 + 5)
    assert np.array_equal(file[np.arange(10)], FRAMES[:10])
    with pytest.raises(CannotDo, match="cannot be read any more"):
        file[np.array([10])]


def test_a_file_that_is_gone_is_one_line(tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    file = opened(tmp_path / "frames.npy")
    (tmp_path / "frames.npy").unlink()
    with pytest.raises(CannotDo, match="cannot be read any more"):
        file[np.array([0])]


def test_threads_do_not_disturb_each_other(path):
    """Four threads at once, each with its own rows, many times."""
    file, wrong = opened(path), []

    def read(seed):
        generator = np.random.default_rng(seed)
        for _ in range(200):
            rows = generator.integers(40, size=8)
            if not np.array_equal(file[rows], FRAMES[rows]):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_goes_to_another_process(path):
    file = opened(path)
    assert np.array_equal(file[np.array([1])], FRAMES[1:2])
    again = pickle.loads(pickle.dumps(file))
    assert np.array_equal(again[np.array([5, 2])], FRAMES[[5, 2]])
