"""A study that is made by hand is judged, written and summed up as its answers demand."""

import json
import math
import re

import cv2
import numpy as np
import pytest
from sklearn.metrics import f1_score

from apical.config import JudgeSettings, StudySettings
from apical.errors import CannotDo
from apical.judge.cells import plan_cells
from apical.judge.intervals import Interval
from apical.judge.study_figures import Difference
from apical.judge.study_plots import plot_label_curves
from apical.judge.study_report import judge_study
from apical.judge.study_verdict import study_verdict
from fake_runs import RARE, VIEWS, fake_predictions

SKILLS = {"naive": (2.6, 0.3), "fine-tune": (2.9, 2.2), "everything": (3.5, 3.5)}
METHODS = {
    "naive": {"method": "naive"},
    "fine-tune": {"method": "fine-tune", "start": "pretrained"},
    "everything": {"method": "logit-adjusted", "labels": "all"},
}
VALUES = {
    "rare": RARE,
    "budgets": [2, 5],
    "common": 10,
    "draws": 2,
    "encoders": ["/secret/one", "/secret/two"],
    "methods": METHODS,
    "judge": {"resamples": 300},
}


def settings(**changes):
    return StudySettings.model_validate(VALUES | changes)


def answers_of(cell, *, better=0.0):
    skill, rare = SKILLS[cell.method]
    number = 10 * cell.draw + (cell.pretraining or 0)
    more = better + (0.5 if cell.budget == 5 else 0)
    return fake_predictions(cell.method, number, skill=skill + better, rare_skill=rare + more)


def write_cells(out, study):
    """All cells, as if they were trained; gives what `finished` would tell."""
    done = {}
    for number, cell in enumerate(plan_cells(study)):
        folder = out / cell.folder
        folder.mkdir(parents=True)
        answers_of(cell).save(folder / "predictions.parquet")
        budget = dict.fromkeys(VIEWS, 10) | {"IVC": 3, "A5C": 5}
        (folder / "budget.json").write_text(json.dumps(budget))
        cost = {"seconds": 10.0 + number, "cpu_seconds": 20.0, "peak_memory_mb": 100.0 + number, "threads": 1}
        done[cell] = {"made": {"start": None}, "cost": cost}
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    study = settings()
    done = write_cells(out, study)
    return judge_study(study, plan_cells(study), done, out), done, out


def row_of(study, method, budget):
    (row,) = (row for row in study.rows if (row.method, row.budget) == (method, budget))
    return row


def f1_of(cell):
    answers = answers_of(cell)
    test = answers.split == "test"
    by_view = f1_score(
        answers.label[test], answers.predicted[test], labels=range(len(VIEWS)), average=None, zero_division=0
    )
    return dict(zip(VIEWS, by_view, strict=True))


@pytest.mark.parametrize(("method", "budget"), [("naive", 2), ("fine-tune", 5), ("everything", "full")])
def test_figures_are_means_over_cells(made, method, budget):
    study, done, _ = made
    by_cell = [f1_of(cell) for cell in done if (cell.method, cell.budget) == (method, budget)]
    row = row_of(study, method, budget)
    assert row.cells == len(by_cell) == (4 if method == "fine-tune" else 2)
    rare = np.mean([[f1[view] for view in RARE] for f1 in by_cell])
    assert row.means["rare-view F1"].value == pytest.approx(rare)
    assert row.view_f1["PLAX"].value == pytest.approx(np.mean([f1["PLAX"] for f1 in by_cell]))
    assert row.means["rare-view F1"].low < rare < row.means["rare-view F1"].high


def test_differences_and_distances(made):
    study, *_ = made
    assert [(one.method, one.other, one.budget) for one in study.differences] == [
        ("fine-tune", "naive", 2),
        ("fine-tune", "naive", 5),
    ]
    gain = study.differences[0].means["rare-view F1"]
    values = [row_of(study, name, 2).means["rare-view F1"].value for name in ("fine-tune", "naive")]
    assert gain.value == pytest.approx(values[0] - values[1])
    assert gain.low > 0
    assert study.differences[0].adjusted["rare-view F1"] < 0.05
    assert [(one.method, one.other_budget) for one in study.distances] == [
        (method, "full") for method in ("naive", "naive", "fine-tune", "fine-tune")
    ]
    assert not study.distances[0].p


def test_the_verdict_follows(made):
    study, *_ = made
    assert study.headline == "fine-tune"
    assert re.match(
        r"On the 4 rare views, fine-tune is better than naive at budgets 2 and 5", study.verdict[0]
    )
    assert any("is not shown to come within 3 points of F1 of everything" in line for line in study.verdict)


def test_notes_say_what_limits_the_figures(made):
    study, *_ = made
    assert study.notes == ("IVC has 3 labelled training patients: larger budgets are all of them.",)


