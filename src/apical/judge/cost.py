"""What a piece of work costs: seconds and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Gives a dict that holds, when the block has ended, what the block took of this process.

    ``seconds`` by the clock, ``cpu_seconds`` of all threads and of child processes that have ended, and
    ``peak_memory_mb``, the most resident memory of this process, also what it held before. Where the system
    cannot forget an earlier peak (other than Linux), that is the peak of the whole process.
    """
    _forget_peak()
    began, cpu = time.monotonic(), _cpu_seconds()
    cost: dict[str, float] = {}
    yield cost
    cost["seconds"] = round(time.monotonic() - began, 3)
    cost["cpu_seconds"] = round(_cpu_seconds() - cpu, 3)
    cost["peak_memory_mb"] = round(_peak_memory_mb(), 1)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # proc(5): resets the peak resident set size
    except OSError:
        return


def _peak_memory_mb() -> float:
    try:
        with open("/proc/self/status") as file:
            (line,) = (line for line in file if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    except (OSError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
