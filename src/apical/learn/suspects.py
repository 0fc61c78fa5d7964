"""Which labels are probably wrong: confident learning on answers given without the patient's labels.

Northcutt et al. 2021, arXiv 1911.00068. Who answers learned from propagated labels and goes exam by exam,
so knows more than a probe (docs/study.md). A probability of zero (logarithm -inf) says that a view could not
be answered, as it had not been taught; a clip whose own label could not be answered is not judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apical.config import TrainSettings
from apical.errors import CannotDo, WrongCall
from apical.learn.backbones import channels_last
from apical.learn.classifier import Classifier, classify_clips
from apical.learn.clips import Clips, load_clips
from apical.learn.device import fabric_on
from apical.learn.probe import propagated_answers
from apical.learn.start import SHIPPED, load_encoder
from apical.views import Vocabulary, standard_vocabulary

Codes = NDArray[np.int64]
Values = NDArray[np.float64]

FOLDS = 5
MOST_OF_A_VIEW = 0.5  # of its clips; if more look wrong, the probe does not know the view
_EQUAL = 1e-6  # a probability so little below the threshold reaches it


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong.

    Attributes:
        clip: its id.
        said: the view of the label.
        likelier: the view that looks likeliest.
        suspicion: see `suspicion`; above 0.5, 1 at most.
    """

    clip: str
    said: str
    likelier: str
    suspicion: float


def check_labels(
    store: Path,
    catalogue: Path,
    *,
    encoder: Path | None = None,
    vocabulary: Vocabulary | None = None,
    folds: int = FOLDS,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Suspect]:
    """List the labels of training clips that are probably wrong, the most suspicious first.

    An encoder that was pre-trained with these labels (relations by view) has learned the wrong ones too.

    Args:
        store: folder of a frame store.
        catalogue: with splits and labels; only clips of split ``train`` are looked at.
        encoder: run folder of a pre-training; by default the shipped encoder.
        vocabulary: the views; the standard ones by default.
        folds: parts of the patients; each is judged without their labels.
        tell: called with a line for each view that cannot be checked.

    Raises:
        WrongCall: fewer than two folds, or labels that the vocabulary does not know.
        CannotDo: no label can be checked, or unreadable inputs.
    """
    vocabulary = vocabulary or standard_vocabulary()
    clips = load_clips(store, catalogue, vocabulary).in_split("train")
    labelled = clips.label >= 0
    if len(np.unique(clips.label[labelled])) < 2:
        raise CannotDo(
            "fewer than two views are labelled among the training patients",
            "import labels ('apical labels import') and give splits ('apical labels split')",
        )
    settings, features = TrainSettings(), embed_clips(encoder or SHIPPED, clips)

    def answer(label: Codes) -> Values:
        known = replace(clips, label=label)
        return propagated_answers(features, known, settings, views=len(vocabulary))

    answers = cross_fitted(answer, clips.label, clips.patient_code, views=len(vocabulary), folds=folds)[
        labelled
    ]
    clips = clips.labelled()
    judged = _judged(answers, clips.label)
    for view in np.unique(clips.label[~judged]):
        left = int((~judged & (clips.label == view)).sum())
        tell(
            f"{left} label{'s' if left > 1 else ''} of {vocabulary.names[view]} cannot be checked: "
            "too few other patients have one"
        )
    if not judged.any():
        raise CannotDo("no label can be checked", "label each view in two patients at least")
    doubt = suspicion(answers, clips.label)
    wrong = np.flatnonzero(likely_wrong(answers, clips.label))
    names = vocabulary.names
    return [
        Suspect(str(clips.clip[i]), names[clips.label[i]], names[answers[i].argmax()], float(doubt[i]))
        for i in wrong[np.argsort(-doubt[wrong], kind="stable")]
    ]


def embed_clips(encoder: Path, clips: Clips) -> NDArray[np.float32]:
    """Features (n, d) of clips by the encoder of a pre-training run; see `load_encoder` for the errors."""
    backbone, pretrained = load_encoder(encoder)
    device = fabric_on("auto").device
    classifier = Classifier(backbone, 1)
    channels_last(classifier).to(device)
    return classify_clips(classifier, clips, pretrained.input_size, device).features


def cross_fitted(
    answer: Callable[[Codes], Values], label: Codes, patient: Codes, *, views: int, folds: int = FOLDS
) -> Values:
    """What is said of labelled clips by those who do not know the labels of their patients.

    Args:
        answer: given labels (n,), or -1, gives log-probabilities (n, k) of all clips; -inf for views without.
        label: (n,) views, or -1.
        patient: (n,) equal for clips of one patient.
        views: k.
        folds: parts of the patients (`patient_folds`); one a patient at most.

    Returns:
        (n, k) log-probabilities; -inf for views that no labelled patient outside the clip's fold has, and for
        clips without a label.

    Raises:
        WrongCall: fewer than two folds.
    """
    if folds < 2:
        raise WrongCall("labels are checked by at least two folds of patients", "use 5")
    labelled = np.flatnonzero(label >= 0)
    fold = np.full(len(label), -1)
    fold[labelled] = patient_folds(label[labelled], patient[labelled], folds)
    answers = np.full((len(label), views), -np.inf)
    for held_out in np.unique(fold[labelled]):
        others = np.where(fold == held_out, -1, label)
        if (others >= 0).any():
            answers[fold == held_out] = answer(others)[fold == held_out]
    return answers


