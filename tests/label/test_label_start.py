"""The verb `label` as a real process: it starts on a laptop, survives being killed, and keeps others out."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from labelling_ground import body_of

from apical.catalogue import read_catalogue, write_catalogue
from apical.cli import run

PATIENCE = 90


@pytest.fixture(scope="module")
def catalogue(way, tmp_path_factory):
    """The phantom's catalogue without a label."""
    path = tmp_path_factory.mktemp("labelling") / "catalogue.parquet"
    table = read_catalogue(way / "catalogue.parquet")
    write_catalogue(table.with_columns(view=None, labelled_by=None), path)
    return path


@contextlib.contextmanager
def server(way, catalogue, state, *words, **environment) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server's process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "apical", "label", str(catalogue), "--store", str(way / "frames"), "--encoder",
         str(way / "runs/pretrain"), "--state", str(state), "--port", "0", *words],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | environment,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found, line
        yield process, found[0]
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stdout.close()


def ask(address, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(f"{address}{path}", data, kind | headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def label(address, view, count=1):
    items = ask(address, f"/v1/next?annotator=anna&count={count}")["items"]
    for item in items:
        ask(address, "/v1/labels", body_of(item, view))
    return [item["clip"] for item in items]


def until(question):
    end = time.monotonic() + PATIENCE
    while not (found := question()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def test_labels_survive_kill_9_and_come_into_the_catalogue_when_asked(way, catalogue, tmp_path, capsys):
    state = tmp_path / "state"
    with server(way, catalogue, state) as (process, address):
        clips = label(address, "A4C", count=3)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    with server(way, catalogue, state) as (process, address):
        progress = ask(address, "/v1/progress?annotator=anna")
        assert (progress["labels"], progress["own"]) == (3, 3)
        clips += label(address, "A2C")
        assert len(set(clips)) == 4
        with pytest.raises(subprocess.CalledProcessError) as refused:  # while it runs, nobody else may
            subprocess.run(
                [sys.executable, "-m", "apical", "label", catalogue, "--store", way / "frames",
                 "--state", state],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        assert refused.value.returncode == 3
        assert "another server uses this state folder" in refused.value.stderr
        out = tmp_path / "merged.parquet"
        assert run(["labels", "merge", str(catalogue), str(state), "--out", str(out)]) == 0
    merged = read_catalogue(out).drop_nulls("view")
    assert dict(merged.select("clip", "view").iter_rows()) == dict.fromkeys(clips[:3], "A4C") | {
        clips[3]: "A2C"
    }
    assert set(merged["labelled_by"]) == {"anna"}
    assert read_catalogue(catalogue)["view"].null_count() == len(read_catalogue(catalogue))


def test_the_coach_reads_the_clips_and_learns(way, catalogue, tmp_path):
    truth = dict(read_catalogue(way / "catalogue.parquet").select("clip", "view").iter_rows())
    with server(way, catalogue, tmp_path / "state") as (_, address):
        until(lambda: ask(address, "/v1/progress")["model"]["name"])
        for _ in range(12):
            (item,) = ask(address, "/v1/next?annotator=anna&count=1")["items"]
            ask(address, "/v1/labels", body_of(item, truth[item["clip"]] or "none"))
        last = ask(address, "/v1/history?limit=1")["events"][0]["number"]
        until(lambda: str(last) in ask(address, "/v1/progress")["model"]["name"])
        (item,) = ask(address, "/v1/next?annotator=anna&count=1")["items"]
        assert item["guess"], "it has a guess now"
        assert item["why"]
        assert len(until(lambda: ask_or_none(address, "/v1/map"))["clip"]) > 20


def ask_or_none(address, path):
    try:
        return ask(address, path)
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return None


def test_beyond_this_machine_a_token_is_made_and_needed(way, catalogue, tmp_path):
    with server(way, catalogue, tmp_path / "state", "--host", "0.0.0.0") as (_, address):
        address = address.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(address, "/v1/session")
        assert refused.value.code == 401
        token = (tmp_path / "state/token").read_text().strip()
        assert ask(address, "/v1/session", Authorization=f"Bearer {token}")["clips"] > 0
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_the_pictures_are_those_of_the_files(way, catalogue, tmp_path):
    with server(way, catalogue, tmp_path / "state") as (_, address):
        (item,) = ask(address, "/v1/next?annotator=anna&count=1")["items"]
        with urllib.request.urlopen(f"{address}/v1/clips/{item['clip']}/cine?size=large") as answer:
            assert answer.headers["x-cine-source"] == "file"
            assert int(answer.headers["x-cine-side"]) > 40, "larger than in the store"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.parquet"], "cannot be read"),
        (["--store", "nothing"], "is no complete frame store"),
        (["--encoder", "nothing"], "nothing"),
        (["--port", "700000"], "port"),
    ],
)
def test_what_cannot_work_is_one_line(way, catalogue, tmp_path, words, said, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = ["label", *(words if words[0].endswith(".parquet") else [str(catalogue), *words])]
    if "--store" not in call:
        call += ["--store", str(way / "frames")]
    assert run([*call, "--state", str(Path(tmp_path) / "state")]) in (2, 3)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
