"""What the command line prints: progress with an estimate, results, and one line for each error."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Console:
    """Results go to standard output; progress and problems to standard error.

    Args:
        json_output: print results as one JSON document.
        quiet: print results and errors, but no progress.
        verbose: also print every problem, not only how many there are.
    """

    def __init__(self, *, json_output: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json_output = json_output
        self.quiet = quiet
        self.verbose = verbose
        self._errors = RichConsole(stderr=True, highlight=False, soft_wrap=True)

    def problems(self, lines: list[str], summary: str, counts: Mapping[str, int] | None = None) -> None:
        """Something did not work, but the rest did: a summary, and the lines when verbose or few.

        Args:
            lines: one for each thing.
            summary: of them all.
            counts: how many there are of each kind, listed below the summary.
        """
        self._errors.print(summary, markup=False)
        for kind, count in (counts or {}).items():
            self._errors.print(f"  {count:6}  {kind}", markup=False)
        if self.verbose or len(lines) <= 5:
            for line in lines:
                self._errors.print(f"  {_harmless(line)}", markup=False)
        else:
            self._errors.print("  (--verbose lists them)", markup=False)

    def warn(self, line: str) -> None:
        """Something looks wrong, but the work goes on."""
        self._errors.print(f"Warning: {_harmless(line)}", markup=False)

    def result(self, facts: dict[str, Any], lines: list[str]) -> None:
        """What was done: for a program or for a person."""
        print(
            json.dumps(facts, indent=2, default=str)
            if self.json_output
            else "\n".join(_harmless(line) for line in lines)
        )

    def line(self, text: str) -> None:
        """Something worth knowing now, while the work goes on."""
        print(_harmless(text), flush=True)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """A bar with an estimate; gives the function that long work calls with (done, total)."""
        if self.quiet:
            yield lambda done, total: None
            return
        if not sys.stderr.isatty():
            yield self._milestones(title)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._errors) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _milestones(self, title: str) -> Callable[[int, int], None]:
        """For logs: a line each fifth of the work instead of a bar."""
        began = time.monotonic()
        reached = 0

        def tell(done: int, total: int) -> None:
            nonlocal reached
            fifth = 5 * done // max(total, 1)
            if fifth > reached:
                reached = fifth
                seconds = time.monotonic() - began
                left = seconds * (total - done) / max(done, 1)
                line = f"{title}: {done}/{total}, {seconds:.0f} s, about {left:.0f} s left"
                self._errors.print(line, markup=False)

        return tell


def _harmless(line: str) -> str:
    """A line whose control characters are spelt out: the name of a file may hold commands to a terminal."""
    return re.sub(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], line)
