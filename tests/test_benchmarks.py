"""The benchmarks still run; what they measure is not judged here."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from apical.config import PretrainSettings, StudySettings, read_settings
from apical.learn.clips import load_clips
from apical.learn.start import load_encoder, patients_seen
from apical.views import standard_vocabulary
from phantom_transfer import SHARED

ROOT = Path(__file__).parents[1]
SMALL = {
    "pretrain": (
        [
            "--input-size",
            "32",
            "--width",
            "4",
            "--batch-clips",
            "22",
            "--batches",
            "2",
            "--epochs",
            "2",
            "--rounds",
            "1",
            "--feeders",
            "0",
        ],
        "PIL loader, 0 workers",
    ),
    "augment": (["--count", "4"], "times Pillow"),
    "ingest": (
        ["--patients", "2", "--frames", "4", "--image-rows", "240", "--chosen", "2", "--rounds", "1"],
        "ratio to (a)",
    ),
    "sector": (["--patients", "1", "--image-rows", "240", "--workers", "1"], "JPEG 75: "),
    "triage": (["--patients", "1", "--image-rows", "160", "--other-modes", "2"], "ms a clip without tags"),
    "phantom_difficulty": (
        ["--patients", "12", "--image-rows", "96", "--size", "32", "--seeds", "1", "--rare-patients", "1"]
        + [word for name in ("", "most-", "naive-", "shortcut-") for word in (f"--{name}steps", "3")],
        "s in all",
    ),
    "bootstrap": (["--clips", "400", "--patients", "20", "--resamples", "100"], "ratio "),
    "interval_coverage": (["--repeats", "2", "--resamples", "100", "--patients", "10"], "| 10 | BCa | "),
    "scan": (["--files", "12", "--workers", "1"], "the same catalogue: true"),
}


def last_line(name, *words):
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", *words]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", sorted(SMALL))
def test_prints_its_figure(name):
    words, figure = SMALL[name]
    assert figure in last_line(name, *words)


def test_the_table_of_files_has_a_row_for_each(tmp_path, a_file):
    (tmp_path / "IM1.dcm").write_bytes(a_file.read_bytes())
    (tmp_path / "IM2.dcm").write_bytes(a_file.read_bytes()[:1000])
    assert last_line("real_files", str(tmp_path)).endswith("no pixel data |")


@pytest.mark.skipif(not (SHARED / "camus-dev").is_dir(), reason="no ../shared/data/camus-dev here")
def test_transfer_to_real_stills_is_judged_with_few_labels_and_with_none(tmp_path):
    small = ["--patients", "6", "--frames", "2", "--image-rows", "96", "--input-size", "32", "--width", "4"]
    quick = ["--epochs", "1", "--labelled", "5", "--draws", "1", "--steps", "3"]
    command = [sys.executable, ROOT / "benchmarks" / "phantom_transfer.py", "--work", tmp_path / "work"]
    finished = subprocess.run([*command, *small, *quick], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    for arm in ("contrastive, fine-tune − scratch", "supervised, no label of CAMUS, as it is"):
        assert f"\n{arm} " in finished.stdout


def test_an_ablation_prints_figures_and_differences(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "pretrain_ablation.py", "--work", tmp_path / "work"]
    small = ["--grounds", "phantom", "--patients", "12", "--seeds", "0", "--epochs", "1"]
    quick = ["--only", "temperature", "--rows", "τ 0.1"]
    finished = subprocess.run([*command, *small, *quick], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    (row,) = [line for line in finished.stdout.splitlines() if line.startswith("τ 0.1 ")]
    assert row.count(" to ") == 4  # two figures, two differences


def test_an_encoder_is_made_to_be_shipped_and_its_patients_are_nobodys(tmp_path):
    words = ["--work", tmp_path / "work", "--patients", "2", "--epochs", "1", "--workers", "1"]
    last_line("shipped_encoder", *words, "--out", tmp_path / "made")
    assert load_encoder(tmp_path / "made")[1].encoder == PretrainSettings().encoder
    assert patients_seen(tmp_path / "made") == []


def test_what_the_shipped_encoder_is_worth_is_printed(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "shipped_worth.py", "--work", tmp_path / "work"]
    small = ["--grounds", "phantom", "--patients", "12", "--image-rows", "96", "--size", "40", "--seeds", "0"]
    quick = ["--input-size", "32", "--steps", "3", "--phantom-epochs", "1"]
    finished = subprocess.run([*command, *small, *quick], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    for row in ("shipped, fine-tuned − from random weights", "own clips from shipped, probe − own"):
        assert f"\n{row}" in finished.stdout


def test_a_ground_of_exams_is_made_and_advice_on_labels_judged_on_it(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "study_grounds.py", "phantom", "--work", tmp_path]
    subprocess.run([*command, "--patients", "12"], check=True, capture_output=True)
    words = (tmp_path / "frames", tmp_path / "catalogue.parquet", "--encoder", "shipped", "--seeds", "1")
    few_labels = ("--most", "24", "--shares", "0.2")
    assert last_line("label_advice", *words, *few_labels).split()[:4] == ["20%", "to", "the", "view"]
    picture = ("--log", tmp_path / "log.jsonl", "--picture", tmp_path / "curve.png")
    last_line("labelling_curve", *words, "--most", "24", *picture)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4  # two choosers, twice a dozen labels
    assert (tmp_path / "curve.png").stat().st_size > 1000
    ground = (tmp_path / "frames", tmp_path / "catalogue.parquet")
    few = ("--budgets", "2", "--beside", "exams teach one round")
    parts = last_line("exam_parts", *ground, "--encoders", "shipped", "--draws", "1", *few)
    assert parts.startswith("exams teach one round ")
    assert parts.count("–") == 2  # intervals
    amounts = ("--shares", "0", "0.5", "--draws", "1", "--steps", "2", "--methods", "self-training")
    noise = last_line("label_noise", *ground, "--encoder", "shipped", "--work", tmp_path / "noise", *amounts)
    assert noise.startswith("self-training")
    assert noise.count(" to ") == 2  # differences


def test_labels_without_contrast_agent_are_judged_on_clips_with_it(tmp_path):
    amounts = {"patients": 12, "contrast": 1, "labelled": 4, "draws": 1, "epochs": 1, "steps": 2}
    words = [str(word) for name, amount in amounts.items() for word in (f"--{name}", amount)]
    last = last_line("contrast_agent", "--work", tmp_path / "work", *words)
    assert last.startswith("self-training")
    assert "with and without agent" in last


@pytest.mark.skipif(not (SHARED / "camus-dev").is_dir(), reason="no ../shared/data/camus-dev here")
def test_a_ground_of_real_stills_has_the_patients_that_it_says(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "study_grounds.py", "camus", "--work", tmp_path]
    subprocess.run([*command, "--input-size", "32"], check=True)
    clips = load_clips(tmp_path / "frames", tmp_path / "catalogue.parquet", standard_vocabulary())
    patients = {split: len(np.unique(clips.in_split(split).patient)) for split in np.unique(clips.split)}
    assert patients == {"train": 100, "validation": 24, "test": 76}
    assert len(clips) == len(clips.labelled()) == 400


@pytest.mark.parametrize(
    "file", sorted((ROOT / "benchmarks" / "studies").glob("*.yaml")), ids=lambda f: f.stem
)
def test_the_studies_can_be_read(file):
    settings = read_settings(StudySettings, file)
    assert settings.budgets
    for method in settings.methods:
        settings.training(method)


@pytest.mark.skipif(find_spec("pymust") is not None, reason="the rival is there")
def test_a_rival_that_is_not_installed_is_said():
    command = [sys.executable, ROOT / "benchmarks" / "phantom.py"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1
    assert "pip install pymust" in finished.stderr


def test_sets_of_views_are_compared(way):
    for split in ("validation", "test"):
        last = last_line("conformal", way / "runs" / "probe", "--split", split)
        assert last.startswith("| raps | one a view | ")
