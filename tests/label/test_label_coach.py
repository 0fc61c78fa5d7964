"""The coach: the latest labels win, what dies is started anew, nothing outlives the page."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from apical.catalogue import write_catalogue
from apical.config import FrameSettings, PretrainSettings, ResNetSettings
from apical.errors import CannotDo
from apical.label import cache
from apical.label.advice import Advice, Known, Layout
from apical.label.coach import Coach
from apical.label.lesson import Done, Lesson, School, Tuning, Vectors
from apical.learn.backbones import build_encoder
from apical.learn.checkpoint import save_weights
from apical.learn.clips import Clips, load_clips
from apical.learn.run import RunFolder
from apical.learn.start import SHIPPED
from apical.views import standard_vocabulary
from fake_stores import write_store

TESTS = Path(__file__).parents[1]
VIEWS = ("PLAX", "A4C", "A2C")


def known(version, clips, labels=0):
    """So many clips labelled, by turns."""
    label = np.full(len(clips), -1)
    label[:labels] = np.arange(labels) % 3
    return Known(version, label, np.full(len(clips), -1))


def some_clips(n=12):
    """Clips of nowhere."""
    text, number = np.array([f"c{i}" for i in range(n)]), np.arange(n)
    split = np.full(n, "train")
    return Clips(
        np.zeros((n, 8, 8), np.uint8), number, np.ones(n, int), text, text, text, text, split,
        np.full(n, -1), np.full(n, -1), np.full(n, -1), FrameSettings(),
    )  # fmt: skip


def until(what, seconds=60.0):
    """Wait until something is so."""
    last = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < last, "it did not come about"
        time.sleep(0.01)
    return found


def lines(path):
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Starts coaches whose processes are stand-ins, and stops them."""
    monkeypatch.setattr("apical.label.coach.ADVISES", "label.coach_stand_in")
    monkeypatch.setattr("apical.label.coach.TUNES", "label.tuning_stand_in")
    school = School(some_clips(), tmp_path, tmp_path, SHIPPED, standard_vocabulary(), tmp_path)
    begun = []

    def start(**options):
        coach = Coach(school, **options)
        begun.append(coach)
        coach.start()
        return coach

    yield start, school
    for coach in begun:
        coach.stop()


def test_of_ten_lessons_while_it_thinks_the_latest_is_next_and_the_others_are_not_thought_of(stand_in):
    start, school = stand_in
    (school.folder / "slow").write_text("0.5")
    coach = start()
    coach.teach(known(1, school.clips))
    until(lambda: lines(school.folder / "lessons"))
    assert coach.state["state"] == "thinking"
    for version in range(2, 12):
        coach.teach(known(version, school.clips))
    until(lambda: coach.advice is not None and coach.advice.version == 11)
    until(lambda: coach.state["state"] == "ready")
    assert lines(school.folder / "lessons") == ["1", "11"]
    assert np.array_equal(coach.features, np.eye(3))


def test_one_that_is_killed_is_started_anew_with_the_latest_labels(stand_in):
    start, school = stand_in
    coach = start()
    coach.teach(known(3, school.clips))
    until(lambda: coach.advice is not None)
    first = coach.advice
    (pid,) = lines(school.folder / "started")
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: len(lines(school.folder / "started")) == 2)
    until(lambda: lines(school.folder / "lessons") == ["3", "3"])
    until(lambda: coach.advice is not first and coach.state["state"] == "ready")
    coach.teach(known(4, school.clips))
    until(lambda: coach.advice.version == 4)


def test_one_that_dies_of_every_lesson_is_said_to_have_failed_and_recovers_with_another(
    stand_in, monkeypatch
):
    monkeypatch.setattr("apical.label.coach.TOO_OFTEN", 2)
    start, school = stand_in
    (school.folder / "dies").write_text("7")
    coach = start()
    coach.teach(known(7, school.clips))
    until(lambda: coach.state["state"] == "failed")
    assert coach.state["problem"] == "the process that learns ends again and again"
    coach.teach(known(8, school.clips))
    until(lambda: coach.advice is not None and coach.advice.version == 8)
    until(lambda: coach.state["state"] == "ready")
    assert "problem" not in coach.state


def test_one_that_refuses_is_not_tried_again_and_says_why(stand_in):
    start, school = stand_in
    (school.folder / "refuses").write_text("yes")
    coach = start()
    coach.teach(known(1, school.clips))
    until(lambda: coach.state["state"] == "failed")
    assert coach.state["problem"] == "the encoder is broken"
    time.sleep(0.5)
    assert len(lines(school.folder / "started")) == 1
    assert coach.advice is None


