"""Who is positive, negative or ignored: the one choice that tells contrastive methods apart.

A relation takes the `Members` of n anchors and of m candidates and returns a boolean matrix, shape (n, m):
entry (i, j) says whether j is a positive (or a negative) of anchor i. Crops are never pairs of themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from apical.config import ObjectiveSettings


@dataclass(frozen=True)
class Members:
    """What each row of a batch of embeddings is. All fields are int64 tensors of shape (n,).

    Attributes:
        crop: its number in the batch; -1 for what is from an earlier batch.
        frame: the stored frame it was cropped from (the first of them, where a crop has several).
        clip: the clip of that frame.
        study: the study of that clip, or -1 where nobody said.
        patient: the patient of that clip.
        label: the view, or -1 where nobody said.
    """

    crop: Tensor
    frame: Tensor
    clip: Tensor
    study: Tensor
    patient: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.crop)

    def table(self) -> Tensor:
        """(n, 6) int64, a column a field, for `from_table`."""
        return torch.stack([getattr(self, field.name) for field in fields(self)], dim=1)

    @classmethod
    def from_table(cls, table: Tensor) -> Members:
        """The members whose `table` this is."""
        return cls(*table.unbind(dim=1))


Relation = Callable[[Members, Members], Tensor]


def _equal(one: Tensor, other: Tensor) -> Tensor:
    """Pairs with equal codes, (n, m); -1 is unknown and equals nothing."""
    return (one[:, None] == other[None, :]) & (one[:, None] >= 0)


def same_frame(anchors: Members, candidates: Members) -> Tensor:
    """Crops of one frame (SimCLR, Chen et al. 2020, arXiv 2002.05709)."""
    return _equal(anchors.frame, candidates.frame) & ~same_crop(anchors, candidates)


def same_clip(anchors: Members, candidates: Members) -> Tensor:
    """Crops of one clip: temporal positives (Qian et al. 2021, arXiv 2008.03800)."""
    return _equal(anchors.clip, candidates.clip) & ~same_crop(anchors, candidates)


def same_view(anchors: Members, candidates: Members) -> Tensor:
    """Crops with the same known view (SupCon, Khosla et al. 2020, arXiv 2004.11362)."""
    return _equal(anchors.label, candidates.label) & ~same_crop(anchors, candidates)


def view_or_clip(anchors: Members, candidates: Members) -> Tensor:
    """Crops of one clip, and crops with the same view where both labels are known."""
    return same_clip(anchors, candidates) | same_view(anchors, candidates)


def study_view_or_clip(anchors: Members, candidates: Members) -> Tensor:
    """Crops of one clip, and of other clips of its study with the same label.

    Multi-instance positives gated by metadata (MedAug, Vu et al. 2021, arXiv 2102.10663). The labels may be
    pseudo-labels: they only ever join clips of one study.
    """
    one_study = _equal(anchors.study, candidates.study)
    return same_clip(anchors, candidates) | (same_view(anchors, candidates) & one_study)


POSITIVES: dict[str, Relation] = {
    "same-frame": same_frame,
    "same-clip": same_clip,
    "same-view": same_view,
    "view-or-clip": view_or_clip,
    "study-view-or-clip": study_view_or_clip,
}


def same_crop(anchors: Members, candidates: Members) -> Tensor:
    """A crop and itself: a pair of no relation."""
    return _equal(anchors.crop, candidates.crop)


def all_others(anchors: Members, candidates: Members) -> Tensor:
    """Negatives: everything else."""
    return ~same_crop(anchors, candidates)


def other_patients(anchors: Members, candidates: Members) -> Tensor:
    """Negatives: crops of other patients only. "Who is this?" then solves the task: for comparison."""
    return ~_equal(anchors.patient, candidates.patient)


def same_patient_other_clips(anchors: Members, candidates: Members) -> Tensor:
    """Hard negatives: the same patient's other clips.

    Patient, machine and gain are the same there, so only the anatomy in view tells them apart.
    """
    return _equal(anchors.patient, candidates.patient) & ~_equal(anchors.clip, candidates.clip)


NEGATIVES: dict[str, Relation] = {"all": all_others, "other-patients": other_patients}


def pairs(
    anchors: Members, candidates: Members, settings: ObjectiveSettings
) -> tuple[Tensor, list[tuple[float, Tensor]]]:
    """The positives (n, m), and sets of negatives (n, m), each with its share of the loss.

    Pairs of the relation, or of one clip, are never negatives. Those of the relation are positives if both
    are of this batch: what an earlier one left in a queue is ignored. With `ignore_same_view`, so are clips
    that are known to be of one view (false-negative elimination, Huynh et al. 2022, arXiv 2011.11765).
    """
    related = POSITIVES[settings.relation](anchors, candidates)
    positive = related & (candidates.crop >= 0)
    excluded = related | same_clip(anchors, candidates)
    if settings.ignore_same_view:
        excluded = excluded | same_view(anchors, candidates)
    share = settings.same_patient_share
    sets = ((1 - share, NEGATIVES[settings.negatives]), (share, same_patient_other_clips))
    return positive, [(part, negatives(anchors, candidates) & ~excluded) for part, negatives in sets if part]
