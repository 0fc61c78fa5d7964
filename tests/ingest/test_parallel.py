"""Order and results do not depend on the number of processes; what an item may cost is bounded."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apical.ingest.parallel import CRASHED, IN_FLIGHT, TOO_LONG, TOO_MUCH, bound_memory, ordered_map


def failed(number: int, problem: str) -> int:
    raise AssertionError(problem)


def square(number: int) -> int:
    time.sleep(0.02 if number % 3 == 0 else 0)  # late ones must not overtake
    return number * number


def die_at_two(number: int) -> int:
    if number == 2:
        os._exit(9)
    return number


def fail(number: int) -> int:
    raise LookupError(number)


def hang_at_two(number: int) -> int:
    if number == 2:
        time.sleep(600)
    return number


def devour_at_two(number: int) -> int:
    return len(bytes((2 << 30) if number == 2 else number))


def raise_timeout(number: int) -> int:
    raise TimeoutError(number)


def process(number: int) -> int:
    return os.getpid()


def said(number: int, problem: str) -> str:
    return f"{number}: {problem}"


@pytest.mark.parametrize("workers", [1, 2])
def test_order(workers: int) -> None:
    assert list(ordered_map(square, range(30), workers, failed)) == [n * n for n in range(30)]
    assert list(ordered_map(square, [], workers, failed)) == []


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


@pytest.mark.parametrize(
    ("function", "bounds", "problem"),
    [
        (hang_at_two, {"seconds": 2}, TOO_LONG),
        (devour_at_two, {"memory_mb": 512}, TOO_MUCH),
        (die_at_two, {}, CRASHED),
    ],
)
def test_an_item_beyond_bounds_costs_itself_only(
    function: Callable[[int], int], bounds: dict[str, int], problem: str
) -> None:
    """The others go on, in order."""
    assert list(ordered_map(function, range(6), 2, said, **bounds)) == [0, 1, f"2: {problem}", 3, 4, 5]


def test_the_start_of_the_processes_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here importing what they need takes longer than an item may."""
    (tmp_path / "slow_to_import.py").write_text(
        "import multiprocessing, time\n"
        "if multiprocessing.parent_process():\n    time.sleep(2)\n"
        "def work(number):\n    return number\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    work = importlib.import_module("slow_to_import").work
    assert list(ordered_map(work, range(5), 2, failed, seconds=1.5)) == [0, 1, 2, 3, 4]


def test_a_single_worker_is_this_process() -> None:
    """So it has no bounds; a single item is read here only if there are none."""
    assert set(ordered_map(process, range(3), 1, failed, seconds=60)) == {os.getpid()}
    assert list(ordered_map(process, range(1), 2, failed)) == [os.getpid()]
    for items, bounds in ((3, {}), (1, {"seconds": 60}), (1, {"memory_mb": 512})):
        assert os.getpid() not in set(ordered_map(process, range(items), 2, failed, **bounds))


def test_a_timeout_of_the_function_is_its_own() -> None:
    with pytest.raises(TimeoutError, match=r"^0$"):
        list(ordered_map(raise_timeout, range(4), 2, failed, seconds=60))


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_taken_as_they_are_needed(workers: int) -> None:
    """A list of a million places is not held in memory."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = ordered_map(abs, items(), workers, failed)
    for done in range(1, 40):
        next(results)
        assert len(taken) <= done + IN_FLIGHT * workers
    results.close()  # type: ignore[attr-defined]


def test_the_memory_bound_is_on_top_of_what_is_used() -> None:
    """In a process of its own, for it cannot be lifted again."""
    code = (
        "from apical.ingest.parallel import bound_memory\n"
        "bound_memory(600)\n"
        "bytes(400 << 20)\n"
        "try:\n    bytes(700 << 20)\n"
        "except MemoryError:\n    print('bounded')"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert finished.stdout == "bounded\n", finished.stderr


def test_a_bound_that_is_held_tighter_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch goes on under the system's own."""

    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    before = resource.getrlimit(resource.RLIMIT_AS)
    bound_memory(512)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """Even in the middle of an item."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time\n"
        "from apical.ingest.parallel import ordered_map\n"
        "def work(number):\n"
        f"    open(f'{tmp_path}/{{os.getpid()}}.pid', 'w').close()\n"
        "    time.sleep(600)\n"
        "if __name__ == '__main__':\n    list(ordered_map(work, range(4), 2, None))\n"
    )
    parent = subprocess.Popen([sys.executable, script])
    end = time.monotonic() + 120
    while len(pids := [int(path.stem) for path in tmp_path.glob("*.pid")]) < 2:
        assert parent.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    assert all(alive(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.02)
