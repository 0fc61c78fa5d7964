"""One evaluation from end to end: figures that add up, a page that needs nothing else."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from sklearn.metrics import f1_score

from apical.config import JudgeSettings
from apical.errors import CannotDo, PatientOverlap
from apical.judge.evaluate import evaluate
from apical.judge.figures import plain, rare_views
from apical.judge.intervals import Interval
from apical.judge.probabilities import judge_probabilities
from fake_runs import RARE, VIEWS, fake_budget, fake_predictions, write_run
from fake_stores import picture, write_store

FAST = JudgeSettings(resamples=200)


@pytest.fixture(scope="module")
def runs():
    return [
        fake_predictions(method, seed, skill=skill, rare_skill=rare)
        for method, skill, rare in (("fine-tune", 2.9, 2.2), ("naive", 2.6, 0.4))
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def evaluation(runs, tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    folders = [write_run(root / f"run{i}", run, fake_budget()) for i, run in enumerate(runs)]
    clips = runs[0].clip.tolist()
    store = write_store(root / "frames", clips, np.stack([picture(clip) for clip in clips]))
    return evaluate(folders, root / "out", FAST, title="A <b>title</b>", store=store)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.sources, self.words, self.open, self.anchors = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "link", "iframe", "object")
        if tag not in ("meta", "img", "source", "br"):
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "srcset", "href", "data")]
        self.anchors += [value for name, value in attributes if name == "id"]
        if tag == "img":
            assert "alt" in dict(attributes)  # empty beside words that say the same

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(evaluation):
    return Page(evaluation.report_file.read_text(encoding="utf-8"))


def test_figures_are_scikit_learns_averaged_over_seeds(runs, evaluation):
    assert [m.method for m in evaluation.methods] == ["naive", "fine-tune"]  # the baseline first
    for method in evaluation.methods:
        by_view = []
        for run in runs:
            if run.method == method.method:
                test = run.select(run.split == "test")
                by_view.append(f1_score(test.label, test.predicted, labels=range(13), average=None))
        expected = np.mean(by_view, axis=0)
        np.testing.assert_allclose([method.view_f1[view].value for view in VIEWS], expected)
        is_rare = np.isin(VIEWS, RARE)
        assert method.means["macro F1"].value == pytest.approx(expected.mean())
        assert method.means["rare-view F1"].value == pytest.approx(expected[is_rare].mean())
        assert method.means["common-view F1"].value == pytest.approx(expected[~is_rare].mean())
        assert method.macro_f1_by_seed == pytest.approx(np.mean(by_view, axis=1))
        assert method.confusion.sum() == 2 * evaluation.clips


def test_gain_over_the_baseline_and_verdict(evaluation):
    naive, fine_tune = evaluation.methods
    gain = fine_tune.means_gain["rare-view F1"]
    assert gain.value == pytest.approx(
        fine_tune.means["rare-view F1"].value - naive.means["rare-view F1"].value
    )
    assert 0 < gain.low < gain.value < gain.high
    assert naive.means_gain is None
    assert evaluation.verdict[0].startswith("On the 4 rare views, fine-tune is better than naive by ")


def test_probabilities_are_calibrated_on_validation_clips_of_the_same_runs(runs, evaluation):
    expected = judge_probabilities([run for run in runs if run.method == "naive"], "test", FAST)
    assert plain(evaluation.probabilities["naive"]) == plain(expected)  # bins without clips are NaN


def test_metrics_file_holds_the_figures(evaluation):
    written = json.loads(evaluation.metrics_file.read_text(encoding="utf-8"))
    assert written["methods"][1]["means"]["macro F1"]["low"] == evaluation.methods[1].means["macro F1"].low
    assert written == json.loads(json.dumps(evaluation.facts())) | {"settings": FAST.model_dump(mode="json")}
    assert written["rare"] == list(RARE)
    assert written["settings"]["resamples"] == 200
    assert written["splits"]["test"] == {"patients": 24, "clips": 264, "labelled clips": 264}


def test_lines_for_the_terminal(evaluation):
    about, header, naive, fine_tune, empty, *rest = evaluation.lines()
    assert about == "264 clips of 24 test patients, intervals over patients"
    assert header.split() == ["F1", "×", "100", "macro", "F1", "rare", "common"]
    assert len(header) == len(naive) == len(fine_tune) <= 100  # right-aligned
    for line, method in zip((naive, fine_tune), evaluation.methods, strict=True):
        means = [method.means[name] for name in ("macro F1", "rare-view F1", "common-view F1")]
        assert line.split("  ")[0] == method.method
        assert [float(value) for value in re.findall(r"([0-9.]+) \(", line)] == pytest.approx(
            [100 * mean.value for mean in means], abs=0.05
        )
    assert empty == ""
    assert rest == [*evaluation.verdict, f"report → {evaluation.report_file}"]


def test_lines_fit_a_terminal_at_their_widest_and_without_rare_views(evaluation):
    full = dict.fromkeys(evaluation.methods[0].means, Interval(1.0, 1.0, 1.0, 9))
    methods = [replace(evaluation.methods[0], method="logit-adjusted", means=full)]
    lines = replace(evaluation, methods=methods).lines()
    assert max(map(len, lines[1:3])) == len(lines[2]) <= 100
    methods = [replace(methods[0], means={"macro F1": Interval(0.5, np.nan, np.nan, 0)})]
    assert replace(evaluation, methods=methods).lines()[1:3] == [
        "F1 × 100        macro F1",
        "logit-adjusted      50.0",
    ]


def test_judged_runs_are_known_by_their_predictions(runs, evaluation, tmp_path):
    """Told apart from other runs of the same method and seed."""
    one = write_run(tmp_path / "run", runs[3])
    digest = hashlib.sha256((one / "predictions.parquet").read_bytes()).hexdigest()
    written = json.loads(evaluation.metrics_file.read_text(encoding="utf-8"))["runs"]
    assert written[3] == {"method": "naive", "seed": 1, "predictions_sha256": digest}
    assert len({run["predictions_sha256"] for run in written}) == 4


def test_runs_with_seeds_of_one_method_only_are_left_out_and_this_is_said(runs, tmp_path):
    folders = [write_run(tmp_path / f"run{i}", run) for i, run in enumerate(runs[:3])]
    evaluation = evaluate(folders, tmp_path / "out", FAST)
    assert [(method.method, method.seeds) for method in evaluation.methods] == [
        ("naive", (0,)),
        ("fine-tune", (0,)),
    ]
    assert [run.method for run in evaluation.runs] == ["fine-tune", "naive"]
    assert evaluation.verdict[-1].endswith("1 run with another seed is left out.")
    text = " ".join(Page(evaluation.report_file.read_text(encoding="utf-8")).words)
    assert evaluation.verdict[-1] in text
    with pytest.raises(CannotDo, match="no training seed in common"):
        evaluate(folders[1:], tmp_path / "none", FAST)
    assert not (tmp_path / "none").exists()


def test_page_tells_how_many_clips_show_untaught_views(tmp_path):
    run = write_run(tmp_path / "run", fake_predictions("probe", untaught=("IVC",)))
    evaluation = evaluate([run], tmp_path / "out", FAST)
    count = evaluation.support["IVC"][0]
    text = " ".join(Page(evaluation.report_file.read_text(encoding="utf-8")).words)
    assert f"probe: {count} of the 264 clips show a view it was not taught." in text


def test_page_is_self_contained_and_well_formed(page):
    assert page.open == []
    assert page.sources
    inside = [source for source in page.sources if source.startswith("#")]
    assert inside
    assert {source[1:] for source in inside} <= set(page.anchors)
    assert all(source.startswith("data:image/") for source in page.sources if source not in inside)


def test_pictures_decode(page):
    for source in page.sources:
        if source.startswith("#"):
            continue
        kind, data = re.fullmatch(r"data:image/(png|jpeg|svg\+xml);base64,(.*)", source).groups()
        raw = base64.b64decode(data)
        if kind == "png":
            assert cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED).shape == (128, 128)
        elif kind == "jpeg":
            assert cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED).shape == (72, 72)
        else:
            svg = ElementTree.fromstring(raw)
            assert svg.tag.endswith("svg")
            outside = re.findall(rb"(?:href|src)=\"(?!#)[^\"]*\"|url\((?!#)[^)]*\)", raw)
            assert outside == []


def test_page_says_what_it_must(evaluation, page):
    text = " ".join(" ".join(page.words).split())
    assert "A <b>title</b>" in text  # escaped
    assert evaluation.verdict[0] in text
    assert "not a medical device" in text
    assert "264 labelled clips of 24 test patients" in text
    assert (
        "No patient's pseudonym stands in two of the splits train, validation and test of a run, "
        "nor in the test split of one run and the training split of another." in text
    )
    assert "do not tell whom an encoder was pre-trained on" in text
    assert "cannot tell whether" not in text
    assert "0123abc" in text  # the git commit
    for view in VIEWS:
        assert view in text


def test_page_and_figures_hold_no_path(evaluation):
    for file in (evaluation.report_file, evaluation.metrics_file):
        text = file.read_text(encoding="utf-8")
        assert "secret-hospital" not in text
        assert str(file.parent) not in text


def test_a_single_run_without_training_clips_makes_the_page_say_so(runs, tmp_path):
    """Also where the first run names them."""
    blind = runs[2].select(runs[2].split != "train")
    folders = [write_run(tmp_path / f"run{i}", run) for i, run in enumerate((runs[0], blind))]
    evaluation = evaluate(folders, tmp_path / "out", FAST)
    text = " ".join(Page(evaluation.report_file.read_text(encoding="utf-8")).words)
    assert "cannot tell whether a test patient was trained on" in text


def test_the_same_runs_give_the_same_bytes(runs, tmp_path):
    folder = write_run(tmp_path / "run", runs[0])
    one, other = (evaluate([folder], tmp_path / out, FAST).report_file.read_bytes() for out in "ab")
    assert one == other


def test_one_run_without_pictures_features_labels_of_one_view_or_files(tmp_path):
    """All that may be missing is missing; the page says what could not be told."""
    run = fake_predictions("probe", patients=(0, 0, 4), clips=20)
    label = np.where(run.label == VIEWS.index("IVC"), -1, run.label)
    replace(run, label=label, features=run.features[:, :0]).save(tmp_path / "run" / "predictions.parquet")
    evaluation = evaluate([tmp_path / "run"], tmp_path / "out", FAST)
    assert evaluation.baseline is None
    assert evaluation.absent == ("IVC",)
    assert np.isnan(evaluation.methods[0].view_f1["IVC"].value)
    assert json.loads(evaluation.metrics_file.read_text())["methods"][0]["view_f1"]["IVC"]["value"] is None
    assert evaluation.verdict[0].startswith("probe names views with a macro F1 of ")
    text = " ".join(Page(evaluation.report_file.read_text(encoding="utf-8")).words)
    assert "No test clip shows" in text
    assert "cannot tell whether a test patient was trained on" in text
    assert "the interval is not to be relied on" in text


def test_one_patient_and_one_view_only_in_the_truth(tmp_path):
    run = fake_predictions("naive", patients=(2, 1, 1), clips=4)
    run = replace(run, label=np.zeros(16, np.int64))
    evaluation = evaluate([write_run(tmp_path / "run", run)], tmp_path / "out", FAST)
    assert len(evaluation.absent) == 12
    macro = evaluation.methods[0].means["macro F1"]
    assert 0 <= macro.value <= 1
    assert np.isnan(macro.low)


def test_bad_inputs_write_nothing(tmp_path):
    run = fake_predictions()
    unlabelled = write_run(tmp_path / "unlabelled", replace(run, label=np.full(440, -1)))
    with pytest.raises(CannotDo, match=r"no labelled clip in the test split\. Label"):
        evaluate([unlabelled], tmp_path / "out", FAST)
    leaking = write_run(tmp_path / "leaking", replace(run, patient=np.full(440, "p")))
    with pytest.raises(PatientOverlap, match="more than one split"):
        evaluate([leaking], tmp_path / "out", FAST)
    assert not (tmp_path / "out").exists()


def test_rare_views_have_at_most_half_the_largest_budget():
    assert rare_views({"A4C": 8, "A2C": 2}, ("A2C", "A3C", "A4C")) == ("A2C", "A3C")
    assert rare_views({"A4C": 8, "A2C": 7}, ("A4C", "A2C")) == ()  # as good as equal
    assert rare_views(None, ("A4C",)) == ()
