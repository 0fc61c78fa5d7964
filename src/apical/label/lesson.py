"""What goes over the line between the page's process and those that learn; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apical.label.advice import TEACHING, Known
from apical.learn.clips import Clips
from apical.views import Vocabulary

NETWORK = "network"  # how names of fine-tuned networks, and of the files of what they say, begin


@dataclass(frozen=True)
class School:
    """What the processes start from.

    Attributes:
        clips: all that may be seen, in the order of all rows.
        store, catalogue: where they come from.
        encoder: run folder of a pre-training, or `apical.learn.start.SHIPPED`.
        vocabulary: the views.
        folder: for what is kept: features, map, the fine-tuned network's answers.
        splits: whose clips are proposed; "" for clips without one.
        seed: fixes every draw.
        threads: of torch, in each process.
    """

    clips: Clips
    store: Path
    catalogue: Path
    encoder: Path
    vocabulary: Vocabulary
    folder: Path
    splits: tuple[str, ...] = TEACHING
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Done:
    """So much of a long work is done."""

    done: int
    total: int


@dataclass(frozen=True)
class Vectors:
    """The file (n, d) float32 of what `apical.label.alike` compares is on the disk."""

    file: Path


@dataclass(frozen=True)
class Waiting:
    """The process reads what it is sent next; before that, nothing may be sent."""


@dataclass(frozen=True)
class Refusal:
    """The process cannot do it, and trying again would not help."""

    what: str
    do: str


@dataclass(frozen=True)
class Network:
    """What a fine-tuned network says.

    Attributes:
        name: such as ``network 12``, taught on the labels of version 12.
        file: log-probabilities, (n, k) float32.
        labels: of views that taught it.
    """

    name: str
    file: Path
    labels: int


@dataclass(frozen=True)
class Lesson:
    """The labels so far, and the network whose guesses are to be shown, if not the probe's."""

    known: Known
    network: Network | None


@dataclass(frozen=True)
class Tuning:
    """A fine-tune that is wanted: on these labels, in so many steps."""

    school: School
    known: Known
    steps: int


def labels_of(clips: Clips, known: Known) -> int:
    """How many labels of views teach."""
    return int((np.isin(clips.split, TEACHING) & (known.label >= 0)).sum())
