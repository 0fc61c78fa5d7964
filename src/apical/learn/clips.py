"""The clips of a frame store with what the catalogue knows of them, as arrays for training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.catalogue import read_catalogue, usable
from apical.config import FrameSettings
from apical.errors import CannotDo, WrongCall
from apical.ingest.frames import FrameStore
from apical.learn.reading import FrameArray, FrameFile
from apical.views import NO_VIEW, Vocabulary

SHOWS_NONE = -2
"""The label of clips that are known to show none of the views."""


@dataclass(frozen=True)
class Clips:
    """n clips whose frames stand one after another in a frame store.

    Attributes:
        frames: all stored frames, (N, s, s) uint8, read where they are asked for.
        first: (n,) int64, row of each clip's first frame.
        count: (n,) int64, its number of frames.
        clip: (n,) its id.
        patient: (n,) the pseudonym.
        study: (n,) the pseudonym, or "" where nobody said.
        machine: (n,) maker and model, or "" where nobody said.
        split: (n,) train, validation, test, or "".
        label: (n,) int64, index into the vocabulary; -1 where nobody said, or `SHOWS_NONE`.
        agent: (n,) int64, 1 with contrast agent, 0 without, -1 where nobody said.
        order: (n,) int64, the clip's number in its study, or -1 where nobody said.
        made: how the frames were made.
    """

    frames: FrameArray
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    clip: NDArray[np.str_]
    patient: NDArray[np.str_]
    study: NDArray[np.str_]
    machine: NDArray[np.str_]
    split: NDArray[np.str_]
    label: NDArray[np.int64]
    agent: NDArray[np.int64]
    order: NDArray[np.int64]
    made: FrameSettings

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def patient_code(self) -> NDArray[np.int64]:
        """(n,) int64, see `codes`."""
        return codes(self.patient)

    @property
    def study_code(self) -> NDArray[np.int64]:
        """(n,) int64, see `codes`; -1 where nobody said."""
        return codes(self.study)

    @property
    def machine_code(self) -> NDArray[np.int64]:
        """(n,) int64, see `codes`; -1 where nobody said."""
        return codes(self.machine)

    def fingerprint(self) -> str:
        """Short hash of which clips these are, with their patients, splits, labels and frames."""
        digest = hashlib.sha256(repr(self.frames.shape).encode())
        for column in (self.clip, self.patient, self.study, self.split, self.label, self.first, self.count):
            digest.update("\n".join(map(str, column.tolist())).encode())
        return digest.hexdigest()[:16]

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames by their rows, of any shape: (…,) → (…, s, s)."""
        found = self.frames[rows.ravel()]
        return found.reshape(*rows.shape, *found.shape[1:])

    def select(self, chosen: NDArray[np.bool_]) -> Clips:
        """The chosen clips; the frames are shared, not copied."""
        names = ("first", "count", "clip", "patient", "study", "machine", "split", "label", "agent", "order")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def in_split(self, *splits: str) -> Clips:
        """The clips of these splits ("" for clips without one)."""
        return self.select(np.isin(self.split, splits))

    def labelled(self) -> Clips:
        """The clips whose view is known."""
        return self.select(self.label >= 0)


def codes(names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Number names, (n,) int64, by first appearance; "" is -1.

    Draws that go by these numbers do not depend on the pseudonyms, which another key would change.
    """
    _, first, code = np.unique(names, return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(first))[code].astype(np.int64)
    numbers[names == ""] = -1
    return numbers


def load_clips(store: Path, catalogue: Path, vocabulary: Vocabulary) -> Clips:
    """Join a frame store with a catalogue.

    Raises:
        CannotDo: either cannot be read, or they have no clip in common.
        WrongCall: the catalogue has a label that the vocabulary does not know.
    """
    frames = FrameStore.open(store)
    table = usable(read_catalogue(catalogue))
    spans = frames.index.group_by("clip").agg(
        pl.col("row").min().alias("first"), pl.len().cast(pl.Int64).alias("count")
    )
    known = table.join(spans, on="clip").sort("first")
    if known.is_empty():
        raise CannotDo(
            "the frame store and the catalogue have no clip in common",
            "build the frames from this catalogue with 'apical frames'",
        )
    position = {NO_VIEW: SHOWS_NONE} | {name: index for index, name in enumerate(vocabulary.names)}
    odd = set(known["view"].drop_nulls().unique()) - set(position)
    if odd:
        raise WrongCall(
            f"the catalogue is labelled with views the vocabulary lacks: {', '.join(sorted(odd))}",
            "give the vocabulary they come from with --views",
        )
    label = [position.get(view, -1) for view in known["view"]]
    machine = pl.concat_str(pl.col("manufacturer", "model"), separator=" ", ignore_nulls=True)
    return Clips(
        frames=FrameFile.of(frames.frames),
        first=known["first"].cast(pl.Int64).to_numpy(),
        count=known["count"].to_numpy(),
        clip=known["clip"].to_numpy().astype(np.str_),
        patient=known["patient"].to_numpy().astype(np.str_),
        study=known["study"].fill_null("").to_numpy().astype(np.str_),
        machine=known.select(machine.fill_null("")).to_series().to_numpy().astype(np.str_),
        split=known["split"].fill_null("").to_numpy().astype(np.str_),
        label=np.array(label, dtype=np.int64),
        agent=known["contrast_agent"].cast(pl.Int64).fill_null(-1).to_numpy(),
        order=known["instance"].cast(pl.Int64).fill_null(-1).to_numpy(),
        made=frames.settings,
    )
