"""Linear fits reach their optimum: scikit-learn's numbers, hard and soft targets, contrast agent."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from apical.catalogue import read_catalogue, write_catalogue
from apical.config import ExamSettings, TrainSettings
from apical.learn.backbones import build_encoder
from apical.learn.classifier import Classifier
from apical.learn.clips import load_clips
from apical.learn.exams import name_exams
from apical.learn.predictions import Predictions
from apical.learn.probe import (
    fit_agent,
    fit_head,
    fit_linear,
    fit_on_features,
    one_hot,
    probe_answers,
    propagated_answers,
    told_agent,
)
from apical.learn.train import load_classifier, train
from apical.views import standard_vocabulary
from learn.conftest import NETWORK


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return Classifier(build_encoder(NETWORK), 3)


def features_of(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("penalty", [1e-3, 1e-1])
def test_the_probe_equals_scikit_learn(penalty):
    """sklearn minimises sum of losses + |W|²/(2C): C = 1 / (2 n penalty) is the same problem."""
    generator = np.random.default_rng(0)
    label = generator.integers(3, size=90)
    features = generator.normal(size=(90, 4)) + label[:, None] * [1, -1, 0, 0.5]
    weight, bias = fit_linear(
        torch.from_numpy(features),
        torch.from_numpy(label),
        torch.zeros(3, dtype=torch.float64),
        torch.ones(3, dtype=torch.bool),
        penalty,
    )
    oracle = LogisticRegression(C=1 / (2 * 90 * penalty), tol=1e-10, max_iter=5000).fit(features, label)
    ours = (torch.from_numpy(features) @ weight.T + bias).softmax(1).numpy()
    np.testing.assert_allclose(ours, oracle.predict_proba(features), atol=1e-4)


def test_soft_targets_are_clips_that_come_several_times():
    """A target of ¾ and ¼ is three clips of one view and one of the other; an untaught view has no part."""
    generator = np.random.default_rng(1)
    features = torch.from_numpy(generator.normal(size=(40, 3)))
    first = torch.from_numpy(generator.integers(2, size=40))
    target = torch.full((40, 3), 0.0, dtype=torch.float64)
    target[torch.arange(40), first], target[torch.arange(40), 1 - first] = 0.75, 0.25
    taught = torch.tensor([True, True, False])
    soft = fit_linear(features, target, torch.zeros(3).double(), taught, 1e-2)
    repeated = torch.cat([first, first, first, 1 - first])
    hard = fit_linear(features.repeat(4, 1), repeated, torch.zeros(3).double(), taught, 1e-2)
    for one, other in zip(soft, hard, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    assert (soft[0][2] == 0).all()


def test_the_head_is_fitted_to_features_as_they_are(classifier):
    """Scaled for the fit and back: features on another scale change no answer."""
    features, label = features_of(60, classifier.encoder.features), np.arange(60) % 3
    features[:, 0] += 2 * label
    settings = TrainSettings(method="probe")
    said = []
    for scale in (1.0, 100.0):
        fit_head(classifier, torch.from_numpy(features * scale), one_hot(label, 3), settings)
        said.append(classifier.logits(torch.from_numpy(features * scale)).softmax(dim=1).detach())
    torch.testing.assert_close(*said, atol=1e-3, rtol=1e-3)
    assert (said[0].argmax(dim=1).numpy() == label).mean() > 0.9


def test_propagated_answers_are_those_of_the_fitted_layer_in_its_exams(exams):
    """As the layer and the exams, called one by one; with few labels right more often than a probe."""
    views = standard_vocabulary()
    clips = load_clips(exams / "frames", exams / "catalogue.parquet", views).in_split("train")
    features = clips.read(clips.first).reshape(len(clips), -1)[:, ::7].astype(np.float32)
    features += 150 * features_of(*features.shape)
    few = replace(clips, label=np.where(clips.patient_code < 2, clips.label, -1))
    settings = TrainSettings()
    answers = propagated_answers(features, few, settings, views=len(views))
    taught = np.isin(np.arange(len(views)), few.label)
    assert ((answers == -np.inf) == ~taught).all()
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1, atol=1e-6)
    layer = Classifier(SimpleNamespace(features=features.shape[1]), len(views))
    layer.taught[:] = torch.from_numpy(taught)
    fit_on_features(layer, features, few, settings)
    with torch.no_grad():
        alone = layer.logits(torch.from_numpy(features)).log_softmax(dim=1).numpy()
    equal = np.zeros(len(views))
    nobody = np.zeros(len(few), bool)
    together = name_exams(alone, few, settings.exams, with_agent=nobody, log_prior=equal)
    np.testing.assert_allclose(answers[:, taught], together[:, taught], atol=1e-6)
    known = few.label >= 0
    probed = probe_answers(
        features[known], few.label[known], features, views=len(views), penalty=1e-2, adjustment=1.0
    )
    right, before = ((said.argmax(axis=1) == clips.label)[~known].mean() for said in (answers, probed))
    assert right > before + 0.2


def test_contrast_agent_is_a_logistic_regression(classifier):
    """That of scikit-learn, and NaN before clips with and without it taught it."""
    features = features_of(200, classifier.encoder.features)
    agent = (np.arange(200) % 10 == 0).astype(np.int64)
    features[:, 1] += 3 * agent
    agent[:20] = -1
    assert np.isnan(classifier.agent_probability(features)).all()
    fit_agent(classifier, features, np.where(agent == 1, -1, agent), 1e-2)
    assert np.isnan(classifier.agent_probability(features)).all()
    fit_agent(classifier, features, agent, 1e-2)
    known = agent >= 0
    scaled = (features[known] - features[known].mean(axis=0)) / features[known].std(axis=0, ddof=1)
    # two rows of weights w and -w have twice the norm: |w|² + |-w|² = |2w|²/2
    oracle = LogisticRegression(C=1 / (known.sum() * 1e-2), tol=1e-10, max_iter=5000).fit(
        scaled, agent[known]
    )
    logit = oracle.decision_function(scaled)
    ours = classifier.agent_probability(features)[known]
    np.testing.assert_allclose(np.log(ours / (1 - ours)), logit, atol=5e-2)
    assert ((ours > 0.5) == agent[known]).mean() > 0.9


def test_agent_is_told_as_said_and_else_as_the_head_has_it(classifier):
    features = features_of(200, classifier.encoder.features)
    agent = (np.arange(200) % 10 == 0).astype(np.int64)
    features[:, 1] += 8 * agent
    agent[0], agent[1] = 0, 1  # said, whatever it looks like
    agent[20:100] = -1
    settings = TrainSettings()
    told = told_agent(features, agent, settings)
    fit_agent(classifier, features, agent, settings.probe_penalty)
    answered = classifier.agent_probability(features) > 0.5
    np.testing.assert_array_equal(told, np.where(agent < 0, answered, agent == 1))
    assert told[20:100].sum() == pytest.approx(8, abs=4)
    together = settings.model_copy(update={"exams": ExamSettings(agent_apart=False)})
    assert not told_agent(features, agent, together).any()
    assert not told_agent(features, np.where(agent == 1, -1, agent), settings).any()
    only = np.where(agent == 0, -1, agent)  # as tags have it: with agent, or nothing said
    np.testing.assert_array_equal(told_agent(features, only, settings), agent == 1)


def test_contrast_agent_of_every_clip_is_answered_and_kept(exams, tmp_path, training):
    """Patients with even numbers had it, as far as training clips tell."""
    table = read_catalogue(exams / "catalogue.parquet")
    even = pl.col("patient").str.slice(1).cast(pl.Int32) % 2 == 0
    known = table.with_columns(contrast_agent=pl.when(pl.col("split") == "train").then(even))
    write_catalogue(known, tmp_path / "c.parquet")
    run = train(exams / "frames", tmp_path / "c.parquet", tmp_path / "run", training("naive", steps=3))
    said = Predictions.load(run / "predictions.parquet")
    assert ((said.agent > 0) & (said.agent < 1)).all()
    again = load_classifier(run)[0].agent_probability(said.features)
    np.testing.assert_allclose(again, said.agent, atol=1e-5)
    none = train(exams / "frames", exams / "catalogue.parquet", tmp_path / "b", training("naive", steps=3))
    assert np.isnan(Predictions.load(none / "predictions.parquet").agent).all()
