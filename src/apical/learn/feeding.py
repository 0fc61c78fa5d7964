"""From clips to the crops of a step: read, augmented and on the device before they are needed.

What a step sees is a function of seed and step alone, so nothing here has a state to save: not which process
or thread makes it, nor where a run was resumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apical.config import PretrainSettings
from apical.learn.augment import render
from apical.learn.batches import draw_frames, epoch_batches
from apical.learn.clips import Clips
from apical.learn.distributed import shares
from apical.learn.draw import draw
from apical.learn.relations import Members

AHEAD = 2  # batches made before they are asked for


@dataclass(frozen=True)
class Place:
    """A place in the order of batches: batch `batch` of `batches` in epoch `epoch` is step `step`."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    batches: int = 1

    def share(self, epochs: int) -> float:
        """How much of a run of so many epochs is done before this batch."""
        return (self.epoch + self.batch / self.batches) / epochs


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Attributes:
        place: where it stands.
        crops: (c, own clips, t, s, s) float32 on the device, this process's part.
        members: of the c·n crops of all processes, crop after crop.
        lengths: clips of every process.
    """

    place: Place
    crops: Tensor
    members: Members
    lengths: list[int]


class Feeder:
    """Makes batches in order.

    Args:
        clips: to learn from.
        settings: of the run.
        frames: frames a crop, T.
        device: where crops go.
        rank, processes: which part of each batch is this process's.
    """

    def __init__(
        self,
        clips: Clips,
        settings: PretrainSettings,
        frames: int,
        device: torch.device,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.clips, self.settings, self.frames, self.device = clips, settings, frames, device
        self.rank, self.processes = rank, processes
        self.patient, self.study = clips.patient_code, clips.study_code

    def places(self, start: Place) -> Iterator[tuple[Place, NDArray[np.int64]]]:
        """Places from `start` on, with the clips of their batches, to the end of the last epoch."""
        settings, step = self.settings, start.step
        for epoch in range(start.epoch, settings.epochs):
            batches = epoch_batches(
                self.patient,
                self.clips.label,
                batch_clips=settings.batch_clips,
                exam_clips=settings.exam_clips,
                balance=settings.balance,
                generator=np.random.default_rng([settings.seed, epoch]),
            )
            for number in range(start.batch if epoch == start.epoch else 0, len(batches)):
                yield Place(epoch, number, step, len(batches)), batches[number]
                step += 1

    def batches(self, start: Place, *, ahead: int = AHEAD) -> Iterator[Batch]:
        """Batches from `start` on, made by a thread while the ones before are learned from."""
        places = self.places(start)
        with ThreadPoolExecutor(1, thread_name_prefix="feeder") as thread:
            waiting: deque[Future[Batch]] = deque()
            try:
                for place, chosen in places:
                    waiting.append(thread.submit(self.batch, place, chosen))
                    if len(waiting) > ahead:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def batch(self, place: Place, chosen: NDArray[np.int64]) -> Batch:
        """The batch of the chosen clips, a function of the place."""
        settings, clips = self.settings, self.clips
        generator = np.random.default_rng([settings.seed, place.step, 1])
        rows = draw_frames(
            clips.first[chosen],
            clips.count[chosen],
            crops=settings.crops_per_clip,
            frames=self.frames,
            same=settings.objective.relation == "same-frame",
            generator=generator,
        )
        parts = shares(len(chosen), self.processes)
        own = parts[self.rank]
        side = clips.frames.shape[1]
        crops, n = settings.crops_per_clip, len(chosen)
        draws = draw(crops * n, side, settings.input_size, settings.augment, generator)
        ours = (np.arange(crops)[:, None] * n + own).ravel()
        frames = clips.frames[rows[:, own].ravel()].reshape(-1, self.frames, side, side)
        made = render(frames, draws.select(ours), settings.input_size, self.device)
        return Batch(
            place,
            made.view(crops, len(own), *made.shape[1:]),
            self.members(np.tile(chosen, crops), rows[:, :, 0].ravel()),
            [len(part) for part in parts],
        )

    def members(self, clips: NDArray[np.int64], frames: NDArray[np.int64]) -> Members:
        """What crops of these clips and first frames are."""
        columns = (
            np.arange(len(clips)),
            frames,
            clips,
            self.study[clips],
            self.patient[clips],
            self.clips.label[clips],
        )
        return Members(*(torch.from_numpy(column).to(self.device) for column in columns))
