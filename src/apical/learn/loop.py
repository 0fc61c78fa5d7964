"""The state of a pre-training run, and what one step does to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric

from apical.config import PretrainSettings
from apical.errors import CannotDo
from apical.learn.backbones import Encoder, channels_last
from apical.learn.branch import branch_of
from apical.learn.checkpoint import save_checkpoint, save_weights
from apical.learn.clips import Clips
from apical.learn.distributed import agree, gather, world
from apical.learn.feeding import Batch, Feeder, Place, feeder_lost, says_lost
from apical.learn.gradients import backward, embed
from apical.learn.momentum import follow
from apical.learn.objective import WITH_TARGET, Objective
from apical.learn.optimise import optimizer_of, parameter_groups, set_rate, warmup_cosine
from apical.learn.run import RunFolder
from apical.learn.signals import Stop, stoppable
from apical.learn.tracking import Tracker
from apical.learn.watch import feature_std
from apical.learn.watching import Watch


class Loop:
    """One process's part of a pre-training run.

    Args:
        clips: to learn from.
        run: where to; only the process of rank 0 writes.
        settings: of the run.
        fabric: where it runs.
        encoder: with the weights it begins with.
        tell: is given what looks wrong, in words.
    """

    def __init__(
        self,
        clips: Clips,
        run: RunFolder,
        settings: PretrainSettings,
        fabric: Fabric,
        encoder: Encoder,
        tell: Callable[[str], None],
    ) -> None:
        self.run, self.settings, self.fabric = run, settings, fabric
        self.rank, self.processes = world()
        self.branch = branch_of(encoder, settings)
        channels_last(self.branch)
        self.optimizer = optimizer_of(
            parameter_groups(self.branch, settings.weight_decay), settings.optimizer, settings.learning_rate
        )
        if settings.compile:
            self.branch.compile()
        self.network, self.wrapped_optimizer = fabric.setup(self.branch, self.optimizer)
        self.targeted = settings.objective.method in WITH_TARGET
        averaged = self.targeted or settings.keep == "average"
        self.average = self.branch.averaged().train() if averaged else None
        self.objective = Objective(settings.objective, settings.projection_width).to(fabric.device)
        self.feeder = Feeder(clips, settings, encoder.frames, fabric.device, self.rank, self.processes)
        self.watch = Watch(clips, encoder, settings, fabric.device, tell)
        self.place = Place()
        self.seconds = 0.0

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs. Randomness is a function of seed and step, so it has no state."""
        return {
            "branch": self.branch.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "epoch": self.place.epoch,
            "batch": self.place.batch,
            "step": self.place.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.branch.load_state_dict(state["branch"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.place = Place(state["epoch"], state["batch"], state["step"])
        self.seconds = state["seconds"]

    def run_to_the_end(self, tracker: Tracker | None, progress: Callable[[int, int], None]) -> None:
        """Train, watch and save until the last epoch or the end of the time budget.

        Raises:
            CannotDo: the loss is not finite, the process was told to stop, or a file cannot be written or
                read; the last checkpoint is kept.
        """
        settings = self.settings
        budget = settings.max_minutes * 60 if settings.max_minutes else math.inf
        began = time.monotonic() - self.seconds
        saved = asked = time.monotonic()
        all_waited = all_took = 0.0  # seconds, without the first step: the feeders start in it
        first = self.place.step
        with stoppable() as stop, translated(), closing(self.feeder.batches(self.place)) as batches:
            for batch in batches:
                waited = time.monotonic() - asked
                here = batch.place
                before = self.done(here, budget)
                figures = self.learn(batch, before)
                self.place = Place(here.epoch, here.batch + 1, here.step + 1, here.batches)
                self.seconds = agree(time.monotonic() - began, self.fabric.device)
                done = self.done(self.place, budget)
                step = self.place.step
                took = time.monotonic() - asked
                if here.step > first:
                    all_waited, all_took = all_waited + waited, all_took + took
                if tracker is not None:
                    figures |= {
                        "epoch": here.epoch,
                        "seconds": round(self.seconds, 3),
                        "crops_per_second": round(len(batch.members) / took, 1),
                        "waited": round(waited / took, 4),
                    }
                    if self.watch.is_due(before, done, self.seconds):
                        so_far = figures | {"waited": all_waited / max(all_took, 1e-9)}
                        figures |= self.watch.look(step, done, tracker, so_far)
                    tracker.log(step, **figures)
                told = agree(stop.signal, self.fabric.device)
                if told or time.monotonic() - saved > settings.checkpoint_minutes * 60:
                    self.save()
                    saved = time.monotonic()
                progress(step, round(step / done))
                if told:
                    self.fabric.barrier()  # until it is written: who ends first ends the others
                    raise _stopped(stop, step)
                if done >= 1:
                    break
                asked = time.monotonic()
        self.check_finite()
        if self.rank == 0:
            kept = self.average if settings.keep == "average" and self.average is not None else self.branch
            save_weights(self.run.encoder, kept.encoder)
            self.run.checkpoint.unlink(missing_ok=True)

    def done(self, place: Place, budget: float) -> float:
        """How much of the run is done at a place: by epochs, or by the clock if that is further."""
        return min(1.0, max(place.share(self.settings.epochs), self.seconds / budget))

    def save(self) -> None:
        """Write a checkpoint; whatever happens, there is the old one or the new one.

        Raises:
            CannotDo: the weights are not finite; the old one is kept.
        """
        self.check_finite()
        if self.rank == 0:
            save_checkpoint(self.run.checkpoint, self.state())

    def check_finite(self) -> None:
        """Refuse to keep weights that are of no use.

        Raises:
            CannotDo: one is not finite.
        """
        norms = torch._foreach_norm(list(self.branch.parameters()))
        if not torch.isfinite(torch.stack(norms)).all():
            raise _not_finite("weights are", self.place.step)

    def learn(self, batch: Batch, done: float) -> dict[str, float]:
        """One gradient step; returns the figures to log.

        Raises:
            CannotDo: the loss is not finite; no weight has been changed.
        """
        settings, step = self.settings, batch.place.step
        rate = settings.learning_rate * warmup_cosine(done, settings.warmup_share)
        set_rate(self.optimizer.param_groups, rate)
        seed = (settings.seed * 1_000_003 + step) % 2**63
        targets = None
        if self.targeted and self.average is not None:
            with torch.no_grad(), self.fabric.autocast():
                own = embed(self.average, batch.crops, settings.chunk_crops, seed)
            targets = gather(own.float(), batch.lengths)
        loss, embeddings = backward(
            self.fabric,
            self.network,
            batch.crops,
            lambda everything: self.objective(everything, batch.members, targets),
            batch.lengths,
            chunk_crops=settings.chunk_crops,
            seed=seed,
        )
        if not torch.isfinite(loss):
            raise _not_finite("loss is", step)
        self.wrapped_optimizer.step()
        self.wrapped_optimizer.zero_grad()
        self.objective.remember(targets, batch.members)
        self.move_average(done)
        rows, value = embeddings.flatten(0, 1), loss.item()
        self.watch.saw(rows, batch.members, value)
        return {"loss": value, "learning_rate": rate, "feature_std": feature_std(rows)}

    def move_average(self, done: float) -> None:
        """The average follows; a target's decay rises to 1 along a cosine (BYOL, arXiv 2006.07733, 3.3)."""
        if self.average is None:
            return
        decay = self.settings.average_decay
        if self.targeted:
            decay = 1 - (1 - decay) * (math.cos(math.pi * done) + 1) / 2
        follow(self.average, self.branch, decay)
        if not self.targeted:  # nothing goes through it, so its batch statistics are the network's
            own = dict(self.branch.named_buffers())
            for name, buffer in self.average.named_buffers():
                buffer.copy_(own[name])


@contextmanager
def translated() -> Iterator[None]:
    """What torch raises where a process or memory is lost, in words.

    Raises:
        CannotDo: instead of those.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise CannotDo(
            "the device has too little memory for a batch",
            "go on in another run with chunk_crops, smaller batch_clips or --precision bf16",
        ) from None
    except RuntimeError as error:
        if not says_lost(error):
            raise
        raise feeder_lost() from error


def _not_finite(what: str, step: int) -> CannotDo:
    return CannotDo(
        f"the {what} not finite at step {step}",
        "begin another run with a lower learning_rate (--config), or with --precision 32; the last "
        "checkpoint of this one is kept",
    )


def _stopped(stop: Stop, step: int) -> CannotDo:
    return CannotDo(f"stopped by {stop.name} after step {step}; all is saved", "go on with --resume")
