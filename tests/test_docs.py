"""Every command in the README and in each verb's help is run, in the order written, on a small phantom.

Only the amounts are made smaller: the words of a command are kept and cheaper options are put behind them.
"""

import re
import shlex
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from urllib.request import urlopen

import polars as pl
import pytest
import yaml

from apical.__main__ import app
from apical.cli import run

ROOT = Path(__file__).parents[1]
CHEAPER = {
    "phantom": ["--patients", "10", "--frames", "2", "--image-rows", "120", "--workers", "1"],
    "scan": ["--workers", "1"],
    "frames": ["--size", "32", "--frames-per-clip", "2", "--workers", "1"],
    "deidentify": ["--workers", "1"],
    "pretrain": ["--epochs", "1", "--config", "small.yaml"],
    "train": ["--steps", "2", "--config", "small.yaml"],
}
SMALL_STUDY = {
    "rare": ["IVC"],
    "budgets": [1],
    "draws": 1,
    "train": {"steps": 2, "encoder": {"depth": 10, "width": 4, "stem_stride": 2}, "input_size": 32},
    "methods": {"naive": {"method": "naive"}},
    "judge": {"resamples": 100},
}


def example_of(command):
    """The line behind 'Example:' in a verb's help."""
    text = " ".join((command.callback.__doc__ or "").split())
    return text.rpartition("Example: ")[2]


def readme_blocks(language):
    return re.findall(
        rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )


def readme_commands():
    lines = "\n".join(readme_blocks("sh")).splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith("apical ")]


def cheaply(line):
    words = shlex.split(line)[1:]
    return words + CHEAPER.get(words[0], [])


@pytest.fixture
def exports(way, tmp_path, monkeypatch):
    """A working folder with what the README takes for granted: a user's files and labels."""
    shutil.copytree(way / "phantom", tmp_path / "exports")
    (tmp_path / "exports" / "truth.csv").rename(tmp_path / "truth.csv")
    table = (tmp_path / "truth.csv").read_text().replace("PHANTOM-", "exports/PHANTOM-")
    (tmp_path / "labels.csv").write_text(table)
    shutil.copy(next((tmp_path / "exports").rglob("*.dcm")), tmp_path / "exports" / "IM0001.dcm")
    shutil.copy(way / "small.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_as_a_user_would(exports):
    commands = readme_commands()
    assert len(commands) >= 9
    for line in commands:
        if line.startswith(("apical serve", "apical label ")):
            served(line)
            continue
        code = run(cheaply(line))
        may_tell = line.startswith(("apical scan", "apical deidentify"))  # that IM0001 is a copy
        assert code in (0, 1) if may_tell else code == 0, line
    for block in readme_blocks("python"):
        (exports / "snippet.py").write_text(block)
        subprocess.run([sys.executable, "snippet.py"], check=True, capture_output=True, timeout=300)
    assert (exports / "report" / "report.html").stat().st_size > 10_000


def test_the_examples_of_the_help(exports, way, tmp_path):
    """In the order in which one builds on the other."""
    shutil.copytree(way / "runs", "runs")
    shutil.copy("exports/IM0001.dcm", "clip.dcm")
    verbs = {command.name or command.callback.__name__: command for command in app.registered_commands}
    labels, bundles = (
        {command.name or command.callback.__name__: command
         for command in group.typer_instance.registered_commands}
        for group in app.registered_groups
    )  # fmt: skip
    lines = [example_of(verbs[name]) for name in ("phantom", "scan")]
    Path("exports/IM0001.dcm").unlink()
    lines[1:1] = ["apical scan phantom --out phantom.parquet"]
    lines += [example_of(labels["import"]).replace("catalogue.parquet", "phantom.parquet")]
    for line in lines:
        assert run(cheaply(line)) == 0, line
    shutil.copy("phantom.parquet", "catalogue.parquet")
    lines = [example_of(labels[name]) for name in ("split", "limit", "export")]
    lines += [example_of(verbs["frames"])]
    shutil.rmtree("runs")
    lines += [example_of(verbs[name]) for name in ("pretrain", "train")]
    lines += ["apical train frames few.parquet --method naive --out runs/naive"]
    Path("study.yaml").write_text(yaml.safe_dump(SMALL_STUDY))
    lines += [example_of(verbs["study"]), example_of(labels["check"]), example_of(labels["next"])]
    lines += [example_of(verbs["evaluate"]), example_of(verbs["compare"]), example_of(bundles["make"])]
    lines += [example_of(bundles["inspect"]), example_of(verbs["export"]), example_of(verbs["predict"])]
    lines += [example_of(verbs[name]) for name in ("inspect", "deidentify", "datasets")]
    for line in lines:
        unsure = line.startswith(("apical deidentify", "apical labels check"))  # of small pictures
        assert run(cheaply(line)) in ((0, 1) if unsure else (0,)), line
    served(example_of(verbs["serve"]))  # the PACS of the example is not there, which it must bear
    served(example_of(verbs["label"]))
    covered = {"phantom", "scan", "frames", "pretrain", "train", "study", "evaluate", "compare", "export"}
    assert set(verbs) == covered | {"predict", "serve", "inspect", "deidentify", "datasets", "demo", "label"}


def served(line):
    """Run a server as it is written, but at any free port; it must answer, and end well when told to."""
    pytest.importorskip("fastapi", reason="apical[serve] is not installed")
    verb = shlex.split(line)[1]
    words = [sys.executable, "-m", *shlex.split(line), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        lines = iter(server.stdout.readline, "")
        address = next(re.search(r" at (http://\S+);", line) for line in lines if " at http" in line)
        try:
            path = {"serve": "readyz", "label": "v1/session"}[verb]
            with urlopen(f"{address[1]}/{path}", timeout=60) as answer:
                assert answer.status == 200
        finally:
            server.terminate()
            server.communicate(timeout=60)
    assert server.returncode == 0


def test_the_guide_to_labelling(exports, way):
    """Its commands, on the catalogue of the tests: the page, and labels out of it and in."""
    pytest.importorskip("highdicom", reason="apical[dicom-net] is not installed")
    shutil.copytree(way / "frames", "frames")
    shutil.copy(way / "catalogue.parquet", ".")
    guide = (ROOT / "docs" / "labelling.md").read_text(encoding="utf-8")
    first, *lines = re.findall(r"^apical .*", guide, re.MULTILINE)
    served(first)
    assert [line.split()[2] for line in lines] == ["merge", "export", "history", "export", "import"]
    for line in lines:
        assert run(cheaply(line)) == 0, line
    labelled = pl.read_parquet("catalogue.parquet")["view"].count()
    assert len(list(Path("reports").iterdir())) == labelled > 50


def test_the_makefile_targets_of_the_readme_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"\bmake (\w+)", "\n".join(readme_blocks("sh"))))
    assert used == {"demo", "test"}
    assert used <= targets


