"""Are a run's features alive, and do they follow the view or something easier?

Embeddings are what the loss sees (the rows of a batch, from the projection head); features are what the
encoder gives for clips. Both are float tensors on any device, and need not be normalised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apical.learn.neighbours import Codes, knn_view_accuracy, shared_rates, unit

UNIFORMITY_SCALE = 2.0  # t of Wang & Isola 2020

# Networks here have 0.8 before training, 0.9 after, 0.7 with a far too high learning rate, and 0.4 where all
# crops of a patient are positives; with a tenth, any two crops differ by a few degrees.
LOWEST_STD = 0.1
# Networks here have 14 before training, 35 after, and 5 with a far too high learning rate. Features that tell
# k views apart span about k directions; two cannot hold a dozen views.
LOWEST_RANK = 2.5
FEWEST_FOR_RANK = 16  # clips and dimensions; fewer cannot tell a low rank from a small sample
# Shortcuts, in shares of the way from what chance gives (0) to always (1), less two standard errors. Networks
# that were taught to tell patients or machines apart had 0.13 and 0.2 here, all others nothing.
ABOVE_CHANCE = 0.1
# Without labels nobody knows whether patients have several clips of a view, which rightly lie together.
ABOVE_CHANCE_WITHOUT_VIEWS = 0.5
NEAR_COLLAPSED_LOSS = 0.02  # relative; whatever has learned anything is further off
LONG_WAIT = 0.3  # of a step; with less, reading faster gains less than a third


@torch.no_grad()
def alignment(embeddings: Tensor, positive: Tensor) -> float:
    """Mean squared distance of positive pairs: 0 all alike, 2 at right angles (lower is better).

    E‖x − y‖² over positive pairs of unit vectors (Wang & Isola 2020, arXiv 2005.10242, eq. 1, α = 2).

    Args:
        embeddings: (n, d).
        positive: (n, n) bool; the diagonal is disregarded.

    Returns:
        nan where there is no positive pair.
    """
    similarity = unit(embeddings) @ unit(embeddings).T
    return 2 - 2 * _mean(similarity, positive & _others(similarity))


@torch.no_grad()
def uniformity(embeddings: Tensor) -> float:
    """How evenly embeddings cover the sphere: 0 all in one point, down to about −4 (lower is better).

    log E exp(−2‖x − y‖²) over pairs of different rows (Wang & Isola 2020, arXiv 2005.10242, eq. 2, t = 2).

    Args:
        embeddings: (n, d).

    Returns:
        nan for fewer than two rows.
    """
    similarity = unit(embeddings) @ unit(embeddings).T
    near = (-UNIFORMITY_SCALE * (2 - 2 * similarity)).exp()
    return math.log(_mean(near, _others(near)))


@torch.no_grad()
def effective_rank(features: Tensor) -> float:
    """Directions that features (n, d) use: 1 to min(n, d).

    exp(−Σ p_k log p_k), where p are the singular values as shares of their sum (Roy & Vetterli 2007; RankMe,
    Garrido et al. 2023, arXiv 2210.02885, eq. 1). Features are not centred there, nor here.

    Returns:
        nan where all features are 0, or one is not finite.
    """
    if not torch.isfinite(features).all():
        return math.nan
    values = torch.linalg.svdvals(features.detach().float())
    shares = values / values.sum()
    return math.exp(torch.special.entr(shares).sum().item())


@torch.no_grad()
def feature_std(features: Tensor) -> float:
    """How evenly features (n, d) point in all directions: 1 evenly, 0 all in one (a collapse).

    √d times the mean deviation of a coordinate of unit vectors (SimSiam, Chen & He 2020, arXiv 2011.10566,
    sec. 4.1).
    """
    return unit(features).std(dim=0).mean().item() * math.sqrt(features.shape[1])


@torch.no_grad()
def similarity_histograms(
    embeddings: Tensor, positive: Tensor, negative: Tensor, bins: int = 40
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """How alike the positive and the negative pairs of a batch are.

    Args:
        embeddings: (n, d).
        positive: (n, n) bool; the diagonal of both masks is disregarded.
        negative: (n, n) bool; a pair in both counts as positive.
        bins: of equal width over cosine similarities from -1 to 1.

    Returns:
        by name (another than any figure's), counts of ordered pairs (bins,) int64 and edges (bins + 1,).
    """
    similarity = unit(embeddings) @ unit(embeddings).T
    others = _others(similarity)
    edges = np.linspace(-1, 1, bins + 1)
    inner = torch.from_numpy(edges[1:-1]).to(similarity.device)
    place = torch.bucketize(similarity.double(), inner, right=True)
    masks = {
        "positive_similarities": positive & others,
        "negative_similarities": negative & ~positive & others,
    }
    return {
        name: (np.bincount(place[mask].cpu().numpy(), minlength=bins), edges) for name, mask in masks.items()
    }


def _others(square: Tensor) -> Tensor:
    return ~torch.eye(len(square), dtype=torch.bool, device=square.device)


def _mean(values: Tensor, mask: Tensor) -> float:
    """Mean of the values that a mask of the same shape names; nan where it names none."""
    return (values.masked_fill(~mask, 0).double().sum() / mask.sum()).item()


def look(
    features: Tensor,
    embeddings: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    label: Codes,
    patient: Codes,
    machine: Codes,
) -> dict[str, float]:
    """Everything above as flat figures; what cannot be computed is left out.

    Args:
        features: (n, d) of clips.
        embeddings: (m, e) of a batch.
        positive: (m, m) bool, of the batch's rows.
        negative: (m, m) bool.
        label: (n,) views of the clips.
        patient: (n,).
        machine: (n,).
    """
    figures = {
        "feature_std": feature_std(embeddings),
        "alignment": alignment(embeddings, positive),
        "uniformity": uniformity(embeddings),
    }
    if min(features.shape) >= FEWEST_FOR_RANK:
        figures["effective_rank"] = effective_rank(features)
    similarity = unit(embeddings) @ unit(embeddings).T
    others = _others(similarity)
    figures["positive_similarity"] = _mean(similarity, positive & others)
    figures["negative_similarity"] = _mean(similarity, negative & ~positive & others)
    for name, found in shared_rates(features, patient, machine, label).items():
        figures[f"{name}_neighbours"] = found.rate
        figures[f"{name}_by_chance"] = found.by_chance
        figures[f"{name}_factor"] = found.factor
        figures[f"{name}_error"] = found.error
    views = knn_view_accuracy(features, label, patient)
    if views is not None:
        figures["knn_view_accuracy"], figures["knn_view_accuracy_balanced"] = views
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def warnings(figures: Mapping[str, float]) -> list[str]:
    """What looks wrong, in words, with what to do next. The same finding has the same words each time.

    Args:
        figures: those of `look`, and where there are ``loss``, ``collapsed_loss`` (what the objective gives
            for embeddings that are all alike) and ``waited`` (share of a step that went by without data).
            Those that are missing are not asked for. Meant for after the warm-up.
    """
    said: list[str] = []
    if figures.get("feature_std", 1) < LOWEST_STD:
        said.append(
            "The embeddings collapse: all crops get nearly the same one (feature_std). Lower the learning "
            "rate, make the batch larger, or raise the temperature."
        )
    if figures.get("effective_rank", math.inf) < LOWEST_RANK:
        said.append(
            "The features collapse to one or two directions (effective_rank). Lower the learning rate, or "
            "make the augmentation stronger."
        )
    loss, collapsed = figures.get("loss", math.nan), figures.get("collapsed_loss", math.nan)
    if abs(loss - collapsed) <= NEAR_COLLAPSED_LOSS * abs(collapsed):
        said.append(
            "The loss stands where identical embeddings would put it: nothing is learned so far. If it stays "
            "there, lower the learning rate, make the warm-up longer, or begin with an encoder (--start)."
        )
    alive = not said  # of features that are all alike, neighbours mean nothing
    if alive and _is_shortcut(figures, "same_patient"):
        said.append(
            "Clips lie near clips of the same patient rather than of the same view "
            "(same_patient_neighbours): the encoder may be learning who it is. Raise same_patient_share, or "
            "make the augmentation stronger."
        )
    if alive and _is_shortcut(figures, "same_machine"):
        said.append(
            "Clips lie near clips of the same machine rather than of the same view "
            "(same_machine_neighbours): the encoder may be learning how machines draw. Make gain, "
            "dynamic_range, gamma, depth and redraw of the augmentation stronger, or raise "
            "same_patient_share."
        )
    if figures.get("waited", 0) > LONG_WAIT:
        said.append(
            "The network waits for data (waited). Keep the frame store on a local disk, store smaller "
            "frames, or leave more processor cores free."
        )
    return said


def _is_shortcut(figures: Mapping[str, float], name: str) -> bool:
    """Neighbours surely share this more often than by chance, and more than they share the view."""
    if f"{name}_neighbours" not in figures:
        return False
    if "same_view_neighbours" not in figures:
        return _above_chance(figures, name, errors=2) > ABOVE_CHANCE_WITHOUT_VIEWS
    ours, view = _above_chance(figures, name), _above_chance(figures, "same_view")
    return ours > view and _above_chance(figures, name, errors=2) > ABOVE_CHANCE


def _above_chance(figures: Mapping[str, float], name: str, errors: float = 0) -> float:
    """How far neighbours agree, less some standard errors: 0 as by chance, 1 always."""
    rate, chance, error = (figures[f"{name}_{what}"] for what in ("neighbours", "by_chance", "error"))
    return (rate - chance - errors * error) / (1 - chance)
