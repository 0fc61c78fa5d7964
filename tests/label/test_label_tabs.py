"""The other tabs of the labelling page in a real browser: wall, map, review, progress; and axe on all."""

import json

import pytest
from labelling_browser import RULES, Visitor, chromium
from labelling_ground import key, parts_of, serving, write_ground

from apical.catalogue import read_catalogue
from apical.label.advice import Suspicion
from apical.label.opinions import Said
from real_browser import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    return folder, write_ground(folder)


@pytest.fixture
def parts(ground, tmp_path):
    return parts_of(ground[0], tmp_path / "state", ground[1], second_readings=0, repeats=0)


@pytest.fixture
def anna(browser, parts):
    with serving(parts) as address:
        visitor = Visitor(browser, address)
        visitor.clip()
        yield visitor
        visitor.close()


def say(parts, name, clip, view, kind="single", note=""):
    (task,) = parts.records.offer(name, [(clip, kind, None)])
    parts.write(
        [clip], lambda: parts.records.say(task, Said(view, note=note), key=key(), shown=False, seconds=2.0)
    )


def open_tab(anna, name, selector):
    anna.page.goto(f"{anna.address}/#{name}")
    anna.page.wait_for_selector(selector)


def clips_of(ground, parts, view):
    return [
        clip
        for clip, truth in ground[1].items()
        if truth == view and parts.board.offered[parts.board.row[clip]]
    ]


def test_a_wall_labels_what_was_not_taken_out_in_one_action(anna, parts, ground):
    open_tab(anna, "wall", ".pick")
    picks = anna.page.locator(".pick")
    clips = [picks.nth(i).get_attribute("data-clip") for i in range(picks.count())]
    views = {ground[1][clip] for clip in clips}
    assert len(views) == 1, "the wall holds one group"
    picks.nth(1).click()
    anna.until(lambda: picks.nth(1).get_attribute("aria-pressed") == "false")
    anna.page.click(".accept")
    anna.until(lambda: parts.board.labelled() == len(clips) - 1)
    assert clips[1] not in parts.records.opinions()
    assert {said["anna"].view for said in parts.records.opinions().values()} == views
    assert len({event.action for event in parts.records.history()}) == 1
    anna.page.click("#undo")
    anna.until(lambda: parts.board.labelled() == 0)


def test_a_wall_is_walked_and_accepted_by_keys(anna, parts):
    open_tab(anna, "wall", ".pick")
    anna.page.focus(".pick")
    for one in ("ArrowRight", " ", "ArrowRight", " "):
        anna.page.keyboard.press(one)
    out = anna.page.locator(".pick[aria-pressed=false]")
    anna.until(lambda: out.count() == 2)
    before = anna.page.locator(".pick").count()
    anna.page.keyboard.press("7")
    anna.until(lambda: parts.board.labelled() == before - 2)
    assert {said["anna"].view for said in parts.records.opinions().values()} == {"A4C"}


def test_a_lasso_on_the_map_labels_what_is_in_it(anna, parts, ground):
    open_tab(anna, "map", "#map canvas")
    anna.page.wait_for_timeout(500)
    box = anna.page.locator("#map canvas").first.bounding_box()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.05)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    anna.page.mouse.move(*places[0])
    anna.page.mouse.down()
    for place in places[1:]:
        anna.page.mouse.move(*place, steps=6)
    anna.page.mouse.up()
    anna.page.wait_for_selector(".pick")
    anna.page.click(".choice[data-view=PLAX]")
    anna.until(lambda: parts.board.labelled() == 70)
    assert {event.kind for event in parts.records.history()} == {"map"}


def test_more_like_this_shows_alike_clips(anna, parts, ground):
    clip = anna.clip()
    anna.page.keyboard.press("m")
    anna.page.wait_for_selector(".pick")
    picks = anna.page.locator(".pick")
    first = [picks.nth(i).get_attribute("data-clip") for i in range(5)]
    assert {ground[1][one] for one in first} == {ground[1][clip]}


def test_who_differs_is_shown_and_the_clip_is_decided(anna, parts, ground):
    clip = clips_of(ground, parts, "A5C")[0]
    say(parts, "ben", clip, "A4C")
    say(parts, "carla", clip, "A5C")
    open_tab(anna, "review", ".opinion")
    told = " ".join(anna.page.locator(".opinion").all_inner_texts())
    assert "ben" in told
    assert "carla" in told
    anna.page.click(".offer[data-view=A5C]")
    anna.until(lambda: parts.records.adjudication_of(clip) is not None)
    assert parts.board.label(clip).view == "A5C"


def test_a_doubted_label_is_shown_with_what_is_likelier(anna, parts, ground):
    clip = clips_of(ground, parts, "A5C")[0]
    say(parts, "anna", clip, "A4C")
    parts.coach.suspects = [Suspicion(parts.board.row[clip], parts.vocabulary.names.index("A5C"), 0.9)]
    open_tab(anna, "review", "#review-suspects")
    anna.page.click("#review-suspects")
    anna.page.wait_for_selector(".offer[data-view=A5C]")
    anna.page.click(".offer[data-view=A5C]")
    anna.until(lambda: parts.board.label(clip).view == "A5C")


