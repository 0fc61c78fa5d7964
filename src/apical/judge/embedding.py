"""A map of clips by their features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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
