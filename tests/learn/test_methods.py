"""What methods do in which order, and which start they accept."""

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from apical.catalogue import limit_labels, read_catalogue, write_catalogue
from apical.config import EITHER, FROZEN, ImbalanceSettings, PseudoSettings
from apical.errors import WrongCall
from apical.learn.backbones import build_encoder
from apical.learn.classifier import Classifier, CosineHead
from apical.learn.clips import load_clips
from apical.learn.lessons import Desk
from apical.learn.methods import log_prior_of
from apical.learn.predictions import Predictions
from apical.learn.probe import fit_prototypes
from apical.learn.self_training import self_train
from apical.learn.start import RANDOM, SHIPPED, load_encoder
from apical.learn.train import choose_encoder, load_classifier, train
from apical.views import standard_vocabulary
from learn.conftest import VIEWS


def start(exams, out, settings, catalogue=None, **options):
    return train(exams / "frames", catalogue or exams / "catalogue.parquet", out, settings, **options)


@pytest.fixture
def few(exams, tmp_path):
    """Labels of two patients a view."""
    table = limit_labels(read_catalogue(exams / "catalogue.parquet"), {}, default=2)
    write_catalogue(table, tmp_path / "few.parquet")
    return tmp_path / "few.parquet"


def test_who_begins_with_what():
    assert choose_encoder(None, "naive") is None
    assert choose_encoder(RANDOM, "logit-adjusted") is None
    for method in ("probe", "prototype", "label-propagation", "fine-tune", *EITHER):
        assert choose_encoder(None, method) == SHIPPED
    for method in EITHER:
        assert choose_encoder(RANDOM, method) is None
    with pytest.raises(WrongCall, match="'crt' takes no pre-trained encoder"):
        choose_encoder(SHIPPED, "crt")
    with pytest.raises(WrongCall, match="'probe' is none without a pre-trained encoder"):
        choose_encoder(RANDOM, "probe")


