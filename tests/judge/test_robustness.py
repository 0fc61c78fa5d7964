"""The sweep equals a plain loop over clips, corruptions and draws of patients."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from apical.config import JudgeSettings, ResNetSettings
from apical.errors import WrongCall
from apical.judge.again import Witness
from apical.judge.corruptions import CORRUPTIONS, corrupt
from apical.judge.intervals import draw_patients
from apical.judge.robustness import CLEAN, judge_robustness
from apical.learn.classifier import Classifier, classify_clip
from apical.learn.predictions import Predictions
from fake_stores import picture

VIEWS = ("A4C", "A2C", "PLAX")
COUNT = np.tile([1, 3], 10)
PATIENT = np.array([f"p{place // 3}" for place in range(20)])
CPU = torch.device("cpu")
QUICK = JudgeSettings(resamples=100, seed=3, interval="percentile")


def a_witness(seed):
    """A network of random weights, and 20 clips of 7 patients; what the run keeps of them is not used."""
    torch.manual_seed(seed)
    classifier = Classifier.empty(ResNetSettings(depth=10, width=4, stem_stride=2), len(VIEWS)).eval()
    torch.nn.init.normal_(classifier.head.weight)
    frames = np.stack([picture(f"{row * 977:08x}")[::4, ::4] for row in range(COUNT.sum())])
    judged = Predictions(
        method="naive",
        seed=seed,
        views=VIEWS,
        clip=np.array([f"{place:03d}" for place in range(20)]),
        patient=PATIENT,
        split=np.full(20, "test"),
        label=np.where(np.arange(20) % 4, np.arange(20) % 3, 0),
        log_probabilities=np.log(np.full((20, 3), 1 / 3, np.float32)),
        features=np.zeros((20, 0), np.float32),
    )
    unknown = np.full(len(frames), np.nan)
    return Witness(judged, classifier, 32, frames, np.cumsum(COUNT) - COUNT, COUNT, unknown)


def by_hand(witness, name, severity):
    """(20, k) log-probabilities, clip by clip."""
    found = []
    for number, (first, count) in enumerate(zip(witness.first, witness.count, strict=True)):
        frames = witness.frames[first : first + count]
        changed = corrupt(frames, name, severity, seed=number) if severity else frames
        found.append(classify_clip(witness.classifier, changed, 32, CPU).log_probabilities)
    return np.concatenate(found)


def figures(label, said, rows):
    named = said[rows].argmax(1)
    present = np.unique(label[rows])
    return np.array(
        [
            f1_score(label[rows], named, labels=present, average="macro", zero_division=0),
            accuracy_score(label[rows], named),
            np.exp(said[rows].max(1)).mean(),
        ]
    )


def test_equal_to_asking_clip_by_clip_and_drawing_patients_in_a_loop():
    witnesses = [a_witness(seed) for seed in (0, 1)]
    rows = judge_robustness(witnesses, QUICK, severities=(2,))
    assert [(row.corruption, row.severity) for row in rows] == [(CLEAN, 0), *((c, 2) for c in CORRUPTIONS)]
    label, everything = witnesses[0].judged.label, np.arange(20)
    clean = [by_hand(witness, CLEAN, 0) for witness in witnesses]
    before = np.mean([figures(label, each, everything) for each in clean], axis=0)
    changes = []
    for row in rows:
        said = [by_hand(witness, row.corruption, row.severity) for witness in witnesses]
        whole = np.mean([figures(label, each, everything) for each in said], axis=0)
        now = (row.macro_f1, row.accuracy, row.confidence)
        change = (row.macro_f1_change, row.accuracy_change, row.confidence_change)
        np.testing.assert_allclose([each.value for each in now], whole, atol=1e-5)
        np.testing.assert_allclose([each.value for each in change], whole - before, atol=1e-5)
        changes.append(abs(row.macro_f1_change.value))
    assert max(changes) > 0.05

    patient = np.array([int(name[1:]) for name in PATIENT])
    paired = []  # of the last row
    for times in np.concatenate(list(draw_patients(7, QUICK.resamples, QUICK.seed))):
        drawn = np.repeat(everything, times[patient].astype(int))
        now, then = (
            np.mean([figures(label, each, drawn) for each in answers], axis=0) for answers in (said, clean)
        )
        paired.append(now - then)
    limits = np.quantile(paired, [0.025, 0.975], axis=0)
    np.testing.assert_allclose([(each.low, each.high) for each in change], limits.T, atol=1e-5)
    assert (limits[1] - limits[0] > 0).all()


def test_frames_as_they_are_have_not_changed():
    first = judge_robustness([a_witness(0)], QUICK, severities=())[0]
    for change in (first.macro_f1_change, first.accuracy_change, first.confidence_change):
        assert (change.value, change.low, change.high) == (0, 0, 0)


def test_progress_counts_every_round_of_every_seed():
    seen = []
    judge_robustness(
        [a_witness(seed) for seed in (0, 1)],
        QUICK,
        severities=(1,),
        progress=lambda done, total: seen.append((done, total)),
    )
    total = 2 * (1 + len(CORRUPTIONS))
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_severities_that_are_none_are_refused():
    with pytest.raises(WrongCall, match="severity"):
        judge_robustness([a_witness(0)], QUICK, severities=(6,))
