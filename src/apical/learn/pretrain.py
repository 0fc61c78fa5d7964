"""Contrastive pre-training: clips without labels in, an encoder out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from apical.config import PretrainSettings
from apical.errors import CannotDo
from apical.learn.augment import augment
from apical.learn.backbones import Encoder, channels_last, projection_head
from apical.learn.batches import exam_batches, two_frames
from apical.learn.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from apical.learn.clips import Clips, load_clips
from apical.learn.device import fabric_on
from apical.learn.losses import contrastive_objective
from apical.learn.optimise import parameter_groups, set_rate, warmup_cosine
from apical.learn.relations import Members
from apical.learn.run import RunFolder
from apical.views import Vocabulary, standard_vocabulary


def pretrain(
    store: Path,
    catalogue: Path,
    out: Path,
    settings: PretrainSettings = PretrainSettings(),
    *,
    vocabulary: Vocabulary | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Learn an encoder from the training clips of a frame store.

    Clips of validation and test patients are never used. Labels are used only by the relations
    that name views. Interrupted at any point, the same call with `resume` gives the weights that
    an uninterrupted call gives (on the same machine, without a time budget).

    Args:
        store: folder of a frame store.
        catalogue: the catalogue it was built from, with patients, splits and labels.
        out: the run folder to make.
        settings: everything else.
        vocabulary: the views that labels may name; the standard ones by default.
        resume: go on from the folder's last checkpoint.
        progress: called after each step with the steps done and in all (an estimate).

    Returns:
        `out`, which then holds ``encoder.safetensors``.

    Raises:
        CannotDo: too few clips, unreadable inputs, no such device, a full disk, or a loss that is not
            finite; what was saved before stays.
    """
    clips = load_clips(store, catalogue, vocabulary or standard_vocabulary()).in_split("train", "")
    if len(clips) < 2:
        raise CannotDo(
            "there are fewer than two clips to pre-train on", "scan more files, or check the splits"
        )
    if settings.relation == "same-view" and not (clips.label >= 0).any():
        raise CannotDo("the relation 'same-view' needs labels and there are none", "use --relation same-clip")
    run = RunFolder(out)
    facts = {"kind": "pretrain", "clips": clips.fingerprint(), **settings.model_dump(mode="json")}
    fabric = fabric_on(settings.accelerator, settings.precision)
    run.start(facts, resume=resume)
    if run.encoder.exists():
        return out
    run.write_json("patients.json", {"patients": np.unique(clips.patient).tolist()})
    loop = _Loop(clips, run, settings, fabric)
    if run.checkpoint.exists():
        loop.restore(load_checkpoint(run.checkpoint))
    run.forget_metrics_after(loop.step)
    loop.run_to_the_end(progress or (lambda done, total: None))
    return out


