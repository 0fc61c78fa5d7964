"""Which clips to show, and their thumbnails."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.ingest.frames import FrameStore
from apical.learn.predictions import Predictions

Thumbnails = Callable[[str], NDArray[np.uint8] | None]
"""From a clip id to a grey picture (S, S) uint8, or to None where there is none."""

_SIDE = 160  # pixels; larger pictures are made smaller
_SMALL_SIDE = 72


@dataclass(frozen=True)
class Shown:
    """A clip on the contact sheet.

    Attributes:
        image: a PNG as a data URI, or None.
        named: the view the classifier named.
        true: the view of the label.
        probability: of the named view, 0 … 1.
        clip: see `short_id`.
    """

    image: str | None
    named: str
    true: str
    probability: float
    clip: str


def store_thumbnails(folder: Path) -> Thumbnails:
    """The middle stored frame of each clip; None for clips that the store lacks.

    Raises:
        CannotDo: the frame store cannot be read.
    """
    store = FrameStore.open(folder)
    rows = dict(store.index.sort("frame").group_by("clip", maintain_order=True).agg("row").iter_rows())

    def thumbnail(clip: str) -> NDArray[np.uint8] | None:
        of_clip = rows.get(clip)
        return store.frames[of_clip[len(of_clip) // 2]] if of_clip else None

    return thumbnail


def surest_wrong(judged: Predictions, thumbnails: Thumbnails, most: int = 12) -> list[Shown]:
    """The wrongly named clips, the most probable first."""
    return [
        _show(judged, row, thumbnails) for row in _surest(judged, judged.predicted != judged.label)[:most]
    ]


@dataclass(frozen=True)
class Pair:
    """Clips of one view that were taken for one other, the surest first."""

    true: str
    named: str
    count: int
    shown: list[Shown]


def most_confused(judged: Predictions, thumbnails: Thumbnails, most: int = 4, clips: int = 6) -> list[Pair]:
    """The pairs of views that were confused most often, and at least twice, each with some clips."""
    k = len(judged.views)
    pair = np.where(judged.predicted != judged.label, judged.label * k + judged.predicted, -1)
    found, counts = np.unique(pair[pair >= 0], return_counts=True)
    pairs = []
    for i in np.argsort(-counts, kind="stable")[:most]:
        if counts[i] > 1:
            rows = _surest(judged, pair == found[i])[:clips]
            shown = [_show(judged, row, thumbnails) for row in rows]
            pairs.append(Pair(judged.views[found[i] // k], judged.views[found[i] % k], int(counts[i]), shown))
    return pairs


def surest_right(judged: Predictions, thumbnails: Thumbnails) -> list[Shown]:
    """The most probable rightly named clip of each view, in the order of the views."""
    rows = _surest(judged, judged.predicted == judged.label)
    _, first = np.unique(judged.label[rows], return_index=True)
    return [_show(judged, row, thumbnails) for row in rows[first]]


def _surest(judged: Predictions, chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-judged.log_probabilities[rows].max(1), kind="stable")]


def _show(judged: Predictions, row: np.intp, thumbnails: Thumbnails) -> Shown:
    clip = str(judged.clip[row])
    return Shown(
        image=png(thumbnails(clip)),
        named=judged.views[judged.predicted[row]],
        true=judged.views[judged.label[row]],
        probability=float(np.exp(judged.log_probabilities[row].max())),
        clip=short_id(clip),
    )


def short_id(clip: str) -> str:
    """The beginning of a clip's id as a scan makes it; of any other nothing, since it may name a person."""
    made_by_scan = re.fullmatch(r"[0-9a-f]{16}", clip) and not clip.isdigit()
    return clip[:8] if made_by_scan else "(id not shown)"


def png(picture: NDArray[np.uint8] | None) -> str | None:
    """A picture, grey (h, w) or blue-green-red (h, w, 3), as a data URI, no larger than `_SIDE`."""
    return None if picture is None else _uri(".png", _small(picture, _SIDE))


def small_jpeg(picture: NDArray[np.uint8] | None) -> str | None:
    """A grey picture as a data URI of about a kilobyte, for hundreds of them on a page."""
    return (
        None if picture is None else _uri(".jpg", _small(picture, _SMALL_SIDE), cv2.IMWRITE_JPEG_QUALITY, 70)
    )


def _small(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _uri(ending: str, picture: NDArray[np.uint8], *options: int) -> str:
    encoded = cv2.imencode(ending, picture, list(options))[1]
    kind = "png" if ending == ".png" else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(encoded.tobytes()).decode()
