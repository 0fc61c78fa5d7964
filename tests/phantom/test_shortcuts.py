"""A view can be told by anatomy, and by nothing else: `benchmarks/phantom_difficulty.py` in small.

A classifier that knows nothing of the view is right as often as its answers are with the views permuted among
each patient's clips; 97.5 % of the permutations are below the limits here. The margins above them allow for
asking many times, and for what is true of real exams too: sonographers show some views deeper (the scale, the
ticks and the curve of the probe's face tell of it), and views differ in how much blood they show (so do the
shares of grey).
"""

from dataclasses import replace

import numpy as np
import pytest

from apical.config import PhantomSettings
from phantom_judges import (
    boosted,
    chance,
    linear,
    neighbours,
    pixel_answers,
    random_features,
    shortcut_answers,
    shortcut_features,
)
from phantom_lab import VIEWS, Lab, make_lab

# Accuracy above the limits, from runs with 240 patients and with other seeds of 60.
NOISE = 0.02  # one in forty limits is passed by luck, and there are ten
DEPTH = 0.04  # knowing the scale of the image was worth 0.035
BLOOD = 0.08  # the shares of grey levels were worth 0.05 to 0.08
MARGINS = {
    "screen without the sector": DEPTH,
    "outline of the sector": DEPTH,
    "grey histogram of the sector": BLOOD,
    "header without the scale": NOISE,
    "header with the scale": DEPTH,
}
LEARNERS = {"linear": linear, "boosted": boosted}
MOST_BY_PIXELS = 0.55
MOST_ALIKE = 6.0  # times chance, for the nearest clip to be of the same patient or machine; 3 to 5 were seen


@pytest.fixture(scope="module")
def lab() -> Lab:
    return make_lab(PhantomSettings(patients=60, frames=1, image_rows=112, seed=71, workers=1))


def accuracy(lab: Lab, said: np.ndarray) -> tuple[float, float]:
    """Of the judged clips the share that is right, and the limit by chance."""
    judged = lab.clips.split == "test"
    label = lab.clips.label[judged]
    by_chance = chance(said[judged], label, lab.clips.patient[judged])
    return float((said[judged] == label).mean()), by_chance["accuracy"].upper_two_sided


@pytest.mark.parametrize("learner", sorted(LEARNERS))
@pytest.mark.parametrize("name", sorted(MARGINS))
def test_what_is_no_anatomy_tells_no_view(lab: Lab, name: str, learner: str) -> None:
    said = shortcut_answers(lab, shortcut_features(lab)[name], LEARNERS[learner])
    right, limit = accuracy(lab, said)
    assert right <= limit + MARGINS[name]


@pytest.mark.parametrize("components", [None, 64])
def test_pixels_are_not_enough_but_something(lab: Lab, components: int | None) -> None:
    right, limit = accuracy(lab, pixel_answers(lab, components))
    assert limit < right < MOST_BY_PIXELS


def test_the_nearest_clip_is_not_of_the_same_exam(lab: Lab) -> None:
    found = neighbours(lab, random_features(lab, seed=0))
    for name in ("same patient", "same machine"):
        share, by_chance = found[name]
        assert share.value < MOST_ALIKE * by_chance


def test_a_planted_shortcut_is_found(lab: Lab) -> None:
    """A word on the screen that differs by view, in half of the clips."""
    surround = lab.surround.copy()
    for number in range(0, len(surround), 2):
        column = 2 * lab.clips.label[number]
        surround[number, :2, column : column + 2] = 200
    features = shortcut_features(replace(lab, surround=surround))["screen without the sector"]
    for learner in LEARNERS.values():
        right, limit = accuracy(lab, shortcut_answers(lab, features, learner))
        assert right > limit + 0.1


def test_chance_is_that_of_the_most_frequent_view(lab: Lab) -> None:
    said = np.full(len(lab.clips), 3)
    by_chance = chance(said, lab.clips.label, lab.clips.patient)["accuracy"]
    share = float((lab.clips.label == 3).mean())
    assert by_chance.mean == pytest.approx(share)
    assert by_chance.upper == pytest.approx(share)


def test_chance_of_a_perfect_answer_is_that_of_patients_exams(lab: Lab) -> None:
    """Against the expectation in closed form: a clip gets a view as often as its patient's exam has it."""
    label, patient = lab.clips.label, lab.clips.patient
    expected = []
    for name in np.unique(patient):
        own = np.bincount(label[patient == name], minlength=len(VIEWS))
        expected.append((own**2).sum() / own.sum())
    by_chance = chance(label, label, patient, permutations=2000)["accuracy"]
    assert by_chance.mean == pytest.approx(sum(expected) / len(label), abs=0.003)


def test_neighbours_are_counted_rightly(lab: Lab) -> None:
    """Features that give away the patient, and features that give away the view."""
    by_patient = np.unique(lab.clips.patient, return_inverse=True)[1][:, None].astype(np.float32)
    by_view = np.eye(len(VIEWS), dtype=np.float32)[lab.clips.label]
    assert neighbours(lab, by_patient)["same patient"][0].value == 1
    share, by_chance = neighbours(lab, by_view)["same view"]
    assert share.value == 1
    assert by_chance == pytest.approx(((np.bincount(lab.clips.label) / len(lab.clips)) ** 2).sum(), abs=0.01)


def test_patients_do_not_cross_splits_and_frames_are_of_their_clips(lab: Lab) -> None:
    clips = lab.clips
    for name in np.unique(clips.patient):
        assert len(set(clips.split[clips.patient == name])) == 1
    assert len(clips.frames) == len(lab.histogram) == clips.count.sum()
    assert lab.histogram.sum(axis=1) == pytest.approx(1)
    shown = (lab.outline > 250).sum(axis=(1, 2))
    assert (shown > 200).all()
    assert lab.surround[lab.outline > 250].max() == 0
