"""A short run of the fuzzer of ingest, and that it finds what it is there to find."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clip_files import REPOSITORY, SHARED, write_dicom

from apical.errors import ClipProblem
from apical.ingest.clip import Clip, open_clip
from apical.ingest.places import as_place
from apical.ingest.walk import walk

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import fuzz
from fuzzing import case as trial
from fuzzing.corpus import Corpus, corpus
from fuzzing.mutations import Case, make_case

SOUND = "grey-explicit.dcm"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="workers look at themselves in /proc")


@pytest.fixture(scope="module")
def files() -> Corpus:
    return corpus()


@LINUX
def test_ingest_ends_100_cases_with_results_or_problems(files: Corpus) -> None:
    report = fuzz.fuzz(range(100), 5, files=files)
    assert report.cases == 100
    assert not report.findings, "\n".join(report.lines())
    assert report.ended["fine"] > 5  # else nothing got as far as the pixels
    assert len(report.mutations) > 20


def test_a_case_is_made_again_from_its_seed_and_number(files: Corpus) -> None:
    cases = [make_case(files, 3, number) for number in range(20)]
    assert [make_case(dict(files), 3, number) for number in range(20)] == cases
    assert len({case.what for case in cases}) > 15
    assert make_case(files, 4, 0) != cases[0]


def test_every_sound_file_of_the_corpus_opens(files: Corpus, tmp_path: Path) -> None:
    """So that damage, and nothing else, is what a case is refused for."""
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    places = [found.place for found in walk(as_place(tmp_path)) if found.problem is None]
    assert len(places) > len(files)  # those in archives too
    for place in places:
        clip = open_clip(place)
        assert clip.decode([0]).any(), place


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real files are not in shared/data")
def test_real_files_are_part_of_the_corpus(files: Corpus) -> None:
    real = set(corpus(SHARED)) - set(files)
    assert {"real-pydicom-data-US1_UNCR.dcm", "real-weasis-ybrFull-RLE.dcm"} <= real


def _raise(error: Exception) -> Clip:
    raise error


def _hide(error: Exception) -> Clip:
    try:
        raise error
    except Exception:
        raise ClipProblem("damaged") from None


def _warn(place: str) -> Clip:
    warnings.warn("no sound file", RuntimeWarning, stacklevel=1)
    return open_clip(place)


def _leave(place: str) -> Clip:
    Path(place).parents[1].joinpath("left").write_text("")
    return open_clip(place)


@pytest.mark.parametrize(
    ("kind", "open_it"),
    [
        ("exception", lambda place: _raise(KeyError(place))),
        ("identifier", lambda place: _raise(ClipProblem(f"{place} is damaged"))),
        ("identifier", lambda place: _raise(ClipProblem("MRN-ZQXJ-47114711"))),
        ("memory", lambda place: _hide(MemoryError())),
        ("warning", _warn),
        ("files", _leave),
        ("", lambda place: _raise(ClipProblem("damaged"))),
        ("", open_clip),
    ],
)
def test_a_breach_of_the_contract_is_found(
    files: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    open_it: Callable[[str], Clip],
) -> None:

    def sick_open(place: Path | str) -> Clip:  # clean copies are opened as ever
        return open_clip(place) if "/out/" in str(place) else open_it(str(place))

    monkeypatch.setattr(trial, "open_clip", sick_open)
    verdict = trial.run_case(Case({SOUND: files[SOUND]}, SOUND), 1, tmp_path)
    assert {found for found, *_ in verdict.findings} == ({kind} if kind else set())
    assert not list(tmp_path.iterdir())


def sick(case: Case, number: int, scratch: Path, output: Path) -> trial.Verdict:
    """Stands for a decoder that crashes, one that hangs, and one that asks for too much."""
    if number == 0:
        os.abort()
    elif number == 1:
        while True:
            pass
    try:
        bytearray(1 << 30)
    except MemoryError:
        return trial.Verdict("bounded")
    return trial.Verdict("fine")


@LINUX
def test_a_crash_and_a_hang_do_not_end_the_run_and_memory_is_bound(files: Corpus) -> None:
    report = fuzz.fuzz(range(3), 1, files={SOUND: files[SOUND]}, run=sick, seconds=1, memory_mb=256)
    assert [name.partition(":")[0] for name in report.findings] == ["crash (-6)", "hang"]
    assert all("in sick" in name for name in report.findings)
    assert report.ended["bounded"] == 1


@pytest.mark.parametrize(("text", "found"), [("ZQXJOHANNA", "zqxjo"), ("fine", None)])
def test_the_header_of_a_clean_copy_is_judged_and_not_its_pixels(
    tmp_path: Path, text: str, found: str | None
) -> None:
    """Damage may have written an identifier as the values of pixels."""
    pixels = np.frombuffer(b"ZQXJOHANNA", np.uint8).reshape(1, 2, 5)
    copy = write_dicom(tmp_path / "a.dcm", pixels, SeriesDescription=text).read_bytes()
    assert trial.secret_in(trial._texts_of(copy).decode("latin-1")) == found
