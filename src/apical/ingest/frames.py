"""The frame store: every clip as a few square grey frames, in one memory-mapped file.

A store is built in ``<out>.partial``, one clip after another, and renamed when it is complete. Each clip
writes its frames first and its line of the journal after, so a build that was stopped goes on behind the
last complete clip and gives the same bytes as one that was not.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.catalogue import read_catalogue, usable
from apical.config import FrameSettings, worker_count
from apical.errors import CannotDo, ClipProblem
from apical.files import cannot_write, write_atomically
from apical.ingest.clip import open_clip
from apical.ingest.damage import Unreadable
from apical.ingest.parallel import ordered_map
from apical.ingest.places import is_remote
from apical.ingest.prepare import CHANGED, Prepared, prepare
from apical.ingest.sector import Sector

DECODERS = (
    "numpy",
    "opencv-python-headless",
    "pydicom",
    "simplejpeg",
    "pylibjpeg-openjpeg",
    "pyjpegls",
    "av",
)
HEADER_BYTES = 128
SECONDS_PER_CLIP, MEMORY_MB = 120, 4096  # bounds of a worker process


@dataclass(frozen=True)
class FrameStore:
    """An opened frame store.

    Attributes:
        frames: (N, S, S) uint8, memory-mapped, read-only.
        index: one row a frame: ``row`` in `frames`, ``clip``, ``frame`` (its number in the clip), and
            ``time_ms`` from the start of the clip, or null, ``phase`` of the heart cycle (0 to 1 from R wave
            to R wave), or null, and ``pixel_mm``, the side of a pixel, or null.
        settings: how the frames were made.
        problems: why clips of the catalogue have no frames, by clip.
    """

    frames: NDArray[np.uint8]
    index: pl.DataFrame
    settings: FrameSettings
    problems: dict[str, str]

    @classmethod
    def open(cls, folder: Path) -> FrameStore:
        """Open a complete store.

        Raises:
            CannotDo: it is not there, not complete or not readable.
        """
        try:
            record = json.loads((folder / "store.json").read_text(encoding="utf-8"))
            frames = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
            index = pl.read_parquet(folder / "index.parquet")
            settings = FrameSettings.model_validate(record["settings"])
            store = cls(frames, index, settings, record["problems"])
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise CannotDo(
                f"'{folder.name}' is no complete frame store ({type(error).__name__})",
                "build one with 'apical frames'",
            ) from None
        if len(frames) != index.height:
            raise CannotDo(f"the frame store '{folder.name}' is damaged", "delete it and build it again")
        return store


def build_frames(
    catalogue: Path,
    out: Path,
    settings: FrameSettings = FrameSettings(),
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FrameStore:
    """Make the frame store of a catalogue's 2-D clips, or go on with a build that was stopped.

    Clips with a ``problem`` or a mode other than ``2d`` do not enter; a catalogue without modes is tried
    whole. The sector is that of the catalogue; where it has none, it is looked for. Labels and splits are
    not in the store, so they may change without a new one.

    Args:
        catalogue: as read by `read_catalogue`.
        out: folder to make. A complete store of the same clips and settings is returned as it is.
        settings: size and number of frames.
        workers: processes, 0 for one per core; the bytes do not depend on it.
        progress: called with clips done and in all.

    Raises:
        CannotDo: `out` holds something else, cannot be written, the disk is full (free some space and
            call again), no clip can be used, or files cannot be read. That may pass, so it is no
            problem of their clips: what was done is kept, and the next call goes on.
    """
    table = usable(read_catalogue(catalogue)).filter(pl.col("mode").fill_null("2d") == "2d")
    if table.is_empty():
        raise CannotDo("the catalogue has no usable 2-D clip", "look at its columns 'mode' and 'problem'")
    record = {
        "settings": settings.model_dump(),
        "catalogue": _fingerprint(table),
        "decoders": {name: version(name) for name in DECODERS},
    }
    if out.exists():
        _check_same(out / "store.json", record)
        return FrameStore.open(out)
    partial_store = out.with_name(out.name + ".partial")
    try:
        _build(partial_store, record, table, settings, workers, progress)
        for name in ("journal.jsonl", "begun.json"):
            (partial_store / name).unlink(missing_ok=True)
        os.replace(partial_store, out)
    except OSError as error:
        raise cannot_write(out, error) from None
    return FrameStore.open(out)


def _fingerprint(table: pl.DataFrame) -> str:
    """Tells the clips and their sectors from others."""
    lines = (f"{clip} {sector or ''}" for clip, sector in table.select("clip", "sector").iter_rows())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_same(path: Path, record: dict[str, Any], *, begun: bool = False) -> None:
    """Refuse a store of other clips or settings, and to go on with one begun by other decoders."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if not isinstance(found, dict) or any(
        found.get(name) != record[name] for name in ("settings", "catalogue")
    ):
        raise CannotDo(
            f"'{path.parent.name}' exists and is not a frame store of these clips and settings",
            "choose another --out, or delete it",
        )
    if begun and found.get("decoders") != record["decoders"]:
        raise CannotDo(
            f"'{path.parent.name}' was begun with other versions of the decoders",
            "delete it, or go on with those versions",
        )


