"""Clips find their truth by their file; figures and intervals equal naive loops over written-out draws."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from apical.config import PhantomSettings, ScanSettings
from apical.errors import CannotDo
from apical.ingest.scan import scan
from apical.judge.intervals import draw_patients, expanded_levels
from apical.judge.plane import by_plane_error, plane_errors, rank_correlation
from apical.phantom.study import write_phantom


def judged(seed=0, patients=12, clips=25):
    """Surer where the error is small; errors and confidences repeat; some errors are unknown."""
    random = np.random.default_rng(seed)
    n = patients * clips
    error = np.round(random.gamma(2, 4, n), 0)
    confidence = np.round(np.clip(0.9 - 0.02 * error + random.normal(0, 0.1, n), 0, 1), 2)
    right = random.random(n) < confidence
    error[random.random(n) < 0.1] = np.nan
    patient = random.choice([f"p{i}" for i in range(patients)], n)
    return error, right, confidence, patient


def written_out(patient, seed, resamples):
    """Rows of the drawn clips of each draw, once for each time that they are drawn."""
    _, first = np.unique(patient, return_index=True)
    names = patient[np.sort(first)]
    for times in next(draw_patients(len(names), resamples, seed)):
        rows = [np.flatnonzero(patient == name) for name in names]
        yield np.concatenate([np.tile(r, int(t)) for r, t in zip(rows, times, strict=True)])


def test_bins_equal_a_naive_loop_and_so_do_their_intervals():
    error, right, confidence, patient = judged()
    found = by_plane_error(error, right, confidence, patient, resamples=300, seed=4)
    edges = [0, 5, 10, 15, 20, np.inf]
    known = ~np.isnan(error)
    patients = len(set(patient[known]))
    draws = list(written_out(patient[known], 4, 300))
    for i, (low, high) in enumerate(pairwise(edges)):
        inside = (error >= low) & (error < high)
        assert found.clips[i] == inside.sum() > 0
        assert found.patients[i] == len(set(patient[inside]))
        for interval, values in ((found.right[i], right), (found.confidence[i], confidence)):
            assert interval.value == pytest.approx(values[inside].mean())
            means = [values[known][rows][inside[known][rows]] for rows in draws]
            means = [x.mean() for x in means if len(x)]
            assert interval.resamples == len(means)
            assert (interval.low, interval.high) == pytest.approx(
                tuple(np.quantile(means, expanded_levels(patients)))
            )
    assert found.clips.sum() == known.sum() < len(error)


def test_correlation_is_spearmans_of_the_drawn_clips_written_out():
    error, _, confidence, patient = judged(seed=1, clips=6)
    known = ~np.isnan(error)
    error, confidence, patient = error[known], confidence[known], patient[known]
    found = rank_correlation(error, confidence, patient, resamples=50, seed=2)
    assert found.value[0] == pytest.approx(spearmanr(error, confidence).statistic)
    expected = [spearmanr(error[rows], confidence[rows]).statistic for rows in written_out(patient, 2, 50)]
    np.testing.assert_allclose(found.samples[:, 0], expected)


def test_chunks_do_not_change_the_correlation(monkeypatch):
    error, _, confidence, patient = judged(seed=1)
    error = np.nan_to_num(error)
    whole = rank_correlation(error, confidence, patient, resamples=30).samples
    monkeypatch.setattr("apical.judge.plane._CHUNK_VALUES", 7 * len(error))
    np.testing.assert_allclose(rank_correlation(error, confidence, patient, resamples=30).samples, whole)


def test_a_classifier_that_is_less_sure_of_missed_planes_is_told_from_one_that_is_not():
    error, right, confidence, patient = judged(clips=60)
    found = by_plane_error(error, right, confidence, patient, resamples=400).correlation
    assert found.value < found.high < 0
    shuffled = np.random.default_rng(0).permutation(confidence)
    found = by_plane_error(error, right, shuffled, patient, resamples=400).correlation
    assert found.low < 0 < found.high


def test_empty_bins_and_equal_confidences_have_no_figures():
    found = by_plane_error(
        np.array([1.0, 5, 2]),
        np.array([True, False, True]),
        np.ones(3),
        np.array(["a", "b", "a"]),
        resamples=50,
    )
    assert found.clips.tolist() == [2, 1, 0, 0, 0]
    assert [interval.value for interval in found.right[:2]] == [1, 0]
    assert np.isnan([interval.value for interval in found.right[2:] + found.confidence[2:]]).all()
    assert np.isnan(found.correlation.value)


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    """The truth of a phantom, and the catalogue that a scan makes of its files."""
    folder = tmp_path_factory.mktemp("plane")
    settings = PhantomSettings(patients=1, frames=2, image_rows=120, workers=1, other_modes=1)
    write_phantom(folder / "phantom", settings)
    scan(folder / "phantom", folder / "catalogue.parquet", ScanSettings(workers=1))
    return folder


def test_clips_of_a_scanned_phantom_have_the_error_of_their_file(exams):
    catalogue = pl.read_parquet(exams / "catalogue.parquet").sample(fraction=1, shuffle=True, seed=0)
    truth = exams / "phantom" / "truth.csv"
    clip = catalogue["clip"].to_numpy().astype(str)
    found = plane_errors(catalogue, clip, truth)
    table = pl.read_csv(truth)
    assert len(found) == len(table)
    for path, error in zip(catalogue["path"], found, strict=True):
        (row,) = table.filter(pl.lit(path).str.ends_with(pl.col("file"))).iter_rows(named=True)
        assert error == row["plane_error_deg"] or (np.isnan(error) and row["plane_error_deg"] is None)
    assert 0 < np.isnan(found).sum() < len(found)  # another mode has no plane
    np.testing.assert_array_equal(plane_errors(catalogue, clip[::-1], truth), found[::-1])


def test_the_folder_may_be_reached_through_a_link_or_from_where_one_is(exams, monkeypatch):
    catalogue = pl.read_parquet(exams / "catalogue.parquet")
    clip = catalogue["clip"].to_numpy().astype(str)
    expected = plane_errors(catalogue, clip, exams / "phantom" / "truth.csv")
    link = exams / "link"
    if not link.exists():
        link.symlink_to(exams / "phantom")
    np.testing.assert_array_equal(plane_errors(catalogue, clip, link / "truth.csv"), expected)
    monkeypatch.chdir(exams / "phantom")
    np.testing.assert_array_equal(plane_errors(catalogue, clip, Path("truth.csv")), expected)


def test_clips_that_the_truth_does_not_tell_of_have_no_error(exams):
    catalogue = pl.read_parquet(exams / "catalogue.parquet")
    clip = np.append(catalogue["clip"].to_numpy().astype(str)[:1], "of-another-catalogue")
    found = plane_errors(catalogue, clip, exams / "phantom" / "truth.csv")
    assert np.isnan(found).tolist() == [False, True]


def test_a_truth_of_other_files_or_none_is_refused_without_a_path(exams, tmp_path):
    catalogue = pl.read_parquet(exams / "catalogue.parquet")
    clip = catalogue["clip"].to_numpy().astype(str)
    elsewhere = tmp_path / "truth.csv"
    elsewhere.write_bytes((exams / "phantom" / "truth.csv").read_bytes())
    other = tmp_path / "other.csv"
    other.write_text("file,view\na.dcm,A4C\n")
    words = tmp_path / "words.csv"
    words.write_text("file,plane_error_deg\na.dcm,far\n")
    for truth, message in (
        (elsewhere, "none of these clips"),
        (other, "cannot be read"),
        (words, "cannot be read"),
        (tmp_path / "missing.csv", "cannot be read"),
    ):
        with pytest.raises(CannotDo, match=message) as refused:
            plane_errors(catalogue, clip, truth)
        assert str(tmp_path) not in str(refused.value)
