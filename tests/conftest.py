"""A small phantom taken the whole way, once a session, for the tests of the later rooms."""

from pathlib import Path

import hypothesis
import pytest
import torch

from apical.cli import run

torch.set_num_threads(1)
torch.backends.cudnn.allow_tf32 = False  # where there is a GPU, its answers are compared with a CPU's
hypothesis.settings.register_profile("untimed", deadline=None)  # slow machines are no failure
hypothesis.settings.load_profile("untimed")
NETWORK = "encoder: {depth: 10, width: 4, stem_stride: 2}\ninput_size: 32\n"


@pytest.fixture(scope="session")
def way(tmp_path_factory):
    """Folder with ``phantom``, ``catalogue.parquet``, ``frames``, ``runs/…``, ``report``, ``bundle``."""
    folder: Path = tmp_path_factory.mktemp("way")
    (folder / "small.yaml").write_text(NETWORK)
    catalogue, frames, runs = folder / "catalogue.parquet", folder / "frames", folder / "runs"
    small = ["--config", folder / "small.yaml", "--quiet"]
    few = ["--patients", 10, "--frames", 2, "--image-rows", 120, "--workers", 1]
    from_encoder = ["--method", "probe", "--encoder", runs / "pretrain"]
    for words in (
        ["phantom", *few, "--out", folder / "phantom"],
        ["scan", folder / "phantom", "--out", catalogue, "--workers", 1],
        ["labels", "import", catalogue, folder / "phantom" / "truth.csv"],
        ["labels", "split", catalogue],
        ["frames", catalogue, "--size", 40, "--frames-per-clip", 2, "--workers", 1, "--out", frames],
        ["pretrain", frames, catalogue, "--epochs", 1, "--out", runs / "pretrain", *small],
        ["train", frames, catalogue, "--method", "naive", "--steps", 3, "--out", runs / "naive", *small],
        ["train", frames, catalogue, *from_encoder, "--out", runs / "probe", *small],
        ["evaluate", runs / "naive", runs / "probe", "--store", frames, "--out", folder / "report"],
        ["bundle", runs / "probe", "--report", folder / "report", "--out", folder / "bundle"],
    ):  # fmt: skip
        assert run([str(word) for word in words]) == 0, words
    return folder


@pytest.fixture(scope="session")
def a_file(way):
    """One DICOM file of the phantom."""
    return sorted((way / "phantom").rglob("*.dcm"))[0]
