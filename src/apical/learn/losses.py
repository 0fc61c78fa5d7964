"""The masked contrastive loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from apical.learn.relations import POSITIVES, Members, all_others, same_patient_other_clips


def masked_contrastive(
    embeddings: Tensor, positive: Tensor, negative: Tensor, *, temperature: float
) -> Tensor:
    """Contrastive loss over the pairs that two masks name.

    For an anchor i with positives P(i), negatives N(i) and cosine similarity s::

        L_i = -1/|P(i)| Σ_{p ∈ P(i)} log( exp(s_ip/τ) / Σ_{a ∈ P(i) ∪ N(i)} exp(s_ia/τ) )

    which is SupCon's L_out (Khosla et al. 2020, eq. 2) and, with one positive and all others
    negative, NT-Xent (Chen et al. 2020, eq. 1). The loss is the mean over the anchors that have a
    positive and a negative; the others are dropped, and it is zero when all are.

    Args:
        embeddings: (n, d), not normalised. Half precision is raised to float32 first: exp(1/0.07)
            is infinite in half precision.
        positive: (n, n) bool, pairs to pull together.
        negative: (n, n) bool, pairs to push apart; pairs in neither mask are ignored. The
            diagonal of both is disregarded, and a pair in both counts as positive.
        temperature: τ > 0.

    Returns:
        a scalar, float32 (or float64 for float64 embeddings).
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        if embeddings.dtype != torch.float64:
            embeddings = embeddings.float()
        unit = F.normalize(embeddings, dim=1)
        others = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        positive, negative = positive & others, negative & others & ~positive
        anchors = positive.any(dim=1) & negative.any(dim=1)
        if not anchors.any():
            return embeddings.sum() * 0
        similarity = unit[anchors] @ unit.T / temperature
        positive, candidates = positive[anchors], (positive | negative)[anchors]
        log_total = similarity.masked_fill(~candidates, -torch.inf).logsumexp(dim=1, keepdim=True)
        log_share = (similarity - log_total).masked_fill(~positive, 0)
        return -(log_share.sum(dim=1) / positive.sum(dim=1)).mean()


def contrastive_objective(
    embeddings: Tensor, members: Members, *, relation: str, same_patient_share: float, temperature: float
) -> Tensor:
    """The pre-training loss: one relation, seen against two sets of negatives.

    A share of the loss contrasts only with the same patient's other clips; the rest with all
    others. See `masked_contrastive` for shapes.
    """
    positive = POSITIVES[relation](members)
    loss = embeddings.new_zeros(())
    for share, negatives in (
        (1 - same_patient_share, all_others),
        (same_patient_share, same_patient_other_clips),
    ):
        if share > 0:
            negative = negatives(members, positive)
            loss = loss + share * masked_contrastive(embeddings, positive, negative, temperature=temperature)
    return loss
