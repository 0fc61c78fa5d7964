"""What an encoder may begin with, whose patients it then has seen, and what is refused."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from apical.catalogue import read_catalogue, write_catalogue
from apical.config import ClipEncoderSettings, PretrainSettings, ResNetSettings
from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.learn.backbones import build_encoder
from apical.learn.classifier import Classifier, classify_clips
from apical.learn.clips import load_clips
from apical.learn.pretrain import pretrain
from apical.learn.start import (
    FEW_CLIPS,
    SHIPPED,
    begin_with,
    choose_start,
    describe,
    load_encoder,
    patients_seen,
    place_of,
)
from apical.learn.train import load_classifier, train
from apical.views import standard_vocabulary

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def start_from(exams, out, settings, start, catalogue="catalogue.parquet", **options):
    return pretrain(exams / "frames", exams / catalogue, out, settings, start=start, **options)


@pytest.fixture
def of_encoder(encoder, few_steps):
    """Settings of a short run with the network of the fixture `encoder`."""
    return few_steps.model_copy(update={"encoder": load_encoder(encoder)[1].encoder})


def test_a_run_begins_with_anothers_weights(exams, tmp_path, encoder, of_encoder):
    """With a learning rate of next to nothing it ends with them as well."""
    still = of_encoder.model_copy(update={"learning_rate": 1e-12, "weight_decay": 0.0, "epochs": 1})
    run = start_from(exams, tmp_path / "run", still, encoder)
    before, after = (load_file(place / "encoder.safetensors") for place in (encoder, run))
    for name in before:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(before[name], after[name], rtol=0, atol=1e-9)
    assert not torch.equal(before["stem.0.weight"], load_fresh(of_encoder)["stem.0.weight"])


def load_fresh(settings):
    torch.manual_seed(settings.seed)
    return build_encoder(settings.encoder).state_dict()


def test_a_clip_encoder_begins_with_a_frame_encoder(encoder, of_encoder):
    network = ClipEncoderSettings(of_frame=of_encoder.encoder, frames=2)
    clip_encoder = build_encoder(network)
    begin_with(clip_encoder, network, encoder)
    expected = load_encoder(encoder)[0].state_dict()
    found = clip_encoder.of_frame.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_another_network_is_refused_and_its_settings_are_told(exams, tmp_path, few_steps, encoder):
    wider = few_steps.encoder.model_copy(update={"width": 16})
    with pytest.raises(WrongCall, match=r'another network.*"width":8'):
        start_from(exams, tmp_path / "run", few_steps.model_copy(update={"encoder": wider}), encoder)


def test_what_is_no_run_is_refused(exams, tmp_path, few_steps):
    with pytest.raises(CannotDo, match="'nothing' is not a run folder"):
        start_from(exams, tmp_path / "run", few_steps, tmp_path / "nothing")


def test_the_shipped_encoder_is_small_default_nobodys_and_has_a_card():
    folder = place_of(SHIPPED)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8e6
    assert load_encoder(SHIPPED)[1].encoder == PretrainSettings().encoder
    assert patients_seen(SHIPPED) == []
    assert "not a medical device" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_shipped_encoder_belongs_to_the_package():
    """What is put into a wheel are the package's folders and the files that its patterns name."""
    patterns = tomllib.loads(PYPROJECT.read_text())["tool"]["setuptools"]["package-data"]["apical"]
    for file in place_of(SHIPPED).iterdir():
        assert any(file.match(pattern) for pattern in patterns), file.name


def test_its_features_tell_views_of_the_phantom_better_than_a_random_networks(way):
    """How often the nearest clip of another patient shows the same view."""
    clips = load_clips(way / "frames", way / "catalogue.parquet", standard_vocabulary())
    hits = {}
    for name, encoder in (
        ("shipped", load_encoder(SHIPPED)[0]),
        ("random", build_encoder(PretrainSettings().encoder)),
    ):
        outputs = classify_clips(Classifier(encoder, 2), clips, 112, torch.device("cpu"))
        features = outputs.features / np.linalg.norm(outputs.features, axis=1, keepdims=True)
        near = features @ features.T
        near[clips.patient[:, None] == clips.patient] = -np.inf
        hits[name] = float((clips.label[near.argmax(axis=1)] == clips.label).mean())
    assert hits["shipped"] > hits["random"] + 0.1