def _build(
    folder: Path,
    record: dict[str, Any],
    table: pl.DataFrame,
    settings: FrameSettings,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    if (folder / "store.json").exists():  # stopped between its completion and its renaming
        return _check_same(folder / "store.json", record)
    begun = folder / "begun.json"
    if (folder / "frames.npy").exists():
        _check_same(begun, record, begun=True)
    else:
        write_atomically(begun, json.dumps(record).encode())
    frame_bytes = settings.size**2
    journal = _resume(folder, frame_bytes)
    before = len(journal)
    clips = list(table.select("clip", "path", "sector").iter_rows())[before:]
    paths = [path for _, path, _ in clips]
    _refuse_unreadable(paths)
    results = ordered_map(
        partial(_try_prepare, settings=settings),
        clips,
        worker_count(workers),
        lambda _, problem: ClipProblem(problem),
        seconds=SECONDS_PER_CLIP,
        memory_mb=MEMORY_MB,
    )
    with (
        (folder / "frames.npy").open("ab") as frames_file,
        (folder / "journal.jsonl").open("ab") as journal_file,
    ):
        for clip, result in zip(table["clip"][before:], results, strict=True):
            if isinstance(result, Unreadable):
                os.fsync(frames_file.fileno())
                _refuse_unreadable(paths[len(journal) - before :], least=1)
            entry: dict[str, Any] = {"clip": clip, "numbers": [], "problem": None}
            if isinstance(result, ClipProblem):
                entry["problem"] = str(result)
            else:
                entry |= {"numbers": result.numbers.tolist(), "phases": result.phases}
                entry["pixel_mm"] = result.pixel_mm
                _append(frames_file, result.frames.tobytes())
            _append(journal_file, json.dumps(entry).encode() + b"\n")
            journal.append(entry)
            if progress is not None:
                progress(len(journal), table.height)
        os.fsync(frames_file.fileno())
    _finish(folder, record, table, settings, journal)


def _try_prepare(item: tuple[str, str, str | None], settings: FrameSettings) -> Prepared | ClipProblem:
    """The frames of one clip, from its path and the sector in the catalogue; or why there are none."""
    name, path, sector = item
    try:
        clip = open_clip(path)
        if clip.facts.clip != name:
            raise ClipProblem(CHANGED)
        return prepare(clip, settings, Sector.from_json(sector) if sector else None)
    except Unreadable:
        return Unreadable()
    except ClipProblem as problem:
        return ClipProblem(str(problem))


def _refuse_unreadable(places: list[str], least: int = 0) -> None:
    """Stop before, or at, files that cannot be opened: a share that is not mounted is no damage."""
    count = max(least, sum(not _opens(place) for place in places if not is_remote(place)))
    if count:
        raise CannotDo(
            f"{count} file{'' if count == 1 else 's'} cannot be read",
            "check that the disk is mounted and call again (what was done is kept), or scan again",
        )


def _opens(path: str) -> bool:
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def _append(file: io.BufferedWriter, data: bytes) -> None:
    file.write(data)
    file.flush()


def _resume(folder: Path, frame_bytes: int) -> list[dict[str, Any]]:
    """The journal's complete entries; both files are cut to them."""
    journal_path, frames_path = folder / "journal.jsonl", folder / "frames.npy"
    for path, start in ((journal_path, b""), (frames_path, bytes(HEADER_BYTES))):
        if not path.exists() or path.stat().st_size < len(start):
            path.write_bytes(start)
    on_disk = frames_path.stat().st_size
    journal: list[dict[str, Any]] = []
    end_of_journal, end_of_frames = 0, HEADER_BYTES
    for line in journal_path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        entry = json.loads(line)
        size = len(entry["numbers"]) * frame_bytes
        if end_of_frames + size > on_disk:  # lost with the machine, not with the process
            break
        journal.append(entry)
        end_of_journal, end_of_frames = end_of_journal + len(line), end_of_frames + size
    os.truncate(journal_path, end_of_journal)
    os.truncate(frames_path, end_of_frames)
    return journal


def _finish(
    folder: Path,
    record: dict[str, Any],
    table: pl.DataFrame,
    settings: FrameSettings,
    journal: list[dict[str, Any]],
) -> None:
    """Write the header, the index and, last, the record that makes the store complete."""
    problems = {entry["clip"]: entry["problem"] for entry in journal if entry["problem"]}
    clips = [entry["clip"] for entry in journal for _ in entry["numbers"]]
    if not clips:
        shutil.rmtree(folder)
        raise CannotDo(
            f"none of the {len(journal)} clips can be made into frames (first: {journal[0]['problem']})",
            "check that the catalogue's files are ultrasound clips",
        )
    path = folder / "frames.npy"
    with path.open("r+b") as file:
        file.write(_header(len(clips), settings.size))
        os.fsync(file.fileno())
    index = pl.DataFrame(
        {
            "row": range(len(clips)),
            "clip": clips,
            "frame": [number for entry in journal for number in entry["numbers"]],
            "phase": [phase for entry in journal for phase in entry.get("phases", [])],
            "pixel_mm": [entry.get("pixel_mm") for entry in journal for _ in entry["numbers"]],
        },
        schema={
            "row": pl.Int64,
            "clip": pl.String,
            "frame": pl.Int32,
            "phase": pl.Float64,
            "pixel_mm": pl.Float64,
        },
    )
    times = table.select("clip", "frame_time_ms")
    index = index.join(times, on="clip", how="left", maintain_order="left").select(
        "row",
        "clip",
        "frame",
        (pl.col("frame") * pl.col("frame_time_ms")).alias("time_ms"),
        "phase",
        "pixel_mm",
    )
    index.write_parquet(folder / "index.parquet")
    complete = record | {"problems": problems, "sha256": _sha256(path)}
    write_atomically(folder / "store.json", json.dumps(complete, indent=2, sort_keys=True).encode())


def _header(frames: int, size: int) -> bytes:
    buffer = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (frames, size, size)}
    np.lib.format.write_array_header_1_0(buffer, shape)
    header = buffer.getvalue()
    if len(header) != HEADER_BYTES:
        raise AssertionError("numpy changed the length of its header")
    return header


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
