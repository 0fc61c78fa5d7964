"""Lessons with a contrastive loss beside the classifier's own: on labels alone, or on all clips."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from apical.learn.batches import epoch_batches
from apical.learn.clips import Clips
from apical.learn.lessons import Desk, Learner, Lesson
from apical.learn.losses import contrastive, masked_contrastive
from apical.learn.relations import Members


def supcon(desk: Desk) -> Lesson:
    """Supervised contrastive and logit-adjusted cross-entropy, on two crops of labelled clips."""
    settings = desk.settings

    def lesson(network: nn.Module, step: int) -> Tensor:
        logits, embeddings, label = _two_crops(desk, network)
        alike = label[:, None] == label[None]
        temperature = settings.contrast.objective.temperature
        beside = masked_contrastive(embeddings, alike, ~alike, temperature=temperature)
        return F.cross_entropy(desk.adjusted(logits), label) + settings.contrast.weight * beside

    return lesson


def bcl(desk: Desk, learner: Learner) -> Lesson:
    """As `supcon`, with the balanced contrastive loss, whose views have a learned centre each."""
    settings = desk.settings
    taught = np.flatnonzero(desk.count)

    def lesson(network: nn.Module, step: int) -> Tensor:
        logits, embeddings, label = _two_crops(desk, network)
        if learner.centres is None:
            raise ValueError("bcl needs centres")
        beside = balanced_contrastive(
            embeddings,
            label,
            learner.centres.weight[taught],
            torch.from_numpy(taught).to(label.device),
            settings.contrast.objective.temperature,
        )
        return F.cross_entropy(desk.adjusted(logits), label) + settings.contrast.weight * beside

    return lesson


def balanced_contrastive(
    embeddings: Tensor, label: Tensor, centres: Tensor, view: Tensor, temperature: float
) -> Tensor:
    """Balanced contrastive learning (Zhu et al. 2022, arXiv 2207.09052, eq. 8): SupCon that every view enters
    with the same weight, and with one centre, however few its crops in the batch::

        L_i = −1/|P_i| Σ_{p ∈ P_i} log( exp(s_ip/τ) / Σ_v 1/|B_v| Σ_{a ∈ B_v} exp(s_ia/τ) )

    B_v are the crops of view v but for i, and its centre; P_i = B_v for the view of i.

    Args:
        embeddings: (n, d), not normalised.
        label: (n,) views.
        centres: (m, d), not normalised.
        view: (m,) whose centres they are; all of `label` are there.
        temperature: τ.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        wide = embeddings.dtype if embeddings.dtype == torch.float64 else torch.float32
        anchors, unit_centres = (F.normalize(x.to(wide), dim=1) for x in (embeddings, centres))
        similarity = anchors @ torch.cat([anchors, unit_centres]).T / temperature
        of = torch.cat([label, view])
        itself = torch.eye(len(label), len(of), dtype=torch.bool, device=label.device)
        member = of[None, None, :] == view[None, :, None]  # (1, m, n + m)
        member = member & ~itself[:, None, :]
        size = member.sum(dim=2)  # (n, m)
        log_mean = similarity[:, None, :].masked_fill(~member, -torch.inf).logsumexp(dim=2) - size.log()
        log_total = log_mean.logsumexp(dim=1)
        positive = (of[None] == label[:, None]) & ~itself
        log_share = (similarity - log_total[:, None]).masked_fill(~positive, 0)
        return -(log_share.sum(dim=1) / positive.sum(dim=1)).mean()


def joint(desk: Desk, everything: Clips) -> Lesson:
    """Logit-adjusted cross-entropy on labelled clips, and the contrastive loss of pre-training on all clips.

    About `pseudo.share` of the crops of a batch are two of each clip of whole exams, or of parts of long
    ones, labelled or not.

    Args:
        desk: of the labelled clips.
        everything: all training clips.
    """
    settings = desk.settings
    relation = settings.contrast.objective.relation
    batches = _forever(desk, everything, max(2, desk.others // 2))
    study, patient = (torch.from_numpy(code) for code in (everything.study_code, everything.patient_code))

    def lesson(network: nn.Module, step: int) -> Tensor:
        chosen = desk.draw(settings.batch_frames - desk.others)
        rows = desk.rows(desk.teaching, chosen)
        exams = next(batches)
        of_exams = desk.rows(everything, exams, each=2, same=relation == "same-frame")
        crops = desk.crops(everything, np.concatenate([rows, of_exams]))
        logits, embeddings = network(crops)
        clip = torch.from_numpy(np.tile(exams, 2))
        members = Members(
            crop=torch.arange(len(clip)),
            frame=torch.from_numpy(of_exams[:, 0]),
            clip=clip,
            study=study[clip],
            patient=patient[clip],
            label=torch.from_numpy(everything.label)[clip],
        )
        on_device = Members.from_table(members.table().to(desk.device))
        beside = contrastive(embeddings[len(rows) :], on_device, settings.contrast.objective)
        return (
            F.cross_entropy(desk.adjusted(logits[: len(rows)]), desk.label(chosen))
            + settings.contrast.weight * beside
        )

    return lesson


def _two_crops(desk: Desk, network: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, embeddings and views of two crops each of labelled clips."""
    chosen = desk.draw(desk.settings.batch_frames // 2)
    logits, embeddings = network(desk.labelled_crops(chosen, each=2))
    return logits, embeddings, desk.label(np.tile(chosen, 2))


def _forever(desk: Desk, clips: Clips, batch_clips: int) -> Iterator[NDArray[np.int64]]:
    """Batches of exams, epoch after epoch; those of more than half a batch are dealt out."""
    while True:
        yield from epoch_batches(
            clips.patient_code,
            clips.label,
            batch_clips=batch_clips,
            exam_clips=max(2, batch_clips // 2),
            generator=desk.generator,
        )