def test_few_clips_begin_with_the_shipped_encoder_unless_told_otherwise():
    ours, other = PretrainSettings(), PretrainSettings(encoder=ResNetSettings(width=8))
    assert choose_start(None, ours, FEW_CLIPS) == SHIPPED
    assert choose_start(None, ours, FEW_CLIPS + 1) is None
    assert choose_start(None, other, FEW_CLIPS) is None
    assert choose_start(Path("random"), ours, FEW_CLIPS) is None
    assert choose_start(Path("shipped"), ours, FEW_CLIPS + 1) == SHIPPED
    assert choose_start(Path("a-run"), ours, 2) == Path("a-run")


def test_what_is_random_is_the_same_whether_it_was_asked_for_or_chosen(exams, tmp_path, few_steps):
    """For one seed: to choose takes no random number."""
    runs = [start_from(exams, tmp_path / str(start), few_steps, start) for start in (None, Path("random"))]
    one, other = (load_file(run / "encoder.safetensors") for run in runs)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_of_few_clips_begins_with_the_shipped_weights(exams, tmp_path):
    still = PretrainSettings(
        learning_rate=1e-12, weight_decay=0.0, epochs=1, input_size=32, feeders=0, watch=0, batch_clips=8
    )
    run = start_from(exams, tmp_path / "run", still, None)
    before, after = (load_file(place / "encoder.safetensors") for place in (place_of(SHIPPED), run))
    torch.testing.assert_close(before["stem.0.weight"], after["stem.0.weight"], rtol=0, atol=1e-9)
    assert json.loads((run / "settings.json").read_text())["start"] == describe(SHIPPED)


def test_a_probe_stands_on_the_shipped_encoder_by_default(exams, tmp_path, training):
    settings = training("probe")
    run = train(exams / "frames", exams / "catalogue.parquet", tmp_path / "run", settings)
    classifier, read, _ = load_classifier(run)
    assert read.encoder == PretrainSettings().encoder
    assert json.loads((run / "settings.json").read_text())["start"] == describe(SHIPPED)
    shipped = load_encoder(SHIPPED)[0].state_dict()
    assert all(torch.equal(value, shipped[name]) for name, value in classifier.encoder.state_dict().items())


def test_a_run_of_another_version_is_said_to_be_one(encoder, tmp_path):
    shutil.copytree(encoder, tmp_path / "old")
    settings = json.loads((tmp_path / "old" / "settings.json").read_text())
    (tmp_path / "old" / "settings.json").write_text(json.dumps(settings | {"temperature": 0.2}))
    with pytest.raises(CannotDo, match="'old' was made by another version of Apical"):
        load_encoder(tmp_path / "old")


def test_a_run_is_not_resumed_from_another_start(exams, tmp_path, of_encoder, encoder):
    def stop(done, total):
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        start_from(exams, tmp_path / "run", of_encoder, encoder, progress=stop)
    with pytest.raises(CannotDo, match=r"other settings \(start\)"):
        start_from(exams, tmp_path / "run", of_encoder, None, resume=True)
    run = start_from(exams, tmp_path / "run", of_encoder, encoder, resume=True)
    assert load_encoder(run)[1] == of_encoder


def test_patients_of_the_start_count_as_seen(exams, tmp_path, encoder, of_encoder, training):
    """The second run learns from other patients only; judging on the first one's is still refused."""
    table = read_catalogue(exams / "catalogue.parquet")
    first = set(patients_seen(encoder))
    swapped = table.with_columns(
        split=pl.when(pl.col("patient").is_in(first)).then(pl.lit("test")).otherwise(pl.lit("train"))
    )
    write_catalogue(swapped, tmp_path / "swapped.parquet")
    run = pretrain(
        exams / "frames", tmp_path / "swapped.parquet", tmp_path / "run", of_encoder, start=encoder
    )
    assert set(patients_seen(run)) == set(table["patient"])
    assert json.loads((run / "settings.json").read_text())["start"]
    with pytest.raises(PatientOverlap, match=f"on {len(first)} patients of the validation or test split"):
        train(
            exams / "frames",
            tmp_path / "swapped.parquet",
            tmp_path / "trained",
            training("probe"),
            encoder=run,
        )
