"""Batches hold whole exams or parts, in an order fixed by the seed; crops show frames of their clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.learn.batches import MOST_REPEATS, draw_frames, epoch_batches, least_clips, repeats

PATIENTS = st.lists(st.integers(0, 12), min_size=1, max_size=80).map(lambda p: np.array(p, dtype=np.int64))


def batches_of(patient, batch_clips, seed, label=None, **options):
    label = np.full(len(patient), -1) if label is None else label
    return epoch_batches(
        patient, label, batch_clips=batch_clips, generator=np.random.default_rng(seed), **options
    )


@given(PATIENTS, st.integers(2, 30), st.integers(0, 99))
def test_every_clip_once_and_exams_whole(patient, batch_clips, seed):
    batches = batches_of(patient, batch_clips, seed)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(patient)))
    homes = [{number for number, batch in enumerate(batches) if p in patient[batch]} for p in set(patient)]
    assert all(len(home) == 1 for home in homes)


@given(PATIENTS, st.integers(2, 30), st.integers(0, 99))
def test_a_batch_is_overfilled_only_by_a_large_exam_or_by_what_is_too_little_alone(
    patient, batch_clips, seed
):
    """Without the exam that overfills it, a batch (but the last, with the rest) would be too small."""
    batches = batches_of(patient, batch_clips, seed)
    for batch in batches[:-1]:
        last = (patient[batch] == patient[batch[-1]]).sum()
        assert len(batch) <= batch_clips or len(batch) - last < least_clips(batch_clips)


@given(PATIENTS, st.integers(2, 30), st.integers(0, 99))
def test_no_batch_is_of_a_single_clip_or_less_than_a_quarter(patient, batch_clips, seed):
    batches = batches_of(patient, batch_clips, seed)
    assert min(map(len, batches)) >= min(least_clips(batch_clips), len(patient))


@given(PATIENTS, st.integers(2, 30), st.integers(2, 6), st.integers(0, 99))
def test_large_exams_are_dealt_out_in_parts_of_like_size(patient, batch_clips, exam_clips, seed):
    batches = batches_of(patient, batch_clips, seed, exam_clips=exam_clips)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(patient)))
    runs = []
    for batch in batches:
        owners = patient[batch]
        cuts = np.flatnonzero(np.diff(owners)) + 1
        runs += [(owners[part[0]], len(part)) for part in np.split(np.arange(len(batch)), cuts)]
    for owner, count in zip(*np.unique(patient, return_counts=True), strict=True):
        lengths = [length for who, length in runs if who == owner]
        parts = -(-count // exam_clips)
        assert sum(lengths) == count
        assert len(lengths) <= parts  # two parts of one exam may meet by chance
        if len(lengths) == parts:
            assert max(lengths) - min(lengths) <= 1


@given(PATIENTS, st.integers(2, 6), st.integers(0, 99))
def test_balanced_patients_give_a_part_each(patient, exam_clips, seed):
    chosen = np.concatenate(batches_of(patient, 20, seed, exam_clips=exam_clips, balance="patients"))
    assert len(set(chosen.tolist())) == len(chosen)
    for owner, count in zip(*np.unique(patient, return_counts=True), strict=True):
        given_by = (patient[chosen] == owner).sum()
        assert 1 <= given_by <= min(count, exam_clips)
        assert given_by >= min(count, exam_clips) / 2


def test_over_many_epochs_every_clip_of_a_long_exam_has_its_turn():
    patient = np.repeat([0, 1], [40, 3]).astype(np.int64)
    seen = np.zeros(43, int)
    for epoch in range(200):
        batches = batches_of(patient, 16, epoch, exam_clips=4, balance="patients")
        seen[np.concatenate(batches)] += 1
    assert seen[40:].tolist() == [200] * 3
    assert seen[:40].min() > 5


def test_rare_views_come_as_the_square_root_says():
    label = np.repeat([0, 1, 2, -1], [160, 40, 10, 20]).astype(np.int64)
    drawn = np.mean([repeats(label, np.random.default_rng(seed)) for seed in range(200)], axis=0)
    assert drawn[label == 0].mean() == 1
    assert drawn[label == 1].mean() == pytest.approx(2, abs=1e-9)
    assert drawn[label == 2].mean() == pytest.approx(4, abs=1e-9)
    assert drawn[label == -1].mean() == 1
    halves = np.mean([repeats(np.repeat([0, 1], [9, 4]), np.random.default_rng(s)) for s in range(400)], 0)
    assert halves[9:].mean() == pytest.approx(1.5, abs=0.05)
    assert repeats(np.repeat([0, 1], [10_000, 1]), np.random.default_rng(0)).max() == MOST_REPEATS


def test_balanced_views_are_batches_of_those_repeats():
    patient = np.arange(50) % 7
    label = np.repeat([0, 1, -1], [36, 4, 10]).astype(np.int64)
    batches = batches_of(patient.astype(np.int64), 16, 3, label, balance="views")
    counts = np.bincount(np.concatenate(batches), minlength=50)
    assert counts.tolist() == [1] * 36 + [3] * 4 + [1] * 10


def test_order_depends_on_the_seed_only():
    patient = np.repeat(np.arange(20), 7).astype(np.int64)
    for options in ({}, {"exam_clips": 3}, {"exam_clips": 3, "balance": "patients"}):
        first, again, other = (batches_of(patient, 32, seed, **options) for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=False))


COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=30).map(lambda c: np.array(c, dtype=np.int64))


@given(COUNTS, st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_frames_lie_in_their_clip_in_order_and_differ_where_they_can(count, crops, frames, seed):
    first = np.cumsum(count) - count
    rows = draw_frames(first, count, crops=crops, frames=frames, generator=np.random.default_rng(seed))
    assert rows.shape == (crops, len(count), frames)
    assert ((rows >= first[None, :, None]) & (rows < (first + count)[None, :, None])).all()
    assert (np.diff(rows, axis=2) >= 0).all()
    for clip, available in enumerate(count):
        drawn = rows[:, clip].ravel().tolist()
        assert len(set(drawn)) == min(available, crops * frames)


@given(COUNTS, st.integers(0, 99))
def test_crops_of_one_frame(count, seed):
    first = np.cumsum(count) - count
    rows = draw_frames(first, count, crops=3, frames=2, same=True, generator=np.random.default_rng(seed))
    assert (rows == rows[:1]).all()


def test_all_frames_are_as_likely():
    count = np.full(3000, 5)
    rows = draw_frames(np.zeros(3000, np.int64), count, crops=2, generator=np.random.default_rng(0))
    shares = np.bincount(rows.ravel()) / rows.size
    assert np.abs(shares - 0.2).max() < 0.02
