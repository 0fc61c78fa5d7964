"""The cells of a study: which there are, what each learns from, and whether it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from apical.catalogue import limit_labels, usable
from apical.config import StudySettings, TrainSettings
from apical.config.study import slug
from apical.errors import CannotDo

FULL = "full"  # in place of a budget: every label, also of the common views
CELL = "cell.json"  # written last, so that a folder without it is no finished cell


@dataclass(frozen=True)
class Cell:
    """One training run of a study.

    Attributes:
        method: its name in the study.
        budget: labelled patients a rare view, ``all``, or `FULL`.
        draw: which draw of the labelled patients.
        pretraining: which pre-training it starts from; None where it starts from none.
        seed: the training seed, see `training_seed`.
    """

    method: str
    budget: int | str
    draw: int
    pretraining: int | None
    seed: int

    @property
    def folder(self) -> Path:
        """Where it lies in the folder of the study."""
        start = "" if self.pretraining is None else f"-pretraining-{self.pretraining}"
        return Path("cells", slug(self.method), f"budget-{self.budget}-draw-{self.draw}{start}")

    @property
    def labels(self) -> Path:
        """Where the catalogue with its labels lies in the folder of the study."""
        name = FULL if self.budget == FULL else f"budget-{self.budget}-draw-{self.draw}"
        return Path("labels", f"{name}.parquet")

    def __str__(self) -> str:
        start = "" if self.pretraining is None else f", pre-training {self.pretraining}"
        return f"{self.method}, {budget_words(self.budget)}, draw {self.draw}{start}"


def budget_words(budget: int | str) -> str:
    """``5`` → ``budget 5``; `FULL` → ``full labels``."""
    return "full labels" if budget == FULL else f"budget {budget}"


def training_seed(draw: int, pretraining: int | None) -> int:
    """The training seed, below 2³², that all methods and budgets of a draw and pre-training share."""
    digest = hashlib.sha256(f"draw {draw}, pre-training {pretraining}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def plan_cells(settings: StudySettings) -> tuple[Cell, ...]:
    """All cells in the order in which they run: by draw, then pre-training, budget and method.

    So a study that is stopped early has compared all methods on the draws that it got through.
    """
    cells = []
    for draw in range(settings.draws):
        for number, pretraining in enumerate(settings.pretrainings):
            for budget in (FULL, *settings.budgets):
                for name, method in settings.methods.items():
                    if budget not in (settings.budgets_of(name) or (FULL,)):
                        continue
                    own = pretraining if method.start == "pretrained" else None
                    if own is not None or number == 0:
                        cells.append(Cell(name, budget, draw, own, training_seed(draw, own)))
    return tuple(cells)


def check_catalogue(table: pl.DataFrame, settings: StudySettings) -> None:
    """Refuse a catalogue that the study cannot be made on.

    Raises:
        CannotDo: it lacks training or test patients, or those to be judged; a rare view has no labelled
            training clip; or no clip to be judged shows a rare view.
    """
    table = usable(table)
    for split in dict.fromkeys(("train", "test", settings.split)):
        if not (table["split"] == split).any():
            raise CannotDo(
                f"the catalogue has no {split} patients", "give splits by patient: apical labels split"
            )
    taught = set(table.filter(pl.col("split") == "train")["view"].drop_nulls())
    missing = sorted(set(settings.rare) - taught)
    if missing:
        raise CannotDo(
            f"no training clip is labelled {', '.join(missing)}",
            "name labelled views as rare, or import labels",
        )
    judged = table.filter(pl.col("split") == settings.split)
    if not judged["view"].is_in(settings.rare).any():
        raise CannotDo(
            f"no {settings.split} clip is labelled as a rare view", "label some, or judge another split"
        )


def limited(table: pl.DataFrame, settings: StudySettings, cell: Cell) -> pl.DataFrame:
    """The catalogue as a cell sees it: training labels by its budget and draw."""
    if cell.budget == FULL:
        return table
    rare = table.height if isinstance(cell.budget, str) else cell.budget
    common = None if isinstance(settings.common, str) else settings.common
    return limit_labels(table, dict.fromkeys(settings.rare, rare), default=common, seed=cell.draw)


def labels_hash(table: pl.DataFrame) -> str:
    """Short hash of which clips have which labels."""
    known = table.drop_nulls("view").select("clip", "view").sort("clip")
    return hashlib.sha256(known.write_csv().encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Made:
    """From what a cell is made: it is not made again while this stays.

    Attributes:
        clips: hash of the clips, their patients, splits, labels and frames, see `Clips.fingerprint`.
        labels: hash of the labels it may see.
        views: the vocabulary.
        start: what its encoder begins with, or None; ``{}`` where that is not there to be compared.
        settings: of its training.
    """

    clips: str
    labels: str
    views: tuple[str, ...]
    start: dict[str, str] | None
    settings: TrainSettings

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"settings": self.settings.model_dump(mode="json"), "views": list(self.views)}

    def differs(self, before: dict[str, Any]) -> list[str]:
        """The names of what differs from `facts` of before; the device may."""
        try:
            old = TrainSettings.model_validate(before["settings"]).model_dump(exclude={"accelerator"})
        except (KeyError, TypeError, ValidationError):
            return ["settings of another version"]
        new = self.settings.model_dump(exclude={"accelerator"})
        names = [name for name in new if old[name] != new[name]]
        now = self.facts()
        keys = ["clips", "labels", "views", *(["start"] if self.start != {} else [])]
        return names + [name for name in keys if before.get(name) != now[name]]


def read_cell(folder: Path) -> dict[str, Any] | None:
    """What ``cell.json`` of a finished cell tells; None where the cell is not finished.

    Raises:
        CannotDo: the file is damaged.
    """
    if not (folder / CELL).exists() or not (folder / "predictions.parquet").exists():
        return None
    try:
        facts: dict[str, Any] = json.loads((folder / CELL).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotDo(
            f"'{CELL}' of a cell cannot be read ({type(error).__name__})", "delete the folder of the cell"
        ) from None
    return facts


def finished(out: Path, cells: Sequence[Cell], made: dict[Cell, Made]) -> dict[Cell, dict[str, Any]]:
    """What is known of each cell that is done.

    Raises:
        CannotDo: one of them was made from something else than now, or cannot be read.
    """
    done = {}
    for cell in cells:
        facts = read_cell(out / cell.folder)
        if facts is None:
            continue
        differ = made[cell].differs(facts.get("made", {}))
        if differ:
            raise CannotDo(
                f"the finished cell '{cell}' was made with other {', '.join(differ)}",
                f"go back to those, choose another --out, or delete '{cell.folder.parent}' there",
            )
        done[cell] = facts
    return done
