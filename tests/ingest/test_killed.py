"""A scan that is killed goes on where it was."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from clip_files import screen, write_dicom

from apical.catalogue import read_catalogue
from apical.config import ScanSettings
from apical.ingest.scan import scan

ONE = ScanSettings(workers=1)
SCRIPT = """
import sys, time
from pathlib import Path
from apical.config import ScanSettings
from apical.ingest import scan as module

real = module.read_row
folder, out, log, workers, stop_at = sys.argv[1:]

def read_row(place, pseudonyms):
    row = real(place, pseudonyms)
    with open(log, "a") as file:
        file.write(Path(place).name + "\\n")
    if len(Path(log).read_text().splitlines()) >= int(stop_at):
        time.sleep(600)
    return row

module.read_row = read_row
if __name__ == "__main__":
    module.scan(folder, Path(out), ScanSettings(workers=int(workers)))
"""


@pytest.mark.parametrize(("workers", "kills"), [(1, (20, 45)), (2, (30,))])
def test_killed_and_started_again(tmp_path: Path, workers: int, kills: tuple[int, ...]) -> None:
    """kill -9 part way: the catalogue is that of a scan never killed, and no work is done twice."""
    count, folder, out, log = 60, tmp_path / "in", tmp_path / "out" / "c.parquet", tmp_path / "log"
    for number in range(count):
        name = f"{number:02}"
        if number % 10 == 7:
            (folder / str(number % 3)).mkdir(parents=True, exist_ok=True)
            (folder / str(number % 3) / f"{name}.png").write_bytes(b"broken")
        else:
            write_dicom(
                folder / str(number % 3) / f"{name}.dcm",
                screen(1, 120, 160, seed=number),
                SOPInstanceUID=f"1.2.3.{number}",
                PatientID=f"P{number % 7}",
                StudyInstanceUID=f"1.2.4.{number % 14}",
            )
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, tmp_path / "script.py", folder, out, log, str(workers)]
    for stop_at in kills:
        process = subprocess.Popen([*words, str(stop_at)])
        end = time.monotonic() + 120
        while not log.exists() or len(log.read_text().splitlines()) < stop_at:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists()
    subprocess.run([*words, "1000"], check=True, timeout=120)
    read = Counter(log.read_text().splitlines())
    assert len(read) == count
    in_flight = 1 if workers == 1 else 4 * workers
    assert read.total() - count <= len(kills) * in_flight
    never_killed, _ = scan(folder, tmp_path / "other" / "c.parquet", ONE, salt=out.with_name("salt.key"))
    assert read_catalogue(out).equals(never_killed)
    assert out.read_bytes() == (tmp_path / "other" / "c.parquet").read_bytes()
