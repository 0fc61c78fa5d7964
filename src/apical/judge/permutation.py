"""Whether two methods differ: what if it were by chance which of them gave a patient's answers?"""

from __future__ import annotations

import numpy as np

from apical.judge.intervals import Statistic
from apical.judge.metrics import Counts, Figures

_CHUNK_VALUES = 4_000_000  # doubles in the largest temporary array: 32 MB


def permutation_p(
    one: Counts, other: Counts, statistic: Statistic, *, resamples: int = 2000, seed: int = 0
) -> Figures:
    """(m,) two-sided p-values of "the two methods do not differ", figure by figure; NaN where not defined.

    In each draw a fair coin decides for every patient whether the two methods' answers are exchanged, all
    clips and training seeds of the patient together, since they hang together. p is the share of draws
    whose difference is at least as far from zero as the true one, which counts as one of the draws (Phipson
    & Smyth, Stat. Appl. Genet. Mol. Biol. 2010).

    Args:
        one: (s, P, …) tables of a method, as for `apical.judge.intervals.bootstrap`.
        other: the other method's, of the same patients.
        statistic: gives m figures for tables with any leading axes; they are averaged over seeds.
        resamples: number of draws.
        seed: fixes them.

    Raises:
        ValueError: the tables are of different shapes.
    """
    if one.shape != other.shape:
        raise ValueError("the two methods have tables of different shapes")
    runs, patients, *shape = one.shape
    flat = [np.moveaxis(table, 1, 0).reshape(patients, -1).astype(np.float64) for table in (one, other)]
    sums, gap = [table.sum(axis=0) for table in flat], flat[0] - flat[1]

    def difference(exchanged: Figures) -> Figures:
        """(r, m) of draws (r, P) of 0 and 1."""
        moved = exchanged @ gap
        pair = [
            statistic(table.reshape(-1, runs, *shape)).mean(axis=1)
            for table in (sums[0] - moved, sums[1] + moved)
        ]
        return np.asarray(pair[0] - pair[1])

    seen = np.abs(difference(np.zeros((1, patients)))[0])
    random = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_VALUES // max(gap.shape))
    as_far, defined = np.ones_like(seen), np.ones_like(seen)
    for start in range(0, resamples, chunk):
        coins = random.integers(2, size=(min(chunk, resamples - start), patients)).astype(np.float64)
        drawn = np.abs(difference(coins))
        as_far += (drawn >= seen - 1e-12).sum(axis=0)  # NaN is not; rounding must not make ties smaller
        defined += (~np.isnan(drawn)).sum(axis=0)
    return np.where(np.isnan(seen), np.nan, as_far / defined)
