"""A table, in Markdown, of every file below some folders: syntax, size, frames, mode, sector, problem.

Names of files are printed: use it on public files only. Without folders it takes pydicom's own test files.

    python benchmarks/real_files.py ../shared/data/dicom-dev
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydicom.data import get_testdata_file

from apical.errors import ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.triage import triage
from apical.ingest.walk import walk

HEAD = (
    "file",
    "syntax",
    "frames × rows × columns",
    "mode by tags",
    "mode",
    "sector",
    "confidence",
    "problem",
)


def describe(place: str, problem: str | None) -> list[str]:
    """The cells of a file, without its name."""
    if problem is not None:
        return ["", "", "", "", "", "", problem]
    try:
        clip = open_clip(place)
    except ClipProblem as error:
        return ["", "", "", "", "", "", str(error)]
    facts = clip.facts
    size = f"{facts.frames} × {facts.rows} × {facts.columns}"
    try:
        seen = triage(clip)
    except ClipProblem as error:
        return [facts.syntax, size, facts.mode or "", "", "", "", str(error)]
    kind, confidence = (seen.sector.kind, f"{seen.sector.confidence:.2f}") if seen.sector else ("", "")
    return [facts.syntax, size, facts.mode or "", seen.mode, kind, confidence, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*")
    options = parser.parse_args()
    folders = options.folders or [Path(str(get_testdata_file("CT_small.dcm"))).parent]
    print("| " + " | ".join(HEAD) + " |")
    print("|---" * len(HEAD) + "|")
    for folder in folders:
        for found in walk(str(folder)):
            name = str(Path(found.place).relative_to(folder)) if "::" not in found.place else found.place
            print("| " + " | ".join([f"`{name}`", *describe(found.place, found.problem)]) + " |")


if __name__ == "__main__":
    main()
