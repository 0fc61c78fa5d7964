"""Order and results do not depend on the number of processes; a crash costs one item."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apical.ingest.parallel import ordered_map


def failed(number: int, problem: str) -> int:
    raise AssertionError(problem)


def square(number: int) -> int:
    time.sleep(0.02 if number % 3 == 0 else 0)  # late ones must not overtake
    return number * number


def die_at_five(number: int) -> int:
    if number == 5:
        os._exit(9)
    return number


def fail(number: int) -> int:
    raise LookupError(number)


@pytest.mark.parametrize("workers", [1, 2])
def test_order(workers: int) -> None:
    assert list(ordered_map(square, range(30), workers, failed)) == [n * n for n in range(30)]
    assert list(ordered_map(square, [], workers, failed)) == []


def test_an_item_that_kills_its_process() -> None:
    assert list(ordered_map(die_at_five, range(8), 2, lambda *_: -1)) == [0, 1, 2, 3, 4, -1, 6, 7]


@pytest.mark.parametrize("workers", [1, 2])
def test_our_own_errors_are_not_swallowed(workers: int) -> None:
    with pytest.raises(LookupError):
        list(ordered_map(fail, range(4), workers, failed))


def test_a_script_without_a_guard_gets_one_line(tmp_path: Path) -> None:
    """Its workers import the script and would start workers: refused, neither looping nor blaming files."""
    script = tmp_path / "script.py"
    script.write_text(
        "from apical.ingest.parallel import ordered_map\nprint(list(ordered_map(abs, [1, 2, 3], 2, abs)))\n"
    )
    finished = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert finished.returncode != 0
    assert "WrongCall: worker processes cannot start from this script" in finished.stderr.splitlines()[-1]
