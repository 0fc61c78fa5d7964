"""A look at a run: figures and histograms, warnings once and in words, and nothing is changed by it."""

import json

import numpy as np
import pytest
import torch

from apical.config import ClipEncoderSettings
from apical.learn.backbones import build_encoder
from apical.learn.clips import load_clips
from apical.learn.feeding import Feeder, Place
from apical.learn.tracking import Tracker
from apical.learn.watching import Watch
from apical.views import standard_vocabulary

CPU = torch.device("cpu")


@pytest.fixture
def clips(exams):
    return load_clips(exams / "frames", exams / "catalogue.parquet", standard_vocabulary())


def watched(clips, settings, tell=lambda line: None, encoder=None):
    torch.manual_seed(0)
    encoder = encoder or build_encoder(settings.encoder)
    watch = Watch(clips, encoder, settings, CPU, tell)
    batch = next(iter(Feeder(clips, settings, encoder.frames, CPU).batches(Place())))
    generator = torch.Generator().manual_seed(0)
    watch.saw(torch.randn(len(batch.members), 8, generator=generator), batch.members, 1.0)
    return watch


def test_figures_and_histograms(clips, few_steps, tmp_path):
    watch, tracker = watched(clips, few_steps), Tracker(tmp_path)
    figures = watch.look(3, 0.5, tracker, {"loss": 1.0})
    tracker.close()
    assert {
        "alignment", "uniformity", "effective_rank", "feature_std", "positive_similarity",
        "negative_similarity", "knn_view_accuracy", "same_patient_neighbours", "same_patient_by_chance",
        "collapsed_loss",
    } <= set(figures)  # fmt: skip
    drawn = [json.loads(line) for line in (tmp_path / "histograms.jsonl").open()]
    assert len(drawn) == 2
    assert all(sum(line["counts"]) > 0 for line in drawn)


def test_without_labels_there_is_no_view_accuracy(clips, few_steps, tmp_path):
    bare = clips.select(np.ones(len(clips), bool))
    object.__setattr__(bare, "label", np.full(len(clips), -1))
    figures = watched(bare, few_steps).look(1, 0.5, Tracker(tmp_path), {})
    assert "knn_view_accuracy" not in figures
    assert "same_patient_neighbours" in figures


def test_a_collapse_is_told_once_and_not_in_the_warm_up(clips, few_steps, tmp_path):
    told = []
    watch, tracker = watched(clips, few_steps, told.append), Tracker(tmp_path)
    watch.embeddings = torch.ones_like(watch.embeddings)
    watch.look(1, few_steps.warmup_share / 2, tracker, {})
    assert told == []
    for step in (2, 3):
        watch.look(step, 0.5, tracker, {})
    assert len([line for line in told if line.startswith("The embeddings collapse")]) == 1


def test_looking_changes_nothing(clips, few_steps, tmp_path):
    encoder = build_encoder(few_steps.encoder).train()
    watch = watched(clips, few_steps, encoder=encoder)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    watch.look(1, 0.5, Tracker(tmp_path), {})
    assert encoder.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_features_are_those_of_each_clips_middle_frame_alone(clips, few_steps):
    """A clip's features do not depend on which others are looked at, or in what blocks."""
    watch = watched(clips, few_steps)
    whole = watch.features()
    watch.clips = watch.clips.select(np.arange(len(watch.clips)) == 7)
    torch.testing.assert_close(watch.features()[0], whole[7], rtol=1e-5, atol=1e-6)


def test_clip_encoders_are_looked_at_too(clips, few_steps, tmp_path):
    network = ClipEncoderSettings(of_frame=few_steps.encoder, frames=2)
    settings = few_steps.model_copy(update={"encoder": network})
    assert "effective_rank" in watched(clips, settings).look(1, 0.5, Tracker(tmp_path), {})


def test_looks_are_spread_over_the_run_and_take_little_of_it(clips, few_steps):
    watch = watched(clips, few_steps.model_copy(update={"watch": 4}))
    due = [n for n in range(100) if watch.is_due(n / 100, (n + 1) / 100, seconds=n)]
    assert due == [24, 49, 74, 99]
    watch.spent = watch.latest = 1.0
    assert not watch.is_due(0.49, 0.5, seconds=99)
    assert watch.is_due(0.49, 0.5, seconds=101)
    assert watch.is_due(0.99, 1.0, seconds=1)  # the last one always
    assert not watched(clips, few_steps.model_copy(update={"watch": 0})).is_due(0, 1, seconds=1)


def test_a_batch_without_negatives_is_told(clips, few_steps):
    told = []
    watch = watched(clips, few_steps, told.append)
    for _ in range(2):
        watch.saw(watch.embeddings, watch.members, 0.0)
    assert [line[:26] for line in told] == ["A batch had no negatives: "]
