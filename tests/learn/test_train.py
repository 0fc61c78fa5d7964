"""Classifiers: each method learns, corrections are what the papers say, bad calls give one line."""

import json
from typing import get_args

import numpy as np
import polars as pl
import pytest
import torch

from apical.catalogue import limit_labels, read_catalogue, write_catalogue
from apical.config import EITHER, NEEDS_ENCODER, ClipEncoderSettings
from apical.config.training import Method
from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.learn.classifier import classify_clip, classify_clips
from apical.learn.clips import SHOWS_NONE, load_clips
from apical.learn.predictions import Predictions
from apical.learn.pretrain import pretrain
from apical.learn.train import load_classifier, train
from apical.views import NO_VIEW
from learn.conftest import NETWORK, SIZE


def start(exams, out, settings, catalogue=None, **options):
    return train(exams / "frames", catalogue or exams / "catalogue.parquet", out, settings, **options)


@pytest.mark.parametrize("method", get_args(Method))
def test_each_method_learns_the_views(exams, tmp_path, training, encoder, method):
    pretrained = encoder if method in (*NEEDS_ENCODER, *EITHER) else None
    steps = 240 if method in EITHER else 80  # half a step's crops, or a third of the steps, are not labels'
    run = start(exams, tmp_path / "run", training(method, steps=steps), encoder=pretrained)
    said = Predictions.load(run / "predictions.parquet")
    judged = (said.split == "test") & (said.label >= 0)
    right = said.log_probabilities[judged].argmax(axis=1) == said.label[judged]
    assert right.mean() > 0.8  # chance is 0.33; 12 test clips
    assert (said.method, said.seed, len(said)) == (method, 0, 60)
    budget = json.loads((run / "budget.json").read_text())
    assert budget["A4C"] == 12
    assert budget["IVC"] == 0


def test_the_saved_classifier_gives_the_saved_predictions(exams, tmp_path, training):
    run = start(exams, tmp_path / "run", training("naive", steps=10))
    classifier, settings, vocabulary = load_classifier(run)
    clips = load_clips(exams / "frames", exams / "catalogue.parquet", vocabulary)
    again = classify_clips(classifier, clips, settings.input_size, torch.device("cpu"))
    said = Predictions.load(run / "predictions.parquet")
    np.testing.assert_allclose(again.log_probabilities, said.log_probabilities, atol=1e-5)
    np.testing.assert_allclose(again.features, said.features, atol=1e-5)


def test_same_seed_same_predictions(exams, tmp_path, training):
    one, other = (
        Predictions.load(start(exams, tmp_path / n, training("naive", steps=5)) / "predictions.parquet")
        for n in "ab"
    )
    np.testing.assert_array_equal(one.log_probabilities, other.log_probabilities)


def test_views_that_were_not_taught_are_never_answered(exams, tmp_path, training):
    table = read_catalogue(exams / "catalogue.parquet")
    bare = (pl.col("split") == "train") & (pl.col("view") == "A2C")
    write_catalogue(
        table.with_columns(view=pl.when(bare).then(None).otherwise(pl.col("view"))), tmp_path / "c.parquet"
    )
    run = start(exams, tmp_path / "run", training("naive", steps=5), tmp_path / "c.parquet")
    said = Predictions.load(run / "predictions.parquet")
    taught = {said.views[k] for k in np.unique(said.log_probabilities.argmax(axis=1))}
    assert taught <= {"PLAX", "A4C"}
    assert np.isfinite(said.log_probabilities).all()


