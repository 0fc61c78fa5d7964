"""Slices have the figures of their clips, and are compared at equal views, patients drawn jointly."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from apical.catalogue import conform
from apical.config import JudgeSettings
from apical.errors import WrongCall
from apical.ingest.frames import FrameStore
from apical.judge.again import FrameAnswers
from apical.judge.holm import holm, two_sided_p
from apical.judge.intervals import KINDS, bootstrap, draw_patients, patient_confusions
from apical.judge.metrics import accuracy
from apical.judge.runs import labelled
from apical.judge.slices import (
    NOT_KNOWN,
    OF_FEW,
    appearance_values,
    catalogue_values,
    judge_slices,
    thirds,
)
from apical.learn.clips import codes
from apical.learn.predictions import Predictions
from fake_runs import VIEWS, fake_predictions
from fake_stores import picture, write_store

RUNS = [labelled(fake_predictions(seed=seed), "test") for seed in (0, 1)]
N = len(RUNS[0])
PATIENT = codes(RUNS[0].patient)
QUICK = JudgeSettings(resamples=150, seed=2, interval="percentile")
MANY = JudgeSettings(resamples=600, seed=2)
VARIED = np.random.default_rng(0).choice(["a", "b"], N, p=[0.3, 0.7])


def gap(label, named, inside):
    """Recall in the slice minus recall in the rest, over the views that both show, in a loop."""
    gaps = []
    for view in set(label[inside]) & set(label[~inside]):
        right, shown = named == view, label == view
        gaps.append(right[shown & inside].mean() - right[shown & ~inside].mean())
    return np.mean(gaps)


def worse_where(where, run, by=6.0, seed=3):
    """The run with noise added to the answers for some clips."""
    noise = np.random.default_rng(seed).normal(0, by, run.log_probabilities.shape) * where[:, None]
    logits = run.log_probabilities + noise
    normal = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return replace(run, log_probabilities=normal.astype(np.float32))


def test_figures_are_those_of_the_clips_averaged_over_seeds():
    for found in judge_slices(RUNS, {"side": VARIED}, settings=QUICK):
        rows = found.value == VARIED
        label = RUNS[0].label[rows]
        named = [run.predicted[rows] for run in RUNS]
        f1 = [
            f1_score(label, each, labels=np.unique(label), average="macro", zero_division=0) for each in named
        ]
        assert found.name == "side"
        assert found.clips == rows.sum()
        assert found.patients == len(np.unique(PATIENT[rows]))
        assert found.macro_f1.value == pytest.approx(np.mean(f1))
        assert found.accuracy.value == pytest.approx(np.mean([accuracy_score(label, e) for e in named]))


def test_compared_as_in_a_loop_over_draws_of_patients():
    (found, _) = judge_slices(RUNS, {"side": VARIED}, settings=QUICK)
    inside, label = VARIED == "a", RUNS[0].label
    whole = np.mean([gap(label, run.predicted, inside) for run in RUNS])
    assert found.difference.value == pytest.approx(whole)
    samples = []
    for times in np.concatenate(list(draw_patients(PATIENT.max() + 1, QUICK.resamples, QUICK.seed))):
        rows = np.repeat(np.arange(N), times[PATIENT].astype(int))
        samples.append(np.mean([gap(label[rows], run.predicted[rows], inside[rows]) for run in RUNS]))
    limits = np.quantile(samples, [0.025, 0.975])
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(limits))
    assert found.p == pytest.approx(min(1, 2 * two_sided_p(np.array(samples))))  # of two comparisons


def test_at_equal_views_it_is_the_difference_of_balanced_accuracies():
    found = judge_slices(RUNS[:1], {"side": VARIED}, settings=QUICK)
    label, named = RUNS[0].label, RUNS[0].predicted
    inside = VARIED == "a"
    one, other = (recall_score(label[s], named[s], average="macro") for s in (inside, ~inside))
    assert set(label[inside]) == set(label[~inside])
    assert found[0].difference.value == pytest.approx(one - other)
    assert found[0].views == len(set(label))
    assert found[0].difference.value == pytest.approx(-found[1].difference.value)


def test_a_slice_of_hard_views_is_not_worse_at_equal_views():
    """Views below 6 are named wrongly twice as often, and the slice has more of them."""
    random = np.random.default_rng(5)
    label = RUNS[0].label
    hard = label < 6
    mostly = np.where(random.random(N) < np.where(hard, 0.8, 0.2), "hard", "easy")
    run = replace(RUNS[0], log_probabilities=np.log(np.full((N, 13), 0.01) + 0.87 * np.eye(13)[
        np.where(random.random(N) < np.where(hard, 0.5, 0.1), (label + 1) % 13, label)
    ]).astype(np.float32))  # fmt: skip
    easy, found = judge_slices([run], {"side": mostly}, settings=QUICK)
    assert found.accuracy.value < easy.accuracy.value - 0.15
    assert found.difference.low < 0 < found.difference.high
    assert abs(found.difference.value) < 0.1
    assert not any(each.worst for each in (easy, found))


def test_the_worst_slice_is_found_and_it_alone():
    weak = np.isin(PATIENT, np.arange(7))
    maker = np.where(weak, "one", np.where(PATIENT % 2, "two", "three"))
    runs = [worse_where(weak, run) for run in RUNS]
    found = judge_slices(runs, {"maker": maker, "side": VARIED}, settings=MANY)
    assert [(each.name, each.value) for each in found if each.worst] == [("maker", "one")]
    worst = next(each for each in found if each.worst)
    assert worst.difference.high < 0
    assert worst.p < 0.01


def test_of_equally_bad_slices_one_is_marked():
    weak = np.where(PATIENT < 7, "one", "other")
    runs = [worse_where(PATIENT < 7, RUNS[0])]
    found = judge_slices(runs, {"maker": weak, "model": weak}, settings=MANY)
    assert [(each.name, each.value) for each in found if each.worst] == [("maker", "one")]


def test_texts_of_few_patients_are_not_told():
    """A column may hold names."""
    clips = np.array([f"c{i}" for i in range(12)])
    name = ["Smith^John"] * 4 + ["ward"] * 8
    patient = [f"p{i}" for i in range(12)]
    table = conform(pl.DataFrame({"clip": clips, "path": clips, "patient": patient, "name": name}))
    assert catalogue_values(clips, table, ["name"])["name"].tolist() == [OF_FEW] * 4 + ["ward"] * 8
    one = conform(table.with_columns(patient=pl.lit("p")))
    assert set(catalogue_values(clips, one, ["name"])["name"]) == {OF_FEW}


def test_what_a_scan_could_not_have_written_is_not_told():
    table = a_catalogue(
        manufacturer=["GE", "Dr Adams", "GE", "St Mary's", None, "GE"],
        model=["Vivid E95", "room 4", None, "unlisted-0123abcd", None, "x"],
        stage=["rest", "Mrs Brown", "peak", "stage 2", None, None],
    )
    told = {value for name, found in catalogue_values(CLIPS, table).items() for value in found}
    assert not told & {"Dr Adams", "St Mary's", "room 4", "Mrs Brown", "x"}
    assert "GE" in told


@pytest.mark.parametrize("patients", [5, 10])
def test_chance_is_rarely_taken_for_a_difference_however_few_patients(patients):
    """Six machines that differ by patients alone: at most one table in twenty may show any of them."""
    shown = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        who = np.repeat(np.arange(6 * patients), 12)
        label = np.tile(np.arange(4), 3 * 6 * patients)
        hard = random.normal(0, 1.0, 6 * patients)[who]
        right = random.random(len(who)) < 1 / (1 + np.exp(-1.5 - hard))
        named = np.where(right, label, (label + 1) % 4)
        run = Predictions(
            method="m",
            seed=0,
            views=VIEWS[:4],
            clip=np.arange(len(who)).astype(str),
            patient=who.astype(str),
            split=np.full(len(who), "test"),
            label=label,
            log_probabilities=np.log(np.full((len(who), 4), 0.01) + 0.96 * np.eye(4)[named]).astype(
                np.float32
            ),
            features=np.zeros((len(who), 0), np.float32),
        )
        machine = np.array(list("abcdef"))[who % 6]
        found = judge_slices([run], {"machine": machine}, settings=JudgeSettings(resamples=400))
        shown += min(each.p for each in found) < 0.05
    assert shown <= 60 * 0.1


def test_p_is_corrected_over_all_slices():
    alone = judge_slices(RUNS, {"side": VARIED}, settings=QUICK)
    few = np.where(PATIENT < 3, "few", "many")
    half = np.where(PATIENT < 9, "a", "b")
    more = judge_slices(RUNS, {"side": VARIED, "x": few, "y": half}, settings=QUICK)
    uncorrected = [alone[0].p / 2] * 2
    rest = [each.p for each in judge_slices(RUNS, {"y": half}, settings=QUICK)]
    assert max(*uncorrected, *rest) < 1  # or nothing could be told from corrected ones
    expected = holm(np.array([*uncorrected, np.nan, np.nan, *np.array(rest) / 2]))
    np.testing.assert_allclose([each.p for each in more], expected)


def test_slices_of_few_patients_are_named_but_not_compared():
    few = np.where(PATIENT < 4, "few", "many")
    for found in judge_slices(RUNS, {"side": few}, settings=QUICK):
        assert found.difference is None
        assert np.isnan(found.p)
        assert found.accuracy.value > 0
        assert np.isnan(found.accuracy.low) == (found.value == "few")
    five = judge_slices(RUNS, {"side": np.where(PATIENT < 5, "few", "many")}, settings=QUICK)
    assert all(found.difference is not None for found in five)


def test_slices_without_a_common_view_are_not_compared():
    views = np.where(RUNS[0].label < 5, "some", "others")
    assert all(found.difference is None for found in judge_slices(RUNS, {"side": views}, settings=QUICK))


def test_intervals_of_no_difference_hold_zero_about_as_often_as_promised():
    """Patients have habits; a slice of patients, and one that cuts through them, differ by chance only."""
    held, shown = [], []
    for seed in range(60):
        run = labelled(fake_predictions(seed=100 + seed, patients=(1, 1, 40), views=tuple("abcd")), "test")
        patient = codes(run.patient)
        random = np.random.default_rng(seed)
        values = {
            "of patients": np.where(random.permutation(40)[patient] < 15, "in", "out"),
            "through": np.where(random.random(len(run)) < 0.4, "in", "out"),
        }
        found = judge_slices([run], values, settings=JudgeSettings(resamples=200, interval="percentile"))
        held += [each.difference.low <= 0 <= each.difference.high for each in found if each.value == "in"]
        shown.append(any(each.p < 0.05 for each in found))
    assert 0.85 < np.mean(held) < 1
    assert np.mean(shown) < 0.15


def a_catalogue(**columns):
    names = [f"c{row}" for row in range(6)]
    table = {"clip": names, "path": ["/x"] * 6, "patient": names}
    return conform(pl.DataFrame(table | columns))


CLIPS = np.array(["c3", "c0", "gone", "c5"])


def test_values_are_those_of_the_clips_in_their_order():
    table = a_catalogue(
        manufacturer=["GE", "GE", "GE", "Philips", "GE", None],
        contrast_agent=[True, None, None, False, None, None],
        heart_rate=[59.9, 0, 0, 60.0, 0, 90.1],
        region=[[0, 10, 50, 110]] * 5 + [None],
        pixel_height_mm=[1.5, 1, 1, 0.5, 1, 1],
        sex=["f", "f", "m", "m", "f", ""],
        age=[70, 1, 1, 40, 1, None],
        treated=[True, False, False, False, False, None],
    )
    found = catalogue_values(CLIPS, table, ["sex", "age", "treated"])
    assert found["manufacturer"].tolist() == ["Philips", "GE", NOT_KNOWN, NOT_KNOWN]
    assert found["model"].tolist() == [NOT_KNOWN] * 4
    assert found["contrast agent"].tolist() == ["no", "yes", NOT_KNOWN, NOT_KNOWN]
    assert found["heart rate"].tolist() == ["60 to 90", "below 60", NOT_KNOWN, "above 90"]
    assert found["sector depth (mm)"].tolist() == ["up to 50", "50 to 150", NOT_KNOWN, NOT_KNOWN]
    assert found["sex"].tolist() == [OF_FEW, OF_FEW, NOT_KNOWN, NOT_KNOWN]  # of three patients each
    assert found["age"].tolist() == ["up to 40", "40 to 70", NOT_KNOWN, NOT_KNOWN]
    assert found["treated"].tolist() == ["no", "yes", NOT_KNOWN, NOT_KNOWN]


def test_thirds_hold_a_third_each_and_say_their_limits():
    numbers = np.random.default_rng(1).permutation(np.arange(1.0, 31.0))
    found = thirds(np.append(numbers, np.nan))
    assert found[-1] == NOT_KNOWN
    for name, low, high in (("up to 10", 1, 10), ("10 to 20", 11, 20), ("above 20", 21, 30)):
        inside = numbers[found[:-1] == name]
        assert (len(inside), inside.min(), inside.max()) == (10, low, high)
    assert set(thirds(np.full(5, 7.0)).tolist()) == {"up to 7"}
    assert thirds(np.array([np.nan])).tolist() == [NOT_KNOWN]


@pytest.mark.parametrize("column", ["path", "patient", "study", "clip", "view"])
def test_people_paths_and_views_are_no_slices(column):
    with pytest.raises(WrongCall, match=f"'{column}' is no column to slice by"):
        catalogue_values(CLIPS, a_catalogue(), [column])


def test_an_unknown_column_is_refused_with_those_there_are():
    with pytest.raises(WrongCall, match="no column 'weight'") as told:
        catalogue_values(CLIPS, a_catalogue(sex=["f"] * 6), ["weight"])
    assert "sex" in told.value.do
    assert not {"path", "patient", "study"} & set(told.value.do.replace(",", "").split())


def test_columns_that_tell_people_apart_or_hold_no_values_are_refused():
    names = [f"c{row}" for row in range(40)]
    table = pl.DataFrame({"clip": names, "path": names, "patient": names, "record": names})
    with pytest.raises(WrongCall, match="40 different values"):
        catalogue_values(np.array(names), conform(table), ["record"])
    with pytest.raises(WrongCall, match="neither texts nor numbers"):
        catalogue_values(CLIPS, a_catalogue(born=[[1]] * 6), ["born"])


def test_brighter_and_sharper_clips_are_told(tmp_path):
    """Nine clips of one speckle, in three gains and three blurs; gain does not count as sharpness."""
    import cv2

    base = picture("00000001").astype(np.float32)
    names = [f"{gain}{blur}" for gain in range(3) for blur in range(3)]
    frames = [
        (cv2.GaussianBlur(base, (0, 0), 0.4 + blur) * (base > 0) * (0.4 + 0.2 * gain)).astype(np.uint8)
        for gain in range(3)
        for blur in range(3)
    ]
    store = FrameStore.open(write_store(tmp_path / "frames", names, np.stack(frames)))
    order = np.array([*reversed(names), "gone"])
    found = appearance_values(order, store)
    bright, sharp = found["brightness"], found["sharpness"]
    assert bright[-1] == sharp[-1] == NOT_KNOWN
    for value, place, words in ((bright, 0, ("up", "to", "above")), (sharp, 1, ("above", "to", "up"))):
        for name, told in zip(order[:-1], value[:-1], strict=True):
            level = int(name[place])
            assert told.startswith(words[level]) if words[level] != "to" else told[0].isdigit(), (name, told)


def test_a_clip_is_named_by_its_systolic_frames_alone():
    """Systolic frames are right and diastolic ones wrong; one clip's phases are not known."""
    run = RUNS[0]
    clip = np.repeat(np.arange(N), 4)
    phase = np.tile([0.0, 0.3, 0.4, 0.9], N)
    phase[:4] = np.nan
    named = np.where(np.nan_to_num(phase) < 0.4, run.label[clip], (run.label[clip] + 1) % 13)
    said = np.log(np.full((len(clip), 13), 0.01) + 0.87 * np.eye(13)[named]).astype(np.float32)
    diastole, systole, unknown = judge_slices([run], {}, [FrameAnswers(run, clip, said, phase)], QUICK)
    assert [each.value for each in (diastole, systole, unknown)] == ["diastole", "systole", NOT_KNOWN]
    assert (diastole.clips, systole.clips, unknown.clips) == (N - 1, N - 1, 1)
    assert (systole.accuracy.value, diastole.accuracy.value) == (1, 0)
    assert diastole.worst
    assert diastole.difference.value == pytest.approx(-1, abs=0.01)
    assert unknown.difference is None


def test_intervals_are_of_the_kind_asked_for_and_of_the_patients_of_the_slice():
    some = np.where(PATIENT < 6, "a", "b")
    for kind, limits in KINDS.items():
        settings = QUICK.model_copy(update={"interval": kind})
        (found, _) = judge_slices(RUNS, {"side": some}, settings=settings)
        inside = some == "a"
        tables = [patient_confusions(np.where(inside, r.label, -1), r.predicted, r.patient, 13) for r in RUNS]
        drawn = bootstrap(
            np.stack(tables), lambda c: accuracy(c)[..., None], resamples=QUICK.resamples, seed=QUICK.seed
        )
        expected = limits(replace(drawn, patients=6), settings.confidence)[0]
        assert (found.accuracy.low, found.accuracy.high) == pytest.approx((expected.low, expected.high))
