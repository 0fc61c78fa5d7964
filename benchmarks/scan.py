"""A scan of very many files: speed, memory as the number grows, a kill on the way, and a second scan.

Writes copies of one small phantom still with patients and UIDs of their own, scans them with `apical scan` in
a process of its own, and watches the memory of it and of its workers. The largest scan is done once more with
nothing new, and once killed (SIGKILL) half-way and started again.

    python benchmarks/scan.py --files 1000 10000 100000
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pydicom

from apical.catalogue import read_catalogue
from apical.config import PhantomSettings
from apical.phantom.study import write_phantom

A_FOLDER = 50  # files
UID_LENGTH = 40


def write_copies(folder: Path, count: int) -> None:
    """Files that differ in SOP Instance UID and, by folder, in study and patient."""
    with tempfile.TemporaryDirectory() as place:
        write_phantom(Path(place), PhantomSettings(patients=1, frames=1, image_rows=120))
        dataset = pydicom.dcmread(sorted(Path(place).rglob("*.dcm"))[0])
    marks = {}
    for name, mark in (("SOPInstanceUID", "1.2.3.1.1"), ("StudyInstanceUID", "1.2.3.2.1")):
        marks[name] = (mark + "0" * UID_LENGTH)[:UID_LENGTH]
        setattr(dataset, name, marks[name])
    dataset.file_meta.MediaStorageSOPInstanceUID = marks["SOPInstanceUID"]
    dataset.PatientID = marks["Patient"] = "P" * 12
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    content = written.getvalue()
    for number in range(count):
        exam = number // A_FOLDER
        values = {
            "SOPInstanceUID": f"1.2.3.1.1{number:0{UID_LENGTH - 9}}",
            "StudyInstanceUID": f"1.2.3.2.1{exam:0{UID_LENGTH - 9}}",
            "Patient": f"P{exam:011}",
        }
        copy = content
        for name, mark in marks.items():
            copy = copy.replace(mark.encode(), values[name].encode())
        place = folder / f"{exam:05}"
        if number % A_FOLDER == 0:
            place.mkdir(parents=True)
        (place / f"{number:07}.dcm").write_bytes(copy)


def resident_mb(pid: int) -> float:
    """Memory of a process in MB, shared pages included; 0 when it has gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("VmRSS")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def scan(source: Path, out: Path, workers: int, kill_after: int | None = None) -> tuple[float, float, float]:
    """Seconds, and the most MB of the process itself and of one of its workers."""
    words = ["scan", str(source), "--out", str(out), "--workers", str(workers), "--json", "--quiet"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "apical", *words], stdout=subprocess.PIPE, start_new_session=True
    )
    own = largest = 0.0
    while process.poll() is None:
        own = max(own, resident_mb(process.pid))
        largest = max([largest, *map(resident_mb, children(process.pid))])
        if kill_after is not None and time.perf_counter() - began > kill_after:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            break
        time.sleep(0.2)
    return time.perf_counter() - began, own, largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--place", type=Path, help="folder to work in; the system's by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.place) as place:
        folder = Path(place)
        for count in options.files:
            source, out = folder / f"exams-{count}", folder / f"{count}.parquet"
            write_copies(source, count)
            seconds, own, worker = scan(source, out, options.workers)
            print(f"{count:7} files: {seconds:7.1f} s, {count / seconds:5.0f} files/s; most memory ", end="")
            print(f"{own:.0f} MB, and {worker:.0f} MB a worker", flush=True)
        again, own, _ = scan(source, out, options.workers)
        print(f"again, nothing new: {again:.1f} s, {count / again:.0f} files/s, {own:.0f} MB", flush=True)
        other = folder / "killed" / "catalogue.parquet"
        other.parent.mkdir()
        (other.parent / "salt.key").write_bytes((folder / "salt.key").read_bytes())
        scan(source, other, options.workers, kill_after=round(seconds / 2))
        rest, *_ = scan(source, other, options.workers)
        same = read_catalogue(other).equals(read_catalogue(out))
        print(f"killed half-way, then {rest:.1f} s for the rest; the same catalogue: {json.dumps(same)}")


if __name__ == "__main__":
    main()
