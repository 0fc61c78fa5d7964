"""The judged clips asked about again, frame by frame, as they are or with their frames changed.

A run keeps one answer a clip. What it says of each frame, and what it would say of other frames, is had
from its classifier and its frame store. Figures of frames are what papers on single images report (Madani
et al., npj Digit. Med. 2018, arXiv 1706.08658): every frame weighs the same, so a long clip weighs more than
a short one; here their intervals are over patients nevertheless.

An encoder that looks at several frames together answers for windows of them; such a window counts as a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from apical.config import FrameSettings
from apical.errors import CannotDo, WrongCall
from apical.ingest.frames import FrameStore
from apical.judge.runs import judged_runs, read_run
from apical.learn.backbones import channels_last
from apical.learn.classifier import Classifier, blocks_of, classify_windows
from apical.learn.predictions import Predictions
from apical.learn.reading import FrameArray, FrameFile
from apical.learn.run import RunFolder
from apical.learn.train import load_classifier
from apical.learn.windows import windows

Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""From a clip's frames (F, s, s) uint8 and the clip's number to as many other frames of any one size."""


@dataclass(frozen=True)
class Witness:
    """A classifier and the n judged clips it can be asked about.

    Attributes:
        judged: the labelled clips of the split with the answers that the run keeps, sorted by clip id; a
            clip's number is its row here.
        classifier: the run's, on its device.
        input_size: side of its input in pixels.
        frames: all frames of the store, (N, s, s) uint8, read where they are asked for.
        first: (n,) int64, row of each clip's first frame.
        count: (n,) int64, its number of frames.
        phase: (N,) float64, where in the heart cycle each frame is, 0 at end-diastole; NaN where unknown.
    """

    judged: Predictions
    classifier: Classifier
    input_size: int
    frames: FrameArray
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    phase: NDArray[np.float64]


