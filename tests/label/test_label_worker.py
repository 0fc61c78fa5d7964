"""One process that calls one function: what hangs, crashes or eats costs only it, and it outlives nobody."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bad_decoders import suffer

from apical.label.worker import Died, Worker

HERE = Path(__file__).parent
KILLED = """
import sys
from apical.label.worker import Worker
from bad_decoders import shout

if __name__ == "__main__":
    worker = Worker(shout, seconds=float(sys.argv[2]), memory_mb=500)
    print(worker.call(""), flush=True)
    if sys.argv[1]:
        worker.call(sys.argv[1])
    sys.stdin.read()
"""


def gone(pid, seconds=60):
    """Whether a process ends; one that is dead and not yet waited for has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_what_kills_the_process_is_told_and_the_next_call_is_answered_until_it_is_stopped():
    worker = Worker(suffer, seconds=0.5, memory_mb=300)
    for how in ("crash", "hang", "eat"):
        with pytest.raises(Died):
            worker.call(how)
    assert worker.call("sound") == "sound"
    worker._process.kill()  # while it has nothing to do
    assert worker.call("still sound") == "still sound"
    process = worker._process
    worker.stop()
    assert not process.is_alive
    with pytest.raises(Died):
        worker.call("sound")


def test_a_function_that_raises_ends_its_process_and_says_nothing_of_why(capfd):
    worker = Worker(suffer, seconds=60, memory_mb=300)
    with pytest.raises(Died) as died:
        worker.call("raise")
    worker.stop()
    assert "DOE" not in "".join(capfd.readouterr()) + str(died.value)


@pytest.mark.parametrize("busy", [False, True])
def test_the_process_ends_when_its_parent_is_killed_and_prints_nothing(tmp_path, busy):
    script, mark = tmp_path / "killed.py", tmp_path / "mark"
    script.write_text(KILLED)
    seconds = "3" if busy else "300"
    parent = subprocess.Popen(
        [sys.executable, script, str(mark) if busy else "", seconds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )
    child = int(parent.stdout.readline())
    until = time.monotonic() + 60
    while busy and not mark.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not busy or mark.exists()
    parent.kill()
    printed, errors = parent.communicate()
    assert gone(child)
    assert "DOE" not in printed + errors
