"""Intervals of a study equal their definition as loops, and cover the luck of draws and of pre-training."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from apical.config import JudgeSettings
from apical.judge.intervals import bootstrap, draw_patients, patient_confusions
from apical.judge.study_figures import (
    MEANS,
    _figures,
    _times,
    adjust,
    average,
    common_cells,
    judge_difference,
    judge_row,
    sample_cells,
)

K = 3
VIEWS = ("A", "B", "C")
RARE = np.array([False, False, True])
FEW = JudgeSettings(resamples=100, seed=4)


def clips(random, patients=8):
    patient = np.repeat(np.arange(patients), random.integers(2, 7, patients)).astype(str)
    return patient, random.integers(0, K, len(patient))


def answers(random, label, skill):
    return np.where(random.random(len(label)) < skill, label, random.integers(0, K, len(label)))


def study(keys, skill=0.6, seed=0):
    """Clips, and answers and counts of each cell."""
    random = np.random.default_rng(seed)
    patient, label = clips(np.random.default_rng(99))
    said = {key: answers(random, label, skill) for key in keys}
    counts = {key: patient_confusions(label, each, patient, K) for key, each in said.items()}
    return patient, label, said, counts


def means_of(label, said):
    present = sorted({*label.tolist()})
    f1 = dict(zip(present, f1_score(label, said, labels=present, average=None, zero_division=0), strict=True))
    rare, common = [f1[i] for i in present if RARE[i]], [f1[i] for i in present if not RARE[i]]
    return [np.mean(each) if each else math.nan for each in (rare, common, [*f1.values()])]


GRID = tuple(itertools.product(range(3), (5, 7)))  # 3 draws × pre-trainings 5 and 7


def test_equal_to_drawing_everything_in_a_loop():
    patient, label, said, counts = study(GRID)
    result = average(sample_cells(counts, RARE, FEW), GRID, FEW)
    names = np.unique(patient)
    patients = next(draw_patients(len(names), FEW.resamples, FEW.seed))
    draws, pretrainings = _times(3, FEW, 1), _times(2, FEW, 2)
    for b in range(FEW.resamples):
        rows = [
            row
            for name, times in zip(names, patients[b], strict=True)
            for row in np.tile(np.flatnonzero(patient == name), int(times))
        ]
        cells = [
            means_of(label[rows], said[draw, number][rows])
            for draw in range(3)
            for _ in range(int(draws[b, draw]))
            for i, number in enumerate((5, 7))
            for _ in range(int(pretrainings[b, i]))
        ]
        assert len(cells) == 6
        np.testing.assert_allclose(result.samples[b, :3], np.mean(cells, axis=0), rtol=1e-5)
    whole = np.mean([means_of(label, each) for each in said.values()], axis=0)
    np.testing.assert_allclose(result.value[:3], whole)


def test_draws_of_patients_draws_and_pretrainings_are_not_the_same():
    assert not np.array_equal(_times(8, FEW, 1), _times(8, FEW, 2))
    assert not np.array_equal(_times(8, FEW, 1), next(draw_patients(8, FEW.resamples, FEW.seed)))
    assert (_times(8, FEW, 1).sum(axis=1) == 8).all()


def test_one_draw_without_pretraining_is_the_bootstrap_over_patients():
    *_, counts = study([(0, None)])
    result = average(sample_cells(counts, RARE, FEW), [(0, None)], FEW)
    plain = bootstrap(
        counts[0, None][None], lambda each: _figures(each, RARE), resamples=FEW.resamples, seed=FEW.seed
    )
    np.testing.assert_allclose(result.samples, plain.samples, rtol=1e-6)
    np.testing.assert_array_equal(result.value, plain.value)


def alike(shares):
    """Cells whose patients are all alike, so that drawing patients changes nothing: recall by cell."""
    counts = {}
    for key, share in shares.items():
        one = np.array([[share, 1000 - share, 0], [0, 1000, 0], [0, 0, 1000]])
        counts[key] = np.repeat(one[None], 4, axis=0)
    return counts


@pytest.mark.parametrize("kind", ["draws", "pre-trainings"])
def test_equal_to_the_normal_interval_of_a_mean_over_draws_or_pretrainings(kind):
    """Where cells differ by their draw (or pre-training) alone: mean ± 1.96 standard errors of the mean."""
    random = np.random.default_rng(1)
    n, settings = 60, JudgeSettings(resamples=4000)
    level = random.integers(300, 900, n)
    other = range(2)
    keys = itertools.product(range(n), other) if kind == "draws" else itertools.product(other, range(n))
    counts = alike({key: level[key[0] if kind == "draws" else key[1]] for key in keys})
    row = judge_row("m", 1, sample_cells(counts, RARE, settings), VIEWS, settings)
    f1 = np.array([2 * share / (share + 1000) for share in level])
    error = 1.96 * f1.std() / np.sqrt(n)
    found = row.view_f1["A"]
    assert found.value == pytest.approx(f1.mean())
    assert found.low == pytest.approx(f1.mean() - error, abs=0.1 * error)
    assert found.high == pytest.approx(f1.mean() + error, abs=0.1 * error)
    assert row.cells == 2 * n


def test_a_gain_by_luck_of_the_draw_is_rarely_shown():
    """Two methods that differ by luck alone: about 5 % are shown, far more were patients alone drawn."""
    random = np.random.default_rng(2)
    settings = JudgeSettings(resamples=200)
    shown, shown_of_one, repeats = 0, 0, 80
    for _ in range(repeats):
        patient, label = clips(random, patients=30)
        sampled = []
        for _ in range(2):
            skills = random.uniform(0.2, 0.9, 12)
            counts = {
                (draw, None): patient_confusions(label, answers(random, label, skill), patient, K)
                for draw, skill in enumerate(skills)
            }
            sampled.append(sample_cells(counts, RARE, settings))
        gain = judge_difference(("a", 1), ("b", 1), *sampled, VIEWS, settings)
        shown += gain.p["rare-view F1"] < 0.05
        one, other = (average(each, [(0, None)], settings) for each in sampled)
        samples = (one.samples - other.samples)[:, 0]
        shown_of_one += (samples > 0).mean() < 0.025 or (samples < 0).mean() < 0.025
    assert shown / repeats < 0.15
    assert shown_of_one / repeats > 0.4


def test_differences_are_in_pairs_on_the_same_draws():
    """Draw by draw the difference of the two averages; nothing between a method and itself."""
    *_, counts = study(GRID)
    *_, other = study([(draw, None) for draw in range(3)], skill=0.3, seed=1)
    mine, others = sample_cells(counts, RARE, FEW), sample_cells(other, RARE, FEW)
    gain = judge_difference(("a", 2), ("b", 2), mine, others, VIEWS, FEW)
    one, base = average(mine, GRID, FEW), average(others, others.keys, FEW)
    low, high = np.nanquantile(one.samples - base.samples, [0.025, 0.975], axis=0)
    for i, name in enumerate(MEANS):
        assert gain.means[name].value == pytest.approx(one.value[i] - base.value[i])
        assert gain.relative[name] == pytest.approx(one.value[i] / base.value[i] - 1)
        assert (gain.means[name].low, gain.means[name].high) == pytest.approx((low[i], high[i]))
    assert set(gain.p) == {"rare-view F1", "common-view F1"}
    none = judge_difference(("a", 2), ("a", 2), mine, mine, VIEWS, FEW)
    assert none.p == {"rare-view F1": 1, "common-view F1": 1}
    assert {one.low for one in none.means.values()} == {0}


def test_pairs_have_the_same_draws_and_pretrainings():
    plain = [(0, None), (1, None), (2, None)]
    ragged = [(0, 5), (0, 7), (1, 5), (3, 5)]
    assert common_cells(ragged, plain) == (((0, 5), (0, 7), (1, 5)), ((0, None), (1, None)))
    assert common_cells(plain, ragged) == (((0, None), (1, None)), ((0, 5), (0, 7), (1, 5)))
    assert common_cells(ragged, [(0, 7), (1, 7), (3, 5)]) == (((0, 7), (3, 5)),) * 2
    assert common_cells(ragged, [(9, None)]) == ((), ())


def test_methods_without_a_common_draw_are_not_compared():
    *_, counts = study([(0, None)])
    *_, other = study([(1, None)])
    pair = sample_cells(counts, RARE, FEW), sample_cells(other, RARE, FEW)
    assert judge_difference(("a", 1), ("b", 1), *pair, VIEWS, FEW) is None


def test_cells_that_were_not_drawn_leave_a_sample_out():
    """A ragged grid: where only (1, 5) and (0, 7) are there, some draws meet neither."""
    *_, counts = study([(0, 7), (1, 5)])
    row = judge_row("m", 1, sample_cells(counts, RARE, FEW), VIEWS, FEW)
    missed = (_times(2, FEW, 1) * _times(2, FEW, 2)[:, ::-1]).sum(axis=1) == 0
    assert 0 < missed.sum() < FEW.resamples
    assert row.means["common-view F1"].resamples == FEW.resamples - missed.sum()


def test_holm_counts_every_comparison_of_the_study():
    differences = []
    for seed, skill in enumerate((0.9, 0.75, 0.61, 0.6)):
        *_, counts = study([(0, None), (1, None)], skill=skill, seed=seed)
        *_, base = study([(0, None), (1, None)], seed=50)
        pair = sample_cells(counts, RARE, FEW), sample_cells(base, RARE, FEW)
        differences.append(judge_difference(("a", seed), ("b", seed), *pair, VIEWS, FEW))
    p = sorted((value, i, name) for i, one in enumerate(differences) for name, value in one.p.items())
    adjusted = adjust(differences)
    largest = 0.0
    for smaller, (value, i, name) in enumerate(p):
        largest = max(largest, min(1, value * (len(p) - smaller)))
        assert adjusted[i].adjusted[name] == pytest.approx(largest)
    assert len(p) == 8


def test_a_view_that_nobody_shows_is_left_out():
    patient, label = clips(np.random.default_rng(0))
    label = np.minimum(label, 1)
    counts = {(0, None): patient_confusions(label, label, patient, K)}
    row = judge_row("m", 1, sample_cells(counts, RARE, FEW), VIEWS, FEW)
    assert math.isnan(row.means["rare-view F1"].value)
    assert row.means["common-view F1"].value == row.means["macro F1"].value == 1
    sampled = sample_cells(counts, RARE, FEW)
    gain = judge_difference(("a", 1), ("b", 1), sampled, sampled, VIEWS, FEW)
    assert set(gain.p) == {"common-view F1"}


def test_one_patient_gives_no_interval_and_no_p():
    counts = {(draw, None): np.eye(K, dtype=int)[None] * (draw + 1) for draw in range(4)}
    sampled = sample_cells(counts, RARE, FEW)
    gain = judge_difference(("a", 1), ("b", 1), sampled, sampled, VIEWS, FEW)
    assert all(map(math.isnan, gain.p.values()))
    assert all(math.isnan(one.low) for one in gain.means.values())
