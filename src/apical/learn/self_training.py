"""Self-training: a classifier teaches its successor, with what whole exams have to say.

Xie et al. 2020 (arXiv 1911.04252) without its noise in the network. Students learn all clips in one pool, and
labels as far as they are believed (`exam_targets`): with half of each batch from the labelled clips, by their
labels, the rare views were no better, and much worse where some labels are wrong. On a pre-trained encoder a
student begins where its teacher began; from random weights it goes on from its teacher, which is better there
(docs/study.md).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from apical.errors import WrongCall
from apical.learn.classifier import Classifier, classify_clips
from apical.learn.clips import Clips
from apical.learn.exams import exam_targets
from apical.learn.fitting import Trainer
from apical.learn.imbalance import believed
from apical.learn.lessons import Desk, Learner, supervised
from apical.learn.probe import fit_propagated, told_agent
from apical.learn.pseudo import on_targets


def self_train(
    trainer: Trainer,
    desk: Desk,
    everything: Clips,
    begin: Callable[[], Classifier],
    *,
    pretrained: bool,
) -> Classifier:
    """A teacher, and student after student.

    The first teacher is a linear layer that learned from propagated labels (`fit_propagated`), on an encoder
    that is pre-trained or, where it is not, has been taught by the labels for its share of the steps.

    Args:
        trainer: runs the steps.
        desk: of the labelled clips.
        everything: all training clips.
        begin: gives a classifier to teach, the same each time.
        pretrained: whether its encoder is.

    Returns:
        the last student.

    Raises:
        WrongCall: the steps are fewer than the networks to teach.
    """
    settings = desk.settings
    rounds = settings.pseudo.rounds
    rate = settings.encoder_rate if pretrained else 1.0
    teacher = begin()
    shares = rounds if pretrained else rounds + 1
    each = settings.steps // shares
    if not each:
        raise WrongCall(
            f"{settings.steps} steps are too few for {shares} networks, one after another",
            "give more --steps, or fewer rounds",
        )
    shares_of_views = believed(desk.count, settings.imbalance.adjustment)
    if not pretrained:
        lesson = supervised(desk, adjustment=settings.imbalance.adjustment)
        trainer.fit(Learner(teacher).to(desk.device), lesson, settings.steps - rounds * each)
    fit_propagated(teacher, everything, settings, desk.device)
    for number in range(rounds):
        outputs = classify_clips(teacher, everything, settings.input_size, desk.device)
        target = exam_targets(
            outputs.log_probabilities,
            everything,
            settings.exams,
            with_agent=told_agent(outputs.features, everything.agent, settings),
            log_prior=shares_of_views,
        )
        shares_of_views = believed(desk.count, 1.0)  # students see each view as often
        if pretrained:
            teacher = begin()
        lesson = on_targets(desk, everything, torch.from_numpy(target).float())
        last = number == rounds - 1
        steps = settings.steps - trainer.done if last else each
        trainer.fit(Learner(teacher).to(desk.device), lesson, steps, encoder_rate=rate)
    return teacher
