"""Who is positive, negative or ignored: the one choice that tells contrastive methods apart.

A relation takes the `Members` of a batch and returns a boolean matrix, shape (n, n): entry (i, j)
says whether j is a positive (or negative) of anchor i. The diagonal is never used by the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Members:
    """What each row of a batch of embeddings is. All fields are int64 tensors of shape (n,).

    Attributes:
        frame: the stored frame it was cropped from.
        clip: the clip of that frame.
        patient: the patient of that clip.
        label: the view, or -1 where nobody said.
    """

    frame: Tensor
    clip: Tensor
    patient: Tensor
    label: Tensor


def same(codes: Tensor) -> Tensor:
    """Pairs with equal codes, shape (n, n)."""
    return codes[:, None] == codes[None, :]


def same_frame(members: Members) -> Tensor:
    """Crops of one frame (SimCLR, Chen et al. 2020, arXiv 2002.05709)."""
    return same(members.frame)


def same_clip(members: Members) -> Tensor:
    """Frames of one clip: temporal positives."""
    return same(members.clip)


def same_view(members: Members) -> Tensor:
    """Frames with the same known view (SupCon, Khosla et al. 2020, arXiv 2004.11362)."""
    known = members.label >= 0
    return same(members.label) & known[:, None] & known[None, :]


def view_or_clip(members: Members) -> Tensor:
    """Frames of one clip, and frames with the same view where both labels are known."""
    return same_clip(members) | same_view(members)


POSITIVES = {
    "same-frame": same_frame,
    "same-clip": same_clip,
    "same-view": same_view,
    "view-or-clip": view_or_clip,
}


def all_others(members: Members, positive: Tensor) -> Tensor:
    """Negatives: everything that is not positive."""
    return ~positive


def same_patient_other_clips(members: Members, positive: Tensor) -> Tensor:
    """Hard negatives: the same patient's other clips.

    Patient, machine and gain are the same there, so only the anatomy in view tells them apart.
    """
    return same(members.patient) & ~same(members.clip) & ~positive