def test_clips_that_show_none_of_the_views_do_not_teach_and_are_answered(exams, tmp_path, training, encoder):
    """Self-training, which learns from all other clips, gives the same classifier as without them."""
    table = read_catalogue(exams / "catalogue.parquet")
    chosen = pl.col("clip").is_in(["clip0-A4C", "clip3-PLAX", "clip17-A2C"])
    marked = table.with_columns(view=pl.when(chosen).then(pl.lit(NO_VIEW)).otherwise(pl.col("view")))
    write_catalogue(marked, tmp_path / "marked.parquet")
    write_catalogue(marked.filter(~chosen | (pl.col("split") == "test")), tmp_path / "without.parquet")
    one, other = (
        Predictions.load(
            start(
                exams, tmp_path / name, training("self-training", steps=5), tmp_path / f"{name}.parquet",
                encoder=encoder,
            )
            / "predictions.parquet"
        )
        for name in ("marked", "without")
    )  # fmt: skip
    assert (one.label == SHOWS_NONE).sum() == 3
    both = np.isin(one.clip, other.clip)
    np.testing.assert_array_equal(one.log_probabilities[both], other.log_probabilities)


def test_test_labels_do_not_teach(exams, tmp_path, training):
    """Test and validation labels scrambled, the answers are the same."""
    table = read_catalogue(exams / "catalogue.parquet")
    wrong = pl.when(pl.col("split") == "train").then(pl.col("view")).otherwise(pl.lit("PLAX"))
    write_catalogue(table.with_columns(view=wrong), tmp_path / "wrong.parquet")
    runs = [
        start(exams, tmp_path / "a", training("naive", steps=5)),
        start(exams, tmp_path / "b", training("naive", steps=5), tmp_path / "wrong.parquet"),
    ]
    one, other = (Predictions.load(run / "predictions.parquet") for run in runs)
    np.testing.assert_array_equal(one.log_probabilities, other.log_probabilities)


def test_an_encoder_is_refused_by_methods_without_one(exams, tmp_path, training, encoder):
    with pytest.raises(WrongCall, match="'naive' takes no pre-trained encoder"):
        start(exams, tmp_path / "run", training("naive"), encoder=encoder)


def test_no_labels_and_one_view_only(exams, tmp_path, training):
    table = read_catalogue(exams / "catalogue.parquet")
    write_catalogue(table.with_columns(view=pl.lit(None, pl.String)), tmp_path / "none.parquet")
    with pytest.raises(CannotDo, match="no clip is labelled among the training patients"):
        start(exams, tmp_path / "run", training("naive"), tmp_path / "none.parquet")
    one = pl.when(pl.col("view") == "A4C").then(pl.col("view"))
    write_catalogue(table.with_columns(view=one), tmp_path / "one.parquet")
    with pytest.raises(CannotDo, match="only A4C is labelled"):
        start(exams, tmp_path / "run", training("naive"), tmp_path / "one.parquet")
    assert not (tmp_path / "run").exists()


def test_a_label_outside_the_vocabulary(exams, tmp_path, training):
    table = read_catalogue(exams / "catalogue.parquet").with_columns(view=pl.lit("lung"))
    write_catalogue(table, tmp_path / "odd.parquet")
    with pytest.raises(WrongCall, match="views the vocabulary lacks: lung"):
        start(exams, tmp_path / "run", training("naive"), tmp_path / "odd.parquet")


def test_a_store_of_other_clips(exams, tmp_path, training):
    table = read_catalogue(exams / "catalogue.parquet").with_columns(clip=pl.col("clip") + "x")
    write_catalogue(table, tmp_path / "other.parquet")
    with pytest.raises(CannotDo, match="no clip in common"):
        start(exams, tmp_path / "run", training("naive"), tmp_path / "other.parquet")


def test_an_encoder_that_saw_the_test_patients_is_refused(exams, tmp_path, training, few_steps):
    """Pre-trained before the patients were split, it knows them all."""
    table = read_catalogue(exams / "catalogue.parquet").with_columns(split=pl.lit(None, pl.String))
    write_catalogue(table, tmp_path / "unsplit.parquet")
    encoder = tmp_path / "encoder"
    pretrain(exams / "frames", tmp_path / "unsplit.parquet", encoder, few_steps)
    with pytest.raises(PatientOverlap, match="pre-trained on 8 patients of the validation or test split"):
        start(exams, tmp_path / "run", training("probe"), encoder=encoder)