def test_a_fine_tuned_network_guesses_until_labels_have_outgrown_it(stand_in):
    start, school = stand_in
    coach = start(steps=5)
    assert coach.tuning == {"state": "off", "labels": 0, "minutes": 0.0}
    coach.fine_tune()
    assert coach.tuning["state"] == "waiting"
    coach.teach(known(1, school.clips, 6))
    until(lambda: coach.tuning["state"] == "done")
    assert (coach.tuning["labels"], coach.tuning["minutes"] < 1) == (6, True)
    until(lambda: coach.advice is not None and coach.advice.model == "network 1")
    coach.teach(known(2, school.clips, 9))
    until(lambda: coach.advice.version == 2)
    assert coach.advice.model == "network 1"
    coach.teach(known(3, school.clips, 10))
    until(lambda: coach.advice.version == 3)
    assert coach.advice.model == "probe"


def test_a_fine_tune_begins_by_itself_after_so_many_labels(stand_in):
    start, school = stand_in
    coach = start(fine_tune_every=4)
    coach.teach(known(1, school.clips, 3))
    until(lambda: coach.advice is not None)
    time.sleep(0.3)
    assert coach.tuning["state"] == "off"
    coach.teach(known(2, school.clips, 4))
    until(lambda: coach.tuning["state"] == "done")
    assert coach.tuning["labels"] == 4


@pytest.mark.parametrize(
    ("how", "problem"),
    [("tuning dies", "the process ended"), ("tuning refuses", "only PLAX is labelled")],
)
def test_a_fine_tune_that_fails_says_why_and_the_probe_goes_on(stand_in, how, problem):
    start, school = stand_in
    (school.folder / how).write_text("yes")
    coach = start()
    coach.teach(known(1, school.clips, 6))
    coach.fine_tune()
    until(lambda: coach.tuning["state"] == "failed")
    assert coach.tuning["problem"].startswith(problem)
    until(lambda: coach.advice is not None and coach.advice.model == "probe")


def test_nothing_is_left_when_it_is_stopped(stand_in):
    start, school = stand_in
    coach = start()
    until(lambda: coach.state["state"] == "ready")
    (pid,) = lines(school.folder / "started")
    coach.stop()
    assert not alive(int(pid))
    coach.teach(known(1, school.clips))  # harmless


def alive(pid):
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_ends_when_its_parent_is_killed(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-m", "label.coach_parent", str(tmp_path)],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(pid))


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """A store of bars at the angle of their view: 12 training and 3 test patients."""
    folder = tmp_path_factory.mktemp("coach")
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] - 15.5
    rows, frames = [], []
    for patient in range(15):
        for number, view in enumerate(VIEWS):
            split = "train" if patient < 12 else "test"
            rows.append((f"c{patient}-{view}", "/a/name", f"p{patient}", f"s{patient}", view, split))
            angle = number * np.pi / 3 + random.normal(0, 0.1)
            bar = np.abs(x * np.sin(angle) - y * np.cos(angle)) < 4
            frames += [np.clip(60 + 150 * bar + random.normal(0, 15, bar.shape), 1, 255).astype(np.uint8)]
    columns = ["clip", "path", "patient", "study", "view", "split"]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    write_catalogue(table, folder / "catalogue.parquet")
    write_store(folder / "frames", table["clip"].to_list(), np.stack(frames))
    store, catalogue = folder / "frames", folder / "catalogue.parquet"
    clips = load_clips(store, catalogue, standard_vocabulary())
    encoder = untrained(folder / "encoder")
    return School(clips, store, catalogue, encoder, standard_vocabulary(), folder / "state")


def untrained(folder):
    """A pre-training run of a small network with random weights."""
    torch.manual_seed(0)
    settings = PretrainSettings(encoder=ResNetSettings(depth=10, width=8, stem_stride=2), input_size=32)
    run = RunFolder(folder)
    run.write_json("settings.json", {"kind": "pretrain", **settings.model_dump(mode="json")})
    run.write_json("patients.json", {"patients": []})
    save_weights(run.encoder, build_encoder(settings.encoder))
    return folder


def taught(school, version, patients):
    """The labels of the first so many patients."""
    of = np.isin(school.clips.patient, [f"p{one}" for one in range(patients)])
    return Known(version, np.where(of, school.clips.label, -1), np.full(len(school.clips), -1))


