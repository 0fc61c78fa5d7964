"""Labels and history out of the records, and tables in: nothing lost, nothing said twice, nothing harmful."""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_records import key, quick_folder, quick_records, say

from apical.catalogue import conform
from apical.errors import CannotDo, WrongCall
from apical.ingest.labels import import_labels
from apical.label.exports import (
    history_csv,
    history_json,
    labels_csv,
    labels_json,
    read_state,
    reports_zip,
    settled_labels,
    take_table,
)
from apical.label.opinions import CANNOT_TELL, Guess, Said
from apical.label.read_reports import read_reports
from apical.label.records import Records
from apical.label.reports import Labelled
from apical.label.settle import merge
from apical.views import NO_VIEW, standard_vocabulary
from small_clips import small_clips
from sr_files import WHEN

VIEWS = standard_vocabulary()
CLIPS = [f"{number:016x}" for number in range(8)]


def catalogue(**columns):
    rows = {"clip": CLIPS, "path": [f"/a/{clip}" for clip in CLIPS], "patient": CLIPS} | columns
    return conform(pl.DataFrame(rows))


BARE = catalogue()


def rows_of(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def some_labels(records):
    """Agreed, alone, disputed, adjudicated, not told, taken back."""
    say(records, "Al", CLIPS[0], Said("A4C", True, "good", "=1+1"))
    say(records, "Bo", CLIPS[0], Said("A4C"))
    say(records, "Al", CLIPS[1], NO_VIEW, guess=Guess("A4C", 0.5, "probe 1"), shown=True, seconds=1.5)
    say(records, "Al", CLIPS[2], "A4C")
    say(records, "Bo", CLIPS[2], "A5C")
    say(records, "Al", CLIPS[3], "A4C")
    say(records, "Bo", CLIPS[3], Said("A5C", None, "poor"))
    say(records, "Cy", CLIPS[3], Said("A3C", note="sure"), kind="adjudication")
    say(records, "Al", CLIPS[4], CANNOT_TELL)
    say(records, "Al", CLIPS[5], "PLAX")
    records.undo("Al", key=key())


def test_a_row_is_what_one_person_says():
    with quick_records() as records:
        some_labels(records)
        table = catalogue(view=[None] * 6 + ["IVC", None], labelled_by=[None] * 6 + ["table", None])
        rows = rows_of(labels_csv(records, table, VIEWS))
        said = [(CLIPS.index(row["clip"]), row["view"], row["labelled_by"]) for row in rows]
        assert said == [
            (0, "A4C", "Al"), (0, "A4C", "Bo"), (1, "none", "Al"), (2, "A4C", "Al"), (2, "A5C", "Bo"),
            (3, "A3C", "Cy"), (4, "cannot-tell", "Al"), (6, "IVC", "table"),
        ]  # fmt: skip
        assert [row["adjudicated"] for row in rows].index("true") == 5
        as_json = json.loads(labels_json(records, table, VIEWS))
        assert [(CLIPS.index(row["clip"]), row["view"], row["labelled_by"]) for row in as_json] == said
        assert as_json[0] == {
            "clip": CLIPS[0], "view": "A4C", "contrast_agent": True, "quality": "good", "note": "=1+1",
            "labelled_by": "Al", "adjudicated": False,
        }  # fmt: skip


def test_labels_import_reads_from_the_table_what_is_settled(tmp_path):
    """`apical labels import` and `merge` agree: an independent way to the same labels."""
    with quick_records() as records:
        some_labels(records)
        (tmp_path / "labels.csv").write_bytes(labels_csv(records, BARE, VIEWS))
        imported, report = import_labels(BARE, tmp_path / "labels.csv", VIEWS)
        merged, _ = merge(BARE, records, VIEWS)
        for name in ("view", "labelled_by", "contrast_agent"):
            assert imported[name].to_list() == merged[name].to_list()
        assert report.conflicts == (CLIPS[2],)


SAID = st.builds(
    Said,
    st.sampled_from([*VIEWS.names, NO_VIEW, CANNOT_TELL]),
    st.sampled_from([True, False, None]),
    st.sampled_from(["good", "fair", "poor", None]),
    st.sampled_from(["", "=cmd|' /C calc'!A0", "'=x", "-1", '"a", b; c', "@x", "Ä王"]),
)
NAMES = st.sampled_from(["Al", "Doe, Jane", "=Bo", "+1", "'@Cy", "Öz"])


@settings(max_examples=40)
@given(
    said=st.dictionaries(st.tuples(st.sampled_from(CLIPS), NAMES), SAID, min_size=1),
    form=st.sampled_from(["csv", "json"]),
)
def test_a_table_out_and_in_gives_the_same_opinions(said, form):
    with quick_records() as records:
        for (clip, name), one in said.items():
            say(records, name, clip, one)
        write = labels_csv if form == "csv" else labels_json
        content = write(records, BARE, VIEWS)
        assert take_table(records, "X", content, form, VIEWS, CLIPS) == (0, [])  # all of it stands already
        with quick_records() as other:
            for name in {name for _, name in said}:  # else a comma is taken for one between names
                say(other, name, "elsewhere", "A4C")
            labelled, problems = take_table(other, "X", content, form, VIEWS, CLIPS)
            assert problems == []
            assert labelled == len({clip for clip, _ in said})
            expected = {}
            for (clip, name), one in said.items():
                expected.setdefault(clip, {})[name] = one
            found = {clip: dict(of) for clip, of in other.opinions().items() if clip != "elsewhere"}
            assert found == expected
            assert {event.kind for event in other.history(limit=1000) if event.clip != "elsewhere"} == {
                "import"
            }


@settings(max_examples=60)
@given(text=st.text(st.sampled_from("=+-@\t'\"a,1|＝"), min_size=1, max_size=8))
def test_no_cell_is_a_formula(text):
    """By the rule of OWASP: no cell begins with one of these signs, however a spreadsheet splits them."""
    with quick_records() as records:
        say(records, "=Al()", CLIPS[0], Said("A4C", note=text))
        for content in (labels_csv(records, BARE, VIEWS), history_csv(records)):
            for row in csv.reader(io.StringIO(content.decode())):
                assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))]


