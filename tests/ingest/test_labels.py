"""Labels find their clips in every way a site writes them, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from clip_files import write_zip
from numpy.typing import NDArray

from apical.catalogue import conform
from apical.config import ScanSettings
from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.ingest.labels import export_labels, import_labels
from apical.ingest.pseudonyms import Pseudonyms, clip_id_of_uid
from apical.ingest.scan import scan
from apical.views import standard_vocabulary

VIEWS = standard_vocabulary()
KEY = Pseudonyms(bytes(32))


@pytest.fixture
def table(tmp_path: Path) -> pl.DataFrame:
    """Four clips of two patients: a/1.avi, a/2.avi, b/1.avi and b/unique.avi."""
    names = ["a/1.avi", "a/2.avi", "b/1.avi", "b/unique.avi"]
    return conform(
        pl.DataFrame(
            {
                "clip": [clip_id_of_uid(f"1.2.{number}") for number in range(4)],
                "path": [str(tmp_path.resolve() / name) for name in names],
                "patient": ["p", "p", "q", "q"],
            }
        )
    )


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "file,view\na/1.avi,A4C\nb/unique.avi,PLAX\n",
        "FileName;Label\nunique;parasternal long axis\na\\1.avi;AP4\n",
        "\ufeffPath\tVIEW\n./a/1.avi\tA4C\n{root}/b/unique.avi\tPLAX\n",
        "clip,view\n{clip0},A4C\n{clip3},PLAX\n",
        "SOPInstanceUID,view,notes\n1.2.0,A4C,x\n1.2.3,PLAX,y\n",
        "sop_instance_uid,label\r\n1.2.0, A4C \r\n1.2.3,PLAX\r\n",
        "file,view\na/1.avi,A4C\na/2.avi,\nb/unique.avi,PLAX\n",
    ],
)
def test_ways_to_name_a_clip(tmp_path: Path, table: pl.DataFrame, text: str) -> None:
    filled = text.replace("{root}", str(tmp_path.resolve()))
    for number in (0, 3):
        filled = filled.replace(f"{{clip{number}}}", table["clip"][number])
    labelled, report = import_labels(table, write(tmp_path, filled), VIEWS)
    assert labelled["view"].to_list() == ["A4C", None, None, "PLAX"]
    assert labelled["labelled_by"].to_list() == ["table", None, None, "table"]
    assert report.labelled == 2
    assert report.problems == []


def test_what_does_not_fit_is_reported_not_guessed(tmp_path: Path, table: pl.DataFrame) -> None:
    text = (
        "file,view\n"
        "a/1.avi,A4C\na/1.avi,A2C\n"  # a conflict
        "a/2.avi,four-ish chamber\n"  # no such view
        "b/unique.avi,four-ish chamber\nb/unique.avi,PLAX\nb/unique.avi,parasternal long axis\n"
        "1.avi,A4C\n"  # two clips have that name
        "c/3.avi,A4C\n"
    )
    before = table.with_columns(view=pl.Series(["PLAX", None, "A3C", None]))
    labelled, report = import_labels(before, write(tmp_path, text), VIEWS)
    assert labelled["view"].to_list() == [None, None, "A3C", "PLAX"]
    assert (report.matched, report.labelled, report.unknown_clips) == (3, 1, (7, 8))
    assert report.conflicts == (table["clip"][0],)
    assert report.unknown_labels == {"four-ish chamber": (3, 4)}
    assert report.problems == [
        "2 rows of no clip of the catalogue (7, 8)",
        "2 rows with 1 label that the vocabulary does not know (3, 4)",
        f"1 clip with two different labels, which got none ({table['clip'][0]})",
    ]
    assert (
        report.problem_lines(show_text=True)[1]
        == "'four-ish chamber' is no label of the vocabulary (2 rows: 3, 4)"
    )
    assert report.lines()[0] == "3 clips matched, 1 labelled"


def test_contrast_agent_from_the_label_or_its_column(tmp_path: Path, table: pl.DataFrame) -> None:
    text = "file,view,contrast_agent\na/1.avi,A4C with contrast,\na/2.avi,A4C,no\nb/1.avi,A4C,perhaps\n"
    labelled, report = import_labels(table, write(tmp_path, text), VIEWS)
    assert labelled["contrast_agent"].to_list() == [True, False, None, None]
    assert report.unknown_labels == {"contrast_agent perhaps": (3,)}


def test_patients_studies_and_splits(tmp_path: Path, table: pl.DataFrame) -> None:
    """Patients enter as pseudonyms, the same that a DICOM header with that number would give."""
    text = "file,patient,study,split,labelled_by\na/1.avi,DOE,7,test,eve\nb/unique.avi,DOE,8,test,\n"
    labelled, _ = import_labels(table, write(tmp_path, text), VIEWS, pseudonyms=KEY)
    assert labelled["patient"].to_list() == [KEY.patient("DOE")] * 4  # the other clips of p and q too
    assert labelled["study"].to_list() == [KEY.study("7"), None, None, KEY.study("8")]
    assert labelled["split"].to_list() == ["test"] * 4
    with pytest.raises(WrongCall, match="key of the pseudonyms"):
        import_labels(table, tmp_path / "labels.csv", VIEWS)
    overlap = write(tmp_path, "file,split\na/1.avi,train\na/2.avi,test\n")
    with pytest.raises(PatientOverlap):
        import_labels(table, overlap, VIEWS)


def test_root(tmp_path: Path, table: pl.DataFrame) -> None:
    (tmp_path / "elsewhere").mkdir()
    labels = write(tmp_path / "elsewhere", "file,view\na/1.avi,A4C\n")
    with pytest.raises(CannotDo, match="no row of the labels names a clip"):
        import_labels(table, labels, VIEWS)
    labelled, _ = import_labels(table, labels, VIEWS, root=tmp_path)
    assert labelled["view"][0] == "A4C"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("view,colour\nA4C,red\n", WrongCall),
        ("", CannotDo),
        ("file,path,view\na,b,c\n", CannotDo),
        ("file,view\n\xff\xfe", CannotDo),
        ("file,split\na/1.avi,holdout\n", CannotDo),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, table: pl.DataFrame, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        import_labels(table, write(tmp_path, text), VIEWS)


def test_missing_table(tmp_path: Path, table: pl.DataFrame) -> None:
    with pytest.raises(CannotDo, match="cannot be read"):
        import_labels(table, tmp_path / "missing.csv", VIEWS)


def test_out_and_in_again(tmp_path: Path, table: pl.DataFrame) -> None:
    labels = write(tmp_path, "file,view,labelled_by\na/1.avi,A4C with contrast,eve\nb/1.avi,PLAX,\n")
    labelled, _ = import_labels(table, labels, VIEWS)
    export_labels(labelled, tmp_path / "out.csv")
    again, _ = import_labels(table, tmp_path / "out.csv", VIEWS)
    assert again.equals(labelled)


def test_a_row_without_a_usable_view_does_not_change_the_labeller(
    tmp_path: Path, table: pl.DataFrame
) -> None:
    before = table.with_columns(view=pl.lit("A4C"), labelled_by=pl.lit("ann"))
    text = "file,view,labelled_by\na/1.avi,,eve\na/2.avi,no such view,eve\nb/1.avi,A2C,eve\n"
    labelled, _ = import_labels(before, write(tmp_path, text), VIEWS)
    assert labelled["view"].to_list() == ["A4C", "A4C", "A2C", "A4C"]
    assert labelled["labelled_by"].to_list() == ["ann", "ann", "eve", "ann"]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("file,view,contrast_agent\na/1.avi,A4C with contrast,no\n", "contrast_agent"),
        ("file,split\na/1.avi,train\na/1.avi,test\n", "split"),
        ("file,patient\na/1.avi,DOE\na/1.avi,ROE\n", "patient"),
        ("file,study\na/1.avi,1\na/1.avi,2\n", "study"),
    ],
)
def test_contradictions_change_nothing_and_are_told(
    tmp_path: Path, table: pl.DataFrame, text: str, column: str
) -> None:
    labelled, report = import_labels(table, write(tmp_path, text), VIEWS, pseudonyms=KEY)
    assert labelled[column].equals(table[column])
    clip = table["clip"][0]
    assert report.contradictions == {column: (clip,)}
    assert report.problems == [f"1 clip with two different values of '{column}', left as before ({clip})"]


def test_no_text_of_the_table_is_told_unasked(tmp_path: Path, table: pl.DataFrame) -> None:
    """Columns that slipped by one put names under 'view' and 'split'."""
    text = "file,view\na/1.avi,DOE JOHANNA\na/2.avi,DOE\nb/1.avi,DOE\n"
    _, report = import_labels(table, write(tmp_path, text), VIEWS)
    assert report.problems == ["3 rows with 2 labels that the vocabulary does not know (1, 2, 3)"]
    assert "DOE" not in " ".join(report.lines())
    assert report.unknown_labels == {"DOE": (2, 3), "DOE JOHANNA": (1,)}
    with pytest.raises(CannotDo) as caught:
        import_labels(table, write(tmp_path, "file,split\na/1.avi,DOE\n"), VIEWS)
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize("absolute", [True, False])
def test_paths_through_a_linked_folder(tmp_path: Path, table: pl.DataFrame, absolute: bool) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a", target_is_directory=True)
    name = str(tmp_path / "link" / "1.avi") if absolute else "link/1.avi"
    labelled, _ = import_labels(table, write(tmp_path, f"file,view\n{name},A4C\n"), VIEWS)
    assert labelled["view"].to_list() == ["A4C", None, None, None]


def test_what_can_be_no_path_names_no_clip(tmp_path: Path, table: pl.DataFrame) -> None:
    text = f"file,view\n{'x/' * 5000}1.avi,A4C\na/1.avi,A4C\n"
    _, report = import_labels(table, write(tmp_path, text), VIEWS)
    assert (report.matched, report.unknown_clips) == (1, (1,))


def test_a_patient_of_the_table_brings_its_split(tmp_path: Path, table: pl.DataFrame) -> None:
    before = table.with_columns(patient=pl.Series([KEY.patient("DOE 1"), "x", "q", "r"]))
    before = before.with_columns(split=pl.Series(["test", None, None, None]))
    labels = write(tmp_path, "file,patient\na/2.avi,DOE   1\n")
    labelled, _ = import_labels(before, labels, VIEWS, pseudonyms=KEY)
    assert labelled["split"].to_list() == ["test", "test", None, None]


def test_the_tables_patient_holds_for_the_whole_study_and_the_whole_patient(tmp_path: Path) -> None:
    """The table names one clip a person by a name of its own: the person's other clips follow."""
    rows = {
        "clip": ["a1", "a2", "a3", "b1", "f1", "f2", "f3"],
        "path": [f"/{number}" for number in range(7)],
        "patient": ["A", "A", "A-other", "B", "folder", "folder", "folder"],
        "study": ["s", "t", "s", "u", None, None, None],
    }
    labels = tmp_path / "labels.csv"
    labels.write_text("clip,view,patient\na1,A4C,Ann\nb1,A4C,Bob\nf1,A4C,Eve\nf2,A4C,Max\n")
    key = Pseudonyms(bytes(32))
    table, _ = import_labels(conform(pl.DataFrame(rows)), labels, standard_vocabulary(), pseudonyms=key)
    ann, bob, eve, max_ = (key.patient(name) for name in ("Ann", "Bob", "Eve", "Max"))
    assert table["patient"].to_list() == [ann, ann, ann, bob, eve, max_, "folder"]


@pytest.mark.parametrize("name", ["exam.zip/IM/1.png", "1.png", "IM/1.png"])
def test_members_of_archives(tmp_path: Path, frames: NDArray[np.uint8], name: str) -> None:
    """By the path in the archive, behind the archive's or not, or by their own names."""
    picture = cv2.imencode(".png", frames[0])[1].tobytes()
    other = cv2.imencode(".png", frames[1])[1].tobytes()
    write_zip(tmp_path / "exam.zip", {"IM/1.png": picture})
    write_zip(tmp_path / "one.zip", {"IM/2.png": other})
    table, _ = scan(tmp_path, tmp_path / "c.parquet", ScanSettings(workers=1))
    root = tmp_path / "exam.zip" if name == "IM/1.png" else tmp_path
    labelled, _ = import_labels(table, write(tmp_path, f"file,view\n{name},A4C\n"), VIEWS, root=root)
    assert labelled["view"].to_list() == ["A4C", None]
    with pytest.raises(CannotDo, match="no row"):  # the name of an archive is that of no clip
        import_labels(table, write(tmp_path, "file,view\none.zip,A4C\none,A4C\n"), VIEWS, root=root)
