"""Files in, answers out, through the same preparation as in training: one by one, whatever their number."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

from apical.config import PredictSettings
from apical.deploy.answering import Answerer
from apical.deploy.answers import Answer, check_ending, write_answers
from apical.deploy.bundle import Bundle, open_bundle
from apical.deploy.inputs import Input, all_inputs
from apical.deploy.ledger import Ledger
from apical.deploy.runtime import has_gpu_driver
from apical.errors import ClipProblem
from apical.ingest.parallel import TOO_MUCH, ordered_map
from apical.ingest.sector import Sector

Numbered = tuple[int, Input]

ON_A_GPU = 4  # processes; each holds a network there


def predict(
    files: Sequence[Path | str],
    bundle: Path | Bundle,
    settings: PredictSettings = PredictSettings(),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """Name the view of each clip.

    Args:
        files: files, folders and zip archives to walk as `scan` does, URLs, patterns, catalogues.
        bundle: its folder or zip; or an opened one, which is used in this process alone.
        settings: how.
        progress: called after each file with files done and in all.

    Returns:
        one answer a file, in order. A file that cannot be used has a `problem`, never an exception;
        one that shows no 2-D image (Doppler, M-mode) has its `mode` and no view.

    Raises:
        WrongCall: a file does not exist, or there is nothing to answer.
        CannotDo: the bundle cannot be used.
    """
    opened, source = (bundle, None) if isinstance(bundle, Bundle) else (open_bundle(bundle), bundle)
    inputs = all_inputs(files)
    answers = []
    for answer in answers_of(inputs, opened, settings, source=source):
        answers.append(answer)
        if progress is not None:
            progress(answer.number, len(inputs))
    return answers


def answers_of(
    inputs: Sequence[Input],
    bundle: Bundle,
    settings: PredictSettings = PredictSettings(),
    *,
    source: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[Answer]:
    """`predict`, one answer after the other; see `predict_each` for the arguments."""
    return number_studies(predict_each(inputs, bundle, settings, source=source, tell=tell), inputs)


def predict_into(
    out: Path,
    inputs: Sequence[Input],
    bundle: Bundle,
    settings: PredictSettings = PredictSettings(),
    *,
    source: Path | None = None,
    show_paths: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[Answer]:
    """`answers_of`, kept in a file as they come; stopped, the same call goes on where it was.

    Args:
        out: the table to write in the end, see `write_answers`.
        inputs: from `all_inputs`.
        show_paths: write the files' paths, too.
        bundle, settings, source, tell: as in `predict_each`.

    Raises:
        WrongCall: the table cannot be of that kind.
        CannotDo: it cannot be written, or as `predict_each`.
    """
    check_ending(out)
    made = {
        "model": bundle.model_version,
        "exports": bundle.facts.get("exports", {}),
        "settings": settings.model_dump(include={"device", "runtime", "precision", "early"}),
        "apical": version("apical"),
    }
    with Ledger(out.with_name(f"{out.name}.partial"), made, inputs) as ledger:

        def kept() -> Iterator[Answer]:
            yield from ledger.answers(inputs[: ledger.done])
            rest = predict_each(
                inputs, bundle, settings, source=source, key=ledger.key, start=ledger.done, tell=tell
            )
            for one, answer in zip(inputs[ledger.done :], rest, strict=True):
                ledger.add(one, answer)
                yield answer

        yield from number_studies(kept(), inputs)
        write_answers(number_studies(ledger.answers(inputs), inputs), out, show_paths=show_paths)
        ledger.remove()


def predict_each(
    inputs: Sequence[Input],
    bundle: Bundle,
    settings: PredictSettings = PredictSettings(),
    *,
    source: Path | None = None,
    key: bytes = b"",
    start: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[Answer]:
    """Answers in the order of the inputs, each as soon as it is there; none is kept.

    Args:
        inputs: from `all_inputs`.
        bundle: the opened bundle.
        settings: how.
        source: the bundle's folder or zip, which other processes open; None: this one works alone.
        key: of the names of studies; drawn anew if empty.
        start: so many inputs at the beginning are passed over.
        tell: is given a line for each runtime that had to be passed over.

    Raises:
        CannotDo: the bundle or the runtime cannot be used.
    """
    key = key or os.urandom(16)
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and has_gpu_driver())
    waiting = ((number, one) for number, one in enumerate(inputs[start:], start=start + 1))
    several = settings.processes(len(inputs) - start)
    answerer = Answerer.of(
        bundle,
        device=settings.device, runtime=settings.runtime, precision=settings.precision,
        early=settings.early, key=key, tell=tell,
    )  # fmt: skip
    if source is None or several == 1:
        yield from map(partial(_answer, answerer), waiting)
        return
    yield from ordered_map(
        _InProcess(source, settings, key),
        waiting,
        min(several, ON_A_GPU) if on_gpu and not settings.workers else several,
        partial(_failed, answerer.model),
        settings.seconds_per_file,
        None if on_gpu else settings.memory_mb,  # CUDA asks for more addresses than there is memory
    )


@dataclass(frozen=True)
class _InProcess:
    """What another process does: it opens the bundle with its first file."""

    bundle: Path
    settings: PredictSettings
    key: bytes

    def __call__(self, item: Numbered) -> Answer:
        return _answer(_opened(self), item)


@cache
def _opened(task: _InProcess) -> Answerer:
    settings = task.settings
    return Answerer.open(
        task.bundle,
        device=settings.device, runtime=settings.runtime, precision=settings.precision,
        threads=1, early=settings.early, key=task.key,
    )  # fmt: skip


def _answer(answerer: Answerer, item: Numbered) -> Answer:
    """Never raises: one file must not end a batch."""
    number, one = item
    answer = Answer(number, one.place, model=answerer.model, problem=one.problem)
    if one.problem is None:
        try:
            sector = Sector.from_json(one.sector) if one.sector else None
            answer = answerer.answer(number, one.place, sector)
        except ClipProblem as problem:  # the catalogue's sector is none
            answer = replace(answer, problem=str(problem))
        except MemoryError:
            answer = replace(answer, problem=TOO_MUCH)
        except Exception as error:  # such as a GPU's memory that is full; its text may quote the file
            answer = replace(answer, problem=f"it could not be answered ({type(error).__name__})")
    return answer if one.study is None else replace(answer, study=one.study)


def _failed(model: str, item: Numbered, problem: str) -> Answer:
    number, one = item
    return Answer(number, one.place, study=one.study, model=model, problem=problem)


def number_studies(answers: Iterable[Answer], inputs: Sequence[Input]) -> Iterator[Answer]:
    """Studies by number, from 1, as they come, in place of keyed names; a catalogue's pseudonyms stay."""
    taken = {one.study for one in inputs}
    free = (name for name in map(str, itertools.count(1)) if name not in taken)
    numbers: dict[str, str] = {}
    for answer, one in zip(answers, inputs, strict=False):
        if answer.study is None or one.study is not None:
            yield answer
        else:
            if answer.study not in numbers:
                numbers[answer.study] = next(free)
            yield replace(answer, study=numbers[answer.study])