def test_the_history_has_every_event_in_order():
    with quick_records() as records:
        some_labels(records)
        events = json.loads(history_json(records))
        assert [event["number"] for event in events] == list(range(1, records.version() + 1))
        assert events[2] == {
            "number": 3, "action": events[2]["action"], "annotator": "Al", "clip": CLIPS[1], "kind": "single",
            "before": None, "after": {"view": "none", "contrast_agent": None, "quality": None, "note": ""},
            "guess": {"view": "A4C", "probability": 0.5, "model": "probe 1"}, "shown": True,
            "at": events[2]["at"], "seconds": 1.5, "of": None,
        }  # fmt: skip
        assert [event["kind"] for event in events][-2:] == ["single", "undo"]
        rows = rows_of(history_csv(records))
        assert [int(row["number"]) for row in rows] == [event["number"] for event in events]
        assert [rows[2][name] for name in ("after_view", "guess_model", "shown")] == [
            "none",
            "probe 1",
            "true",
        ]
        assert (rows[-1]["before_view"], rows[-1]["after_view"]) == ("PLAX", "")


def test_a_zip_of_reports_reads_back_as_what_is_settled(tmp_path):
    table = small_clips(tmp_path, 6)
    with quick_records() as records:
        clips = table["clip"].to_list()
        say(records, "Al", clips[0], Said("A4C", True, "good", "mine"))
        say(records, "Bo", clips[0], Said("A4C", note="yours"))
        say(records, "Al", clips[1], "A4C")
        say(records, "Bo", clips[1], "A5C")
        say(records, "Al", clips[2], "A4C")
        say(records, "Cy", clips[2], Said("A5C", note="sure"), kind="adjudication")
        say(records, "Al", clips[3], CANNOT_TELL)
        say(records, "Al", clips[5], "PLAX")
        os.remove(table["path"][5])
        table = table.with_columns(view=pl.when(pl.col("clip") == clips[4]).then(pl.lit("IVC")))
        with tempfile.TemporaryFile() as file:
            problems = reports_zip(file, records, table, VIEWS, WHEN)
            with zipfile.ZipFile(file) as archive:
                assert archive.read("problems.txt").decode().splitlines() == problems
                assert archive.testzip() is None
            file.seek(0)
            (tmp_path / "out.zip").write_bytes(file.read())
        assert problems == [f"clip {clips[5]}: the file cannot be read"]
        found = {one.clip: one.label for one in read_reports([str(tmp_path / "out.zip")], VIEWS).labels}
        settled = settled_labels(records, table, VIEWS)
        assert found == {clip: label for clip, label in settled.items() if clip != clips[5]}
        assert settled[clips[0]] == Labelled(Said("A4C", True, "good", "Al: mine; Bo: yours"), ("Al", "Bo"))
        assert settled[clips[2]] == Labelled(Said("A5C", note="sure"), ("Cy",), True, ("Al",))
        assert settled[clips[3]].said == Said(CANNOT_TELL)
        assert settled[clips[4]] == Labelled(Said("IVC"))
        assert clips[1] not in settled


