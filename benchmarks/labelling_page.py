"""What the labelling page allows: a scripted annotator labels through the real page in Chromium.

It knows each clip's view from the catalogue, and says another one in a share of the cases. Without --pause
keys are pressed as soon as a picture is on the screen, so labels a minute are what page and server allow, not
what a person can. A step is the time from the key to the next picture painted, by the page's own clock.

With --clips N the catalogue is that of N clips: those of the store, each with new ids and patients again
and again, so that features and pictures are real. The files of the copies are not there, so their pictures
are the store's.

    OMP_NUM_THREADS=1 python benchmarks/labelling_page.py FRAMES CATALOGUE --encoder RUN --labels 300
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from playwright.sync_api import Page, sync_playwright

from apical.catalogue import read_catalogue, write_catalogue
from apical.ingest.frames import FrameStore
from apical.views import standard_vocabulary

READY = "#cine[data-state=ready]"


def copies(store: Path, catalogue: Path, clips: int, folder: Path) -> tuple[Path, Path]:
    """Store and catalogue of so many clips, made of those that are there."""
    opened, table = FrameStore.open(store), read_catalogue(catalogue)
    table = table.filter(pl.col("clip").is_in(opened.index["clip"].unique().to_list()))
    rows = {clip: part["row"].to_list() for (clip,), part in opened.index.group_by("clip")}
    times = -(-clips // table.height)
    every = pl.concat(
        [
            table.with_columns(
                clip=pl.col("clip") + f"-{time}",
                patient=pl.col("patient") + f"-{time}",
                study=pl.col("study") + f"-{time}",
                path=pl.lit("/nowhere/") + pl.col("clip") + f"-{time}",
            )
            for time in range(times)
        ]
    ).head(clips)
    source = [row for clip in every["clip"] for row in rows[clip.rpartition("-")[0]]]
    owner = [clip for clip in every["clip"] for _ in rows[clip.rpartition("-")[0]]]
    made = folder / "frames"
    made.mkdir()
    side = opened.frames.shape[1]
    frames = np.lib.format.open_memmap(
        made / "frames.npy", mode="w+", dtype=np.uint8, shape=(len(source), side, side)
    )
    for begin in range(0, len(source), 4096):
        frames[begin : begin + 4096] = opened.frames[source[begin : begin + 4096]]
    frames.flush()
    index = opened.index[source].with_columns(row=pl.int_range(len(source)), clip=pl.Series(owner))
    index.write_parquet(made / "index.parquet")
    shutil.copy(store / "store.json", made)
    write_catalogue(every, folder / "all.parquet")
    return made, folder / "all.parquet"


def without_labels(catalogue: Path, out: Path) -> dict[str, str]:
    """Write the catalogue without labels that teach; the truth by clip, ``none`` if nobody knows."""
    table = read_catalogue(catalogue)
    teaches = pl.col("split") == "train"
    write_catalogue(
        table.with_columns(
            pl.when(teaches).then(None).otherwise(pl.col(name)).alias(name)
            for name in ("view", "labelled_by")
        ),
        out,
    )
    return dict(table.select("clip", pl.col("view").fill_null("none")).iter_rows())


@contextlib.contextmanager
def server(store: Path, catalogue: Path, encoder: Path | None, state: Path) -> Iterator[str]:
    """The page's address."""
    words = [
        sys.executable,
        "-m",
        "apical",
        "label",
        str(catalogue),
        "--store",
        str(store),
        "--state",
        str(state),
    ]
    words += ["--port", "0", *([] if encoder is None else ["--encoder", str(encoder)])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found, line
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def ask(address: str, path: str) -> dict[str, object]:
    """An answer of the server."""
    with urllib.request.urlopen(f"{address}{path}", timeout=60) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def until_read(address: str) -> float:
    """Wait until the model has read all clips; seconds."""
    begun = time.monotonic()
    while not ask(address, "/v1/progress")["model"]["name"]:  # type: ignore[index]
        time.sleep(0.5)
    return time.monotonic() - begun


def annotate(
    page: Page, keys: dict[str, str], truth: dict[str, str], labels: int, errors: float, pause: float
) -> float:
    """Label so many clips, after a look of `pause` seconds at each; seconds in all."""
    generator = np.random.default_rng(0)
    views = sorted(set(truth.values()))
    begun = time.monotonic()
    for _ in range(labels):
        page.wait_for_selector(READY)
        clip = str(page.get_attribute("#cine", "data-clip"))
        wrong = generator.random() < errors
        page.wait_for_timeout(1000 * pause)
        page.keyboard.press(keys[str(generator.choice(views)) if wrong else truth[clip]])
        while page.get_attribute("#cine", "data-clip") == clip:
            page.wait_for_timeout(1)
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--encoder", type=Path, help="run folder of a pre-training")
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--errors", type=float, default=0.03, help="share of labels that are wrong")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds of a look at each clip")
    parser.add_argument("--clips", type=int, help="so many, by copies")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, catalogue = options.frames, options.catalogue
        if options.clips:
            store, catalogue = copies(store, catalogue, options.clips, folder)
        truth = without_labels(catalogue, folder / "catalogue.parquet")
        with server(store, folder / "catalogue.parquet", options.encoder, folder / "state") as address:
            report(address, truth, options)


def report(address: str, truth: dict[str, str], options: argparse.Namespace) -> None:
    """Label before and after the model has read the clips, and print how long steps took."""
    views = ask(address, "/v1/session")["views"]
    keys = {one["name"]: one["key"] for one in views} | {"none": "0"}  # type: ignore[attr-defined]
    assert set(standard_vocabulary().names) <= set(keys)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.add_init_script("localStorage.setItem('apical-annotator', 'script')")
        for name in ("while the model reads the clips", "with the model learning meanwhile"):
            if name.startswith("with"):
                print(f"the model had read {ask(address, '/v1/session')['clips']} clips after "
                      f"{until_read(address):.0f} s more")  # fmt: skip
            page.goto(address)
            seconds = annotate(page, keys, truth, options.labels, options.errors, options.pause)
            steps = np.array(page.evaluate("window.apicalTimes"))
            middle, most = np.percentile(steps, [50, 99])
            print(
                f"{name}: {len(steps)} labels, {60 * options.labels / seconds:.0f} a minute; a step takes "
                f"{middle:.0f} ms (99 %: {most:.0f}, longest {steps.max():.0f}), "
                f"{(steps < 150).mean():.1%} below 150 ms",
                flush=True,
            )
        print(json.dumps(ask(address, "/v1/progress?annotator=script")["macro_f1"]))
        browser.close()


if __name__ == "__main__":
    main()