def test_json_holds_it_all_and_no_path(made):
    study, _, out = made
    text = (out / "study.json").read_text(encoding="utf-8")
    facts = json.loads(text)
    assert "secret" not in text + (out / "study.md").read_text(encoding="utf-8")
    assert len(facts["cells"]) == len(plan_cells(settings()))
    assert all(cell["done"] for cell in facts["cells"])
    first = facts["rows"][0]
    assert first["means"]["rare-view F1"]["value"] == row_of(study, "naive", 2).means["rare-view F1"].value
    assert facts["verdict"] == list(study.verdict)
    assert StudySettings.model_validate(_again(facts["settings"])).methods == settings().methods


def _again(values):
    """Settings as they were given: encoders are not told, and numbered instead of seeded."""
    values = {name: value for name, value in values.items() if name not in ("pretraining_seeds", "pretrain")}
    return values | {"encoders": ["a", "b"]}


def test_the_page_shows_the_figures(made):
    study, _, out = made
    page = (out / "study.md").read_text(encoding="utf-8")
    tables = [block for block in page.split("\n\n") if block.startswith("|")]
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    rare = tables[0].splitlines()
    assert rare[0] == "| method | budget 2 | budget 5 | full labels |"
    value = 100 * row_of(study, "naive", 5).means["rare-view F1"].value
    assert rare[2].split("|")[3].startswith(f" {value:.1f} (")
    view = next(table for table in tables if table.startswith("| view |"))
    gain = study.differences[0]
    (line,) = (line for line in view.splitlines() if line.startswith("| RV-inflow (rare)"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    base, mine, points = (float(cell.split()[0].replace("−", "-")) for cell in cells[1:4])
    assert mine - base == pytest.approx(points, abs=0.11)
    assert points == pytest.approx(100 * gain.view_f1["RV-inflow"].value, abs=0.051)
    assert cells[4] == f"{100 * gain.relative['RV-inflow']:+.0f} %".replace("-", "−")
    assert list(study.support)[1] == "RV-inflow"


def test_costs_are_means_over_trainings(made):
    study, done, _ = made
    taken = [facts["cost"] for cell, facts in done.items() if cell.method == "fine-tune"]
    cost = study.costs["fine-tune"]
    assert cost.cells == 8
    assert cost.seconds == pytest.approx(np.mean([one["seconds"] for one in taken]))
    assert cost.peak_memory_mb == max(one["peak_memory_mb"] for one in taken)
    assert cost.pretraining_seconds is None  # the encoders are not there


def test_pretraining_is_told_apart(tmp_path):
    study = settings(encoders=[], pretrain={"epochs": 1}, pretraining_seeds=[0, 1])
    done = write_cells(tmp_path, study)
    for seed, seconds in ((0, 50.0), (1, 70.0)):
        folder = tmp_path / f"pretrain-{seed}"
        folder.mkdir()
        lines = [json.dumps({"step": step, "seconds": seconds * step / 2}) for step in (1, 2)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    costs = judge_study(study, plan_cells(study), done, tmp_path).costs
    assert costs["fine-tune"].pretraining_seconds == 60
    assert costs["naive"].pretraining_seconds is None


def test_answers_with_the_whole_exam_are_further_rows(tmp_path):
    study = settings()
    done = write_cells(tmp_path, study)
    for cell in done:
        if cell.method == "fine-tune" and cell.budget == 2:
            answers_of(cell, better=1).save(tmp_path / cell.folder / "exam-predictions.parquet")
    found = judge_study(study, plan_cells(study), done, tmp_path)
    alone, whole = (row for row in found.rows if (row.method, row.budget) == ("fine-tune", 2))
    assert (alone.whole_exam, whole.whole_exam) == (False, True)
    assert whole.means["macro F1"].value > alone.means["macro F1"].value
    assert "| fine-tune, whole exam |" in (tmp_path / "study.md").read_text(encoding="utf-8")
    assert len(found.differences) == 2


def test_an_unfinished_study_is_judged_on_what_is_there(tmp_path):
    study = settings(draws=3)
    done = write_cells(tmp_path, study)
    some = {cell: facts for cell, facts in done.items() if cell.draw < 1 or cell.method == "naive"}
    found = judge_study(study, plan_cells(study), some, tmp_path, ["one: broke."])
    assert found.differences[0].draws == (0,)
    assert row_of(found, "naive", 2).draws == (0, 1, 2)
    assert f"{len(some)} of {len(done)} cells are done" in found.notes[0]
    page = (tmp_path / "study.md").read_text(encoding="utf-8")
    assert "- one: broke." in page
    assert found.notes[0] in page


def test_refused(tmp_path):
    study = settings()
    with pytest.raises(CannotDo, match="no cell of the study is done"):
        judge_study(study, plan_cells(study), {}, tmp_path)
    done = write_cells(tmp_path, study)
    cell = list(done)[-1]
    other = fake_predictions("naive", 0, patients=(10, 6, 23))
    other.save(tmp_path / cell.folder / "predictions.parquet")
    with pytest.raises(CannotDo, match="other clips"):
        judge_study(study, plan_cells(study), done, tmp_path)


def test_the_picture_has_its_lines_where_the_figures_are(made):
    """Without the band and line of full labels, fewer pixels have its colour; a PNG that others can read."""
    study, _, out = made
    picture = cv2.imread(str(out / "curves.png"))
    assert picture.shape[1] > 1200
    green = (0x73, 0x9E, 0x00)  # the third method's, as BGR
    assert (picture == green).all(axis=2).sum() > 500
    rows = [row for row in study.rows if row.method != "everything"]
    without = cv2.imdecode(np.frombuffer(plot_label_curves(rows, (2, 5), 0.95), np.uint8), cv2.IMREAD_COLOR)
    assert not (without == green).all(axis=2).any()


def test_all_views_may_be_rare(tmp_path):
    study = settings(rare=VIEWS)
    found = judge_study(study, plan_cells(study), write_cells(tmp_path, study), tmp_path)
    for row in found.rows:
        assert math.isnan(row.means["common-view F1"].value)
        assert row.means["rare-view F1"] == row.means["macro F1"]
    assert all(set(one.p) == set(one.adjusted) == {"rare-view F1"} for one in found.differences)
    page = (tmp_path / "study.md").read_text(encoding="utf-8")
    assert "No other view is judged." in page
    assert "## Common-view F1" not in page
    assert not any("common" in sentence for sentence in found.verdict)
    one_panel = cv2.imread(str(tmp_path / "curves.png"))
    assert one_panel.shape[1] < 1000


NAN = float("nan")


def difference(budget, rare, p=0.001, common=(0.0, -0.1, 0.1), other="naive", adjusted=None):
    means = {"rare-view F1": Interval(*rare, 100), "common-view F1": Interval(*common, 100)}
    means["macro F1"] = means["rare-view F1"]
    values = {"rare-view F1": p, "common-view F1": 1.0}
    kept = {"rare-view F1": p if adjusted is None else adjusted, "common-view F1": 1.0}
    return Difference("probe", other, budget, budget, (0,), means, {}, {}, values, kept)


MANY = JudgeSettings(resamples=10_000)


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        (
            [difference(1, (0.2, 0.1, 0.3)), difference(5, (0.1, 0.05, 0.2), adjusted=0.2)],
            "On the 2 rare views, probe is better than naive at budgets 1 and 5 by 10.0 to 20.0 points of F1 "
            "(after Holm's correction for 4 comparisons at budget 1 only).",
        ),
        (
            [difference(1, (-0.2, -0.3, -0.1)), difference("all", (0.01, -0.02, 0.04))],
            "On the 2 rare views, probe is worse than naive at budget 1 by 20.0 points of F1 (also after "
            "Holm's correction for 4 comparisons); no difference between probe and naive could be shown "
            "(+1.0 (−2.0 to +4.0) at budget all, in points of F1).",
        ),
        (
            [difference(1, (0.2, 0.1, 0.3), adjusted=0.06)],
            "On the 2 rare views, probe is better than naive at budget 1 by 20.0 points of F1 (but not after "
            "Holm's correction for 2 comparisons).",
        ),
        ([difference(1, (0.2, NAN, NAN), p=NAN, common=(0.1, NAN, NAN))], None),
    ],
)
def test_sentences_claim_what_intervals_show(differences, said):
    sentences = study_verdict(differences, [], ("A", "B"), MANY)
    if said is None:
        assert sentences == ("One judged patient is too few for intervals, so nothing is shown.",)
    else:
        assert sentences[0] == said


def test_near_to_all_labels_only_where_the_interval_is():
    far = [difference(1, (-0.2, -0.3, -0.1), other="full"), difference(5, (-0.01, -0.031, 0.0), other="full")]
    (sentence,) = study_verdict([], far, ("A",), MANY)
    assert sentence == (
        "On the 1 rare view, probe is not shown to come within 3 points of F1 of full, which has all labels; "
        "the least distance is −1.0 (−3.1 to 0.0) points at budget 5."
    )
    near = [*far, difference(10, (-0.01, -0.029, 0.0), other="full")]
    (sentence,) = study_verdict([], near, ("A",), MANY)
    assert sentence.endswith("within 3 points of F1 of full, which has all labels, at budget 10.")


def test_too_few_resamples_for_so_many_comparisons_are_told():
    one = difference(1, (0.2, 0.1, 0.3), p=2 / 101)
    (*_, last) = study_verdict([one] * 4, [], ("A",), JudgeSettings(resamples=100))
    assert last.startswith("100 resamples are too few for Holm's correction to leave any of 8 comparisons")
    assert "too few" not in study_verdict([one], [], ("A",), MANY)[-1]