def taken(records, text, form="csv", **more):
    return take_table(records, "Me", text.encode(), form, VIEWS, CLIPS, **more)


def test_a_table_of_labels_is_read_as_people_write_it():
    with quick_records() as records:
        text = "Clip;Label;Contrast;quality;note;Annotator\n"
        text += f"{CLIPS[0]};AP4 contrast;;Good;a note;\n{CLIPS[1]};other;no;;;Al, Bo\n"
        text += f"{CLIPS[2]};cannot-tell;;;;Al\n"
        assert taken(records, text) == (3, [])
        assert {clip: dict(of) for clip, of in records.opinions().items()} == {
            CLIPS[0]: {"Me": Said("A4C", True, "good", "a note")},
            CLIPS[1]: {"Al": Said(NO_VIEW, False), "Bo": Said(NO_VIEW, False)},
            CLIPS[2]: {"Al": Said(CANNOT_TELL)},
        }
        assert taken(records, json.dumps([{"clip": CLIPS[0], "view": "PLAX"}]), "json") == (1, [])
        assert records.opinions_of(CLIPS[0])["Me"] == Said("PLAX")


def test_undo_leaves_what_was_imported():
    """Whoever imported it may be somebody else, who could not bring it back."""
    with quick_records() as records:
        lines = [f"{clip},{view}" for clip, view in zip(CLIPS, VIEWS.names, strict=False)]
        assert taken(records, "\n".join(["clip,view", *lines])) == (len(CLIPS), [])
        assert records.undo("Me", key=key()) == []
        assert len(records.opinions()) == len(CLIPS)


def test_rows_that_cannot_be_used_are_counted_and_never_quoted():
    with quick_records() as records:
        rows = [
            (CLIPS[0], "A4C", "", ""),
            ("Doe^Jane", "A4C", "", ""),
            (CLIPS[1], "Doe^Jane", "", ""),
            (CLIPS[1], "A4C", "Doe^Jane", ""),
            (CLIPS[1], "", "good", ""),
            (CLIPS[1], "A4C", "", "x" * 41),
            (CLIPS[2], "A4C", "", ""),
            (CLIPS[2], "A5C", "", ""),
            (CLIPS[2], "A5C", "", "Bo"),
        ]
        text = "\n".join(["clip,view,quality,labelled_by", *(",".join(row) for row in rows)])
        labelled, problems = taken(records, text)
        assert labelled == 2
        assert problems == [
            "1 row of no clip of the catalogue (2)",
            "2 rows with a view, contrast agent, quality or note that is not understood (3, 4)",
            "1 row without a view (5)",
            "1 row with a name that no annotator can have (6)",
            "2 rows that contradict another one of the same person, not taken (7, 8)",
        ]
        assert {clip: dict(of) for clip, of in records.opinions().items()} == {
            CLIPS[0]: {"Me": Said("A4C")},
            CLIPS[2]: {"Bo": Said("A5C")},
        }


