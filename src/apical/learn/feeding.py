"""From clips to the crops of a step: read and augmented by other processes, before they are needed.

What a step sees is a function of seed and step alone, so nothing here has a state to save: not which process
makes it, nor where a run was resumed.

Other processes, not threads: crops are made by many short calls, between which a thread would hold Python's
lock while the network waits for it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from apical.config import PretrainSettings
from apical.errors import ApicalError, CannotDo
from apical.learn.augment import laid, render
from apical.learn.batches import draw_frames, epoch_batches
from apical.learn.clips import Clips
from apical.learn.distributed import shares
from apical.learn.draw import Draws, draw
from apical.learn.placing import Placed
from apical.learn.relations import Members
from apical.learn.signals import signals_blocked

AHEAD = 2  # batches that each process makes before they are asked for
MOST_FEEDERS = 4
CPU = torch.device("cpu")
ENDED = re.compile(r"is killed by signal|exited unexpectedly")


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


@dataclass(frozen=True)
class Prepared:
    """A batch before it is on the device.

    Attributes:
        place, lengths: see `Batch`.
        pictures: on a CPU the crops; for a GPU the frames they are of, (c·own clips, t, s, s) uint8.
        draws: for a GPU, of those.
        lie: for a GPU, how they lie on the frames.
        table: see `Members.table`.
    """

    place: Place
    lengths: list[int]
    pictures: Tensor
    draws: Draws | None
    lie: Placed | None
    table: Tensor

    def pin_memory(self) -> Prepared:
        """In memory from which a GPU can take it without the processor's help; called by the data loader."""
        return replace(self, pictures=self.pictures.pin_memory(), table=self.table.pin_memory())


Job = tuple[Place, NDArray[np.int64]]
"""A place and the clips of its batch."""


