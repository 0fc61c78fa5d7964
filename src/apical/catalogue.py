"""The catalogue: one row a clip, the contract between ingest and everything after it.

It is a Parquet file that users may also build themselves from a CSV. A broken file is a row whose
``problem`` says why it cannot be used.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.files import write_table
from apical.views import NO_VIEW

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "clip": pl.String,  # stable id: hash of SOPInstanceUID, or of the content where there is none
    "path": pl.String,  # absolute; may hold identifiers, so it is never printed or copied elsewhere
    "patient": pl.String,  # salted pseudonym
    "study": pl.String,  # salted pseudonym
    "frames": pl.Int32,
    "rows": pl.Int32,
    "columns": pl.Int32,
    "syntax": pl.String,  # how the pixels are stored
    "frame_time_ms": pl.Float64,
    "heart_rate": pl.Float64,  # beats a minute
    "instance": pl.Int32,  # number of the clip in its series
    "mode": pl.String,  # 2d, colour, tissue-doppler, spectral, m-mode, dual, 3d, report, other
    "contrast_agent": pl.Boolean,
    "stage": pl.String,  # of a stress protocol: rest, low, peak, recovery, stage N
    "region": pl.Array(pl.Int32, 4),  # x0, y0, x1, y1 of the sector in pixels, x1 and y1 exclusive
    "sector": pl.String,  # its outline and what is written on it, see apical.ingest.sector.Sector.to_json
    "sector_confidence": pl.Float64,  # 0 to 1
    "pixel_width_mm": pl.Float64,
    "pixel_height_mm": pl.Float64,
    "manufacturer": pl.String,
    "model": pl.String,
    "view": pl.String,  # the label, or null
    "labelled_by": pl.String,
    "split": pl.String,  # train, validation, test, or null
    "problem": pl.String,  # why the clip cannot be used, or null
}
REQUIRED = ("clip", "path", "patient")
SPLITS = ("train", "validation", "test")


def read_catalogue(path: Path) -> pl.DataFrame:
    """Read a catalogue from Parquet, or from a CSV with at least clip, path and patient.

    Columns of `SCHEMA` that are missing are filled with null; other columns are kept. A CSV has no
    `region`, and its `patient` must already be a pseudonym: it goes as it is into whatever is made
    from the catalogue.

    Raises:
        CannotDo: not a table, a required column is missing or empty, a clip stands twice, or a
            value does not fit its column.
        PatientOverlap: a patient stands in two splits.
    """
    try:
        if path.suffix.lower() == ".csv":
            types = {name: dtype for name, dtype in SCHEMA.items() if name != "region"}
            table = pl.read_csv(path, schema_overrides=types)
        else:
            table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CannotDo(
            f"the catalogue '{path.name}' cannot be read ({type(error).__name__})",
            "make one with 'apical scan FOLDER', or compare its columns with apical.catalogue.SCHEMA",
        ) from None
    return conform(table)


def conform(table: pl.DataFrame) -> pl.DataFrame:
    """Bring a table to `SCHEMA` and check it; see `read_catalogue` for the errors.

    A split belongs to a patient: clips without one get that of the patient's other clips.
    """
    for name in REQUIRED:
        if name not in table.columns or table[name].null_count():
            raise CannotDo(
                f"the catalogue has clips without '{name}'", f"fill the column '{name}' in every row"
            )
    try:
        table = table.with_columns(
            (pl.col(name).cast(dtype) if name in table.columns else pl.lit(None, dtype).alias(name))
            for name, dtype in SCHEMA.items()
        )
    except pl.exceptions.PolarsError:
        raise CannotDo(
            "the catalogue has a value of the wrong type", "compare its columns with apical.catalogue.SCHEMA"
        ) from None
    if table["clip"].is_duplicated().any():
        raise CannotDo("the catalogue holds a clip twice", "keep one row a clip")
    if not table["split"].drop_nulls().is_in(SPLITS).all():
        raise CannotDo("the catalogue has unknown splits", f"use only {', '.join(SPLITS)} or null")
    check_splits(table)
    of_patient = pl.col("split").drop_nulls().first().over("patient")
    table = table.with_columns(pl.col("split").fill_null(of_patient))
    rest = [name for name in table.columns if name not in SCHEMA]
    return table.select(*SCHEMA, *rest)


def write_catalogue(table: pl.DataFrame, path: Path) -> None:
    """Write atomically as Parquet.

    Raises:
        WrongCall: `path` ends in .csv: a table made by hand is not overwritten.
        CannotDo: the folder cannot be written, or the disk is full.
    """
    if path.suffix.lower() == ".csv":
        raise WrongCall(
            "a catalogue is written as Parquet, not as CSV", "give another --out, ending in .parquet"
        )
    write_table(path, conform(table))


def usable(table: pl.DataFrame) -> pl.DataFrame:
    """The clips without a problem."""
    return table.filter(pl.col("problem").is_null())


def check_splits(table: pl.DataFrame) -> None:
    """Refuse a catalogue in which one patient, or one study, stands in two splits.

    Raises:
        PatientOverlap
    """
    splits = table.drop_nulls("split").group_by("patient").agg(pl.col("split").n_unique())
    shared = splits.filter(pl.col("split") > 1).height
    if shared:
        raise PatientOverlap(
            f"{shared} patient{'s stand' if shared > 1 else ' stands'} in more than one split",
            "give each patient one split, or clear the column and run 'apical labels split'",
        )
    if "study" in table.columns:
        studies = table.drop_nulls(["split", "study"]).group_by("study").agg(pl.col("split").n_unique())
        if studies.filter(pl.col("split") > 1).height:
            raise PatientOverlap(
                "a study stands in more than one split", "give all its clips one patient, then split again"
            )


def split_patients(
    table: pl.DataFrame, *, validation: float = 0.15, test: float = 0.3, seed: int = 0
) -> pl.DataFrame:
    """Give every patient one split, at random.

    The draw goes by the order of the rows, not by the pseudonyms, so one folder scanned twice under
    different keys is split alike.

    Args:
        table: a catalogue; splits it already has are replaced.
        validation: share of the patients for choosing settings and calibration.
        test: share of the patients for judging, never used before.
        seed: fixes the draw.

    Raises:
        WrongCall: the shares leave no training patients.
        CannotDo: too few patients to give each wanted split at least one.
    """
    if min(validation, test) < 0 or validation + test >= 1:
        raise WrongCall(
            "the validation and test shares leave no patients to train on", "let them add up to < 1"
        )
    patients = usable(table)["patient"].unique(maintain_order=True).to_list()
    random.Random(seed).shuffle(patients)
    sizes = [max(1, round(share * len(patients))) if share else 0 for share in (validation, test)]
    if sum(sizes) >= len(patients):
        raise CannotDo(
            f"{len(patients)} patient{'' if len(patients) == 1 else 's'} cannot be split by patient",
            "scan more patients, or give the patients of your files in a table (--labels, column 'patient')",
        )
    named = ["validation"] * sizes[0] + ["test"] * sizes[1]
    named += ["train"] * (len(patients) - len(named))
    split = pl.DataFrame(
        {"patient": patients, "split": named}, schema={"patient": pl.String, "split": pl.String}
    )
    return table.drop("split").join(split, on="patient", how="left").select(table.columns)


def limit_labels(
    table: pl.DataFrame, budget: Mapping[str, int], *, default: int | None = None, seed: int = 0
) -> pl.DataFrame:
    """Keep training labels of only so many *patients* a view; the other labels become null.

    Validation and test labels stay, and so do labels of clips that show none of the views. For one seed the
    chosen patients are nested: those of a budget of 2 are among those of 5. The draw goes by the order of
    the rows, as in `split_patients`.

    Args:
        table: a catalogue with splits and labels.
        budget: patients a view.
        default: patients for views not in `budget`; None keeps them all.
        seed: fixes the draw.

    Raises:
        WrongCall: a budget is negative, or for a view that stands on no training clip.
    """
    if min([0, *budget.values(), default or 0]) < 0:
        raise WrongCall("a label budget is negative", "give numbers of patients")
    shows_view = pl.col("view").is_not_null() & (pl.col("view") != NO_VIEW)
    training = usable(table).filter((pl.col("split") == "train") & shows_view)
    missing = set(budget) - set(training["view"])
    if missing:
        raise WrongCall(
            f"no training clip is labelled {', '.join(sorted(missing))}",
            "give budgets for labelled views only",
        )
    keep: list[str] = []
    for view in training["view"].unique().sort():
        of_view = training.filter(pl.col("view") == view)
        patients = of_view["patient"].unique(maintain_order=True).to_list()
        random.Random(f"{seed} {view}").shuffle(patients)
        chosen = patients[: budget.get(view, default)]
        keep += of_view.filter(pl.col("patient").is_in(chosen))["clip"].to_list()
    hidden = (pl.col("split") == "train") & shows_view & ~pl.col("clip").is_in(keep)
    return table.with_columns(
        pl.when(hidden).then(None).otherwise(pl.col(name)).alias(name) for name in ("view", "labelled_by")
    )