def test_what_the_catalogue_says_itself_is_no_news_and_is_remembered_else():
    originals = {
        CLIPS[0]: ("A4C", True, "table"),
        CLIPS[1]: ("A4C", None, "Al"),
        CLIPS[2]: (None, None, None),
    }

    def own(clips):
        return {clip: originals[clip] for clip in clips}

    with quick_records() as records:
        table = f"clip,view,contrast_agent,labelled_by\n{CLIPS[0]},A4C,yes,table\n{CLIPS[1]},A4C,,Al\n"
        assert taken(records, table, originals=own) == (0, [])
        assert records.touched() == set()
        table = f"clip,view,labelled_by\n{CLIPS[0]},A4C,\n{CLIPS[1]},A4C,Bo\n{CLIPS[2]},PLAX,\n"
        assert taken(records, table, originals=own) == (3, [])
        assert records.originals(CLIPS) == originals
        assert taken(records, table, originals=own) == (0, [])


def test_tables_that_are_none():
    with quick_records() as records:
        with pytest.raises(WrongCall, match="does not tell clips and views"):
            taken(records, "a,b\n1,2\n")
        for text, form in (("{", "json"), ("clip,view\n1,2,3\n", "csv"), ("[]", "json")):
            with pytest.raises(CannotDo, match="cannot be read"):
                taken(records, text, form)
        with pytest.raises(CannotDo):
            take_table(records, "Me", b"\xff\xfe\0", "csv", VIEWS, CLIPS)


WRITER = """
import sys, secrets
from pathlib import Path
from apical.label.opinions import Said
from apical.label.records import Records
records = Records(Path(sys.argv[1]))
for number in range(10**9):
    said = Said("A4C" if number % 2 else "A5C")
    clips = [(f"{clip:016x}", None) for clip in range(8)]
    records.say_all("Al", clips, said, kind="wall", key=secrets.token_hex(16))
    print(number, flush=True)
"""


def test_records_are_read_while_the_page_writes_and_stay_as_they_are():
    """Each reading sees whole actions, and what was said before it began."""
    with quick_folder() as folder:
        path = os.path.join(folder, "labels.sqlite")
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        try:
            for _ in range(5):
                said = int(writer.stdout.readline())
                with read_state(Path(folder)) as records:
                    assert records.version() % 8 == 0
                    assert records.version() >= 8 * (said + 1)
                    assert len({one["Al"].view for one in records.opinions().values()}) == 1
        finally:
            writer.kill()
            writer.wait()
            writer.stdout.close()


def test_reading_records_writes_nothing(tmp_path):
    with pytest.raises(CannotDo, match="holds no records"), read_state(tmp_path / "none"):
        pass
    assert list(tmp_path.iterdir()) == []
    with closing(Records(tmp_path / "labels.sqlite")) as records:
        say(records, "Al", CLIPS[0], "A4C")
    before = (tmp_path / "labels.sqlite").read_bytes()
    with read_state(tmp_path) as records:
        say(records, "Al", CLIPS[1], "A4C")
    assert (tmp_path / "labels.sqlite").read_bytes() == before
    (tmp_path / "labels.sqlite").write_bytes(b"no database" * 100)
    with (
        pytest.raises(CannotDo, match=r"'labels.sqlite' cannot be read \(DatabaseError\)"),
        read_state(tmp_path),
    ):
        pass
