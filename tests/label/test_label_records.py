"""What was said is on the disk, is never changed there, and can be taken back in order."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime

import pytest
from small_records import key, say

from apical.errors import CannotDo, WrongCall
from apical.label.opinions import NOTHING, Guess, Said
from apical.label.records import TASK_DAYS, Conflict, Records, Repeat

A4C, A2C, PLAX = Said("A4C"), Said("A2C"), Said("PLAX")
GUESS = Guess("A4C", 0.93, "probe 12")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.sqlite"


@pytest.fixture
def records(path):
    records = Records(path)
    yield records
    records.close()


def reopened(records, path):
    records.close()
    return Records(path)


def test_an_event_tells_all_of_an_answer(records, path):
    said = Said("A4C", True, "poor", "né 心 'quoted' \"twice\"")
    first = say(records, "Anna", "c1", A2C)
    [task] = records.offer("Anna", [("c1", "single", GUESS)])
    assert (records.task(task).annotator, records.task(task).clip, records.task(task).guess) == (
        "Anna",
        "c1",
        GUESS,
    )
    [event] = records.say(task, said, key=key(), shown=True, seconds=2.5)
    assert (event.number, event.annotator, event.clip, event.kind) == (2, "Anna", "c1", "single")
    assert (event.before, event.after, event.guess) == (A2C, said, GUESS)
    assert (event.shown, event.seconds, event.of) == (True, 2.5, None)
    assert first.before is None
    assert event.action != first.action
    assert abs(time.time() - _time(event.at)) < 60
    assert list(reopened(records, path).events_after(0)) == [first, event]


def _time(text):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("guess", [None, Guess(None, None, "probe 1"), Guess("A4C", 1.0, "fine-tune 2")])
def test_a_task_keeps_what_the_model_said(records, guess):
    [task] = records.offer("Anna", [("c1", "adjudication", guess)])
    assert records.task(task).guess == guess
    assert records.say(task, A4C, key=key(), shown=False, seconds=None)[0].guess == guess


def test_another_program_finds_an_answer_in_the_file_at_once_and_for_good(records, path):
    event = say(records, "Anna", "c1", A4C)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT number, clip FROM events").fetchall() == [(event.number, "c1")]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert records._all("PRAGMA synchronous") == [(2,)]  # FULL: a commit waits for the disk
    assert path.stat().st_mode & 0o777 == 0o600


_WRITER = """
import sys
from pathlib import Path
from apical.label.opinions import Said
from apical.label.records import Records

records = Records(Path(sys.argv[1]))
for number in range(10**9):
    [task] = records.offer("Anna", [(f"clip {number % 7}", "single", None)])
    key = f"{sys.argv[2]} {number}"
    if number % 5 == 4:
        events = records.undo("Anna", key=key)
    elif number % 5 == 3:
        clips = [(f"clip {i}", None) for i in range(20)]
        events = records.say_all("Anna", clips, Said("PLAX"), kind="wall", key=key)
    else:
        events = records.say(task, Said("A4C"), key=key, shown=True, seconds=1.0)
    print(key, *(event.number for event in events), sep="|", flush=True)
