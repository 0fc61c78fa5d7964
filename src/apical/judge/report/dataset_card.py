"""A card for a data set, written from its catalogue alone, in the form that model hubs accept.

It has numbers, words from fixed lists, pseudonyms of makers, and names of the vocabulary's views; no path,
and no pseudonym of a patient, study or clip. Any other text of a catalogue, which people may have made by
hand, is counted and not shown. Texts of problems are shown without their digits, unless they hold a path or
one of the catalogue's own identifiers.

Limits: a catalogue knows nothing of consent, of who the patients are, or whether the files are clean; the
card says so. A problem that somebody wrote by hand may name a person in a way that nothing here can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from apical.catalogue import SPLITS, conform, usable
from apical.judge.report.cards import front_matter, markdown_table
from apical.judge.tellable import NOT_SHOWN, tellable_maker, tellable_mode
from apical.views import NO_VIEW

NOT_RECORDED = "not recorded"

_PARTS = (*SPLITS, None)
_UNNAMED_LABELLER = "table"  # what `apical labels import` writes where a table names nobody
_MOST_SIZES = 5
_SHORTEST = 4  # identifiers with fewer characters occur in words by chance
_SIZES = ((10**3, "1K"), (10**4, "10K"), (10**5, "100K"), (10**6, "1M"), (10**7, "10M"), (10**8, "100M"))


def dataset_card(table: pl.DataFrame, names: Sequence[str], *, title: str) -> str:
    """Markdown, with a block for model hubs at its beginning.

    Args:
        table: a catalogue.
        names: views of the vocabulary, in order.
        title: what people call the data set.

    Raises:
        CannotDo: the table is no catalogue; see `apical.catalogue.read_catalogue`.
    """
    table = conform(table)
    clips = usable(table)
    title = " ".join(title.split())
    moving = bool((clips["frames"] > 1).any())
    fields = {
        "pretty_name": title,
        "license": "unknown",
        "task_categories": ["image-classification"] + ["video-classification"] * moving,
        "size_categories": [size_category(table.height)],
        "annotations_creators": ["other" if clips["view"].count() else "no-annotation"],
        "tags": ["echocardiography", "ultrasound", "medical", "view-classification"],
    }
    parts = [
        f"# {title}",
        "Echocardiogram clips, as a catalogue of Apical describes them. This card was written from the "
        "catalogue alone.",
        "## What it holds",
        _sizes(table),
        "## Views",
        "Usable clips (and their patients).",
        _views(clips, names),
        "## Pictures",
        "Of usable clips.",
        _counted(clips, "mode", tellable_mode),
        _figures(clips),
        "## Machines",
        _counted(clips, "manufacturer", tellable_maker),
        f"{clips['model'].drop_nulls().n_unique()} different models. Makers that are not well known stand "
        "under pseudonyms.",
        "## Labels",
        _labels(clips),
        "## What could not be used",
        _problems(table),
        "## Not recorded",
        "Say so before you share it:",
        _not_recorded(),
    ]
    return front_matter(fields) + "\n" + "\n\n".join(parts) + "\n"


def size_category(clips: int) -> str:
    """The hub's name for a number of clips, such as ``1K<n<10K``."""
    below, name = 0, ""
    for bound, bound_name in _SIZES:
        if clips < bound:
            return f"{name}<n<{bound_name}" if below else f"n<{bound_name}"
        below, name = bound, bound_name
    return "100M<n<1B"


def _sizes(table: pl.DataFrame) -> str:
    def row(name: str, part: pl.DataFrame) -> list[object]:
        able = usable(part)
        studies = part["study"].drop_nulls().n_unique()
        return [name, part["patient"].n_unique(), studies, part.height, able.height, able["view"].count()]

    rows = [row(split or "no split", _of(table, split)) for split in _PARTS]
    head = ["split", "patients", "studies", "clips", "usable", "labelled"]
    return markdown_table(head, [*rows, row("all", table)])


def _of(table: pl.DataFrame, split: str | None) -> pl.DataFrame:
    return table.filter(pl.col("split").eq_missing(pl.lit(split, pl.String)))


def _views(clips: pl.DataFrame, names: Sequence[str]) -> str:
    named = [*names, NO_VIEW]
    view = pl.col("view")
    kinds = [(name, view == name) for name in names]
    kinds += [("none of these", view == NO_VIEW), ("not labelled", view.is_null())]
    kinds += [("labelled with another name", view.is_not_null() & ~view.is_in(named))]
    rows = []
    for kind, wanted in kinds:
        found = [_of(clips.filter(wanted), split) for split in _PARTS]
        rows.append([kind, *(f"{part.height} ({part['patient'].n_unique()})" for part in found)])
    return markdown_table(["view", *(split or "no split" for split in _PARTS)], rows)


