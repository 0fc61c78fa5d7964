"""Tables as people keep them: CSV, Excel or JSON, with columns of any name.

A spreadsheet runs a text that looks like a formula, so one that does is written with an apostrophe before it
(OWASP, CSV injection), and read without.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from apical.errors import CannotDo, WrongCall
from apical.files import replacing, write_atomically

Row = dict[str, str]
MOST_COLUMNS = 1000
_FORMULA = re.compile("'*[=+\\-@\t\r＝＋－＠]")
FIELDS = {
    "file": "the clip's file",
    "clip": "the clip's id in the catalogue",
    "sopinstanceuid": "the SOPInstanceUID",
    "view": "the view",
    "contrast_agent": "whether contrast agent was used",
    "labelled_by": "who labelled it",
    "patient": "the patient",
    "study": "the study",
    "split": "train, validation or test",
}
FINDS_CLIPS = ("file", "clip", "sopinstanceuid")
TELLS = ("view", "contrast_agent", "patient", "study", "split")
_ALIASES = {
    "file": (
        "path",
        "filename",
        "filepath",
        "image",
        "imagename",
        "imagefile",
        "video",
        "dicom",
        "dicomfile",
    ),
    "clip": ("clipid",),
    "sopinstanceuid": ("sopuid", "instanceuid", "sopinstance"),
    "view": ("label", "viewlabel", "viewname", "class", "classification"),
    "contrast_agent": ("contrast", "contrastagent"),
    "labelled_by": ("labelledby", "labeller", "annotator", "reader", "labeledby"),
    "patient": ("patientid", "subject", "subjectid"),
    "study": ("studyid", "studyuid", "studyinstanceuid", "exam", "examid"),
    "split": (),
}  # compared without case and signs
_KNOWN = {_plain: field for field, names in _ALIASES.items() for _plain in (field.replace("_", ""), *names)}


@dataclass(frozen=True)
class Table:
    """A table under our own column names.

    Attributes:
        rows: one dictionary a row; empty cells are left out.
        columns: our names of the columns that it has.
        header: its own names, in order.
    """

    rows: list[Row]
    columns: set[str]
    header: tuple[str, ...]


class UnknownColumns(WrongCall):
    """A table of which no column is known to name the clips, or to say anything of them.

    Attributes:
        header: the names of its columns.
        missing: our names of what is not found: ``file``, ``view`` or both.
    """

    def __init__(self, header: Sequence[str], missing: Sequence[str]) -> None:
        self.header, self.missing = tuple(header), tuple(missing)
        wanted = " and ".join(FIELDS[field] for field in missing)
        options = " ".join(f"--column {field}=NAME" for field in missing)
        super().__init__(
            f"no column of the table is known to tell {wanted}", f"say which one does: {options}"
        )


def read_table(path: Path, columns: Mapping[str, str] | None = None, *, also: Sequence[str] = ()) -> Table:
    """Read a table.

    Args:
        path: ``.csv``, ``.tsv`` or ``.txt`` (commas, semicolons or tabs), ``.xlsx`` (its first sheet),
            ``.json`` (a list of records, or one of them a name: {"a.dcm": "A4C"}) or ``.jsonl``.
        columns: our names of columns → the table's, where they are not understood by themselves.
        also: further columns to read, by their own names.

    Raises:
        UnknownColumns: nothing tells the clips, or nothing is said of them.
        WrongCall: `columns` names a column that is not there, or a field that is none.
        CannotDo: it cannot be read, or two columns are for one thing; the texts of the table are not quoted.
    """
    try:
        records = _records(path)
    except (OSError, UnicodeDecodeError, ValueError, KeyError, RecursionError, csv.Error) as error:
        raise _unreadable(path, type(error).__name__) from None
    header = tuple(dict.fromkeys(name for record in records for name in record))
    names = _names(header, columns or {}) | {name: name for name in header if name in also}
    known = set(names.values())
    missing = ["file"] if known.isdisjoint(FINDS_CLIPS) else []
    missing += ["view"] if known.isdisjoint(TELLS) else []
    if missing:
        raise UnknownColumns(header, missing)
    if len(set(names.values())) < len(names):
        raise CannotDo("the labels have two columns for the same thing", "keep one of them")
    rows = []
    for record in records:
        cells = ((names[name], _cell(value)) for name, value in record.items() if name in names)
        rows.append({name: text for name, text in cells if text})
    return Table(rows, set(names.values()), header)


def _names(header: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The table's names of columns → ours; what is said wins over what is understood."""
    for field, name in columns.items():
        if field not in FIELDS:
            raise WrongCall(f"'{field}' is nothing that a column can tell", f"use one of {', '.join(FIELDS)}")
        if name not in header:
            raise WrongCall(f"the table has no column '{name}'", "give the name as its first line has it")
    names = {name: field for field, name in columns.items()}
    for name in header:
        known = _KNOWN.get("".join(sign for sign in name.casefold() if sign.isalnum()))
        if known is not None and known not in columns and name not in names:
            names[name] = known
    return names


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # spreadsheets keep numbers of patients as 17.0
    return str(value).strip()


