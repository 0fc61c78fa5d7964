"""How often the intervals of `apical.judge.intervals` hold the truth: simulated test patients, known truth.

    OMP_NUM_THREADS=1 python benchmarks/interval_coverage.py

Patients have habits: a view that a method finds hard in a patient is hard in all of the patient's clips, and
two methods share a part of that. The truth is the figure over 60,000 simulated patients. A nominal 95 %
interval should hold it in 95 % of the simulated test sets; 1,000 of these tell that to ±1.4 points (95 %).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from apical.judge import metrics
from apical.judge.intervals import (
    Bootstrap,
    Interval,
    bca_intervals,
    bootstrap,
    difference,
    expanded_intervals,
    percentile_intervals,
)

K = 5  # views; the last one is rare
SHARES = np.array([0.3, 0.3, 0.2, 0.17, 0.03])
SKILL = (3.2, 2.7)  # of two methods
FIGURES = ("accuracy", "macro F1", "F1 of the rare view")
KINDS: dict[str, Callable[[Bootstrap], list[Interval]]] = {
    "percentile": percentile_intervals,
    "expanded": expanded_intervals,
    "BCa": bca_intervals,
}


def figures(confusion: metrics.Counts) -> metrics.Figures:
    """(…, 3): `FIGURES`."""
    columns = (metrics.accuracy(confusion), metrics.macro_f1(confusion), metrics.f1(confusion)[..., -1])
    return np.stack(columns, axis=-1)


def simulate(random: np.random.Generator, patients: int) -> NDArray[np.int64]:
    """(2, P, k, k): confusion matrices of two methods, patients having 4 to 20 clips."""
    patient = np.repeat(np.arange(patients), random.integers(4, 21, patients))
    label = random.choice(K, size=len(patient), p=SHARES)
    shared = random.normal(0, 0.8, (patients, K, K))
    tables = []
    for skill in SKILL:
        habit = shared + random.normal(0, 0.5, (patients, K, K))
        logits = skill * np.eye(K)[label] + habit[patient, label] + random.normal(0, 1, (len(label), K))
        cell = (patient * K + label) * K + logits.argmax(axis=1)
        tables.append(np.bincount(cell, minlength=patients * K * K).reshape(patients, K, K))
    return np.stack(tables)


def held(patients: int, repeats: int, resamples: int, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """By kind of interval: shares (3 figures and their 3 paired differences) of test sets that hold the
    truth.

    Sets in which a figure is not defined (no clip of the rare view) do not count for it.
    """
    truth = _with_difference(figures(simulate(np.random.default_rng(10**6), 60_000).sum(axis=1)))
    hits = {kind: np.zeros(2 * len(FIGURES)) for kind in KINDS}
    defined = np.zeros(2 * len(FIGURES))
    for repeat in range(repeats):
        tables = simulate(np.random.default_rng([seed, patients, repeat]), patients)
        one, other = (bootstrap(table[None], figures, resamples=resamples, seed=repeat) for table in tables)
        pair = (one, difference(one, other))
        defined += ~np.isnan(np.concatenate([each.value for each in pair]))
        for kind, intervals_of in KINDS.items():
            found = [interval for each in pair for interval in intervals_of(each)]
            hits[kind] += [i.low <= true <= i.high for i, true in zip(found, truth, strict=True)]
    return {kind: hit / defined for kind, hit in hits.items()}


def _with_difference(pair: metrics.Figures) -> NDArray[np.float64]:
    return np.concatenate([pair[0], pair[0] - pair[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--patients", type=int, nargs="+", default=[10, 20, 40, 80, 160])
    options = parser.parse_args()
    names = [*FIGURES, *(f"difference of {name}" for name in FIGURES)]
    print("| patients | interval |", " | ".join(names), "|\n|---|---|" + "---|" * len(names))
    for patients in options.patients:
        for kind, shares in held(patients, options.repeats, options.resamples).items():
            cells = " | ".join(f"{100 * share:.1f}" for share in shares)
            print(f"| {patients} | {kind} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
