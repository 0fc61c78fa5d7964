"""Sentences claim what the intervals show, and no more."""

from dataclasses import replace

import numpy as np
import pytest

from apical.judge.figures import MethodFigures
from apical.judge.intervals import Interval
from apical.judge.verdict import verdict
from apical.judge.wording import percent, points

NAN = float("nan")


def method(name, macro=0.5, **gains):
    names = {"macro": "macro F1", "rare": "rare-view F1", "common": "common-view F1"}
    return MethodFigures(
        method=name,
        seeds=(0,),
        means={"macro F1": Interval(macro, macro - 0.1, macro + 0.1, 100)},
        view_f1={},
        by_view={},
        means_gain={names[key]: Interval(*gain, 100) for key, gain in gains.items()} or None,
        view_f1_gain=None,
        p={},
        adjusted={},
        macro_f1_by_seed=(macro,),
        confusion=np.zeros((2, 2), np.int64),
    )


@pytest.mark.parametrize(
    ("gain", "sentence"),
    [
        (
            (0.123, 0.061, 0.18),
            "On the 2 rare views, probe is better than naive by 12.3 points of F1 "
            "(95 % interval 6.1 to 18.0).",
        ),
        (
            (-0.05, -0.09, -0.01),
            "On the 2 rare views, probe is worse than naive by 5.0 points of F1 (95 % interval 1.0 to 9.0).",
        ),
        (
            (0.05, -0.01, 0.11),
            "On the 2 rare views, no difference between probe and naive could be shown "
            "(+5.0 points of F1, 95 % interval −1.0 to +11.0).",
        ),
        (
            (0.05, NAN, NAN),
            "On the 2 rare views, probe differs from naive by +5.0 points of F1, "
            "but one patient is too few for an interval.",
        ),
    ],
)
def test_what_an_interval_shows(gain, sentence):
    said = verdict(
        [method("naive"), method("probe", rare=gain)], baseline="naive", rare=("A", "B"), confidence=0.95
    )
    assert said == (sentence,)


def test_what_does_not_outlast_the_correction_is_not_claimed():
    probe = replace(method("probe", rare=(0.05, 0.01, 0.09)), adjusted={"rare-view F1": 0.08})
    said = verdict([method("naive"), probe], baseline="naive", rare=("A", "B"), confidence=0.95)
    assert said == (
        "On the 2 rare views, no difference between probe and naive could be shown (+5.0 points of F1, "
        "95 % interval +1.0 to +9.0; not after Holm's correction).",
    )
    sure = replace(probe, adjusted={"rare-view F1": 0.04})
    (sentence,) = verdict([method("naive"), sure], baseline="naive", rare=("A", "B"), confidence=0.95)
    assert "probe is better than naive" in sentence


def test_common_views_are_judged_too_and_without_rare_ones_all_views():
    methods = [method("naive"), method("probe", rare=(0.1, 0.05, 0.2), common=(0.0, -0.1, 0.1))]
    said = verdict(methods, baseline="naive", rare=("A",), confidence=0.9)
    assert said[0].startswith("On the 1 rare view, probe is better")
    assert said[1] == (
        "On the common views, no difference between probe and naive could be shown "
        "(0.0 points of F1, 90 % interval −10.0 to +10.0)."
    )
    assert verdict([method("probe")], baseline=None, rare=(), confidence=0.95) == (
        "probe names views with a macro F1 of 50.0 (40.0 to 60.0).",
    )


def test_undefined_figures_are_dashes():
    assert percent(Interval(NAN, NAN, NAN, 0)) == "–"
    assert points(Interval(NAN, NAN, NAN, 0)) == "–"
    assert percent(Interval(0.5, NAN, NAN, 0)) == "50.0"