def test_clips_with_a_problem_do_not_teach(exams, tmp_path, training):
    table = read_catalogue(exams / "catalogue.parquet")
    gone = pl.when(pl.col("view") == "A2C").then(pl.lit("consent withdrawn")).otherwise(pl.col("problem"))
    write_catalogue(table.with_columns(problem=gone), tmp_path / "c.parquet")
    run = start(exams, tmp_path / "run", training("naive", steps=2), tmp_path / "c.parquet")
    assert json.loads((run / "budget.json").read_text())["A2C"] == 0
    assert len(Predictions.load(run / "predictions.parquet")) == 40


def test_a_stopped_training_begins_again_and_a_finished_one_stays(exams, tmp_path, training):
    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(exams, tmp_path / "run", training("naive", steps=5), progress=stop)
    run = start(exams, tmp_path / "run", training("naive", steps=5))
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 5
    with pytest.raises(CannotDo, match="'run' already holds a run"):
        start(exams, tmp_path / "run", training("naive", steps=5))


def test_the_label_budget_counts_patients(exams, tmp_path, training):
    table = limit_labels(read_catalogue(exams / "catalogue.parquet"), {"A2C": 2}, default=5)
    write_catalogue(table, tmp_path / "few.parquet")
    run = start(exams, tmp_path / "run", training("logit-adjusted", steps=3), tmp_path / "few.parquet")
    budget = json.loads((run / "budget.json").read_text())
    assert (budget["A2C"], budget["A4C"], budget["PLAX"]) == (2, 5, 5)


@pytest.mark.parametrize("frames", [2, 4])
def test_a_clip_encoder_is_trained_and_asked_by_windows(exams, tmp_path, training, frames):
    """Clips have three frames: two windows' worth, or fewer than one window. What is said is what is kept."""
    network = ClipEncoderSettings(of_frame=NETWORK, frames=frames)
    out = train(
        exams / "frames", exams / "catalogue.parquet", tmp_path / "run", training("naive", encoder=network)
    )
    said = Predictions.load(out / "predictions.parquet")
    classifier, settings, vocabulary = load_classifier(out)
    assert settings.encoder == network
    clips = load_clips(exams / "frames", exams / "catalogue.parquet", vocabulary)
    for number in (0, 31):
        first, count = clips.first[number], clips.count[number]
        answer = classify_clip(classifier, clips.frames[first : first + count], SIZE, torch.device("cpu"))
        np.testing.assert_allclose(answer.log_probabilities[0], said.log_probabilities[number], atol=1e-4)


def test_attention_in_time_begins_on_a_pretrained_frame_encoder(exams, tmp_path, training, encoder):
    """Probed before it has learned, it is the mean over frames of that encoder; fine-tuned, it is another."""
    over_time = ClipEncoderSettings(of_frame=NETWORK, frames=3)
    runs = {
        name: Predictions.load(
            start(exams, tmp_path / name, settings, encoder=encoder) / "predictions.parquet"
        )
        for name, settings in {
            "frames": training("probe"),
            "clip": training("probe", encoder=over_time),
            "tuned": training("fine-tune", encoder=over_time, steps=4),
        }.items()
    }
    np.testing.assert_allclose(runs["clip"].features, runs["frames"].features, atol=1e-4)
    assert np.abs(runs["tuned"].features - runs["clip"].features).max() > 1e-3
    assert load_classifier(tmp_path / "tuned")[1].encoder == over_time
    wider = ClipEncoderSettings(of_frame=NETWORK.model_copy(update={"width": 16}), frames=3)
    with pytest.raises(WrongCall, match=r"is not the pre-trained network.*\"width\":8"):
        start(exams, tmp_path / "wider", training("fine-tune", encoder=wider), encoder=encoder)
