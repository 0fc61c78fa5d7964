"""One function over many files: in order, in several processes, with bounded memory."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from apical.errors import WrongCall

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    crashed: Callable[[Item], Result],
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order whatever the number of workers.

    Args:
        function: picklable.
        items: picklable; at most four a worker are in flight.
        workers: processes; 1 runs here, without any.
        crashed: gives the result for an item that kills its process (a decoder's memory fault).

    Raises:
        WrongCall: processes cannot start, because a script calls this while it is being imported.
    """
    if workers == 1 or len(items) < 2:
        yield from map(function, items)
        return
    _check_that_workers_start()
    done = 0
    while done < len(items):
        try:
            for result in _pooled(function, items[done:], workers):
                yield result
                done += 1
        except BrokenProcessPool:  # one of those in flight; the first is tried alone, then all go on
            yield _alone(function, items[done], crashed)
            done += 1


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)


def _check_that_workers_start() -> None:
    """Each worker imports the script that was started; without a guard that would start workers again."""
    with _pool(1) as pool:
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool:
            raise WrongCall(
                "worker processes cannot start from this script",
                "put its calls under \"if __name__ == '__main__':\", or use one worker",
            ) from None


def _start_worker() -> None:
    """One thread a worker, and no life after the parent's, even if that is killed."""
    cv2.setNumThreads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _pooled(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    pool = _pool(min(workers, len(items)))
    flying: deque[Future[Result]] = deque()
    try:
        for item in items:
            flying.append(pool.submit(function, item))
            if len(flying) >= 4 * workers:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _alone(function: Callable[[Item], Result], item: Item, crashed: Callable[[Item], Result]) -> Result:
    with _pool(1) as pool:
        try:
            return pool.submit(function, item).result()
        except BrokenProcessPool:
            return crashed(item)
