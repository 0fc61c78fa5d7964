"""Contrastive pre-training: clips without labels in, an encoder out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import torch

from apical.config import PretrainSettings
from apical.errors import CannotDo
from apical.learn.backbones import build_encoder
from apical.learn.checkpoint import load_checkpoint
from apical.learn.clips import Clips, load_clips
from apical.learn.device import fabric_on
from apical.learn.distributed import agree, world
from apical.learn.loop import Loop
from apical.learn.run import RunFolder
from apical.learn.start import begin_with, choose_start, describe, patients_seen
from apical.learn.tracking import Tracker
from apical.views import Vocabulary, standard_vocabulary

FREE = ("accelerator", "checkpoint_minutes", "feeders", "trackers", "watch")  # may change on --resume
log = logging.getLogger(__name__)


def pretrain(
    store: Path,
    catalogue: Path,
    out: Path,
    settings: PretrainSettings = PretrainSettings(),
    *,
    vocabulary: Vocabulary | None = None,
    start: Path | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] = log.warning,
) -> Path:
    """Learn an encoder from the training clips of a frame store.

    Clips of validation and test patients are never used. Labels are used only by the relations and settings
    that name views. Interrupted at any point, the same call with `resume` gives the weights that
    an uninterrupted call gives (on the same machine, without a time budget).

    Started by ``torchrun``, the processes share each batch.

    Args:
        store: folder of a frame store.
        catalogue: the catalogue it was built from, with patients, splits and labels.
        out: the run folder to make.
        settings: everything else.
        vocabulary: the views that labels may name; the standard ones by default.
        start: what the encoder begins with: a finished pre-training run, ``shipped``, for networks of timm a
            file of ImageNet weights, or ``random``. By default ``shipped`` for few clips and the default
            network, otherwise ``random``.
        resume: go on from the folder's last checkpoint.
        progress: called after each step with the steps done and in all (an estimate).
        tell: is given what looks wrong with the run, in words.

    Returns:
        `out`, which then holds ``encoder.safetensors``.

    Raises:
        WrongCall: `start` is of another network.
        CannotDo: too few clips, unreadable inputs, no such device, a full disk, a loss that is not finite, or
            the process was told to stop; what was saved before stays.
    """
    clips = load_clips(store, catalogue, vocabulary or standard_vocabulary()).in_split("train", "")
    check_enough(clips, settings)
    fabric = fabric_on(settings.accelerator, settings.precision, shared=True)
    torch.manual_seed(settings.seed)
    encoder = build_encoder(settings.encoder)
    start = choose_start(start, settings, len(clips))
    if start is not None:
        begin_with(encoder, settings.encoder, start)
    run = RunFolder(out)
    leads = world()[0] == 0
    if leads:
        facts = {"kind": "pretrain", "clips": clips.fingerprint(), **settings.model_dump(mode="json")}
        facts |= {"start": describe(start)} if start else {}
        run.start(facts, resume=resume, free=FREE)
        before = patients_seen(start) if start and not start.is_file() else []
        run.write_json("patients.json", {"patients": sorted({*clips.patient.tolist(), *before})})
    fabric.barrier()
    if run.encoder.exists():
        run.checkpoint.unlink(missing_ok=True)  # of a run that was killed when all was done
        return out
    loop = Loop(clips, run, settings, fabric, encoder, tell)
    if run.checkpoint.exists():
        loop.restore(load_checkpoint(run.checkpoint))
    if loop.place.step != agree(loop.place.step, fabric.device):
        raise CannotDo(
            "the processes see different checkpoints", "put the run folder on a disk that all of them share"
        )
    tracker = None
    if leads:
        described = settings.model_dump(mode="json")
        tracker = Tracker(out, resume_after=loop.place.step, trackers=settings.trackers, settings=described)
    with closing(tracker) if tracker is not None else nullcontext():
        loop.run_to_the_end(tracker, progress or (lambda done, total: None))
    fabric.barrier()
    return out


def check_enough(clips: Clips, settings: PretrainSettings) -> None:
    """Refuse clips that the settings cannot learn from.

    Raises:
        CannotDo: there are fewer than two, or no labels or studies where the settings need them.
    """
    if len(clips) < 2:
        raise CannotDo(
            "there are fewer than two clips to pre-train on", "scan more files, or check the splits"
        )
    objective = settings.objective
    needs_labels = {
        f"the relation '{objective.relation}'": "view" in objective.relation,
        "ignore_same_view": objective.ignore_same_view,
        "balance 'views'": settings.balance == "views",
    }
    for what, wanted in needs_labels.items():
        if wanted and not (clips.label >= 0).any():
            raise CannotDo(f"{what} needs labels and there are none", "use --relation same-clip without it")
    if "study" in objective.relation and (clips.study == "").all():
        raise CannotDo(
            f"the relation '{objective.relation}' needs studies and there are none",
            "use --relation view-or-clip",
        )
