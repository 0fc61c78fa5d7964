"""Damaged and hostile files through the whole of ingest: each must end with a result or with a problem.

A case is a file of a corpus with damage to its bytes or its structure, made again from the seed and the
case's number. Its files are walked, opened, looked at, prepared, decoded, cleaned and, now and then, scanned,
in a worker process within bounds of memory and time. What is against the contract is a finding: an exception
other than `ClipProblem` or `ApicalError`, a crash, a hang, more memory than the bound, a warning, an
identifier that gets out, a result that cannot be. Findings are told apart by where they came from.

    python benchmarks/fuzz.py --cases 20000 --seed 1 --workers 2
    python benchmarks/fuzz.py --seed 1 --only 1234            # one case again, here, with its traceback
    python benchmarks/fuzz.py --seed 1 --only 1234 --keep x   # and its files, in the folder x
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import cv2

from apical.ingest.parallel import bound_memory
from fuzzing.case import Verdict, run_case
from fuzzing.corpus import Corpus, corpus
from fuzzing.mutations import Case, make_case

SHARED = Path(__file__).parents[2] / "shared" / "data"
PATIENCE = 10  # times the limit: by the clock and not of the processor, when others are busy

Run = Callable[[Case, int, Path, Path], Verdict]


@dataclass
class Report:
    """What a run found.

    Attributes:
        cases, seconds: of the run.
        findings: by kind and place: how often, the first case, what it was, and details.
        mutations, ended: how often cases were damaged how, and ended how.
        largest, slowest: (MB above the worker's start, or seconds; number; what) of the worst cases.
    """

    cases: int = 0
    seconds: float = 0.0
    findings: dict[str, tuple[int, int, str, str]] = field(default_factory=dict)
    mutations: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    largest: list[tuple[float, int, str]] = field(default_factory=list)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)

    def add(self, number: int, what: str, verdict: Verdict) -> None:
        """Count a case, and tell of what was not seen before."""
        self.cases += 1
        self.ended[verdict.ended] += 1
        self.mutations.update(set(what.split(" ")[1:]) or {"none"})
        self.largest = sorted([*self.largest, (verdict.peak_mb, number, what)], reverse=True)[:5]
        self.slowest = sorted([*self.slowest, (verdict.seconds, number, what)], reverse=True)[:5]
        for kind, place, details in verdict.findings:
            count, *first = self.findings.get(f"{kind}: {place}", (0, number, what, details))
            self.findings[f"{kind}: {place}"] = (count + 1, *first)  # type: ignore[assignment]
            if not count:
                print(f"case {number} ({what}): {kind}: {place}", flush=True)

    def lines(self) -> list[str]:
        """The report as a text."""
        text = [f"{self.cases} cases, {self.seconds:.0f} s, {len(self.findings)} kinds of findings"]
        text += ["cases by damage: " + ", ".join(f"{name} {n}" for name, n in self.mutations.most_common())]
        text += ["cases by end:", *(f"{count:7}  {name}" for name, count in self.ended.most_common())]
        text += ["most memory above the start of its worker:"]
        text += [f"{peak:5.0f} MB  case {number}: {what}" for peak, number, what in self.largest]
        text += [
            "slowest:",
            *(f"{took:6.2f} s  case {number}: {what}" for took, number, what in self.slowest),
        ]
        text += ["findings:" if self.findings else "no findings"]
        text += [f"{count:7}  case {number}: {name}" for name, (count, number, *_) in self.findings.items()]
        return text


class Worker:
    """A process that runs cases, and is started again when one ends it."""

    def __init__(self, files: Corpus, seed: int, run: Run, seconds: float, memory_mb: int) -> None:
        self._options = (files, seed, run, seconds, memory_mb)
        self._seconds = seconds
        self.number: int | None = None
        self._folder = tempfile.TemporaryDirectory()
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        values = (other, Path(self._folder.name), *self._options)
        self._process = context.Process(target=_work, args=values, daemon=True)
        self._process.start()
        other.close()
        self.connection.recv()  # it is ready

    def give(self, number: int) -> None:
        """Hand out a case."""
        self.number, self._began = number, time.monotonic()
        self.connection.send(number)

    @property
    def late(self) -> bool:
        """Whether its case takes too long, even for its own alarm."""
        return time.monotonic() - self._began > self._seconds * PATIENCE

    def take(self) -> Verdict:
        """The verdict on its case; a dead or late process gives one too, and is started again."""
        self.number = None
        try:
            if not self.late:
                verdict: Verdict = self.connection.recv()
                return verdict
            self._process.kill()
        except EOFError:
            pass
        self._process.join()
        stack = Path(self._folder.name, "stack").read_text(errors="replace")
        hung = self.late or self._process.exitcode == -signal.SIGPROF
        kind = "hang" if hung else f"crash ({self._process.exitcode})"
        places = [line.rpartition("/")[2] for line in stack.splitlines() if line.startswith("  File")]
        self.connection.close()
        self._start()
        findings = [(kind, " < ".join(places[:3]), stack)]
        return Verdict(kind, findings, seconds=self._seconds if hung else 0.0)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self.connection.close()
        self._folder.cleanup()


def _work(
    connection: Connection, folder: Path, files: Corpus, seed: int, run: Run, seconds: float, memory_mb: int
) -> None:
    """Run the cases that come, within bounds; a stack is left where the process ends otherwise."""
    cv2.setNumThreads(1)
    scratch, captured = folder / "scratch", folder / "output"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with captured.open("ab") as output, (folder / "stack").open("w") as traces:
        faulthandler.enable(traces, all_threads=False)
        faulthandler.register(signal.SIGPROF, traces, all_threads=False, chain=True)
        for name in [name for name in files if not name.startswith(("real", "phantom"))][::4]:
            run(Case({name: files[name]}, name), -1, scratch, captured)  # imports what is imported late
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
        bound_memory(memory_mb)
        start = _memory("VmRSS")
        connection.send("ready")
        while True:
            number = connection.recv()
            case = make_case(files, seed, number)
            signal.setitimer(signal.ITIMER_PROF, seconds)
            Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
            try:
                verdict = run(case, number, scratch, captured)
            except BaseException:
                traceback.print_exc(file=traces)
                raise
            signal.setitimer(signal.ITIMER_PROF, 0)
            verdict.what, verdict.peak_mb = case.what, _memory("VmHWM") - start
            connection.send(verdict)


def _memory(name: str) -> float:
    """A line of /proc/self/status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def fuzz(
    cases: range,
    seed: int,
    *,
    workers: int = 1,
    files: Corpus | None = None,
    run: Run = run_case,
    seconds: float = 20,
    memory_mb: int = 4096,
) -> Report:
    """Run cases in worker processes.

    Args:
        cases: their numbers.
        seed: with a number it makes a case, from the same corpus.
        workers: processes.
        files: the corpus; without one it is made, with no real files.
        run: what is done with a case.
        seconds: of the processor; a case that takes longer hangs.
        memory_mb: what a worker may ask for on top of what it starts with.
    """
    report, began, files = Report(), time.monotonic(), files or corpus()
    waiting = iter(cases)
    team = [Worker(files, seed, run, seconds, memory_mb) for _ in range(min(workers, len(cases)))]
    for worker in team:
        worker.give(next(waiting))
    while busy := [worker for worker in team if worker.number is not None]:
        ready = wait([worker.connection for worker in busy], timeout=1)
        for worker in [worker for worker in busy if worker.connection in ready or worker.late]:
            number = worker.number or 0
            verdict = worker.take()
            report.add(number, verdict.what or make_case(files, seed, number).what, verdict)
            if report.cases % 1000 == 0:
                print(f"{report.cases} cases, {time.monotonic() - began:.0f} s", flush=True)
            if (following := next(waiting, None)) is not None:
                worker.give(following)
    for worker in team:
        worker.close()
    report.seconds = time.monotonic() - began
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--seconds", type=float, default=20, help="of the processor; a case that takes longer hangs"
    )
    parser.add_argument("--memory-mb", type=int, default=4096, help="on top of what a worker starts with")
    parser.add_argument("--data", type=Path, default=SHARED, help="real files; synthetic ones alone without")
    parser.add_argument("--only", type=int, nargs="+", help="run these cases here, without a worker")
    parser.add_argument("--keep", type=Path, help="a folder for the files of these cases")
    options = parser.parse_args()
    files = corpus(options.data if options.data.is_dir() else None)
    for number in options.only or ():
        case = make_case(files, options.seed, number)
        for name, data in case.files.items() if options.keep else ():
            path = options.keep / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with tempfile.TemporaryDirectory() as place:
            verdict = run_case(case, number, Path(place))
        print(f"case {number} ({case.what}): {verdict.ended}, {verdict.seconds:.2f} s")
        for kind, where, details in verdict.findings:
            print(f"{kind}: {where}\n{details}")
    if options.only:
        return
    cases = range(options.first, options.first + options.cases)
    report = fuzz(cases, options.seed, workers=options.workers, files=files, seconds=options.seconds,
                  memory_mb=options.memory_mb)  # fmt: skip
    print(f"seed {options.seed}, first case {options.first}, {len(files)} files; limits of a case: "
          f"{options.seconds:.0f} s, {options.memory_mb} MB", *report.lines(), sep="\n")  # fmt: skip
    sys.exit(bool(report.findings))


if __name__ == "__main__":
    main()
