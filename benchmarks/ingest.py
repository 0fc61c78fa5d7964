"""Frames a second of ingest on JPEG cines, against raw libjpeg-turbo and the usual loop, in one run.

Everything runs on one core, on files in the page cache. The rivals:

(a) libjpeg-turbo alone (simplejpeg), to grey, on the codestreams of the same frames, already in memory;
(b) the usual loop: pydicom's `pixel_array` of the file, OpenCV to grey and to the same size, then the choice;
(c) what an expert writes: `pixel_array` of the chosen frames only, unconverted (`raw=True`), and their luma.

Ours opens the file, reads the header, finds the frames by their offsets, decodes, masks with the sector of
the catalogue, crops and scales: what `apical frames` does. Finding the sector belongs to `apical scan` and is
timed by itself, as is `apical predict`'s way, which must do both.

    python benchmarks/ingest.py --patients 3 --frames 40 --image-rows 600
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import simplejpeg
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import JPEGBaseline8Bit

from apical.config import FrameSettings, PhantomSettings
from apical.ingest.clip import open_clip
from apical.ingest.dicom import quiet_pydicom
from apical.ingest.prepare import prepare
from apical.ingest.sampling import spread
from apical.ingest.sector import Sector
from apical.ingest.triage import triage
from apical.phantom.study import write_phantom

Sectors = dict[Path, str]


def jpeg_cines(folder: Path, frames: int) -> list[Path]:
    """The files of the phantom that are JPEG baseline cines of this length."""
    found = []
    for path in sorted(folder.rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        jpeg = header.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
        if jpeg and int(header.get("NumberOfFrames") or 1) == frames:
            found.append(path)
    return found


def small(picture: NDArray[np.uint8], size: int) -> Any:
    """The usual loop's answer to colours and sizes."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
    return cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)


def rivals(files: list[Path], settings: FrameSettings, sectors: Sectors) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    count, size = settings.frames_per_clip, settings.size
    chosen, coded = {}, []
    for path in files:
        dataset = pydicom.dcmread(path)
        frames = int(dataset.NumberOfFrames)
        chosen[path] = spread(frames, count)
        streams = list(generate_frames(dataset.PixelData, number_of_frames=frames))
        coded += [streams[number] for number in chosen[path]]

    def whole() -> None:
        for path in files:
            pictures = pydicom.dcmread(path).pixel_array
            grey = [small(picture, size) for picture in pictures]
            np.stack([grey[number] for number in chosen[path]])

    def indexed() -> None:
        for path in files:
            pictures = (pixel_array(path, index=number, raw=True) for number in chosen[path])
            np.stack([small(picture[..., 0] if picture.ndim == 3 else picture, size) for picture in pictures])

    def scanned() -> None:
        for path in files:
            triage(open_clip(path))

    return {
        "(a) libjpeg-turbo alone": lambda: [simplejpeg.decode_jpeg(stream, "GRAY") for stream in coded],
        "apical frames": lambda: [
            prepare(open_clip(path), settings, Sector.from_json(sectors[path])) for path in files
        ],
        "(b) pixel_array + OpenCV": whole,
        "(c) the chosen, raw, luma": indexed,
        "apical predict, sector found anew": lambda: [prepare(open_clip(path), settings) for path in files],
        "apical scan, 8 frames + 3 in colour": scanned,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--frames", type=int, default=40, help="frames of a cine")
    parser.add_argument("--image-rows", type=int, default=600)
    parser.add_argument("--chosen", type=int, nargs="+", default=[8, 40], help="frames taken of a cine")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place, quiet_pydicom():
        folder = Path(place)
        phantom = PhantomSettings(
            patients=options.patients, frames=options.frames, image_rows=options.image_rows
        )
        write_phantom(folder, phantom)
        files = jpeg_cines(folder, options.frames)
        sectors = {}
        for path in files:
            found = triage(open_clip(path)).sector
            if found is not None:
                sectors[path] = found.to_json()
        if not sectors:
            parser.error("no machine of this phantom writes JPEG cines; take more --patients")
        files = list(sectors)
        size = open_clip(files[0]).facts
        print(f"{platform.processor() or platform.machine()}, one core; {len(files)} JPEG cines of ", end="")
        print(f"{options.frames} frames, {size.rows} × {size.columns}; median of {options.rounds} rounds")
        for count in options.chosen:
            work = rivals(files, FrameSettings(frames_per_clip=count), sectors)
            seconds: dict[str, list[float]] = {name: [] for name in work}
            for _ in range(options.rounds):  # in turn, so that a slow minute is everybody's
                for name, run in work.items():
                    began = time.perf_counter()
                    run()
                    seconds[name].append(time.perf_counter() - began)
            frames = len(files) * min(count, options.frames)
            speed = {name: frames / statistics.median(taken) for name, taken in seconds.items()}
            print(f"\n{count} frames of each:")
            for name, value in speed.items():
                clip = 1000 * min(count, options.frames) / value
                print(f"  {name:36} {value:7.0f} frames/s  {clip:7.1f} ms a clip")
            raw, ours, usual, expert = list(speed.values())[:4]
            print(f"  ratio to (a) {ours / raw:.2f}, to (b) {ours / usual:.1f}, to (c) {ours / expert:.1f}")


if __name__ == "__main__":
    main()
