"""A map of clips by their features, whose marks show their clips when they are pointed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.judge.report.pictures import Thumbnails, short_id, small_jpeg
from apical.learn.predictions import Predictions

SIGNS = "●■▲◆▼✚✖"  # a colour that the colour-blind cannot tell from another has another shape


@dataclass(frozen=True)
class Mark:
    """A clip on the map.

    Attributes:
        x: from the left, in percent of the map's width.
        y: from the top, likewise.
        view: number of the true view.
        true: its name.
        named: the view it was named.
        probability: of the named view, 0 … 1.
        image: a small picture as a data URI, or None.
        clip: see `apical.judge.report.pictures.short_id`.
    """

    x: float
    y: float
    view: int
    true: str
    named: str
    probability: float
    image: str | None
    clip: str


@dataclass(frozen=True)
class Map:
    """The map of one run: its clips, and the views in the order of their colours and signs."""

    method: str
    seed: int
    marks: tuple[Mark, ...]
    legend: tuple[tuple[int, str, str], ...]


def clip_map(run: Predictions, thumbnails: Thumbnails | None) -> Map | None:
    """A map of up to 800 judged clips; None where features do not differ."""
    run = run.select(map_rows(len(run)))
    place = embed(run.features)
    if place is None:
        return None
    low, span = place.min(axis=0), np.ptp(place, axis=0)
    percent = 2 + 96 * (place - low) / np.where(span > 0, span, 1)
    marks = [
        Mark(
            x=round(float(x), 1),
            y=round(float(100 - y), 1),
            view=int(run.label[i]),
            true=run.views[run.label[i]],
            named=run.views[run.predicted[i]],
            probability=float(np.exp(run.log_probabilities[i].max())),
            image=small_jpeg(thumbnails(str(run.clip[i]))) if thumbnails else None,
            clip=short_id(str(run.clip[i])),
        )
        for i, (x, y) in enumerate(percent)
    ]
    legend = tuple((int(view), sign_of(int(view)), run.views[view]) for view in np.unique(run.label))
    return Map(run.method, run.seed, tuple(marks), legend)


def sign_of(view: int) -> str:
    """The shape of a view's marks; its colour is that of its number modulo 7, see the page's style."""
    return SIGNS[(view // len(SIGNS) * 2 + view) % len(SIGNS)]


def map_rows(clips: int, most: int = 800, seed: int = 0) -> NDArray[np.intp]:
    """Up to `most` of the row numbers below `clips`, drawn at random, in order."""
    return np.sort(np.random.default_rng(seed).permutation(clips)[:most])


def embed(features: NDArray[Any], seed: int = 0) -> NDArray[np.float64] | None:
    """(n, 2) positions of clips with features (n, d): 50 principal components, then t-SNE.

    Only who is near whom means something; distances between groups and their sizes do not (van der Maaten
    & Hinton, JMLR 2008). None where there are fewer than 5 clips or no features that differ.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, d = features.shape
    if n < 5 or not d or not np.ptp(features, axis=0).any():
        return None
    components = PCA(min(50, n, d), random_state=seed).fit_transform(features.astype(np.float64))
    tsne = TSNE(perplexity=min(30.0, (n - 1) / 3), init="pca", random_state=seed, n_jobs=1)
    if components.shape[1] < 2:
        components = np.pad(components, ((0, 0), (0, 1)))
    return np.asarray(tsne.fit_transform(components), np.float64)