@pytest.mark.parametrize("method", EITHER)
def test_methods_that_may_begin_with_random_weights_do(exams, few, tmp_path, training, encoder, method):
    """From random weights and from an encoder: both run, say what they began with, and differ."""
    settings = training(method, steps=6)
    runs = [
        start(exams, tmp_path / name, settings, few, encoder=begin)
        for name, begin in (("random", RANDOM), ("given", encoder))
    ]
    facts = [json.loads((run / "settings.json").read_text())["start"] for run in runs]
    assert facts[0] is None
    assert facts[1]["from"] == "given"
    said = [Predictions.load(run / "predictions.parquet").log_probabilities for run in runs]
    taught = [standard_vocabulary().names.index(view) for view in VIEWS]
    assert np.abs(said[0] - said[1])[:, taught].max() > 1e-3
    assert len((runs[0] / "metrics.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("method", ["crt", "self-training", "fixmatch", "bcl"])
def test_same_seed_same_answers(exams, few, tmp_path, training, method):
    one, other = (
        Predictions.load(
            start(exams, tmp_path / name, training(method, steps=6), few, encoder=RANDOM)
            / "predictions.parquet"
        )
        for name in "ab"
    )
    np.testing.assert_array_equal(one.log_probabilities, other.log_probabilities)


def test_head_retraining_leaves_the_encoder_as_the_first_stage_left_it(exams, tmp_path, training):
    """The encoder of the naive method after as many steps as the first stage has; the head is another."""
    whole = training("crt", steps=10)
    first = training("naive", steps=8)
    retrained, _, _ = load_classifier(start(exams, tmp_path / "a", whole))
    naive, _, _ = load_classifier(start(exams, tmp_path / "b", first))
    for one, other in zip(
        retrained.encoder.state_dict().values(), naive.encoder.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    assert not torch.equal(retrained.head.weight, naive.head.weight)


@pytest.mark.parametrize("method", FROZEN)
def test_frozen_methods_leave_the_encoder_as_it_was(exams, tmp_path, training, encoder, method):
    before, _ = load_encoder(encoder)
    after, _, _ = load_classifier(start(exams, tmp_path / "run", training(method), encoder=encoder))
    for name, value in after.encoder.state_dict().items():
        assert torch.equal(value, before.state_dict()[name]), name


def test_a_prototype_counts_each_patient_once(exams, training):
    """A patient whose clips of a view come twice changes nothing: the mean is over patients."""
    vocabulary = standard_vocabulary()
    clips = load_clips(exams / "frames", exams / "catalogue.parquet", vocabulary).in_split("train")
    settings, cpu = training("prototype"), torch.device("cpu")
    torch.manual_seed(0)
    classifier = Classifier(build_encoder(settings.encoder), len(vocabulary), cosine=10.0)
    fit_prototypes(classifier, clips, settings, cpu)
    once = classifier.head.weight.clone()
    twice = clips.select(np.repeat(np.arange(len(clips)), np.where(clips.patient_code == 0, 2, 1)))
    fit_prototypes(classifier, twice, settings, cpu)
    assert isinstance(classifier.head, CosineHead)
    torch.testing.assert_close(classifier.head.weight, once)


def test_a_cosine_head_is_saved_with_its_scale(exams, tmp_path, training, encoder):
    run = start(exams, tmp_path / "run", training("prototype", name="by example"), encoder=encoder)
    classifier, settings, _ = load_classifier(run)
    assert isinstance(classifier.head, CosineHead)
    assert classifier.head.scale == settings.imbalance.scale
    assert Predictions.load(run / "predictions.parquet").method == "by example"


def test_self_training_shares_out_its_steps(exams, few, tmp_path, training, encoder):
    """Rates fall to zero once a fit: teacher and students from random weights, students from an encoder."""
    for begin, fits in ((RANDOM, 4), (encoder, 3)):
        settings = training("self-training", steps=31, pseudo=PseudoSettings(rounds=3))
        run = start(exams, tmp_path / f"run{fits}", settings, few, encoder=begin)
        rates = [json.loads(line)["learning_rate"] for line in (run / "metrics.jsonl").open()]
        assert len(rates) == 31
        assert sum(now < before / 5 for before, now in pairwise(rates[::-1])) == fits


@pytest.mark.parametrize(("pretrained", "begun"), [(True, 2), (False, 1)])
def test_students_begin_anew_on_an_encoder_and_go_on_without(exams, training, monkeypatch, pretrained, begun):
    """From random weights the student is the teacher, taught further; on an encoder it is another network."""
    clips = load_clips(exams / "frames", exams / "catalogue.parquet", standard_vocabulary())
    settings, cpu = training("self-training", steps=4), torch.device("cpu")
    desk = Desk(clips.in_split("train").labelled(), settings, 1, 13, cpu, np.random.default_rng(0))
    given, fitted = [], []

    def begin():
        given.append(Classifier(build_encoder(settings.encoder), 13))
        return given[-1]

    trainer = SimpleNamespace(done=0, fit=lambda learner, *rest, **options: fitted.append(learner.classifier))
    last = self_train(trainer, desk, clips.in_split("train"), begin, pretrained=pretrained)
    assert len(given) == begun
    assert last is given[-1]
    assert [one is last for one in fitted] == [True] * (1 if pretrained else 2)


def test_too_few_steps_for_all_students_are_refused_and_heads_are_always_retrained(exams, tmp_path, training):
    settings = training("self-training", steps=2, pseudo=PseudoSettings(rounds=3))
    with pytest.raises(WrongCall, match="2 steps are too few for 4 networks"):
        start(exams, tmp_path / "a", settings, encoder=RANDOM)
    plain = training("crt", steps=3, imbalance=ImbalanceSettings(plain_share=1.0))
    said = Predictions.load(start(exams, tmp_path / "b", plain) / "predictions.parquet")
    assert np.exp(said.log_probabilities).std(axis=0).max() > 0


def test_what_shares_a_classifier_believes_in_follows_from_its_method(training):
    count = np.array([6, 0, 2])
    shares = np.log([0.75, 1, 0.25])
    for method in ("naive", "focal", "ldam-drw"):
        np.testing.assert_allclose(log_prior_of(training(method), count), shares, atol=1e-6)
    for method in ("class-balanced", "crt", "prototype", "logit-adjusted", "self-training", "probe"):
        np.testing.assert_allclose(log_prior_of(training(method), count), 0 * shares, atol=1e-6)
    half = training("fine-tune", imbalance=ImbalanceSettings(adjustment=0.5))
    np.testing.assert_allclose(log_prior_of(half, count), shares / 2, atol=1e-6)
    evenly = training("self-training", imbalance=ImbalanceSettings(adjustment=0.5))
    np.testing.assert_allclose(log_prior_of(evenly, count), 0 * shares, atol=1e-6)
