"""One function over many files: in order, in several processes, within bounds of memory and time."""

from __future__ import annotations

import multiprocessing
import os
import resource
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import TypeVar

import cv2

from apical.errors import WrongCall

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 4  # items a worker that are handed out
CRASHED, TOO_LONG = "the decoder crashed", "it took too long to read"
TOO_MUCH = "it needs too much memory to read"
MAY_PASS = frozenset({CRASHED, TOO_LONG, TOO_MUCH})  # with other bounds, or another decoder


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    failed: Callable[[Item, str], Result],
    seconds: float | None = None,
    memory_mb: int | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order whatever the number of workers.

    Args:
        function: picklable.
        items: picklable; taken as they are needed, at most `IN_FLIGHT` a worker ahead.
        workers: processes; 1 runs here, without any, and so without the bounds.
        failed: gives the result for an item that kills its process (a decoder's memory fault), that
            takes longer than `seconds`, or that needs more memory; its second argument says which.
        seconds: most time for an item; the start of the processes does not count.
        memory_mb: most memory that a process may ask for on top of what it starts with; asking for more
            is a MemoryError in `function`.

    Raises:
        WrongCall: processes cannot start, because a script calls this while it is being imported.
    """
    if workers == 1:
        yield from map(function, items)
        return
    waiting = iter(items)
    first = list(_take(waiting, workers))
    if len(first) < 2 and (not first or (seconds, memory_mb) == (None, None)):
        yield from map(function, first)
        return
    waiting, workers = chain(first, waiting), len(first)
    pool = _pool(function, workers, memory_mb)
    flying: deque[tuple[Item, Future[Result]]] = deque()
    try:
        while True:
            for item in _take(waiting, IN_FLIGHT * workers - len(flying)):
                flying.append((item, pool.submit(function, item)))
            if not flying:
                return
            item, future = flying[0]
            try:
                result = future.result(timeout=seconds)
            except MemoryError:
                result = failed(flying.popleft()[0], TOO_MUCH)
            except (BrokenProcessPool, TimeoutError) as error:
                if isinstance(error, TimeoutError) and future.done():
                    raise  # the function's own
                _kill(pool)
                if isinstance(error, TimeoutError):
                    result = failed(item, TOO_LONG)
                else:  # one of those in flight; the first is tried alone, then the others go on
                    result = _alone(function, item, failed, seconds, memory_mb)
                waiting = chain([other for other, _ in flying][1:], waiting)
                flying.clear()
                pool = _pool(function, workers, memory_mb)
            else:
                flying.popleft()
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take(items: Iterator[Item], count: int) -> Iterator[Item]:
    for _, item in zip(range(count), items, strict=False):
        yield item


def _pool(
    function: Callable[[Item], Result], workers: int, memory_mb: int | None = None
) -> ProcessPoolExecutor:
    """Processes that have started and imported what `function` needs.

    Each imports the script that was started; one without a guard would start workers again.
    """
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, initargs=(memory_mb, function)
    )
    started = [pool.submit(os.getpid) for _ in range(workers)]
    try:
        started[0].result()
    except BrokenProcessPool:
        raise WrongCall(
            "worker processes cannot start from this script",
            "put its calls under \"if __name__ == '__main__':\", or use one worker",
        ) from None
    return pool


def _start_worker(memory_mb: int | None, function: object) -> None:
    """One thread a worker, bounded memory, and no life after the parent's, even if that is killed."""
    cv2.setNumThreads(1)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    if memory_mb is not None:
        bound_memory(memory_mb)


def bound_memory(megabytes: int) -> None:
    """Let this process ask for so much more memory and no more, where the system can hold it to that."""
    try:
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now + (megabytes << 20), hard))
    except (OSError, ValueError):  # not Linux, or held tighter already
        return


def exit_with_parent() -> None:
    """Wait until the parent has ended, even by ``kill -9``, and end this process; for a thread of its own."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _kill(pool: ProcessPoolExecutor) -> None:
    """End a pool whose processes may hang."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _alone(
    function: Callable[[Item], Result],
    item: Item,
    failed: Callable[[Item, str], Result],
    seconds: float | None,
    memory_mb: int | None,
) -> Result:
    pool = _pool(function, 1, memory_mb)
    try:
        return pool.submit(function, item).result(timeout=seconds)
    except BrokenProcessPool:
        return failed(item, CRASHED)
    except MemoryError:
        return failed(item, TOO_MUCH)
    except TimeoutError:
        return failed(item, TOO_LONG)
    finally:
        _kill(pool)
