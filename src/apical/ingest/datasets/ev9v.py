"""EV9V: videos, and their frames once more, with lists of ids and views."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from apical.ingest.datasets.tree import STILLS, VIDEOS, Tree, stem
from apical.ingest.datasets.words import About, Entry

ABOUT = About(
    name="ev9v",
    title="EV9V",
    licence="CC BY 4.0",
    home="https://huggingface.co/datasets/bgx666/EV9V",
    citation="B. Gou et al., Spatio-Temporal Fusion Model for Standard View Classification of "
    "Echocardiographic Videos, arXiv:2606.17437, 2026",
    grouping="the date and time at the start of the id: one recording, which may be less than a patient",
    pitfalls=(
        "PASA, PMASA and PMPALA mean different views in the two texts of the publishers: no label",
        "PMVLSA and PPMLSA are read as their names and the data set's card say, against the code's README",
        "Videos and Images hold the same clips: frames are left out where their video is there",
        "recordings are not proven to be patients: one person may have several",
        "text, a grey bar, the depth scale and the ECG are burnt in",
        "clips of one recording are near-duplicates, and some are very long",
    ),
    views={
        "PLHLA": "PLAX",
        "PMVLSA": "PSAX-MV",
        "PPMLSA": "PSAX-PM",
        "PASA": None,
        "PMASA": None,
        "PMPALA": None,
        "A4C": "A4C",
        "A5C": "A5C",
        "SC4C": "subcostal-4C",
    },
)
_RECORDING = re.compile(r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}")


def read(tree: Tree) -> Iterator[Entry]:
    """The clips of the lists as published, or as the authors' training code wants them."""
    lists = [f"{split}_labeled.txt" for split in ("train", "validation", "test")]
    home = tree.home(ABOUT.title, *lists, "labels.csv")

    clips: defaultdict[str, list[str]] = defaultdict(list)
    for file in tree.ending(*VIDEOS):
        clips[stem(file)].append(file)
    videos = frozenset(clips)
    for file in tree.ending(*STILLS):
        clip = file.rpartition("/")[0].rpartition("/")[2]
        if clip in videos:
            yield Entry(file, _patient(clip), skip="a frame of a video that is there")
        else:
            clips[clip].append(file)

    rows = list(_rows(tree, home))
    for clip, label, split in rows:
        for file in clips.get(clip, [f"{home}Videos/{clip}.mp4"]):
            yield Entry(file, _patient(clip), label=label, split=split)
    for clip in clips.keys() - {clip for clip, _, _ in rows}:
        yield from (Entry(file, _patient(clip)) for file in clips[clip])


def _rows(tree: Tree, home: str) -> Iterator[tuple[str, str | None, str | None]]:
    """Clip, view and split, each row with what it knows."""
    for split in ("train", "validation", "test"):
        for name in (f"{split}_labeled.txt", f"{split}.txt"):
            path = tree.find(home + name)
            for line in tree.lines(path) if path in tree else ():
                words = line.split()
                yield _clip(words[0]), words[1] if len(words) > 1 else None, split
    path = tree.find(home + "labels.csv")
    if path in tree:
        for row in tree.table(path, "names", "labels"):
            yield _clip(row["names"]), row["labels"] or None, None


def _clip(text: str) -> str:
    return stem(text) if text.lower().endswith(VIDEOS) else text


def _patient(clip: str) -> str | None:
    found = _RECORDING.match(clip)
    return found[0] if found else clip or None
