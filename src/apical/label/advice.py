"""What the coach is told and what it advises: plain records between two processes, without torch.

Rows are those of the clips that the coach was started with (`apical.learn.clips.load_clips`), n in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

NO_GUESS = -1
LOOKED_AT = -3
"""In `Known.label`: somebody looked, but there is no one view (cannot tell, or disputed); not asked again."""
TEACHING = ("train", "")
"""Splits whose labels teach; "" is without a split. Those of validation and test patients never do."""


@dataclass(frozen=True)
class Known:
    """The labels so far.

    Attributes:
        version: number of the latest event.
        label: (n,) int64: a view, -1 where nobody said, `apical.learn.clips.SHOWS_NONE`, or `LOOKED_AT`.
        agent: (n,) int64: 1 with contrast agent, 0 without, -1 where nobody said.
    """

    version: int
    label: Rows
    agent: Rows


@dataclass(frozen=True)
class Layout:
    """A map of the clips, from their features alone.

    Attributes:
        x, y: (n,) float32, 0 to 1; only who is near whom means something.
        group: (n,) int32, below `groups`: alike clips, about 20 to 60 each.
        groups: how many.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    group: NDArray[np.int32]
    groups: int


@dataclass(frozen=True)
class Pick:
    """A clip worth labelling, and why in words."""

    row: int
    reason: str


@dataclass(frozen=True)
class Suspicion:
    """A label that is probably wrong.

    Attributes:
        row: of the clip.
        likelier: the view that looks likeliest.
        suspicion: see `apical.learn.suspects.suspicion`; above 0.5, 1 at most.
    """

    row: int
    likelier: int
    suspicion: float


@dataclass(frozen=True)
class ViewFigures:
    """How well a view is known.

    Attributes:
        view: its name.
        patients, clips: that have a label of it and teach.
        f1: by cross-validation over patients; None where fewer than two patients have a label.
        low, high: its 95 % interval over patients; None where it cannot be said.
    """

    view: str
    patients: int
    clips: int
    f1: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Estimate:
    """How well the views are known, by cross-validation over patients; see `apical.label.estimate`.

    Attributes:
        views: one each, in the vocabulary's order.
        macro_f1: mean over the views that have an F1; None unless two have.
        low, high: its 95 % interval over patients; None where it cannot be said.
        labels: of views that teach, when it was made.
    """

    views: list[ViewFigures]
    macro_f1: float | None
    low: float | None
    high: float | None
    labels: int


@dataclass(frozen=True)
class Help:
    """A view of which labels in so many further patients would help most."""

    view: str
    patients: int


@dataclass(frozen=True)
class Advice:
    """What the labels so far suggest.

    Attributes:
        version: of the labels, see `Known`.
        labels: how many of views taught.
        model: what guesses, such as ``probe 12``, taught on the labels of version 12.
        guess, second: (n,) int64, likeliest view and the next; `NO_GUESS` while nobody knows two views.
        probability: (n,) float32 of the guess; see `apical.label.advising`.
        picks: clips to label next, the most useful first.
        by_view: for each view, rows without a label likeliest to show it, new patients first.
        suspects: the most suspicious first.
        estimate: None without a label of a view.
        help: the view that needs it most first.
        seconds: that all this took.
    """

    version: int
    labels: int
    model: str
    guess: Rows
    probability: NDArray[np.float32]
    second: Rows
    picks: list[Pick]
    by_view: dict[int, list[int]]
    suspects: list[Suspicion]
    estimate: Estimate | None
    help: list[Help]
    seconds: float