def patient_folds(label: Codes, patient: Codes, folds: int) -> Codes:
    """Deal patients into folds so that each view's patients are spread over them, (n,) below `folds`.

    Each patient goes where its views have the smallest shares of their patients (squares summed), then to the
    fold with the fewest clips.

    Args:
        label: (n,) views.
        patient: (n,) equal for clips of one patient.
        folds: wanted; no more than patients are used.
    """
    _, first, code = np.unique(patient, return_index=True, return_inverse=True)
    code = np.argsort(np.argsort(first))[code]  # by first appearance, whatever the numbers
    has = np.zeros((len(first), label.max(initial=-1) + 1), bool)
    has[code, label] = True
    clips = np.bincount(code)
    patients = has.sum(axis=0)
    dealt = np.zeros((folds, has.shape[1]))
    size = np.zeros(folds)
    of_patient = np.zeros(len(first), np.int64)
    for one in range(len(first)):
        crowding = (((dealt[:, has[one]] + 1) / patients[has[one]]) ** 2).sum(axis=1)
        place = np.lexsort((size, crowding.round(9)))[0]
        of_patient[one] = place
        dealt[place] += has[one]
        size[place] += clips[one]
    return of_patient[code]


def suspicion(log_probabilities: Values, label: Codes) -> Values:
    """How much a label is doubted, (n,): (1 + p(likeliest other view) - p(its view)) / 2.

    One less the normalised margin (Northcutt et al. 2021, sec. 3.2): 0 for certainly right, 1 for certainly
    wrong, above 0.5 where another view is likelier; NaN where the label is not judged.

    Args:
        log_probabilities: (n, k), out of sample.
        label: (n,) below k.
    """
    others = np.exp(log_probabilities)
    rows = np.arange(len(label))
    own = others[rows, label].copy()
    others[rows, label] = 0
    return np.where(_judged(log_probabilities, label), (1 + others.max(axis=1) - own) / 2, np.nan)


def confident_joint(log_probabilities: Values, label: Codes) -> Codes:
    """How many clips are labelled i and confidently show j, (k, k) (Northcutt et al. 2021, eq. 1).

    A clip confidently shows j if p(j) reaches its mean over the clips that are labelled j; the likeliest of
    several; none if it is none. Clips that are not judged do not count, and nothing shows a view without
    judged clips.

    Args:
        log_probabilities: (n, k), out of sample.
        label: (n,) below k.
    """
    judged = _judged(log_probabilities, label)
    probability, label = np.exp(log_probabilities[judged]), label[judged]
    views = log_probabilities.shape[1]
    count = np.bincount(label, minlength=views)
    own = np.bincount(label, weights=probability[np.arange(len(label)), label], minlength=views)
    threshold = np.where(count > 0, own / np.maximum(count, 1), np.inf)
    reached = np.where(probability >= threshold - _EQUAL, probability, -1)
    shows = reached.argmax(axis=1)
    confident = reached.max(axis=1, initial=-1) >= 0
    cell = label[confident] * views + shows[confident]
    return np.asarray(np.bincount(cell, minlength=views**2).reshape(views, views), np.int64)


def calibrated(joint: Codes, count: Codes) -> Codes:
    """The joint scaled so that its rows add up to the labels of each view, (k, k) (eq. 3), in whole clips.

    At least one clip of each view counts as rightly labelled. Rounded by largest remainders.

    Args:
        joint: (k, k) as of `confident_joint`.
        count: (k,) judged clips labelled so.
    """
    joint = joint.copy()
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    exact = joint / joint.sum(axis=1, keepdims=True) * count[:, None]
    whole: Codes = np.floor(exact + 1e-9).astype(np.int64)
    for row, left in enumerate(count - whole.sum(axis=1)):
        whole[row, np.argsort(whole[row] - exact[row], kind="stable")[:left]] += 1
    return whole


def likely_wrong(log_probabilities: Values, label: Codes, most: float = MOST_OF_A_VIEW) -> NDArray[np.bool_]:
    """Which labels are probably wrong, (n,): pruning by noise rate (Northcutt et al. 2021, sec. 3.2).

    Of the clips labelled i, as many as the calibrated joint says show j: those with the largest
    p(j) - p(i); but none whose label is the likeliest view. Where that would be more than a share of a view's
    judged clips, only its most suspicious ones: a view of few patients looks wrong as a whole where the
    classifier does not know it.

    Args:
        log_probabilities: (n, k), out of sample.
        label: (n,) below k.
        most: largest share of a view's judged clips.
    """
    judged = _judged(log_probabilities, label)
    probability = np.exp(log_probabilities)
    doubt = suspicion(log_probabilities, label)
    views = probability.shape[1]
    count = np.bincount(label[judged], minlength=views)
    noise = calibrated(confident_joint(log_probabilities, label), count)
    wrong = np.zeros(len(label), bool)
    for said in range(views):
        rows = np.flatnonzero(judged & (label == said))
        for shown in np.flatnonzero(np.arange(views) != said):
            surplus = probability[rows, shown] - probability[rows, said]
            wrong[rows[np.argsort(-surplus, kind="stable")[: noise[said, shown]]]] = True
        wrong[rows] &= probability[rows].argmax(axis=1) != said
        wrong[rows[np.argsort(-doubt[rows], kind="stable")[int(most * len(rows)) :]]] = False
    return wrong


def _judged(log_probabilities: Values, label: Codes) -> NDArray[np.bool_]:
    return np.asarray(log_probabilities[np.arange(len(label)), label] > -np.inf)