def _counted(clips: pl.DataFrame, column: str, shown: Callable[[str], str]) -> str:
    """Clips and patients by what is `shown` of a column's values, the most frequent first."""
    texts = {value: shown(value) for value in clips[column].drop_nulls().unique()}
    value = pl.col(column).replace_strict(texts, default=NOT_RECORDED, return_dtype=pl.String)
    counts = clips.group_by(value).agg(clips=pl.len(), patients=pl.col("patient").n_unique())
    counts = counts.sort("clips", column, descending=[True, False])
    return markdown_table(counts.columns, counts.rows())


def _figures(clips: pl.DataFrame) -> str:
    agent = clips["contrast_agent"]
    lines = [
        _spread(clips["frames"], "Frames a clip", ""),
        _spread(clips["frame_time_ms"], "Time between frames", " ms"),
        _spread(clips["heart_rate"], "Heart rate", " beats a minute"),
        f"Size in pixels: {_frame_sizes(clips)}",
        f"Contrast agent: with {agent.sum()}, without {(~agent).sum()}, {NOT_RECORDED} {agent.null_count()}",
        f"Of a stress protocol: {clips['stage'].count()}",
    ]
    return "\n".join(f"- {line}." for line in lines)


def _spread(values: pl.Series, what: str, unit: str) -> str:
    """Median and the middle 90 %; extremes would tell of single patients."""
    known = values.cast(pl.Float64).drop_nulls().drop_nans()
    if not len(known):
        return f"{what}: {NOT_RECORDED}"
    low, middle, high = (known.quantile(q, "linear") for q in (0.05, 0.5, 0.95))
    without = f"; {NOT_RECORDED} for {len(values) - len(known)}" if len(known) < len(values) else ""
    return f"{what}: median {middle:.4g}{unit}, 90 % in {low:.4g} to {high:.4g}{without}"


def _frame_sizes(clips: pl.DataFrame) -> str:
    sizes = clips.drop_nulls(["rows", "columns"]).group_by("columns", "rows").len()
    if not sizes.height:
        return NOT_RECORDED
    often = sizes.sort("len", "columns", "rows", descending=True).head(_MOST_SIZES)
    said = ", ".join(f"{columns} × {rows} ({clips})" for columns, rows, clips in often.rows())
    rest = sizes.height - often.height
    return said + (f", and {rest} other sizes" if rest else "")


def _labels(clips: pl.DataFrame) -> str:
    labelled = clips.filter(pl.col("view").is_not_null())
    by = labelled["labelled_by"].drop_nulls()
    named = by.filter(by != _UNNAMED_LABELLER)
    return (
        f"{labelled.height} of {clips.height} usable clips have a label. Who labelled is named for "
        f"{len(named)} of them, by {named.n_unique()} different entries. These are not given here, since "
        "they may be names of people; one may stand for several people. How they labelled is not recorded."
    )


def _problems(table: pl.DataFrame) -> str:
    broken = table.filter(pl.col("problem").is_not_null())
    if not broken.height:
        return "Every clip can be used."
    ids = pl.concat([table[name] for name in ("clip", "path", "patient", "study")]).drop_nulls().unique()
    ids = ids.filter(ids.str.len_chars() >= _SHORTEST)
    told = pl.col("problem").str.contains_any(ids.to_list()) if len(ids) else pl.lit(False)
    kind = (
        pl.when(told | pl.col("problem").str.contains(r"[/\\]"))
        .then(pl.lit(NOT_SHOWN))
        .otherwise(pl.col("problem").str.replace_all(r"\d+", "N"))
    )
    counts = broken.group_by(kind.alias("kind")).len().sort("len", "kind", descending=[True, False])
    return markdown_table(["problem", "clips"], counts.rows())


def _not_recorded() -> str:
    lines = [
        "the licence",
        "consent of the patients, and who approved that their clips are used and shared",
        "age, sex, origin, and diseases of the patients",
        "in which hospitals, when and why they were examined, and how they were chosen",
        "who filmed and who labelled, their training, and how far labellers agree",
        "whether headers or pixels hold identifiers: `apical deidentify` makes clean copies",
    ]
    return "\n".join(f"- {line}" for line in lines)
