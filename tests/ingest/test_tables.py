"""A table in any form and under any column names is the same labels; what was told of columns is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from apical.catalogue import conform
from apical.errors import CannotDo, WrongCall
from apical.ingest.labels import NO_VIEWS, export_labels, import_labels
from apical.ingest.pseudonyms import Pseudonyms, clip_id_of_uid
from apical.ingest.tables import (
    Table,
    UnknownColumns,
    read_table,
    recall_columns,
    remember_columns,
    write_table_for_people,
)
from apical.views import standard_vocabulary

ROWS = [
    {"file": "a/1.avi", "view": "A4C", "patient": "17"},
    {"file": "a/2.avi", "view": "PLAX"},
    {"file": "b/1.avi", "view": "A2C", "patient": "18"},
]


def as_csv(path: Path, separator: str, encoding: str = "utf-8") -> Path:
    lines = [["file", "view", "patient"]]
    lines += [[row.get(name, "") for name in lines[0]] for row in ROWS]
    path.write_bytes("\n".join(separator.join(line) for line in lines).encode(encoding))
    return path


def as_excel(path: Path) -> Path:
    """As a spreadsheet keeps it: numbers as numbers, an empty column between, an empty row behind."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["file", None, "view", "patient"])
    for row in ROWS:
        sheet.append([row["file"], None, row["view"], float(row["patient"]) if "patient" in row else None])
    sheet.append([None, None, None, None])
    book.create_sheet("other").append(["nothing"])
    book.save(path)
    return path


def as_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


WAYS: dict[str, Callable[[Path], Path]] = {
    "comma": lambda folder: as_csv(folder / "t.csv", ","),
    "semicolon, byte order mark": lambda folder: as_csv(folder / "t.csv", ";", "utf-8-sig"),
    "tabs": lambda folder: as_csv(folder / "t.tsv", "\t"),
    "Excel": lambda folder: as_excel(folder / "t.xlsx"),
    "JSON list": lambda folder: as_json(folder / "t.json", ROWS),
    "JSON list under a name": lambda folder: as_json(folder / "t.json", {"version": 1, "labels": ROWS}),
    "JSON by file": lambda folder: as_json(
        folder / "t.json",
        {row["file"]: {name: row[name] for name in row if name != "file"} for row in ROWS},
    ),
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_form_is_the_same_table(tmp_path: Path, way: str) -> None:
    table = read_table(WAYS[way](tmp_path))
    assert table.rows == ROWS
    assert table.columns == {"file", "view", "patient"}


def test_json_of_files_and_views(tmp_path: Path) -> None:
    table = read_table(as_json(tmp_path / "t.json", {"1.avi": "A4C", "2.avi": None}))
    assert table.rows == [{"file": "1.avi", "view": "A4C"}, {"file": "2.avi"}]
    lines = tmp_path / "t.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n")
    assert read_table(lines).rows == ROWS


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".json"])
def test_labels_go_out_and_in_again_in_every_form(tmp_path: Path, suffix: str) -> None:
    table = conform(
        pl.DataFrame(
            {
                "clip": [clip_id_of_uid(f"1.2.{number}") for number in range(3)],
                "path": ["x", "y", "z"],
                "patient": ["p", "p", "q"],
            }
        )
    )
    labelled = table.with_columns(
        view=pl.Series(["A4C", None, "PLAX"]),
        contrast_agent=pl.Series([True, None, None]),
        labelled_by=pl.Series(["eve", None, "007"]),
    )
    export_labels(labelled, tmp_path / f"labels{suffix}")
    again, report = import_labels(table, tmp_path / f"labels{suffix}", standard_vocabulary())
    assert again.equals(labelled)
    assert not report.problems


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongCall, match=r"\.csv, \.xlsx or \.json"):
        write_table_for_people(pl.DataFrame({"clip": ["a"]}), tmp_path / "labels.ods")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.xlsx", b"PK\3\4 this is no spreadsheet"),
        ("t.xlsx", b""),
        ("t.json", b"{"),
        ("t.json", b"[1, 2]"),
        ("t.json", b"[]"),
        ("t.csv", b""),
        ("t.csv", b"file,view\na,b,c,d\n"),
        ("t.csv", b'file,view\n"a'),
        ("t.csv", "file,view\nMüller,A4C".encode("utf-16")),
        ("t.csv", b"file,view,view\na,b,c\n"),
    ],
)
def test_what_is_no_table_is_one_line_that_quotes_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CannotDo) as problem:
        read_table(path)
    assert "\n" not in str(problem.value)
    assert "Müller" not in str(problem.value)