def _unguarded(value: Any) -> Any:
    """A cell of a spreadsheet without the apostrophe that kept it from being a formula."""
    guarded = isinstance(value, str) and value.startswith("'") and _FORMULA.match(value)
    return value[1:] if guarded else value


def _records(path: Path) -> list[dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix in (".xlsx", ".xlsm"):
        return _excel(path)
    if suffix in (".json", ".jsonl"):
        return _json(path.read_text(encoding="utf-8-sig"), lines=suffix == ".jsonl")
    text = path.read_text(encoding="utf-8-sig")
    heading = text.partition("\n")[0]
    rows = list(csv.reader(io.StringIO(text), delimiter=max(",;\t", key=heading.count), strict=True))
    if not rows:
        raise ValueError
    header = _distinct([name.strip() for name in rows[0]])
    if len(header) > MOST_COLUMNS:
        raise CannotDo("the table of labels has very many columns", f"keep {MOST_COLUMNS} at most")
    if any(len(row) > len(header) for row in rows):
        raise ValueError
    filled = (row + [""] * (len(header) - len(row)) for row in rows[1:] if any(cell.strip() for cell in row))
    return [dict(zip(header, map(_unguarded, row), strict=True)) for row in filled]


def _distinct(header: list[str]) -> list[str]:
    if len(set(header)) < len(header):
        raise CannotDo("the labels have two columns for the same thing", "keep one of them")
    return header


def _excel(path: Path) -> list[dict[str, Any]]:
    """The first sheet; the values of formulas, not their text."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # what a file says of its size may be wrong
        rows = list(sheet.iter_rows(values_only=True))
        book.close()
    except Exception as error:  # openpyxl raises what zipfile, XML and its own parts raise
        raise _unreadable(path, type(error).__name__) from None
    if not rows:
        raise ValueError
    header = _distinct([_cell(name) or f"column {at}" for at, name in enumerate(rows[0], start=1)])
    filled = (row for row in rows[1:] if any(cell is not None for cell in row))
    return [dict(zip(header, map(_unguarded, row), strict=False)) for row in filled]


def _json(text: str, *, lines: bool) -> list[dict[str, Any]]:
    content = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        if len(lists) == 1 and all(isinstance(one, dict) for one in lists[0]):
            content = lists[0]
        else:
            content = [
                {"file": name} | (said if isinstance(said, dict) else {"view": said})
                for name, said in content.items()
            ]
    if not isinstance(content, list) or not content or not all(isinstance(one, dict) for one in content):
        raise ValueError
    return content


def _unreadable(path: Path, kind: str) -> CannotDo:
    return CannotDo(
        f"the labels '{path.name}' cannot be read ({kind})",
        "give a CSV in UTF-8, an Excel sheet or a JSON file whose first line or keys name the columns",
    )


def write_table_for_people(table: pl.DataFrame, out: Path) -> None:
    """Write a table as ``.csv``, ``.xlsx`` or ``.json``, atomically.

    Raises:
        WrongCall: another ending.
        CannotDo: it cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix == ".csv":
        write_atomically(out, csv_for_people(table))
    elif suffix == ".json":
        write_atomically(out, (json.dumps(table.to_dicts(), indent=2) + "\n").encode())
    elif suffix == ".xlsx":
        import openpyxl

        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("labels")
        sheet.append(table.columns)
        for row in _no_formulas(table).iter_rows():
            sheet.append(row)
        with replacing(out) as temporary:
            book.save(temporary)
    else:
        raise WrongCall(f"labels cannot be written as '{suffix}'", "let --out end in .csv, .xlsx or .json")


def csv_for_people(table: pl.DataFrame) -> bytes:
    """A table as CSV that a spreadsheet can open without harm, and `read_table` reads back."""
    return _no_formulas(table).write_csv().encode()


def _no_formulas(table: pl.DataFrame) -> pl.DataFrame:
    """A table whose texts no spreadsheet takes for formulas."""
    return table.with_columns(pl.col(pl.String).str.replace(f"^({_FORMULA.pattern})", "'$1"))


def recall_columns(memory: Path, header: Sequence[str]) -> dict[str, str]:
    """What was said before of tables with these columns; nothing if nothing was, or it cannot be read."""
    try:
        said = json.loads(memory.read_text(encoding="utf-8")).get(_signature(header), {})
        return {str(field): str(name) for field, name in said.items() if name in header and field in FIELDS}
    except (OSError, ValueError, AttributeError):
        return {}


def remember_columns(memory: Path, header: Sequence[str], columns: Mapping[str, str]) -> None:
    """Keep what was said of the columns of a table, for the next one like it.

    Raises:
        CannotDo: the file cannot be written.
    """
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    known = (known if isinstance(known, dict) else {}) | {_signature(header): dict(columns)}
    write_atomically(memory, (json.dumps(known, indent=2, sort_keys=True) + "\n").encode())


def _signature(header: Sequence[str]) -> str:
    return " | ".join(sorted(header))