"""


def test_what_was_reported_as_saved_is_there_after_kill_9(path):
    reported = {}
    for turn in range(3):
        command = [sys.executable, "-c", _WRITER, str(path), str(turn)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            lines = [writer.stdout.readline() for _ in range(40 + 17 * turn)]
            os.kill(writer.pid, signal.SIGKILL)
            lines += writer.stdout.readlines()
        assert writer.returncode == -signal.SIGKILL
        for line in (line for line in lines if line.endswith("\n")):
            name, *numbers = line.strip().split("|")
            reported[name] = [int(number) for number in numbers]
        assert len(reported) >= 40 * (turn + 1)
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        records = Records(path)
        version = records.version()
        found = {name: [one.number for one in records.undo("Anna", key=name)] for name in reported}
        assert found == reported
        assert records.version() == version  # the keys were all known
        events = list(records.events_after(0))
        assert [one.number for one in events] == list(range(1, version + 1))
        assert version - max(max(numbers) for numbers in reported.values()) <= 20  # one action at most
        sizes = {}
        for one in events:
            sizes.setdefault(one.action, []).append(one.number)
        assert {len(numbers) for numbers in sizes.values()} == {1, 20}  # no half of a wall
        records.close()


def test_two_threads_write_at_once_and_nothing_is_lost(records, path):
    def write(annotator):
        for number in range(60):
            say(records, annotator, f"clip {number % 5}", A4C if number % 2 else A2C)
            if number % 10 == 9:
                records.undo(annotator, key=key())

    threads = [threading.Thread(target=write, args=[name]) for name in ("Anna", "Anna", "Ben")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert records.version() <= len(list(records.events_after(0)))  # what is read is on the disk
    for thread in threads:
        thread.join()
    events = list(records.events_after(0))
    assert [one.number for one in events] == list(range(1, 3 * 66 + 1))
    standing = {}
    for one in events:  # each found what the last one left
        assert (one.before or NOTHING) == standing.get((one.annotator, one.clip), NOTHING)
        standing[one.annotator, one.clip] = one.after
    opinions = records.opinions()
    assert {(name, clip): said for clip, of_clip in opinions.items() for name, said in of_clip.items()} == {
        at: said for at, said in standing.items() if said != NOTHING
    }
    again = reopened(records, path)
    assert again.opinions() == opinions
    again.close()


def test_a_key_that_is_known_writes_nothing_and_gives_the_same_events(records, path):
    [task] = records.offer("Anna", [("c1", "single", None)])
    first = records.say(task, A4C, key="k", shown=False, seconds=None, seen=0)
    assert records.say(task, A2C, key="k", shown=False, seconds=None, seen=0) == first
    undone = records.undo("Anna", key="u")
    assert records.undo("Anna", key="u") == undone
    assert records.say(task, A4C, key="k", shown=False, seconds=None) == first  # it stays taken back
    assert (records.opinions(), records.version()) == ({}, 2)
    redone = records.redo("Anna", key="r")
    wall = records.say_all("Anna", [("c2", None), ("c3", GUESS)], PLAX, kind="wall", key="w")
    records = reopened(records, path)
    assert records.redo("Anna", key="r") == redone
    assert records.say_all("Anna", [], PLAX, kind="wall", key="w") == wall
    assert records.version() == 5
    records.close()


def test_a_key_that_found_nothing_to_undo_undoes_nothing_later(records):
    assert records.undo("Anna", key="u") == records.redo("Anna", key="r") == []
    say(records, "Anna", "c1", A4C)
    assert records.undo("Anna", key="u") == records.redo("Anna", key="r") == []
    assert records.opinions() == {"c1": {"Anna": A4C}}


def test_a_key_of_another_annotator_is_refused(records):
    say(records, "Anna", "c1", A4C, key="k")
    [task] = records.offer("Ben", [("c1", "single", None)])
    for write in (
        lambda: records.say(task, A4C, key="k", shown=False, seconds=None),
        lambda: records.say_all("Ben", [("c2", None)], A4C, kind="map", key="k"),
        lambda: records.undo("Ben", key="k"),
        lambda: records.redo("Ben", key="k"),
    ):
        with pytest.raises(WrongCall):
            write()
    assert records.version() == 1


def test_an_answer_from_a_tab_that_missed_one_is_refused_and_nothing_is_written(records):
    old, new = records.offer("Anna", [("c1", "single", None), ("c1", "single", None)])
    [event] = records.say(new, A4C, key=key(), shown=False, seconds=None, seen=0)
    with pytest.raises(Conflict) as refused:
        records.say(old, A2C, key="late", shown=False, seconds=None, seen=0)
    assert refused.value.event == event
    assert (records.version(), records.opinions()) == (1, {"c1": {"Anna": A4C}})
    [second] = records.say(old, A2C, key="late", shown=False, seconds=None, seen=event.number)
    assert second.after == A2C  # the key had not been used up
    undone = records.undo("Anna", key=key())[-1]
    with pytest.raises(Conflict) as refused:  # an undo elsewhere is something else, too
        records.say(old, A2C, key=key(), shown=False, seconds=None, seen=second.number)
    assert refused.value.event == undone
    say(records, "Ben", "c1", PLAX, seen=0)  # others do not matter


def test_an_undo_takes_back_the_latest_of_all_tabs_and_others_keep_theirs(records):
    say(records, "Anna", "c1", A4C)
    say(records, "Ben", "c1", PLAX)
    records.say_all("Anna", [("c1", None), ("c2", None)], A2C, kind="wall", key=key())
    say(records, "Anna", "c1", Said("A4C", True))
    assert [one.after for one in records.undo("Anna", key=key())] == [A2C]
    wall = records.undo("Anna", key=key())
    assert sorted((one.clip, one.before, one.after) for one in wall) == [
        ("c1", A2C, A4C),
        ("c2", A2C, NOTHING),
    ]
    assert records.opinions() == {"c1": {"Anna": A4C, "Ben": PLAX}}
    assert {one.action for one in wall} == {wall[0].action}
    assert [one.after for one in records.redo("Anna", key=key())] == [A2C, A2C]
    assert records.opinions() == {"c1": {"Anna": A2C, "Ben": PLAX}, "c2": {"Anna": A2C}}
    say(records, "Anna", "c3", A4C)
    assert records.redo("Anna", key=key()) == []  # a new action leaves nothing to bring back


def test_a_clip_that_stands_twice_in_one_action_is_taken_back_whole(records):
    events = records.say_all("Anna", [("c1", None)] * 2, [A4C, A2C], kind="map", key=key())
    assert [(one.before, one.after) for one in events] == [(None, A4C), (A4C, A2C)]
    undone = records.undo("Anna", key=key())
    assert [(one.before, one.after) for one in undone] == [(A2C, A4C), (A4C, NOTHING)]
    assert records.opinions() == {}
    records.redo("Anna", key=key())
    assert records.opinions() == {"c1": {"Anna": A2C}}


def test_each_clip_of_an_import_has_its_own_and_one_that_is_missing_is_an_error(records):
    records.say_all("Anna", [("c1", None), ("c2", None)], [A4C, PLAX], kind="import", key=key())
    assert records.opinions() == {"c1": {"Anna": A4C}, "c2": {"Anna": PLAX}}
    with pytest.raises(ValueError, match="shorter"):
        records.say_all("Anna", [("c1", None), ("c2", None)], [A4C], kind="import", key="k")
    assert records.version() == 2
    records.say_all("Anna", [("c3", None)], A4C, kind="import", key="k")


def test_guesses_on_a_wall_were_seen_and_those_of_an_import_were_not(records):
    for kind, shown in (("wall", True), ("map", True), ("alike", True), ("import", False)):
        [event] = records.say_all("Anna", [("c1", GUESS)], A4C, kind=kind, key=key())
        assert (event.shown, event.kind, event.guess) == (shown, kind, GUESS)


def test_a_repeat_stands_beside_the_opinion(records, path):
    say(records, "Anna", "c1", A4C)
    event = say(records, "Anna", "c1", A2C, "repeat")
    assert (event.kind, event.before, event.after) == ("repeat", A4C, A2C)
    assert records.opinions() == {"c1": {"Anna": A4C}}
    say(records, "Anna", "c1", PLAX)  # the opinion of that time counts
    expected = [Repeat("Anna", "c1", A4C, A2C, event.at)]
    assert records.repeats() == expected
    records = reopened(records, path)
    assert records.repeats() == expected
    records.undo("Anna", key=key())
    assert records.repeats() == expected
    records.undo("Anna", key=key())
    assert records.repeats() == []
    assert records.opinions() == {"c1": {"Anna": A4C}}
    records.redo("Anna", key=key())
    assert [replace(one, at=event.at) for one in records.repeats()] == expected
    records.close()


def test_a_repeat_that_says_nothing_is_none(records):
    say(records, "Anna", "c1", A4C)
    say(records, "Anna", "c1", NOTHING, "repeat")
    assert records.repeats() == []


def test_a_second_look_at_what_was_taken_back_is_a_first_look(records):
    say(records, "Anna", "c1", A4C)
    [task] = records.offer("Anna", [("c1", "repeat", None)])
    records.undo("Anna", key=key())
    [event] = records.say(task, A2C, key=key(), shown=False, seconds=None)
    assert (event.kind, records.opinions(), records.repeats()) == ("single", {"c1": {"Anna": A2C}}, [])


def test_an_undone_adjudication_gives_back_the_earlier_one_or_none(records):
    say(records, "Anna", "c1", A4C, "adjudication")
    assert records.adjudications() == {"c1": ("Anna", A4C)}
    say(records, "Ben", "c1", PLAX, "adjudication")
    assert records.adjudication_of("c1") == ("Ben", PLAX)
    records.undo("Anna", key=key())  # hers no longer stood; his does
    assert records.adjudications() == {"c1": ("Ben", PLAX)}
    records.redo("Anna", key=key())
    assert records.adjudications() == {"c1": ("Ben", PLAX)}
    records.undo("Ben", key=key())
    assert records.adjudications() == {"c1": ("Anna", A4C)}
    records.undo("Anna", key=key())
    assert records.adjudications() == {}
    assert records.adjudication_of("c1") is None
    assert records.opinions() == {}


def test_events_are_only_ever_added(records, path):
    before = say(records, "Anna", "c1", A4C)
    [undo], [redo] = records.undo("Anna", key=key()), records.redo("Anna", key=key())
    assert list(records.events_after(0)) == [before, undo, redo]
    assert [(one.kind, one.before, one.after, one.of) for one in (undo, redo)] == [
        ("undo", A4C, NOTHING, 1),
        ("redo", None, A4C, 1),
    ]
    with closing(sqlite3.connect(path)) as other:
        for change in ("DELETE FROM events", "UPDATE events SET annotator = 'Eve' WHERE number = 1"):
            with pytest.raises(sqlite3.IntegrityError):
                other.execute(change)
    assert list(records.events_after(0)) == [before, undo, redo]


def test_old_offers_are_forgotten_at_opening_and_young_ones_are_not(records, path):
    old, young = records.offer("Anna", [("c1", "single", None), ("c2", "single", GUESS)])
    [event] = records.say(old, A4C, key="k", shown=False, seconds=None)
    for task, days in ((old, TASK_DAYS + 0.01), (young, TASK_DAYS - 0.01)):
        records._all("UPDATE tasks SET offered = ? WHERE task = ?", [time.time() - days * 86400, task])
    assert records.task(old) is not None
    records = reopened(records, path)
    assert records.task(old) is None
    assert records.task(young).clip == "c2"
    assert records._all("SELECT count(*) FROM tasks") == [(1,)]
    with pytest.raises(WrongCall):
        records.say(old, A4C, key=key(), shown=False, seconds=None)
    assert records.say(old, A4C, key="k", shown=False, seconds=None) == [event]  # it tries again
    records.close()


def test_history_is_what_a_loop_over_all_events_finds(records):
    for number in range(40):
        say(records, "Anna" if number % 3 else "Ben", f"c{number % 4}", A4C)
    newest_first = list(records.events_after(0))[::-1]
    for clip in (None, "c1", "c9"):
        for annotator in (None, "Ben", "Eve"):
            for before in (None, 1, 17, 99):
                for limit in (3, 100):
                    found = [
                        one
                        for one in newest_first
                        if clip in (None, one.clip)
                        and annotator in (None, one.annotator)
                        and (before is None or one.number < before)
                    ][:limit]
                    asked = {"clip": clip, "annotator": annotator, "before": before, "limit": limit}
                    assert records.history(**asked) == found
    assert records.annotators() == ["Anna", "Ben"]
    assert records.annotators_of("c1") == {"Anna", "Ben"}
    assert records.annotators_of("c9") == set()


def test_events_come_in_order_over_many_pages_also_those_written_meanwhile(records):
    clips = [(f"c{number}", None) for number in range(2500)]
    records.say_all("Anna", clips, A4C, kind="import", key=key())
    events = records.events_after(10)
    assert next(events).number == 11
    say(records, "Ben", "c1", A4C)
    assert [one.number for one in events] == list(range(12, 2502))
    assert list(records.events_after(2501)) == []


def test_what_the_catalogue_said_first_is_remembered(records, path):
    records.remember({"c1": ("A4C", None, "table"), "c2": (None, False, None), "c3": ("none", True, "Ben")})
    records.remember({"c1": ("PLAX", True, "Anna"), "c4": (None, None, None)})
    records = reopened(records, path)
    assert records.original("c1") == ("A4C", None, "table")
    assert records.original("c2") == (None, False, None)
    assert records.original("c5") is None
    assert records.originals(["c3", "c4", "c5"]) == {"c3": ("none", True, "Ben"), "c4": (None, None, None)}
    records.close()


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_seconds_that_are_none_are_refused(records, seconds):
    with pytest.raises(WrongCall):
        say(records, "Anna", "c1", A4C, seconds=seconds)
    assert records.version() == 0


def test_kinds_that_are_none_are_refused(records):
    with pytest.raises(WrongCall):
        records.offer("Anna", [("c1", "wall", None)])
    with pytest.raises(WrongCall):
        records.say_all("Anna", [("c1", None)], A4C, kind="single", key=key())
    with pytest.raises(WrongCall):
        records.say("0" * 32, A4C, key=key(), shown=False, seconds=None)
    assert records.version() == 0


def test_a_full_disk_changes_nothing_and_later_all_goes_on(records):
    say(records, "Anna", "c1", A4C)
    pages = records._all("PRAGMA page_count")[0][0]
    records._all(f"PRAGMA max_page_count = {pages + 2}")
    clips = [(f"clip {number}", GUESS) for number in range(3000)]
    with pytest.raises(CannotDo):
        records.say_all("Anna", clips, PLAX, kind="wall", key="w")
    assert (records.version(), records.opinions()) == (1, {"c1": {"Anna": A4C}})
    records._all("PRAGMA max_page_count = 1000000")
    assert len(records.say_all("Anna", clips, PLAX, kind="wall", key="w")) == 3000
    records.undo("Anna", key=key())
    assert records.opinions() == {"c1": {"Anna": A4C}}


def test_records_of_another_version_are_not_opened(records, path):
    records._all("PRAGMA user_version = 99")
    with pytest.raises(CannotDo):
        reopened(records, path)


def test_what_was_read_is_not_changed_by_what_is_said_later(records):
    say(records, "Anna", "c1", A4C)
    opinions, of_clip = records.opinions(), records.opinions_of("c1")
    say(records, "Ben", "c1", PLAX)
    say(records, "Anna", "c2", A4C)
    assert (opinions, of_clip) == ({"c1": {"Anna": A4C}}, {"Anna": A4C})
    assert records.opinions_of("c1") == {"Anna": A4C, "Ben": PLAX}