def test_agreement_and_history_tell_who_said_what(anna, parts, ground):
    for number, clip in enumerate(parts.board.clips.clip[:30].tolist()):
        say(parts, "ben", clip, ground[1][clip])
        say(parts, "carla", clip, ground[1][clip] if number % 5 else "PLAX", note=MARKUP)
    open_tab(anna, "review", "#review-agreement")
    anna.page.click("#review-agreement")
    anna.page.wait_for_selector(".kappas")
    told = anna.page.inner_text(".kappas")
    assert "ben" in told
    assert "carla" in told
    anna.page.click("#review-history")
    anna.page.wait_for_selector(".events")
    told = anna.page.inner_text(".events")
    assert "PLAX" in told
    assert MARKUP in told, "what people write is text"
    assert anna.page.locator(".events img").count() == 0


def test_labels_are_written_out_read_in_and_merged(browser, tmp_path):
    truth = write_ground(tmp_path, patients=3, times=1)
    parts = parts_of(tmp_path, tmp_path / "state", truth)
    with serving(parts) as address:
        anna = Visitor(browser, address)
        clip = anna.press("7")
        anna.said("Saved A4C")
        open_tab(anna, "review", "#review-exchange")
        anna.page.click("#review-exchange")
        with anna.page.expect_download() as told:
            anna.page.click(".export[data-file='labels.csv']")
        table = told.value.path().read_text(encoding="utf-8-sig")
        assert clip in table
        other = next(one for one in truth if one != clip and parts.board.offered[parts.board.row[one]])
        rows = [{"clip": other, "view": "IVC", "labelled_by": "dora"}]
        (tmp_path / "more.json").write_text(json.dumps(rows))
        anna.page.set_input_files("#import-file", tmp_path / "more.json")
        anna.page.click(".import")
        anna.until(lambda: parts.records.opinions_of(other) == {"dora": Said("IVC")})
        anna.page.click(".merge")
        if anna.page.is_visible(".merge-sure"):
            anna.page.click(".merge-sure")
        anna.until(lambda: read_catalogue(tmp_path / "catalogue.parquet")["view"].count() == 2)
        anna.close()


def test_progress_shows_counts_and_what_would_help_most(anna, parts):
    anna.press("7")
    anna.said("Saved A4C")
    open_tab(anna, "progress", ".views-table")
    anna.until(lambda: "A5C" in anna.page.inner_text(".help-view"))
    anna.page.click(".fine-tune")
    anna.until(lambda: parts.coach.asked_to_tune == 1)
    anna.page.click(".help-view")
    anna.page.wait_for_selector("#cine[data-state=ready]")
    assert anna.page.input_value("#queue") == "view:A5C"


MARKUP = "<img src=x onerror=alert(1)>"
TOO_SMALL = """[...document.querySelectorAll("#panel button")].filter((one) => {
  const { width, height } = one.getBoundingClientRect();
  return one.checkVisibility() && Math.min(width, height) < 43.5;
}).map((one) => one.textContent)"""
STATES = {
    "label": "#cine[data-state=ready]",
    "wall": ".pick",
    "map": ".map-said, .map-lasso",
    "review": "#review-suspects",
    "progress": ".views-table",
}


COLOURS = "{type: 'rule', values: ['color-contrast', 'link-in-text-block']}"


@pytest.mark.parametrize(("theme", "rules"), [("dark", RULES), ("light", COLOURS)])
def test_axe_finds_nothing_wrong(browser, parts, ground, theme, rules):
    """WCAG 2.2 AA, as far as a program can see, on each tab and dialog of the real page."""
    for number, clip in enumerate(parts.board.clips.clip[:24].tolist()):
        say(parts, "ben", clip, ground[1][clip])
        say(parts, "carla", clip, "PLAX" if number % 6 == 0 else ground[1][clip])
    with serving(parts) as address:
        anna = Visitor(browser, address, bypass_csp=True)  # axe itself sets styles
        anna.clip()
        if anna.page.get_attribute("html", "data-theme") != theme:
            anna.page.click("#theme")
        assert anna.page.get_attribute("html", "data-theme") == theme
        found = {}
        for tab, selector in STATES.items():
            open_tab(anna, tab, selector)
            found[tab] = anna.violations(rules)
        for part in ("suspects", "agreement", "history", "exchange"):
            open_tab(anna, "review", f"#review-{part}")
            anna.page.click(f"#review-{part}")
            anna.page.wait_for_timeout(300)
            found[part] = anna.violations(rules)
        anna.page.keyboard.press("?")
        anna.page.wait_for_selector("#help-dialog[open]")
        found["help"] = anna.violations(rules)
        anna.close()
    assert {name: one for name, one in found.items() if one} == {}


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (768, 1024), (390, 844)])
def test_it_fits_on_tablets_and_phones_and_works_by_touch(browser, parts, width, height):
    with serving(parts) as address:
        anna = Visitor(browser, address, viewport={"width": width, "height": height}, has_touch=True)
        clip = anna.clip()
        assert anna.page.evaluate(TOO_SMALL) == [], "all buttons are large enough for a finger"
        anna.page.tap("[data-view=A4C]")
        anna.until(lambda: parts.records.opinions_of(clip))
        for tab, selector in STATES.items():
            open_tab(anna, tab, selector)
            wide = anna.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{tab} is wider than the screen"
        anna.close()


def test_who_wants_no_motion_sees_a_still(browser, parts):
    with serving(parts) as address:
        anna = Visitor(browser, address, reduced_motion="reduce")
        anna.clip()
        frame = anna.page.inner_text(".reading.frame")
        anna.page.wait_for_timeout(400)
        assert anna.page.inner_text(".reading.frame") == frame
        anna.close()