def test_the_real_one_reads_learns_and_lays_out_and_a_fine_tuned_network_takes_over(school):
    coach = Coach(school, steps=2)
    coach.start()
    try:
        coach.teach(taught(school, 9, 6))
        advice = until(lambda: coach.advice, 120)
        assert (advice.version, advice.model, advice.labels) == (9, "probe 9", 18)
        right = advice.guess == school.clips.label
        assert right.mean() > 0.6  # chance is 0.33
        assert {school.clips.split[pick.row] for pick in advice.picks} == {"train"}
        figures = until(lambda: coach.advice.estimate)
        assert figures.labels == 18
        layout = until(lambda: coach.layout)
        assert len(layout.x) == len(school.clips)
        assert coach.features.shape[0] == len(school.clips)
        assert np.linalg.norm(coach.features, axis=1) == pytest.approx(1)
        coach.fine_tune()
        until(lambda: coach.tuning["state"] in ("done", "failed"), 120)
        assert coach.tuning["state"] == "done"
        until(lambda: coach.advice.model == "network 9", 60)
    finally:
        coach.stop()
    assert sorted(path.name.partition("-")[0] for path in school.folder.iterdir()) == [
        "features", "likeness", "map", "network", "vectors",
    ]  # fmt: skip
    content = b"".join(path.read_bytes() for path in school.folder.iterdir())
    assert b"/a/name" not in content


class Listener:
    """The parent's end of a line, in one process: sends lessons, keeps what is said."""

    def __init__(self, *lessons):
        self.lessons, self.said = list(lessons), []

    def send(self, message):
        self.said.append(message)

    def recv(self):
        if not self.lessons:
            raise EOFError
        return self.lessons.pop(0)

    def heard(self, kind):
        return [one for one in self.said if isinstance(one, kind)]


def test_a_restart_reads_no_frame_though_labels_and_splits_have_changed(school, monkeypatch, tmp_path):
    from apical.label import coaching

    first, again = (Listener(Lesson(taught(school, 1, 6), None)) for _ in range(2))
    one = replace(school, folder=tmp_path)
    coaching.Coaching(first, one).go()
    until(lambda: first.heard(Layout))
    assert [(said.done, said.total) for said in first.heard(Done)] == [(0, 45), (45, 45)]
    clips = replace(school.clips, label=school.clips.label[::-1].copy(), split=np.full(45, ""))

    def not_again(*given):
        raise AssertionError("read again")

    monkeypatch.setattr(coaching, "read_features", not_again)
    monkeypatch.setattr(coaching, "layout", not_again)
    coaching.Coaching(again, replace(one, clips=clips)).go()
    until(lambda: again.heard(Layout))
    assert not again.heard(Done)
    assert np.array_equal(again.heard(Layout)[0].x, first.heard(Layout)[0].x)
    assert again.heard(Vectors) == first.heard(Vectors)
    assert len(again.heard(Advice)[-1].picks) == 45 - 18  # all may be asked for now


def test_what_is_kept_goes_by_clips_patients_and_encoder():
    clips = some_clips()
    changed = replace(clips, patient=np.char.add(clips.patient, "x"))
    keys = [
        cache.key_of(clips, "a"),
        cache.key_of(clips, "b"),
        cache.key_of(clips.select(np.arange(12) > 0), "a"),
        cache.key_of(changed, "a"),
        cache.key_of(replace(clips, first=clips.first[::-1].copy()), "a"),
    ]
    assert len(set(keys)) == len(keys)


def test_what_is_kept_is_made_once_and_anew_where_the_file_is_broken(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.arange(6.0).reshape(3, 2)

    for _ in range(2):
        assert np.array_equal(cache.kept(tmp_path, "a", "k", 3, make), np.arange(6.0).reshape(3, 2))
    assert len(made) == 1
    path = cache.path_of(tmp_path, "a", "k")
    path.write_bytes(path.read_bytes()[:-8])
    assert cache.kept(tmp_path, "a", "k", 3, make).shape == (3, 2)
    assert len(made) == 2
    cache.kept(tmp_path, "a", "other", 3, make)
    assert [one.name for one in tmp_path.iterdir()] == ["a-other.npy"]


def test_a_fine_tune_with_too_few_labels_says_so(school):
    from apical.label.tuning import tune

    with pytest.raises(CannotDo, match="no clip is labelled among the training patients"):
        tune(Tuning(school, taught(school, 1, 0), 2), lambda done, total: None)
    assert not (school.folder / "fine-tune").exists()


def test_the_copy_that_teaches_has_the_labels_as_they_are_now_and_no_paths(school):
    from apical.label.tuning import labelled_copy

    label = np.full(len(school.clips), -1)
    label[:4] = [2, -2, -3, -1]
    agent = np.full(len(school.clips), -1)
    agent[:2] = [1, 0]
    copy = labelled_copy(school, Known(1, label, agent))
    by_clip = {row["clip"]: row for row in copy.iter_rows(named=True)}
    rows = [by_clip[clip] for clip in school.clips.clip[:4]]
    names = standard_vocabulary().names
    assert [row["view"] for row in rows] == [names[2], "none", None, None]
    assert [row["contrast_agent"] for row in rows] == [True, False, None, None]
    assert set(copy["path"]) == {"-"}
    assert copy["view"].count() == 2
