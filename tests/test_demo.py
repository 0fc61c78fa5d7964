"""The demo: prints what it runs, does all of it, and reports what came out."""

import json
from pathlib import Path

import pytest

from apical import demo as module
from apical.demo import run_demo
from apical.errors import CannotDo


@pytest.fixture
def tiny(monkeypatch):
    """The same steps with a smaller network and fewer of them."""
    network = {"depth": 10, "width": 4, "stem_stride": 2}
    monkeypatch.setattr(module, "PRETRAIN", {**module.PRETRAIN, "encoder": network, "epochs": 1})
    monkeypatch.setattr(module, "TRAIN", {**module.TRAIN, "encoder": network, "steps": 2})
    monkeypatch.setattr(module, "PHANTOM", ("--frames", 2, "--image-rows", 120, "--workers", 1))


def test_the_whole_demo(tiny, tmp_path, capfd):
    summary = run_demo(tmp_path / "demo", patients=20, seeds=2)
    printed = capfd.readouterr().out
    for verb in ("phantom", "scan", "labels import", "labels split", "labels limit", "frames", "pretrain",
                 "train", "evaluate", "bundle", "predict"):  # fmt: skip
        assert f"$ apical {verb}" in printed
    methods = {one["method"]: one["seeds"] for one in summary["figures"]["methods"]}
    assert methods == {name: [0, 1] for name in module.METHODS}
    assert set(module.RARE) <= set(summary["figures"]["rare"])
    assert summary["real_clip"]["problem"] is None
    assert summary["real_clip"]["likeliest"]
    report = (tmp_path / "demo" / "report" / "report.html").read_text()
    assert "PHANTOM-" not in report
    assert all(Path(path).exists() for path in summary["outputs"].values())
    json.dumps(summary)


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(CannotDo, match="is not an empty folder"):
        run_demo(tmp_path)