@dataclass(frozen=True)
class FrameAnswers:
    """What a classifier says of w frames (or windows of them) of the judged clips.

    Attributes:
        judged: as of `Witness`.
        clip: (w,) int64, the number of the clip each is of; rising.
        log_probabilities: (w, k) float32, natural logarithms; each row's probabilities add up to 1.
        phase: (w,) float64 in 0 … 1, from end-diastole to end-diastole; NaN where unknown, and for windows
            of several frames.
    """

    judged: Predictions
    clip: NDArray[np.int64]
    log_probabilities: NDArray[np.float32]
    phase: NDArray[np.float64]

    def pooled(self, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """(n, k) float32: the mean log-probabilities of each clip's frames, normalised, as training pools.

        Args:
            chosen: (w,) which frames count; all by default. Clips without any are NaN.
        """
        rows = np.arange(len(self.clip)) if chosen is None else np.flatnonzero(chosen)
        total = np.zeros((len(self.judged), self.log_probabilities.shape[1]))
        np.add.at(total, self.clip[rows], self.log_probabilities[rows])
        number = np.bincount(self.clip[rows], minlength=len(total))
        some = number > 0
        mean = total[some] / number[some, None]
        pooled = np.full(total.shape, np.nan, np.float32)
        pooled[some] = mean - np.logaddexp.reduce(mean, axis=1, keepdims=True)
        return pooled

    def as_predictions(self) -> Predictions:
        """The same with every frame as a clip of its own, named after its clip and its place there."""
        judged, clip = self.judged, self.clip
        place = np.arange(len(clip)) - np.searchsorted(clip, clip)
        return Predictions(
            method=judged.method,
            seed=judged.seed,
            views=judged.views,
            clip=np.array([f"{judged.clip[one]}:{at}" for one, at in zip(clip, place, strict=True)], np.str_),
            patient=judged.patient[clip],
            split=judged.split[clip],
            label=judged.label[clip],
            log_probabilities=self.log_probabilities,
            features=np.zeros((len(clip), 0), np.float32),
        )


def call_witnesses(runs: Sequence[Path], store: Path, split: str = "test") -> list[Witness]:
    """The classifiers of one method's runs with the judged clips, the same in the same order for each.

    Args:
        runs: run folders of one method, one a training seed.
        store: folder of the frame store they were trained on.
        split: whose labelled clips are judged.

    Raises:
        WrongCall: no run, runs of several methods, or one seed twice.
        CannotDo: a run has no predictions or no classifier, there is no labelled clip in the split, the runs
            differ in their clips, the store lacks clips, or its frames were made otherwise than the run's.
        PatientOverlap: a judged patient taught one of the runs.
    """
    judged = judged_runs([read_run(run) for run in runs], split)
    methods = sorted({each.method for each in judged})
    if len(methods) > 1:
        raise WrongCall(
            f"runs of several methods ({', '.join(methods)}) were given", "ask about one method at a time"
        )
    opened = FrameStore.open(store)
    first, count = _places(opened, judged[0].clip)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    witnesses = []
    for run, clips in zip(runs, judged, strict=True):
        classifier, settings, vocabulary = load_classifier(run)
        made = RunFolder(run).settings().get("frames")
        if vocabulary.names != clips.views:
            raise CannotDo("a run's classifier and its predictions name other views", "train the run again")
        if made is not None and FrameSettings.model_validate(made) != opened.settings:
            raise CannotDo(
                "the frames of the store were made with other settings than those the run was trained on",
                "give the frame store that the run was trained on",
            )
        channels_last(classifier).to(device)
        witnesses.append(
            Witness(
                judged=clips,
                classifier=classifier,
                input_size=settings.input_size,
                frames=FrameFile.of(opened.frames),
                first=first,
                count=count,
                phase=_phases(opened),
            )
        )
    return witnesses


def ask(witness: Witness, change: Change | None = None) -> FrameAnswers:
    """What the classifier says of every frame of every judged clip; reads a block of clips at a time.

    Args:
        witness: from `call_witnesses`.
        change: what is done to a clip's frames before they are looked at; nothing by default.
    """
    encoder = witness.classifier.encoder
    device = next(witness.classifier.parameters()).device
    of_clip, said, phase = [], [], []
    for block in blocks_of(witness.count):
        counts = witness.count[block]
        begins = np.cumsum(counts) - counts
        rows = np.repeat(witness.first[block] - begins, counts) + np.arange(counts.sum())
        frames = witness.frames[rows]
        if change is not None:
            parts = np.split(frames, begins[1:])
            frames = np.concatenate(
                [change(part, int(number)) for part, number in zip(parts, block, strict=True)]
            )
        part, place = windows(begins, counts, encoder.frames, all_of_clip=True)
        _, logits = classify_windows(witness.classifier, frames[place], witness.input_size, device)
        of_clip.append(block[part])
        said.append(logits.log_softmax(dim=1).numpy())
        single = encoder.frames == 1
        phase.append(witness.phase[rows[place[:, 0]]] if single else np.full(len(part), np.nan))
    return FrameAnswers(witness.judged, np.concatenate(of_clip), np.concatenate(said), np.concatenate(phase))


def _places(store: FrameStore, clips: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row of the first frame, and number of frames, of each clip: (n,) and (n,) int64."""
    spans = store.index.group_by("clip").agg(
        pl.col("row").min().alias("first"), pl.len().cast(pl.Int64).alias("count")
    )
    found = pl.DataFrame({"clip": clips.tolist()}).join(spans, on="clip", how="left", maintain_order="left")
    lacking = found["first"].null_count()
    if lacking:
        raise CannotDo(
            f"the frame store lacks {lacking} of the {len(clips)} judged clips",
            "give the frame store that the run was trained on",
        )
    return found["first"].cast(pl.Int64).to_numpy(), found["count"].to_numpy()


def _phases(store: FrameStore) -> NDArray[np.float64]:
    """(N,) float64 by row; NaN where unknown, or where the store is of a version that had none."""
    if "phase" not in store.index.columns:
        return np.full(len(store.frames), np.nan)
    by_row: Any = store.index.sort("row")["phase"].fill_null(np.nan).to_numpy()
    return np.asarray(by_row, np.float64)
