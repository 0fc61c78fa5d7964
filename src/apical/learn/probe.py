"""Classifiers on frozen features: linear, fitted to its optimum; by prototypes; by propagated labels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from apical.config import TrainSettings
from apical.learn.classifier import Classifier, classify_clips, window_features
from apical.learn.clips import Clips
from apical.learn.exams import exam_code, exam_targets, has_exams, name_exams
from apical.learn.graph import spread_labels
from apical.learn.imbalance import believed, log_prior, log_share

Targets = NDArray[np.float64]
Layer = tuple[Tensor, Tensor]
"""W (k, d) and b (k,), float64."""


def fit_probe(classifier: Classifier, teaching: Clips, settings: TrainSettings, device: torch.device) -> None:
    """Fit the linear layer alone, on features of whole frames of labelled clips; see `fit_head`."""
    clip, features = window_features(classifier, teaching, settings.input_size, device)
    fit_head(classifier, features, one_hot(teaching.label[clip], len(classifier.taught)), settings)


def fit_head(classifier: Classifier, features: Tensor, target: Targets, settings: TrainSettings) -> None:
    """Fit the linear layer of a classifier, in place, to the optimum of a convex loss; see `fit_layer`."""
    _set_head(classifier, fit_layer(features, target, classifier.taught.cpu(), settings))


def fit_layer(features: Tensor, target: Targets, taught: Tensor, settings: TrainSettings) -> Layer:
    """A linear layer at the optimum of a convex loss.

    Multinomial logistic regression with logit adjustment: mean cross-entropy plus `probe_penalty` times the
    squared norm of the weights, for features scaled to unit variance.

    Args:
        features: (n, d) float32.
        target: (n, k) float64, rows adding up to 1.
        taught: (k,) bool, views that may be answered.
        settings: penalty and adjustment.
    """
    offset = settings.imbalance.adjustment * log_share(target.sum(axis=0)).double()
    return fit_unscaled(features, torch.from_numpy(target), offset, taught, settings.probe_penalty)


def _set_head(classifier: Classifier, layer: Layer) -> None:
    if not isinstance(classifier.head, nn.Linear):
        raise ValueError("the head is not linear")
    with torch.no_grad():
        classifier.head.weight.copy_(layer[0])
        classifier.head.bias.copy_(layer[1])


def fit_unscaled(features: Tensor, target: Tensor, offset: Tensor, taught: Tensor, penalty: float) -> Layer:
    """`fit_linear` on features (n, d) float32 scaled to unit variance; W and b are for them as they are."""
    mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0).clamp(min=1e-6)
    weight, bias = fit_linear(((features - mean) / deviation).double(), target, offset, taught, penalty)
    return weight / deviation, bias - weight @ (mean / deviation).double()


def probe_answers(
    features: NDArray[np.float32],
    label: NDArray[np.int64],
    asked: NDArray[np.float32],
    *,
    views: int,
    penalty: float,
    adjustment: float,
) -> NDArray[np.float64]:
    """What a probe, taught on some clips, says of others.

    Args:
        features: (n, d) of those that teach.
        label: (n,) their views, below `views`.
        asked: (m, d) of those that are asked.
        views: k.
        penalty: of the probe, see `fit_linear`.
        adjustment: strength of logit adjustment.

    Returns:
        (m, k) log-probabilities; -inf for views that nobody taught.
    """
    taught = torch.from_numpy(np.bincount(label, minlength=views) > 0)
    offset = adjustment * log_prior(label, views).double()
    weight, bias = fit_unscaled(torch.from_numpy(features), torch.from_numpy(label), offset, taught, penalty)
    logits = torch.from_numpy(asked).double() @ weight.T + bias
    return np.asarray(logits.masked_fill(~taught, -torch.inf).log_softmax(dim=1))


def fit_linear(features: Tensor, target: Tensor, offset: Tensor, taught: Tensor, penalty: float) -> Layer:
    """Minimise mean cross-entropy(features @ W.T + b + offset, target) + penalty · |W|², by L-BFGS.

    Args:
        features: (n, d) float64.
        target: (n,) int64 below k, or (n, k) float64 with rows adding up to 1.
        offset: (k,) added to the logits in training only.
        taught: (k,) bool; the other views keep zero weights and are left out of the softmax.
        penalty: weight of the squared norm.

    Returns:
        W (k, d) and b (k,), float64.
    """
    weight = torch.zeros(len(taught), features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(taught), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=500, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = (features @ weight.T + bias + offset).masked_fill(~taught, -1e4)
        value = F.cross_entropy(logits, target) + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()


def fit_agent(
    classifier: Classifier, features: NDArray[np.float32], agent: NDArray[np.int64], penalty: float
) -> None:
    """Fit the head for contrast agent on features (n, d) of clips, as frequent as it is among them.

    Args:
        classifier: whose features they are; its head stays untaught unless there are clips with and without.
        features: (n, d).
        agent: (n,) 1 with, 0 without, -1 unknown.
        penalty: see `fit_linear`.
    """
    layer = _agent_layer(features, agent, penalty)
    if layer is not None:
        with torch.no_grad():
            classifier.agent.weight.copy_(layer[0])
            classifier.agent.bias.copy_(layer[1])
            classifier.agent_taught.fill_(True)


def told_agent(
    features: NDArray[np.float32], agent: NDArray[np.int64], settings: TrainSettings
) -> NDArray[np.bool_]:
    """Which clips have contrast agent, (n,): as said, else as `fit_agent` has it, where it can be fitted.

    Args:
        features: (n, d).
        agent: (n,) 1 with, 0 without, -1 unknown.
        settings: the penalty; if exams do not set clips with agent apart, none has it.
    """
    if not settings.exams.agent_apart:
        return np.zeros(len(agent), bool)
    told: NDArray[np.bool_] = agent == 1
    layer = _agent_layer(features, agent, settings.probe_penalty)
    if layer is not None:
        logit = F.linear(torch.from_numpy(features).double(), *layer).squeeze(1).numpy()
        told |= (agent < 0) & (logit > 0)
    return told


def _agent_layer(features: NDArray[np.float32], agent: NDArray[np.int64], penalty: float) -> Layer | None:
    """A logistic regression, W (1, d) and b (1,); None unless there are clips with agent and without."""
    known = agent >= 0
    if len(np.unique(agent[known])) < 2:
        return None
    nothing = torch.zeros(2, dtype=torch.float64)
    both = torch.ones(2, dtype=torch.bool)
    weight, bias = fit_unscaled(
        torch.from_numpy(features[known]), torch.from_numpy(agent[known]), nothing, both, penalty
    )
    return weight[1:] - weight[:1], bias[1:] - bias[:1]


def fit_prototypes(
    classifier: Classifier, teaching: Clips, settings: TrainSettings, device: torch.device
) -> None:
    """Each view's direction is the mean of its patients' mean directions.

    Prototypical networks (Snell et al. 2017, arXiv 1703.05175, eq. 1) but for the mean: a patient with many
    clips of a view counts as one. The head must be a `CosineHead`.
    """
    clip, features = window_features(classifier, teaching, settings.input_size, device)
    direction = F.normalize(features, dim=1)
    label, patient = teaching.label[clip], teaching.patient_code[clip]
    with torch.no_grad():
        for view in np.unique(label):
            of_view = [
                direction[torch.from_numpy((label == view) & (patient == one))].mean(dim=0)
                for one in np.unique(patient[label == view])
            ]
            classifier.head.weight[view] = torch.stack(of_view).mean(dim=0)


def fit_propagated(
    classifier: Classifier, everything: Clips, settings: TrainSettings, device: torch.device
) -> None:
    """Spread the labels over the graph of all training clips, then fit the linear layer to what they say.

    Then again, `exams.rounds` times, to what that layer says of whole exams: so what a clip leaves open and
    its exam does not is learned by a layer that sees one clip. What was labelled keeps its label.
    """
    features = classify_clips(classifier, everything, settings.input_size, device).features
    fit_on_features(classifier, features, everything, settings)


def fit_on_features(
    classifier: Classifier, features: NDArray[np.float32], clips: Clips, settings: TrainSettings
) -> None:
    """`fit_propagated` from the features (n, d) of n clips."""
    _set_head(classifier, fit_spread(features, clips, classifier.taught.cpu(), settings))


def fit_spread(features: NDArray[np.float32], clips: Clips, taught: Tensor, settings: TrainSettings) -> Layer:
    """The linear layer of `fit_propagated`.

    Args:
        features: (n, d) of n clips.
        clips: with labels, or without.
        taught: (k,) bool, views that may be answered.
        settings: of graph, exams and layer.
    """
    views = len(taught)
    with_agent = told_agent(features, clips.agent, settings)
    exam = exam_code(clips, with_agent)
    target = spread_labels(features, clips.label, clips.patient_code, exam, views, settings.graph)
    labelled = clips.label >= 0
    target[labelled] = one_hot(clips.label[labelled], views)
    reached = target.any(axis=1)
    values = torch.from_numpy(features)
    layer = fit_layer(values[torch.from_numpy(reached)], target[reached], taught, settings)
    rounds = settings.exams.rounds if settings.exams.teach and has_exams(clips) else 0
    for _ in range(rounds):
        shares = believed(target.sum(axis=0), settings.imbalance.adjustment)
        said = _said(values, layer, taught)
        target = exam_targets(said, clips, settings.exams, with_agent=with_agent, log_prior=shares)
        layer = fit_layer(values, target, taught, settings)
    return layer


def propagated_answers(
    features: NDArray[np.float32],
    clips: Clips,
    settings: TrainSettings,
    *,
    views: int,
    teaching: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """What the layer of `fit_spread` says of all clips, each given its whole exam, at a temperature of 1.

    Args:
        features: (n, d) of n clips.
        clips: some of them labelled.
        settings: of graph, exams and layer.
        views: k.
        teaching: (n,) clips from which it is learned, labelled or not; all by default. Nothing that is said
            of the others (views, contrast agent) has a part.

    Returns:
        (n, k) log-probabilities; -inf for views that no clip is labelled with.
    """
    teaching = np.ones(len(clips), bool) if teaching is None else teaching
    pool = clips.select(teaching)
    count = np.bincount(pool.label[pool.label >= 0], minlength=views)
    taught = torch.from_numpy(count > 0)
    layer = fit_spread(features[teaching], pool, taught, settings)
    answers = name_exams(
        _said(torch.from_numpy(features), layer, taught),
        clips,
        settings.exams,
        with_agent=told_agent(features, np.where(teaching, clips.agent, -1), settings),
        teaching=teaching,
        log_prior=believed(count, settings.imbalance.adjustment),
    )
    answers[:, count == 0] = -np.inf
    return answers


def _said(values: Tensor, layer: Layer, taught: Tensor) -> NDArray[np.float32]:
    logits = F.linear(values, layer[0].float(), layer[1].float()).masked_fill(~taught, -1e4)
    return logits.log_softmax(dim=1).numpy()


def one_hot(label: NDArray[np.int64], views: int) -> Targets:
    """(n, k) with a 1 in each row, where its label says."""
    return np.eye(views)[label]
