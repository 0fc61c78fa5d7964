"""The page in a real browser: it fits a phone, its pictures load, marks show their clips."""

import re
import shutil
import subprocess
from html import escape

import numpy as np
import pytest

from apical.config import JudgeSettings
from apical.judge.evaluate import evaluate
from fake_runs import fake_budget, fake_predictions, write_run
from fake_stores import picture, write_store

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

# The page lies in a frame as wide as a screen (a browser's window cannot be as narrow as a phone). What the
# tests ask it, after it has loaded, becomes the title of the document around it.
ASKED = """<script>addEventListener("load", () => {{
document.querySelectorAll("details").forEach(d => d.open = true);
document.querySelectorAll("img[loading]").forEach(i => i.loading = "eager");
const loaded = [...document.images].map(i => i.complete || new Promise(r => i.onload = i.onerror = r));
Promise.all(loaded).then(() => {{ parent.document.title = "answer " + ({}); }}); }});</script>"""
BROKEN = "[...document.images].filter(i => !i.naturalWidth).length"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    runs = [fake_predictions(method, skill=skill) for method, skill in (("naive", 1.5), ("fine-tune", 2.5))]
    folders = [write_run(root / run.method, run, fake_budget()) for run in runs]
    clips = runs[0].clip.tolist()
    store = write_store(root / "frames", clips, np.stack([picture(clip) for clip in clips]))
    return evaluate(folders, root / "out", JudgeSettings(resamples=100), store=store).report_file


def ask(report, question, width, tmp_path):
    """What the page answers, and what the browser said on its way."""
    page = tmp_path / "asked.html"
    text = report.read_text(encoding="utf-8")
    inside = escape(text.replace("</body>", ASKED.format(question) + "</body>"))
    frame = f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{inside}"></iframe>'
    page.write_text(f"<!doctype html><meta charset=utf-8><title>around</title>{frame}", encoding="utf-8")
    words = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--window-size=1300,1000",
        "--virtual-time-budget=60000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return re.search(r"<title>answer (.*)</title>", done.stdout)[1], done.stderr


@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_the_screen_and_every_picture_loads(report, tmp_path, width):
    answer, said = ask(report, f"[innerWidth, {TOO_WIDE}, {BROKEN}, document.images.length]", width, tmp_path)
    shown, too_wide, broken, pictures = map(int, answer.split(","))
    assert shown == width
    assert too_wide == 0
    assert broken == 0
    assert pictures > 500  # of clips on the maps, too
    assert "CONSOLE" not in said


def test_a_mark_of_the_map_shows_its_clip_when_it_is_pointed_at(report, tmp_path):
    mark = 'document.querySelector(".mark")'
    shown = f'getComputedStyle({mark}.querySelector("span")).display'
    image = f'{mark}.querySelector("img").src.slice(0, 22)'
    answer, _ = ask(report, f"[{shown}, ({mark}.focus(), {shown}), {image}]", 1200, tmp_path)
    assert answer.split(",")[:3] == ["none", "block", "data:image/jpeg;base64"]


def test_every_link_of_the_contents_leads_to_a_heading_in_view(report, tmp_path):
    links = '[...document.querySelectorAll("nav a")]'
    dead = f"{links}.filter(a => !document.querySelector(a.getAttribute('href')).offsetHeight).length"
    answer, _ = ask(report, f"[{links}.length, {dead}]", 1200, tmp_path)
    count, dead_links = map(int, answer.split(","))
    assert count > 9
    assert dead_links == 0
