"""Clips for `unknown.py`: of the phantom's exams, of screens that no frame store has, and made-up noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from apical.catalogue import read_catalogue
from apical.ingest.clip import open_clip
from apical.ingest.prepare import squares
from apical.ingest.sampling import spread
from apical.ingest.sector import Sector
from apical.learn.backbones import Encoder
from apical.learn.classifier import Classifier, classify_clip, classify_clips
from apical.learn.clips import Clips, load_clips
from apical.learn.start import load_encoder
from apical.phantom.modes import MODES, SHOWS_ONE_VIEW
from apical.views import standard_vocabulary

VIEWS = standard_vocabulary().names
CPU = torch.device("cpu")
STANDARD, HIDDEN = "standard view", "hidden view"
IN_EXAMS = ("sweeps", "further views", "organs")
OUTSIDE = ("screens", "colour", "speckle in a fan", "white noise")
KINDS = (HIDDEN, *IN_EXAMS, *OUTSIDE)
MODE_KINDS = dict.fromkeys(MODES, "screens") | dict.fromkeys(SHOWS_ONE_VIEW, "colour")
MODE_KINDS |= {"sweep": "sweeps", "organ": "organs"}
FRAMES = 6  # of a clip that is made here


@dataclass(frozen=True)
class Ground:
    """n clips of training patients and, with those made here, m clips of patients that hold out or judge.

    Attributes:
        encoder: whose features they are.
        training: the training clips.
        features: (n, d) theirs.
        kind: (n,) "standard view", or one of `IN_EXAMS`.
        asked: (m, d) features of the others.
        asked_kind: (m,) any kind.
        label: (m,) index of the standard view, or -1.
        patient: (m,)
        split: (m,) validation or test.
    """

    encoder: Encoder
    training: Clips
    features: NDArray[np.float32]
    kind: NDArray[np.str_]
    asked: NDArray[np.float32]
    asked_kind: NDArray[np.str_]
    label: NDArray[np.int64]
    patient: NDArray[np.str_]
    split: NDArray[np.str_]


def whole_screen(path: str, size: int) -> NDArray[np.uint8]:
    """A file's frames without a mask, (F, size, size) uint8."""
    clip = open_clip(path)
    frames = list(clip.frames(spread(clip.facts.frames, FRAMES)))
    height, width = frames[0].shape
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    return squares(frames, Sector("outline", corners, (), (height, width), 1.0), size, 1.0)[1]


def speckle(generator: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Fully developed speckle in a fan, in decibels, anew in each frame: (F, size, size) uint8."""
    y, x = np.mgrid[:size, :size]
    widest = generator.uniform(0.5, 0.8)
    inside = (np.abs(np.arctan2(x - size / 2, y + 1)) < widest) & (np.hypot(x - size / 2, y) < size - 1)
    waves = generator.normal(size=(2, FRAMES, size, size))
    smooth = np.array([[cv2.GaussianBlur(one, (0, 0), 1.2, sigmaY=0.7) for one in part] for part in waves])
    envelope = np.hypot(*smooth)
    decibels = 20 * np.log10(envelope / envelope.max() + 1e-6)
    return (np.clip(1 + decibels / 50, 0, 1) * 255 * inside).astype(np.uint8)


def noise(generator: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """(F, size, size) uint8."""
    return generator.integers(0, 256, (FRAMES, size, size), dtype=np.uint8)


def kinds_by_file(exams: Path) -> dict[str, str]:
    """What each file of the phantom is, by its path in the folder."""
    truth = pl.read_csv(exams / "truth.csv", infer_schema_length=None).select("file", "mode", "view")
    plain = {True: STANDARD, False: "further views"}
    return {
        file: plain[view in VIEWS] if mode == "2d" else MODE_KINDS[mode] for file, mode, view in truth.rows()
    }


def ground(exams: Path, catalogue: Path, frames: Path, run: Path) -> Ground:
    """Features of all clips; those that no frame store has are of validation and test patients only."""
    clips = load_clips(frames, catalogue, standard_vocabulary())
    encoder, settings = load_encoder(run)
    classifier = Classifier(encoder, len(VIEWS))
    features = classify_clips(classifier, clips, settings.input_size, CPU).features
    by_file, rows = kinds_by_file(exams), read_catalogue(catalogue).select("clip", "path", "patient", "split")
    by_clip = {clip: by_file[Path(path).relative_to(exams).as_posix()] for clip, path, *_ in rows.rows()}
    kind = np.array([by_clip[clip] for clip in clips.clip])
    training, size = clips.split == "train", clips.made.size
    split_of = dict(zip(clips.patient, clips.split, strict=True))
    made = []  # kind, patient, features
    for clip, path, patient, split in rows.rows():
        if split != "train" and by_clip[clip] in OUTSIDE:
            made.append((by_clip[clip], patient, whole_screen(path, size)))
    for number, patient in enumerate(dict.fromkeys(clips.patient[~training])):
        generator = np.random.default_rng([7, number])
        made += [
            (name, patient, make(generator, size))
            for name, make in (("speckle in a fan", speckle), ("white noise", noise))
            for _ in range(2)
        ]
    outside = [classify_clip(classifier, shown, settings.input_size, CPU).features for *_, shown in made]
    return Ground(
        encoder=encoder,
        training=clips.select(training),
        features=features[training],
        kind=kind[training],
        asked=np.concatenate([features[~training], *outside]),
        asked_kind=np.concatenate([kind[~training], [name for name, *_ in made]]),
        label=np.concatenate([clips.label[~training], np.full(len(made), -1)]),
        patient=np.concatenate([clips.patient[~training], [patient for _, patient, _ in made]]),
        split=np.concatenate([clips.split[~training], [split_of[patient] for _, patient, _ in made]]),
    )
