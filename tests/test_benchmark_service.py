"""The benchmark of the service runs, and its check finds what would be wrong."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from service_parts.clients import form
from service_parts.files import Sent
from service_parts.ledger import CRASHED, Ledger
from service_parts.senders import STORESCU

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "service.py"
ORTHANC = all(
    Path(file).is_file() for file in ("/usr/sbin/Orthanc", "/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
)
KNOWN = {"one": {"view": "A4C", "problem": None}, "two": {"view": "PLAX", "problem": None}}
SAID = [
    {"item": "i1", "number": 1, "view": "A4C", "problem": None, "study": "s"},
    {"item": "i2", "number": 2, "view": "PLAX", "problem": None, "study": "s"},
]


@pytest.fixture
def ledger():
    made = Ledger(KNOWN)
    made.accepted("job", [{"item": "i1", "number": 1}, {"item": "i2", "number": 2}], ["one", "two"])
    return made


def test_right_answers_are_no_fault_however_often_they_are_told(ledger):
    ledger.answered("job", {"answers": SAID})
    ledger.answered("job", {"answers": SAID})
    assert not ledger.faults()


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        (SAID[:1], "lost, doubled or foreign"),
        ([*SAID, SAID[1]], "lost, doubled or foreign"),
        (SAID[::-1], "lost, doubled or foreign"),
        ([SAID[0], {**SAID[1], "item": "i3"}], "never answered"),
        ([SAID[0], {**SAID[1], "number": 3}], "wrong numbers"),
        ([SAID[0], {**SAID[1], "view": "A4C"}], "differs from the library's"),
    ],
)
def test_wrong_answers_are_found(ledger, answers, fault):
    ledger.answered("job", {"answers": answers})
    assert any(fault in one for one in ledger.faults())


def test_what_is_never_answered_or_changes_or_is_given_twice_is_found(ledger):
    assert ledger.faults() == ["2 items were never answered"]
    ledger.answered("job", {"answers": SAID})
    ledger.answered("job", {"answers": [{**SAID[0], "study": "another"}, SAID[1]]})
    assert ledger.faults() == ["1 × an answer that changed"]
    ledger.accepted("job", [{"item": "i1", "number": 1}], ["one"])
    assert {"1 × a job's id given twice", "1 × an item's id given twice"} <= set(ledger.faults())


def test_what_was_given_up_is_told_apart(ledger):
    ledger.answered("job", {"answers": [{**SAID[0], "view": None, "problem": CRASHED}, SAID[1]]})
    assert ledger.crashed == {"i1"}
    assert not ledger.faults()


def test_a_form_holds_its_files_as_they_are():
    body, kind = form([Sent(b"\r\n--\x00", ("a",)), Sent(b"", ("b",))])
    border = kind.partition("boundary=")[2].encode()
    assert body.split(b"--" + border)[1].endswith(b"\r\n\r\n\r\n--\x00\r\n")
    assert body.count(border) == 3
    assert body.endswith(b"--" + border + b"--\r\n")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("fastapi") is None, reason="apical[serve] is not installed")
@pytest.mark.parametrize(
    "parts",
    [
        ["load", "kill"],
        pytest.param(
            ["store", "pacs"],
            marks=pytest.mark.skipif(not ORTHANC or STORESCU is None, reason="Orthanc or dcmtk is not there"),
        ),
    ],
    ids=" ".join,
)
def test_each_part_runs_and_finds_no_fault(way, parts):
    seconds = [word for name in ("", "kill-", "pacs-", "store-") for word in (f"--{name}seconds", "2")]
    few = ["--clients", "4", "--kills", "1", "--senders", "2", "--patients", "1"]
    command = [sys.executable, SCRIPT, "--bundle", way / "bundle", "--parts", *parts, *seconds, *few]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert all(f"\n{part}, " in finished.stdout for part in parts)
    assert finished.stdout.endswith(f"0 faults in {', '.join(parts)}\n")
