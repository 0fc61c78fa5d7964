"""What the judges of the phantom share: a laboratory of synthetic exams in memory, and classifiers on it.

The exams are those that `apical phantom` writes. Frames are masked by the true outline and cropped as
`apical frames` does, so that the sector finder has no part in what is judged.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

import apical.phantom
from apical.catalogue import conform, limit_labels, write_catalogue
from apical.config import AugmentSettings, FrameSettings, PhantomSettings, ResNetSettings, TrainSettings
from apical.errors import CannotDo
from apical.ingest.parallel import ordered_map
from apical.ingest.prepare import squares
from apical.ingest.sector import Sector
from apical.judge.intervals import Interval
from apical.learn.backbones import Encoder, build_encoder, channels_last
from apical.learn.classifier import Classifier
from apical.learn.clips import Clips
from apical.learn.device import fabric_on
from apical.learn.fitting import Trainer
from apical.learn.methods import cosine_of, learn
from apical.learn.tracking import Tracker
from apical.phantom.clip import Clip
from apical.phantom.exam import Exam, Take, exam_of, takes
from apical.phantom.machine import MACHINES, Encoding, RegionTags
from apical.views import standard_vocabulary

VIEWS = standard_vocabulary().names
TRAIN, VALIDATION = 0.6, 0.1  # of the patients; the others test
CANVAS = 48  # pixels; side of the small pictures of the whole screen
BINS = 32  # of the histogram of grey levels
EDGE = 2  # pixels around the true outline that are blanked too: rounding must not leave image outside
PLAIN = {"contrast": 0.0, "extra_views": 0, "sweeps": 0, "other_modes": 0}  # of an exam: the standard views
LIGHT = AugmentSettings(
    smallest_crop=0.85, gain=0.08, dynamic_range=0.12, gamma=0.15, depth_gain=0.08, depth=0, dropout=0
)
NETWORK = ResNetSettings(depth=10, width=16, stem_stride=4)


@dataclass(frozen=True)
class Lab:
    """n clips of synthetic exams with N frames in all. Arrays (n, …) are by clip.

    Attributes:
        clips: `clips.frames` (N, s, s) uint8 are crops of the sector; `clips.label` indexes VIEWS.
        machine: (n,) int64, number of the machine.
        number: (n,) int64, of the clip in its exam, from 1.
        surround: (n, CANVAS, CANVAS) uint8, the first frame's whole screen, black where the sector is.
        outline: (n, CANVAS, CANVAS) uint8, where on the screen the sector is.
        histogram: (N, BINS) float64, shares of grey levels in the sector.
        box: (n, 5) float64, columns of the screen and the sector's box, in screen heights.
        header: (n, m) float64, what a header tells without the region's scale.
        pixel_mm: (n,) float64, what the region tags tell of a pixel's side; 0 where there are none.
        error_deg: (n,) float64, angle between the plane and the textbook's.
    """

    clips: Clips
    machine: NDArray[np.int64]
    number: NDArray[np.int64]
    surround: NDArray[np.uint8]
    outline: NDArray[np.uint8]
    histogram: NDArray[np.float64]
    box: NDArray[np.float64]
    header: NDArray[np.float64]
    pixel_mm: NDArray[np.float64]
    error_deg: NDArray[np.float64]

    @property
    def of_frame(self) -> NDArray[np.int64]:
        """(N,): the clip that each frame is of."""
        return np.repeat(np.arange(len(self.clips)), self.clips.count)

    @property
    def in_surround(self) -> Clips:
        """The clips with one frame each: the screen without the sector."""
        ones = np.ones(len(self.clips), np.int64)
        return replace(self.clips, frames=self.surround, first=np.arange(len(ones)), count=ones)


def make_lab(settings: PhantomSettings, size: int = 64, *, tested: bool = True) -> Lab:
    """Acquire all exams; patients are split by their numbers.

    Args:
        settings: as of `apical phantom`; what is no standard view, or with contrast agent, is left out.
        size: side of a crop in pixels.
        tested: False puts all patients into split ``train``.
    """
    look = partial(_look_at_exam, settings.model_copy(update=PLAIN), size)
    exams = list(ordered_map(look, range(settings.patients), settings.workers or 1, _crashed))
    looks = [one for exam in exams for one in exam]
    patient = np.repeat(np.arange(settings.patients), [len(exam) for exam in exams])
    count = np.array([len(one["crops"]) for one in looks])
    share = (patient + 0.5) / settings.patients
    split = np.select([share < TRAIN, share < TRAIN + VALIDATION], ["train", "validation"], "test")
    clips = Clips(
        frames=np.concatenate([one["crops"] for one in looks]),
        first=np.cumsum(count) - count,
        count=count,
        clip=np.array([f"c{number:06}" for number in range(len(looks))]),
        patient=np.array([f"p{number:05}" for number in patient]),
        study=np.array([f"p{number:05}" for number in patient]),
        machine=np.array([str(one["machine"]) for one in looks]),
        split=split if tested else np.full(len(looks), "train"),
        label=np.array([one["label"] for one in looks]),
        agent=np.full(len(looks), -1),
        order=np.array([one["number"] for one in looks]),
        made=FrameSettings(size=size, frames_per_clip=settings.frames),
    )
    names = ("machine", "number", "surround", "outline", "box", "header", "pixel_mm", "error_deg")
    by_clip = {name: np.stack([one[name] for one in looks]) for name in names}
    return Lab(clips, histogram=np.concatenate([one["histogram"] for one in looks]), **by_clip)


def _crashed(index: int, problem: str) -> list[dict[str, Any]]:
    raise CannotDo("a worker process ended while it acquired an exam", "try again with fewer workers")


def _look_at_exam(settings: PhantomSettings, size: int, index: int) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    exam = exam_of(settings, index)
    return [_look(exam, take, size) for take in takes(exam)]


def _look(exam: Exam, take: Take, size: int) -> dict[str, Any]:
    """What a `Lab` keeps of one clip."""
    clip, machine = take.clip, exam.scanner
    if not isinstance(clip, Clip):
        raise ValueError("a plain exam has no other modes")
    screen = clip.screen
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip.frames])
    shape = (gray.shape[1], gray.shape[2])
    sector = Sector("fan", screen.polygon(), (), shape, 1.0)
    corners = np.array([[0, 0], [shape[1] - 1, 0], [shape[1] - 1, shape[0] - 1], [0, shape[0] - 1]])
    whole = Sector("outline", corners.astype(np.float64), (), shape, 1.0)
    inside = sector.mask.astype(np.uint8)
    around = gray[0] * (1 - cv2.dilate(inside, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)))
    counts = [np.bincount(frame[sector.mask] * BINS // 256, minlength=BINS) for frame in gray.astype(int)]
    x0, y0, x1, y1 = screen.region()
    facts = [
        *(machine.number == number for number in range(MACHINES)),
        *(machine.encoding == name for name in get_args(Encoding)),
        *(machine.region_tags == name for name in get_args(RegionTags)),
        *shape,
        len(gray) == 1,
        clip.frame_time_ms if len(gray) > 1 else 0,
        take.heart_rate,
    ]
    return {
        "crops": squares(gray, sector, size, 1.0)[1],
        "label": VIEWS.index(take.view),
        "machine": machine.number,
        "number": take.number,
        "surround": squares([around], whole, CANVAS, 1.0)[1][0],
        "outline": squares([inside * 255], whole, CANVAS, 1.0)[1][0],
        "histogram": np.array(counts) / inside.sum(),
        "box": np.array([shape[1], x0, y0, x1, y1]) / shape[0],
        "header": np.array(facts, np.float64),
        "pixel_mm": 0.0 if machine.region_tags == "absent" else screen.mm_per_pixel,
        "error_deg": float(clip.sight.error.degrees[0]),
    }


def write_lab(lab: Lab, folder: Path) -> tuple[Path, Path]:
    """A frame store and a catalogue of a laboratory, as `apical pretrain` reads them."""
    return write_store(lab.clips, folder)


def write_store(clips: Clips, folder: Path, catalogue: str = "catalogue.parquet") -> tuple[Path, Path]:
    """A frame store, unless it is there, and a catalogue of clips in memory."""
    store = folder / "frames"
    if not (store / "store.json").exists():
        store.mkdir(parents=True, exist_ok=True)
        np.save(store / "frames.npy", clips.frames[:])
        rows = np.full(len(clips.frames), "", dtype=object)
        for name, first, count in zip(clips.clip, clips.first, clips.count, strict=True):
            rows[first : first + count] = name
        index = pl.DataFrame({"row": range(len(rows)), "clip": rows.astype(str)})
        number = pl.int_range(pl.len()).over("clip").cast(pl.Int32)
        index = index.with_columns(frame=number, time_ms=pl.lit(None, pl.Float64))
        index.write_parquet(store / "index.parquet")
        record = f'{{"settings": {clips.made.model_dump_json()}, "problems": {{}}}}'
        (store / "store.json").write_text(record)
    write_catalogue(catalogue_of(clips), folder / catalogue)
    return store, folder / catalogue


def catalogue_of(clips: Clips) -> pl.DataFrame:
    """The catalogue of clips without files."""
    columns = {"clip": clips.clip, "path": clips.clip, "patient": clips.patient, "study": clips.study}
    columns |= {"model": clips.machine, "split": clips.split}
    views = [VIEWS[label] if label >= 0 else None for label in clips.label]
    return conform(pl.DataFrame(columns | {"view": pl.Series(views, dtype=pl.String)}))


def phantom_version() -> str:
    """Short hash of the phantom's source, so that nothing made by an older one is taken for new."""
    sources = sorted(Path(next(iter(apical.phantom.__path__))).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def network_settings(steps: int, seed: int, **changes: Any) -> TrainSettings:
    """Plain cross-entropy, mildly augmented, on crops of 64 pixels unless changed."""
    values = {"method": "naive", "encoder": NETWORK, "augment": LIGHT, "input_size": 64}
    return TrainSettings(**(values | {"steps": steps, "seed": seed} | changes))


def fit_network(
    teaching: Clips, settings: TrainSettings, *, views: int = len(VIEWS), encoder: Encoder | None = None
) -> Classifier:
    """A classifier of `views` views, taught as `apical train` does, from `encoder` or from random weights."""
    torch.manual_seed(settings.seed)
    classifier = Classifier(encoder or build_encoder(settings.encoder), views, cosine=cosine_of(settings))
    taught = np.isin(np.arange(views), teaching.label)
    classifier.taught[:] = torch.from_numpy(taught)
    channels_last(classifier)
    nobody = teaching.select(np.zeros(len(teaching), bool))
    with tempfile.TemporaryDirectory() as place, closing(Tracker(Path(place))) as tracker:
        trainer = Trainer(
            settings, fabric_on("cpu", settings.precision), tracker, nobody, lambda done, total: None
        )
        return learn(classifier, teaching, trainer, pretrained=encoder is not None)


def clip_means(values: NDArray[Any], clips: Clips) -> NDArray[np.float64]:
    """(n, k): means over each clip's frames of (N, k) values, where frames stand in the order of clips."""
    sums = np.add.reduceat(values.astype(np.float64), clips.first, axis=0)
    return np.asarray(sums / clips.count[:, None])


def few_labels(clips: Clips, budget: dict[str, int], default: int | None, seed: int) -> Clips:
    """The training clips that keep their labels when only so many patients of a view are labelled."""
    limited = limit_labels(catalogue_of(clips), budget, default=default, seed=seed)
    return clips.select(limited["view"].is_not_null().to_numpy() & (clips.split == "train"))


def with_interval(figure: Interval) -> str:
    """A figure and its limits, for a cell."""
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def with_sign(figure: Interval) -> str:
    """A difference and its limits, for a cell."""
    return f"{figure.value:+.3f} ({figure.low:+.3f} to {figure.high:+.3f})"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first one as heading, in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
