"""The masked contrastive loss."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from apical.config import ObjectiveSettings
from apical.learn.relations import Members, pairs


def masked_contrastive(
    anchors: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    temperature: float,
    candidates: Tensor | None = None,
    positive_prior: float = 0.0,
    hardness: float = 0.0,
    ignore_nearest: int = 0,
) -> Tensor:
    """Contrastive loss over the pairs that two masks name.

    For an anchor i with positives P(i), negatives N(i) and cosine similarity s::

        L_i = -1/|P(i)| Σ_{p ∈ P(i)} log( exp(s_ip/τ) / (Σ_{a ∈ P(i)} exp(s_ia/τ) + |N(i)| g_i) )

    With g_i the mean of exp(s_ia/τ) over the negatives that is SupCon's L_out (Khosla et al. 2020, eq. 2)
    and, with one positive and all others negative, NT-Xent (Chen et al. 2020, eq. 1). `log_negatives` gives
    the other forms of g_i. The loss is the mean over the anchors that have a positive and a negative; the
    others are dropped, and it is zero when all are.

    Args:
        anchors: (n, d), not normalised. Half precision is raised to float32 first: exp(1/0.07)
            is infinite in half precision.
        positive: (n, m) bool, pairs to pull together.
        negative: (n, m) bool, pairs to push apart; pairs in neither mask are ignored, and a pair in both
            counts as positive.
        temperature: τ > 0.
        candidates: (m, d); the anchors themselves if None, and the diagonals are then disregarded.
        positive_prior, hardness: see `log_negatives`.
        ignore_nearest: so many negatives most alike to each anchor are ignored, as likely false ones
            (Huynh et al. 2022, arXiv 2011.11765).

    Returns:
        a scalar, float32 (or float64 for float64 embeddings).
    """
    with torch.autocast(anchors.device.type, enabled=False):
        unit = _unit(anchors)
        if candidates is None:
            others = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
            positive, negative, against = positive & others, negative & others, unit
        else:
            against = _unit(candidates).to(unit.dtype)
        negative = negative & ~positive
        similarity = unit @ against.T / temperature
        if ignore_nearest:
            negative = without_nearest(similarity, negative, ignore_nearest)
        used = positive.any(dim=1) & negative.any(dim=1)
        if not used.any():
            return anchors.sum() * 0
        similarity, positive, negative = similarity[used], positive[used], negative[used]
        log_positives = _log_sum(similarity, positive)
        log_total = torch.logaddexp(
            log_positives,
            log_negatives(similarity, positive, negative, temperature, positive_prior, hardness),
        )
        log_share = (similarity - log_total[:, None]).masked_fill(~positive, 0)
        return -(log_share.sum(dim=1) / positive.sum(dim=1)).mean()


def log_negatives(
    similarity: Tensor,
    positive: Tensor,
    negative: Tensor,
    temperature: float,
    positive_prior: float = 0.0,
    hardness: float = 0.0,
) -> Tensor:
    """log(|N| g), what the negatives add to the denominator, (n,).

    Plain (both zero): g is the mean of exp(s/τ) over the negatives. Hard (Robinson et al. 2021, arXiv
    2010.04592): a mean with weights exp(β s/τ). Debiased (Chuang et al. 2020, arXiv 2007.00224, eq. 7): the
    share π of the negatives that really are positives is taken off, as the positives Q tell of them::

        g = max( (mean_N − π mean_Q) / (1 − π), exp(−1/τ) )

    Args:
        similarity: (n, m), s/τ.
        positive: (n, m) bool, Q; at least one a row where π > 0.
        negative: (n, m) bool, N; at least one a row.
        temperature: τ.
        positive_prior: π.
        hardness: β.
    """
    log_count = negative.sum(dim=1).to(similarity.dtype).log()
    if hardness:
        log_mean = _log_sum((1 + hardness) * similarity, negative) - _log_sum(hardness * similarity, negative)
    else:
        log_mean = _log_sum(similarity, negative) - log_count
    if positive_prior:
        log_of_positives = _log_sum(similarity, positive) - positive.sum(dim=1).to(similarity.dtype).log()
        top = torch.maximum(log_mean, log_of_positives).detach()
        rest = (log_mean - top).exp() - positive_prior * (log_of_positives - top).exp()
        least = torch.finfo(similarity.dtype).tiny
        log_mean = top + rest.clamp(min=least).log() - math.log(1 - positive_prior)
        log_mean = log_mean.clamp(min=-1 / temperature)
    return log_count + log_mean


def without_nearest(similarity: Tensor, negative: Tensor, count: int) -> Tensor:
    """The negatives (n, m) without the `count` most alike to each anchor."""
    shown = similarity.detach().masked_fill(~negative, -torch.inf)
    nearest = shown.topk(min(count, shown.shape[1]), dim=1).indices
    return negative & ~torch.zeros_like(negative).scatter(1, nearest, True)


def contrastive(
    anchors: Tensor,
    members: Members,
    settings: ObjectiveSettings,
    *,
    candidates: Tensor | None = None,
    candidate_members: Members | None = None,
) -> Tensor:
    """One relation against one or two sets of negatives; see `pairs` and `masked_contrastive`.

    A set of which the batch has none (where each patient has one clip, no other clip of his is there) leaves
    its share to the other.

    Args:
        anchors: (n, d).
        members: what the n rows are.
        settings: relation, negatives, temperature.
        candidates: (m, d), with `candidate_members`; the anchors themselves if None.
    """
    positive, sets = pairs(members, candidate_members or members, settings)
    there = [(share, negative) for share, negative in sets if (positive.any(1) & negative.any(1)).any()]
    loss = anchors.sum() * 0
    for share, negative in there:
        loss = loss + share * masked_contrastive(
            anchors,
            positive,
            negative,
            temperature=settings.temperature,
            candidates=candidates,
            positive_prior=settings.positive_prior,
            hardness=settings.hardness,
            ignore_nearest=settings.ignore_nearest,
        )
    return loss / max(sum(share for share, _ in there), 1e-9)


def _unit(embeddings: Tensor) -> Tensor:
    return F.normalize(embeddings if embeddings.dtype == torch.float64 else embeddings.float(), dim=1)


def _log_sum(values: Tensor, where: Tensor) -> Tensor:
    """log Σ exp over the chosen entries of each row, (n,)."""
    return values.masked_fill(~where, -torch.inf).logsumexp(dim=1)
