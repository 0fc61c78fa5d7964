"""Runs side by side: each against each on the same draws, also with different label budgets."""

import json
from itertools import combinations

import pytest

from apical.config import JudgeSettings
from apical.errors import CannotDo, WrongCall
from apical.judge.compare import compare
from apical.judge.evaluate import evaluate
from fake_runs import RARE, VIEWS, fake_budget, fake_predictions, write_run

FAST = JudgeSettings(resamples=200)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Self-training with two label budgets, two seeds each, and another method with one of them."""
    root = tmp_path_factory.mktemp("compare")
    five = {view: 5 if view in RARE else 10 for view in VIEWS} | {"PLAX": 10}
    made = []
    for name, method, budget, rare in (
        ("few", "self-training", fake_budget(), 1.6),
        ("more", "self-training", five, 2.4),
        ("other", "naive", fake_budget(), 0.3),
    ):
        for seed in (0, 1):
            run = fake_predictions(method, seed, skill=2.6, rare_skill=rare)
            made.append(write_run(root / f"{name}-{seed}", run, budget))
    return made


@pytest.fixture(scope="module")
def comparison(folders, tmp_path_factory):
    return compare(folders, tmp_path_factory.mktemp("out"), FAST)


def test_one_method_under_two_budgets_is_two_kinds(comparison):
    assert [(one.method, one.seeds) for one in comparison.methods] == [
        ("self-training, 2 to 10 patients a view", (0, 1)),
        ("self-training, 5 to 10 patients a view", (0, 1)),
        ("naive", (0, 1)),
    ]
    assert comparison.rare == RARE  # of the run with the fewest labels


def test_pairs_are_differences_on_the_same_draws_and_corrected_together(folders, comparison, tmp_path):
    names = [one.method for one in comparison.methods]
    assert [(pair.other, pair.one) for pair in comparison.pairs] == list(combinations(names, 2))
    alone = evaluate([*folders[4:], *folders[:2]], tmp_path, FAST)  # naive is the baseline there
    gain = alone.methods[1].means_gain["rare-view F1"]
    minus = next(pair for pair in comparison.pairs if (pair.one, pair.other) == (names[2], names[0]))
    assert minus.gains["rare-view F1"].value == pytest.approx(-gain.value)
    assert minus.gains["rare-view F1"].low == pytest.approx(-gain.high)
    adjusted = [value for pair in comparison.pairs for value in pair.adjusted.values()]
    assert len(adjusted) == 6
    smallest = 1 / (FAST.resamples + 1)  # of a permutation test
    assert min(adjusted) == pytest.approx(6 * smallest)  # the first of Holm's steps counts all six


def test_the_curve_has_a_point_for_each_budget(comparison):
    points = [(point.method, point.patients) for point in comparison.curve]
    assert points == [("self-training", 2), ("self-training", 5), ("naive", 2)]
    assert comparison.curve[1].means["rare-view F1"] == comparison.methods[1].means["rare-view F1"]


def test_page_and_figures_are_written_and_hold_no_path(comparison):
    page = comparison.report_file.read_text(encoding="utf-8")
    assert "How many labels it takes" in page
    assert all(sentence in page for sentence in comparison.verdict)
    assert "not a medical device" in page
    written = json.loads(comparison.metrics_file.read_text(encoding="utf-8"))
    assert written["pairs"][0]["one"] == "self-training, 5 to 10 patients a view"
    for text in (page, comparison.metrics_file.read_text()):
        assert "secret-hospital" not in text
        assert str(comparison.report_file.parent) not in text


def test_sentences_claim_what_intervals_show(comparison):
    for pair, sentence in zip(comparison.pairs, comparison.verdict, strict=True):
        rare = pair.gains["rare-view F1"]
        said = "better" if rare.low > 0 else "worse" if rare.high < 0 else "not shown to differ"
        assert f"{pair.one} against {pair.other}: {said} in rare-view F1" in sentence
    assert comparison.lines()[-1] == f"report → {comparison.report_file}"


def test_one_kind_or_other_clips_cannot_be_compared(folders, tmp_path):
    with pytest.raises(WrongCall, match="nothing to compare"):
        compare(folders[:2], tmp_path / "out", FAST)
    fewer = fake_predictions("probe", clips=9)
    with pytest.raises(CannotDo, match="different labelled test clips"):
        compare([folders[0], write_run(tmp_path / "run", fewer, fake_budget())], tmp_path / "out", FAST)
    assert not (tmp_path / "out").exists()


def test_one_budget_has_no_curve(folders, tmp_path):
    same = compare([folders[0], folders[4]], tmp_path, FAST)
    assert same.curve == ()
    assert [one.method for one in same.methods] == ["self-training", "naive"]
