"""What a classifier answered: the contract between training and judging."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.catalogue import SPLITS
from apical.errors import CannotDo
from apical.files import write_table
from apical.learn.clips import SHOWS_NONE

_METADATA = "apical.predictions"


@dataclass(frozen=True)
class Predictions:
    """One classifier's answers for clips: n clips, k views, d feature dimensions.

    Attributes:
        method: the name under which it is compared, such as ``naive`` or ``fine-tune``.
        seed: the training seed.
        views: k names, in the order of the columns of `log_probabilities`.
        clip: (n,) clip ids, each once.
        patient: (n,) pseudonyms.
        split: (n,) ``train``, ``validation``, ``test`` or ``""``.
        label: (n,) int64, index into `views`; -1 where nobody said, `SHOWS_NONE` for none of them.
        log_probabilities: (n, k) float32, natural logarithms; each row's probabilities add up to 1.
        features: (n, d) float32, the encoder's; d may be 0.
        agent: (n,) float32, probability of contrast agent, NaN where that was not taught; None if not asked.

    Raises:
        ValueError: the arrays do not fit this description.
    """

    method: str
    seed: int
    views: tuple[str, ...]
    clip: NDArray[np.str_]
    patient: NDArray[np.str_]
    split: NDArray[np.str_]
    label: NDArray[np.int64]
    log_probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    agent: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n, k = len(self.clip), len(self.views)
        for name, shape, kind in (
            ("clip", (n,), "U"),
            ("patient", (n,), "U"),
            ("split", (n,), "U"),
            ("label", (n,), "i"),
            ("log_probabilities", (n, k), "f"),
            ("features", (n, self.features.shape[-1]), "f"),
        ):
            array = getattr(self, name)
            if array.shape != shape or array.dtype.kind != kind:
                raise ValueError(
                    f"{name} is {array.dtype} {array.shape}, but should be of kind '{kind}' {shape}"
                )
        if len(set(self.views)) != k or k < 2:
            raise ValueError("views are fewer than two, or stand twice")
        if len(np.unique(self.clip)) != n:
            raise ValueError("a clip stands twice")
        if not set(np.unique(self.split).tolist()) <= {*SPLITS, ""}:
            raise ValueError(f"split holds something else than {', '.join(SPLITS)} or nothing")
        if n and not SHOWS_NONE <= self.label.min() <= self.label.max() < k:
            raise ValueError(f"label is outside {SHOWS_NONE} … {k - 1}")
        sums = np.exp(self.log_probabilities.astype(np.float64)).sum(1)
        if not np.all(np.abs(sums - 1) < 1e-2):
            raise ValueError("the probabilities of a clip do not add up to 1 (are these logits?)")

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) int64: the most probable view of each clip."""
        return np.asarray(self.log_probabilities.argmax(axis=1))

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Predictions:
        """The clips given by a mask (n,) or by row numbers, in their order."""
        return Predictions(
            self.method,
            self.seed,
            self.views,
            self.clip[rows],
            self.patient[rows],
            self.split[rows],
            self.label[rows],
            self.log_probabilities[rows],
            self.features[rows],
            None if self.agent is None else self.agent[rows],
        )

    def save(self, path: Path) -> None:
        """Write one Parquet file, atomically: a row a clip; method, seed and views in its metadata.

        Raises:
            CannotDo: the file cannot be written.
        """
        columns: dict[str, Any] = {
            "clip": self.clip,
            "patient": self.patient,
            "split": self.split,
            "label": self.label.astype(np.int64),
            "log_probabilities": self.log_probabilities.astype(np.float32),
        }
        if self.features.shape[1]:
            columns["features"] = self.features.astype(np.float32)
        if self.agent is not None:
            columns["agent"] = self.agent.astype(np.float32)
        about = json.dumps({"method": self.method, "seed": self.seed, "views": self.views})
        write_table(path, pl.DataFrame(columns), metadata={_METADATA: about})

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote.

        Raises:
            CannotDo: the file cannot be read, or is not such a file.
        """
        try:
            about = json.loads(pl.read_parquet_metadata(path)[_METADATA])
            table = pl.read_parquet(path)
            n, k = table.height, len(about["views"])
            features = (
                table["features"].to_numpy() if "features" in table.columns else np.zeros((n, 0), np.float32)
            )
            return cls(
                method=str(about["method"]),
                seed=int(about["seed"]),
                views=tuple(about["views"]),
                clip=table["clip"].to_numpy().astype(np.str_),
                patient=table["patient"].to_numpy().astype(np.str_),
                split=table["split"].to_numpy().astype(np.str_),
                label=table["label"].to_numpy(),
                log_probabilities=table["log_probabilities"].to_numpy().reshape(n, k),
                features=features,
                agent=table["agent"].to_numpy() if "agent" in table.columns else None,
            )
        except (OSError, pl.exceptions.PolarsError, KeyError, TypeError, ValueError) as error:
            reason = "it is not there" if isinstance(error, FileNotFoundError) else _reason(error)
            raise CannotDo(
                f"the predictions of the run '{path.parent.name}' cannot be read ({reason})",
                "run the training to its end, or again",
            ) from error


def _reason(error: Exception) -> str:
    return str(error) if type(error) is ValueError else type(error).__name__