class Feeder(Dataset[Prepared | ApicalError]):
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
        self.settings, self.frames, self.device = settings, frames, device
        self.rank, self.processes = rank, processes
        self.store, self.first, self.count = clips.frames, clips.first, clips.count
        self.patient, self.study, self.label = clips.patient_code, clips.study_code, clips.label

    def jobs(self, start: Place) -> Iterator[Job]:
        """All batches to be made from `start` on, to the end of the last epoch."""
        settings, step = self.settings, start.step
        for epoch in range(start.epoch, settings.epochs):
            batches = epoch_batches(
                self.patient,
                self.label,
                batch_clips=settings.batch_clips,
                exam_clips=settings.exam_clips,
                balance=settings.balance,
                generator=np.random.default_rng([settings.seed, epoch]),
            )
            for number in range(start.batch if epoch == start.epoch else 0, len(batches)):
                yield Place(epoch, number, step, len(batches)), batches[number]
                step += 1

    def batches(self, start: Place) -> Generator[Batch, None, None]:
        """Batches from `start` on, made by other processes while the ones before are learned from.

        Close it (`contextlib.closing`): processes that are left over would hold up the end of this one.

        Raises:
            CannotDo: the store cannot be read any more, or another process has ended; torch may raise the
                latter anywhere in the main thread, see `says_lost`.
        """
        feeders = self.feeders()
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=_From(self, start),
            num_workers=feeders,
            prefetch_factor=AHEAD if feeders else None,
            collate_fn=_as_it_is,
            worker_init_fn=_settle,
            multiprocessing_context="spawn" if feeders else None,  # forks of OpenCV's threads hang
            pin_memory=self.device.type == "cuda",
        )
        resource_tracker.ensure_running()  # whose start would unblock them
        with signals_blocked():  # those who are started inherit it: signals are for this process
            made = iter(loader)
        try:
            for prepared in received(made):
                if isinstance(prepared, ApicalError):
                    raise prepared
                yield self.on_device(prepared)
        finally:  # not left to the end of `made`, which an error's traceback keeps
            if feeders:
                made._shutdown_workers()  # type: ignore[attr-defined]

    def feeders(self) -> int:
        """How many other processes make crops."""
        if self.settings.feeders is not None:
            return self.settings.feeders
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        free = cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if self.device.type == "cpu":
            free -= torch.get_num_threads()
        return min(MOST_FEEDERS, max(0 if self.device.type == "cpu" else 1, free))

    def __getitem__(self, job: Job) -> Prepared | ApicalError:
        """The batch of a job or, as it may be asked for in another process, why there is none."""
        try:
            return self.prepare(*job)
        except ApicalError as error:
            return error

    def prepare(self, place: Place, chosen: NDArray[np.int64]) -> Prepared:
        """The batch of the chosen clips: a function of the place."""
        settings = self.settings
        generator = np.random.default_rng([settings.seed, place.step, 1])
        chosen = generator.permutation(chosen)  # batch norms of a part of the batch see all patients
        crops, n, side = settings.crops_per_clip, len(chosen), self.store.shape[1]
        rows = draw_frames(
            self.first[chosen],
            self.count[chosen],
            crops=crops,
            frames=self.frames,
            same=settings.objective.relation == "same-frame",
            generator=generator,
        )
        draws = draw(crops * n, side, settings.input_size, settings.augment, generator)
        parts = shares(n, self.processes)
        own = parts[self.rank]
        draws = draws.select((np.arange(crops)[:, None] * n + own).ravel())
        frames = self.store[rows[:, own].ravel()].reshape(-1, self.frames, side, side)
        here = self.device.type == "cpu"
        return Prepared(
            place=place,
            lengths=[len(part) for part in parts],
            pictures=render(frames, draws, settings.input_size, CPU) if here else torch.from_numpy(frames),
            draws=None if here else draws,
            lie=None if here else laid(frames, draws, settings.input_size),
            table=torch.from_numpy(self.table(np.tile(chosen, crops), rows[:, :, 0].ravel())),
        )

    def on_device(self, prepared: Prepared) -> Batch:
        """The batch where the network is."""
        crops = prepared.pictures
        if prepared.draws is not None:
            crops = render(crops, prepared.draws, self.settings.input_size, self.device, prepared.lie)
        return Batch(
            prepared.place,
            crops.view(self.settings.crops_per_clip, -1, *crops.shape[1:]),
            Members.from_table(prepared.table.to(self.device, non_blocking=True)),
            prepared.lengths,
        )

    def table(self, clips: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, 6): what crops of these clips and first frames are, as `Members.table`."""
        columns = (
            np.arange(len(clips)),
            frames,
            clips,
            self.study[clips],
            self.patient[clips],
            self.label[clips],
        )
        return np.stack(columns, axis=1)


class _From:
    """The jobs of a feeder from a place on, as a data loader wants them."""

    def __init__(self, feeder: Feeder, start: Place) -> None:
        self.feeder, self.start = feeder, start

    def __iter__(self) -> Iterator[Job]:
        return self.feeder.jobs(self.start)


def _as_it_is(prepared: Any) -> Any:
    return prepared


def _settle(number: int) -> None:
    """In a feeding process: one thread."""
    cv2.setNumThreads(1)


def received(made: Iterator[Any]) -> Iterator[Any]:
    """What a data loader gives.

    A batch lies in memory that is fetched from the process which made it. Where that is killed, the fetch may
    fail a moment before it is known that the process has ended.

    Raises:
        CannotDo: that process has ended.
    """
    try:
        yield from made
    except (ConnectionError, EOFError) as error:
        with suppress(RuntimeError):  # torch's handler raises as well, here rather than wherever we are then
            time.sleep(1)
        raise feeder_lost() from error


def says_lost(error: RuntimeError) -> bool:
    """Whether this is torch's way to say that a process of a data loader has ended."""
    return "DataLoader worker" in str(error) and bool(ENDED.search(str(error)))


def feeder_lost() -> CannotDo:
    """The error to raise where it has."""
    return CannotDo(
        "a process that makes crops has ended",
        "give the machine more memory (or a container more shared memory), or set fewer feeders, and go on "
        "with --resume; calls from a script belong under \"if __name__ == '__main__':\"",
    )