def told(tmp_path: Path, text: str, columns: dict[str, str] | None = None) -> Table:
    path = tmp_path / "t.csv"
    path.write_text(text)
    return read_table(path, columns)


def test_columns_of_any_name(tmp_path: Path) -> None:
    text = "Bilddatei,Schnitt,Bemerkung\n1.avi,4CH,gut\n"
    with pytest.raises(UnknownColumns) as unknown:
        told(tmp_path, text)
    assert unknown.value.missing == ("file", "view")
    assert unknown.value.header == ("Bilddatei", "Schnitt", "Bemerkung")
    assert "--column file=NAME --column view=NAME" in str(unknown.value)
    table = told(tmp_path, text, {"file": "Bilddatei", "view": "Schnitt"})
    assert table.rows == [{"file": "1.avi", "view": "4CH"}]


def test_what_is_said_of_columns_wins_over_what_is_understood(tmp_path: Path) -> None:
    table = told(tmp_path, "file,view,second reader\n1.avi,A4C,A2C\n", {"view": "second reader"})
    assert table.rows == [{"file": "1.avi", "view": "A2C"}]


@pytest.mark.parametrize(
    ("columns", "line"),
    [({"view": "none"}, "has no column 'none'"), ({"colour": "view"}, "'colour' is nothing")],
)
def test_columns_that_cannot_be(tmp_path: Path, columns: dict[str, str], line: str) -> None:
    with pytest.raises(WrongCall, match=line):
        told(tmp_path, "file,view\n1.avi,A4C\n", columns)


def test_a_table_without_views_is_taken_and_told(tmp_path: Path) -> None:
    """Patients alone are welcome; but where a column was not understood, it may be that of the views."""
    clips = pl.DataFrame({"clip": ["c"], "path": [str(tmp_path / "1.avi")], "patient": ["p"]})
    for extra, notes in (("", ()), (",Schnitt", (NO_VIEWS,))):
        path = tmp_path / "t.csv"
        path.write_text(f"file,patient{extra}\n1.avi,7{',A4C' if extra else ''}\n")
        table, report = import_labels(
            conform(clips), path, standard_vocabulary(), pseudonyms=Pseudonyms(bytes(32))
        )
        assert table["patient"][0] != "p"
        assert report.notes == notes


def test_columns_are_remembered_for_tables_with_the_same(tmp_path: Path) -> None:
    memory, header = tmp_path / "columns.json", ("Bild", "Schnitt")
    assert recall_columns(memory, header) == {}
    remember_columns(memory, header, {"file": "Bild", "view": "Schnitt"})
    remember_columns(memory, ("other",), {"file": "other"})
    assert recall_columns(memory, ("Schnitt", "Bild")) == {"file": "Bild", "view": "Schnitt"}
    assert recall_columns(memory, ("Bild", "Schnitt", "more")) == {}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"Bild | Schnitt": 3}', '{"Bild | Schnitt": {"a": 1}}'])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, content: str) -> None:
    memory = tmp_path / "columns.json"
    memory.write_text(content)
    assert recall_columns(memory, ("Bild", "Schnitt")) == {}
    remember_columns(memory, ("Bild", "Schnitt"), {"file": "Bild"})
    assert recall_columns(memory, ("Bild", "Schnitt")) == {"file": "Bild"}


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".json"])
def test_no_text_is_a_formula_to_a_spreadsheet_and_all_read_back(tmp_path: Path, suffix: str) -> None:
    texts = ["=1+1", "+1", "-1", "@a", "＝a", "'=a", "''-a", "'a", "a=1", "Ä"]
    out = tmp_path / f"labels{suffix}"
    write_table_for_people(pl.DataFrame({"clip": texts, "view": texts, "number": range(10)}), out)
    assert read_table(out, also=["number"]).rows == [
        {"clip": text, "view": text, "number": str(number)} for number, text in enumerate(texts)
    ]
    if suffix == ".xlsx":
        cells = [cell for row in openpyxl.load_workbook(out).worksheets[0] for cell in row]
        assert "f" not in {cell.data_type for cell in cells}
    elif suffix == ".csv":
        cells_of_all = [cell for line in out.read_text().splitlines() for cell in line.split(",")]
        assert not [cell for cell in cells_of_all if cell.startswith(tuple("=+-@＝"))]