class _Loop:
    """The state of a pre-training run and what one step does to it."""

    def __init__(self, clips: Clips, run: RunFolder, settings: PretrainSettings, fabric: Fabric) -> None:
        self.clips, self.run, self.settings, self.fabric = clips, run, settings, fabric
        self.patient = clips.patient_code
        torch.manual_seed(settings.seed)
        self.encoder = Encoder(settings.encoder)
        head = projection_head(self.encoder.features, settings.projection_width)
        network = channels_last(nn.Sequential(self.encoder, head))
        self.optimizer = torch.optim.AdamW(
            parameter_groups(network, settings.weight_decay), lr=settings.learning_rate
        )
        self.network, self.wrapped_optimizer = self.fabric.setup(network, self.optimizer)
        self.raw_network = network
        self.epoch = self.batch = self.step = 0
        self.seconds = 0.0

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs. Randomness is a function of seed and step, so it has no state."""
        return {
            "network": self.raw_network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.raw_network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.seconds = state["seconds"]

    def run_to_the_end(self, progress: Callable[[int, int], None]) -> None:
        settings = self.settings
        budget = settings.max_minutes * 60 if settings.max_minutes else np.inf
        began = time.monotonic() - self.seconds
        saved = time.monotonic()
        self.network.train()
        while self.epoch < settings.epochs and self.seconds < budget:
            batches = self.batches_of(self.epoch)
            while self.batch < len(batches) and self.seconds < budget:
                share = (self.epoch + self.batch / len(batches)) / settings.epochs
                figures = self.one_step(batches[self.batch], max(share, self.seconds / budget))
                self.batch += 1
                self.step += 1
                self.seconds = time.monotonic() - began
                self.run.log(step=self.step, epoch=self.epoch, seconds=round(self.seconds, 3), **figures)
                if time.monotonic() - saved > settings.checkpoint_minutes * 60:
                    save_checkpoint(self.run.checkpoint, self.state())
                    saved = time.monotonic()
                done = max((self.epoch + self.batch / len(batches)) / settings.epochs, self.seconds / budget)
                progress(self.step, round(self.step / min(done, 1.0)))
            self.epoch, self.batch = self.epoch + 1, 0
        save_weights(self.run.encoder, self.encoder)
        self.run.checkpoint.unlink(missing_ok=True)

    def batches_of(self, epoch: int) -> list[NDArray[np.int64]]:
        generator = np.random.default_rng([self.settings.seed, epoch])
        return exam_batches(self.patient, self.settings.batch_clips, generator)

    def one_step(self, chosen: NDArray[np.int64], share: float) -> dict[str, float]:
        """Two crops of each chosen clip, one gradient step; returns the figures to log."""
        settings, clips = self.settings, self.clips
        rate = settings.learning_rate * warmup_cosine(share, settings.warmup_share)
        set_rate(self.optimizer.param_groups, rate)
        generator = np.random.default_rng([settings.seed, self.step, 1])
        one, other = two_frames(
            clips.first[chosen],
            clips.count[chosen],
            distinct=settings.relation != "same-frame",
            generator=generator,
        )
        rows = np.concatenate([one, other])
        members = self.members(np.tile(chosen, 2), rows)
        crops = self.crops(rows)
        embeddings = self.network(crops)
        loss = contrastive_objective(
            embeddings,
            members,
            relation=settings.relation,
            same_patient_share=settings.same_patient_share,
            temperature=settings.temperature,
        )
        if not torch.isfinite(loss):
            raise CannotDo(
                f"the loss is not finite at step {self.step}",
                "begin another run with a lower learning_rate (--config), or with --precision 32; the last "
                "checkpoint of this one is kept",
            )
        self.wrapped_optimizer.zero_grad()
        self.fabric.backward(loss)
        self.wrapped_optimizer.step()
        return {"loss": loss.item(), "learning_rate": rate, "spread": spread(embeddings)}

    def crops(self, rows: NDArray[np.int64]) -> Tensor:
        frames = torch.from_numpy(self.clips.frames[rows]).to(self.fabric.device)
        generator = torch.Generator(self.fabric.device).manual_seed(
            self.settings.seed * 1_000_003 + self.step
        )
        crops = augment(frames, self.settings.input_size, self.settings.augment, generator)
        return crops.to(memory_format=torch.channels_last)

    def members(self, clips: NDArray[np.int64], rows: NDArray[np.int64]) -> Members:
        columns = (rows, clips, self.patient[clips], self.clips.label[clips])
        return Members(*(torch.from_numpy(column).to(self.fabric.device) for column in columns))


def spread(embeddings: Tensor) -> float:
    """How evenly embeddings (n, d) point in all directions: 1 evenly, 0 all in one (a collapse)."""
    unit = nn.functional.normalize(embeddings.detach().float(), dim=1)
    return round(unit.std(dim=0).mean().item() * math.sqrt(embeddings.shape[1]), 4)


def load_encoder(run: Path) -> tuple[Encoder, PretrainSettings]:
    """The encoder of a finished pre-training run.

    Raises:
        CannotDo: the folder is no such run, or it is not finished.
    """
    folder = RunFolder(run)
    values = folder.settings()
    if values.pop("kind", None) != "pretrain":
        raise CannotDo(f"'{run.name}' is not a pre-training run", "give a folder that 'apical pretrain' made")
    if not folder.encoder.exists():
        raise CannotDo(f"the run '{run.name}' is not finished", "go on with it: apical pretrain --resume")
    values.pop("clips", None)
    settings = PretrainSettings.model_validate(values)
    encoder = Encoder(settings.encoder)
    load_weights(folder.encoder, encoder)
    return encoder, settings