def test_links_to_files_of_the_project_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_no_package_index_address_in_any_file():
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml", "Makefile", ".ci/run"):
        text = (ROOT / name).read_text()
        assert not re.search(r"https?://|file://|index-url|find-links", text), name


def test_the_guide_to_pretraining(exports):
    """Its commands and its settings file, on the store that the README makes; one process, not eight."""
    guide = (ROOT / "docs" / "pretraining.md").read_text(encoding="utf-8")
    (name,) = re.findall(r"where `(\S+\.yaml)` may be", guide)
    (settings,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    small = {"encoder": {"width": 4}, "input_size": 32, "feeders": 0, "compile": False}
    Path(name).write_text(yaml.safe_dump(yaml.safe_load(settings) | small))
    Path("big.yaml").write_text(yaml.safe_dump(small))
    Path("tiny.yaml").write_text(yaml.safe_dump(small))
    for line in takewhile(lambda line: "pretrain" not in line, readme_commands()):
        assert run(cheaply(line)) in (0, 1), line
    lines = [
        line.partition("#")[0].strip() for line in re.findall(r"^(?:apical|torchrun).*", guide, re.MULTILINE)
    ]
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(line[line.index("apical ") :])[1:]
        cheaper = ["--epochs", "1"] + ([] if "--config" in words else ["--config", "tiny.yaml"])
        shutil.rmtree(Path(words[words.index("--out") + 1]), ignore_errors=True)
        assert run(words + cheaper if words[0] == "pretrain" else cheaply(line)) == 0, line


def test_the_guide_to_few_labels(exports):
    """Its commands, and its study made small, on the store that the README makes."""
    guide = (ROOT / "docs" / "few-labels.md").read_text(encoding="utf-8")
    (study,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    settings = yaml.safe_load(study)
    network = {"encoder": {"width": 4, "stem_stride": 2}, "input_size": 32}
    settings |= {"budgets": [1], "draws": 1, "pretraining_seeds": [0], "judge": {"resamples": 100}}
    settings |= {"pretrain": network | {"epochs": 1, "feeders": 0}, "train": network | {"steps": 2}}
    Path("study.yaml").write_text(yaml.safe_dump(settings))
    for line in takewhile(lambda line: "train" not in line, readme_commands()):
        assert run(cheaply(line)) in (0, 1), line
    line = next(line for line in readme_commands() if "--out runs/pretrain" in line)
    assert run(cheaply(line)) == 0
    lines = re.findall(r"^apical (?!train FRAMES).*", guide, re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["labels", "labels", "study"]
    for line in lines:
        assert run(cheaply(line)) in ((0, 1) if " check " in line else (0,)), line
    assert "self-training from scratch" in Path("study/study.md").read_text()


def test_the_guide_to_judging(exports):
    """Its commands, on the runs that the README makes and a catalogue with a column of the user's."""
    guide = (ROOT / "docs" / "judging.md").read_text(encoding="utf-8")
    for line in takewhile(lambda line: "evaluate" not in line, readme_commands()):
        if not any(other in line for other in ("pretrain frames", "runs/quick", "apical label ")):
            assert run(cheaply(line.replace(" --encoder runs/pretrain", ""))) in (0, 1), line
    table = pl.read_parquet("catalogue.parquet")
    sex = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("f")).otherwise(pl.lit("m"))
    table.with_columns(sex=sex).write_parquet("catalogue.parquet")
    lines = re.findall(r"^apical .*", guide, re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["evaluate", "evaluate", "compare", "bundle"]
    for line in lines:
        assert run(cheaply(line)) == 0, line
    page = Path("report-deep/report.html").read_text(encoding="utf-8")
    assert "sex: f" in page
    assert "When the picture gets worse" in page
    assert "What decisions rest on" in page


def test_the_guide_to_deployment(exports, way):
    """Its commands, on the bundle and the catalogue of the tests."""
    shutil.copytree(way / "runs" / "probe", "runs/few-labels")
    shutil.copytree(way / "report", "report")
    shutil.copytree(way / "bundle", "bundle")
    shutil.copy(way / "catalogue.parquet", ".")
    guide = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in re.findall(r"^apical .*", guide, re.MULTILINE)]
    verbs = ["bundle", "bundle", "export", "export", "predict", "predict", "predict", "serve", "serve"]
    assert [line.split()[1] for line in lines] == verbs
    for line in lines:
        if line.startswith("apical serve"):
            served(line)
        else:
            assert run(cheaply(line)) == 0, line
    assert Path("answers.parquet").exists()
    assert Path("network.onnx.json").exists()
