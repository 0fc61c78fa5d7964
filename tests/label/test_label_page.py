"""The labelling page in a real browser: one clip after another, by keys alone, with nothing lost."""

import json

import pytest
from labelling_browser import READY, Visitor, chromium
from labelling_ground import key, parts_of, serving, write_ground

from apical.label.opinions import Said
from real_browser import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
PLAX, A4C, A2C, NONE = "1", "7", "8", "0"  # keys
OUTLINE = "getComputedStyle(document.activeElement).outlineStyle"


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    return folder, write_ground(folder)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def parts(ground, tmp_path):
    return parts_of(ground[0], tmp_path / "state", ground[1], second_readings=0, repeats=0)


@pytest.fixture
def address(parts):
    with serving(parts) as address:
        yield address


@pytest.fixture
def anna(browser, address):
    visitor = Visitor(browser, address)
    visitor.clip()
    yield visitor
    visitor.close()


def opinion(parts, clip, name="anna"):
    return parts.records.opinions_of(clip).get(name)


def test_a_key_saves_the_view_and_shows_the_next_clip(anna, parts):
    clips = [anna.press(one) for one in (PLAX, A4C, NONE, "x")]
    anna.said("Saved Cannot tell")
    assert len(set(clips)) == 4
    assert [opinion(parts, clip).view for clip in clips] == ["PLAX", "A4C", "none", "cannot-tell"]
    assert not any(event.shown for event in parts.records.history())
    assert len(anna.page.evaluate("apicalTimes")) == 4


def test_what_is_said_beside_the_view_goes_with_it_and_is_then_reset(anna, parts):
    page = anna.page
    for one in "cqqn":
        page.keyboard.press(one)
    page.keyboard.type("odd 7x <img src=x onerror=alert(1)> beam")
    page.keyboard.press("Escape")
    first, second = anna.press(A4C), anna.press(A2C)
    anna.said("Saved A2C")
    note = "odd 7x <img src=x onerror=alert(1)> beam"
    assert opinion(parts, first) == Said("A4C", True, "fair", note)
    assert opinion(parts, second) == Said("A2C", None, None, "")


def test_the_guess_is_hidden_until_it_is_asked_for_and_that_is_kept(anna, parts, ground):
    assert not anna.page.is_visible("#guess")
    anna.press(A4C)
    anna.page.keyboard.press("g")
    assert ground[1][anna.clip()] in anna.page.inner_text("#guess")
    anna.press(A4C)
    anna.said("Saved")
    anna.until(lambda: len(parts.records.history()) == 2)
    assert [event.shown for event in parts.records.history()] == [True, False]


def test_undo_shows_the_clip_again_and_redo_brings_the_label_back(anna, parts):
    first, second = anna.press(A4C), anna.press(PLAX)
    anna.said("Saved PLAX")
    anna.page.keyboard.press("z")
    anna.page.wait_for_selector(f"#cine[data-clip='{second}'][data-state=ready]")
    anna.until(lambda: opinion(parts, second) is None)
    anna.page.click("#undo")
    anna.page.wait_for_selector(f"#cine[data-clip='{first}'][data-state=ready]")
    assert opinion(parts, first) is None
    anna.page.keyboard.press("y")
    anna.until(lambda: opinion(parts, first) == Said("A4C"))


def test_back_shows_what_was_said_and_lets_it_be_changed(anna, parts):
    first = anna.press(A4C)
    anna.page.keyboard.press("ArrowLeft")
    anna.page.wait_for_selector(f"#cine[data-clip='{first}'][data-state=ready]")
    assert "A4C" in anna.page.inner_text("#before")
    anna.press(A2C)
    anna.until(lambda: opinion(parts, first) == Said("A2C"))


def test_skipping_says_nothing_and_skipped_clips_come_back(anna, parts):
    skipped = anna.press("s")
    assert skipped != anna.clip()
    assert parts.records.version() == 0


def test_a_label_that_cannot_be_saved_is_not_called_saved_and_is_sent_again_after_a_reload(anna, parts):
    anna.context.route("**/v1/labels", lambda route: route.fulfill(status=503, body="{}"))
    clip = anna.press(A4C)
    anna.page.wait_for_selector("#unsaved:not([hidden])")
    assert "Saved" not in anna.page.inner_text("#status-text")
    assert parts.records.version() == 0
    waiting = json.loads(anna.page.evaluate("sessionStorage.getItem('apical-unsaved')"))
    warned = []
    anna.page.on("dialog", lambda dialog: (warned.append(dialog.type), dialog.accept()))
    anna.page.click("#cine")
    anna.page.reload()
    assert warned == ["beforeunload"]
    anna.context.unroute("**/v1/labels")
    anna.until(lambda: opinion(parts, clip) == Said("A4C"))
    assert len(waiting) == len(parts.records.history()) == 1


def test_an_answer_that_was_lost_on_the_way_is_one_label(anna, parts):
    lost = []

    def lose_once(route):
        if lost:
            return route.continue_()
        lost.append(route.fetch().status)  # the server has it, the page does not know
        return route.abort()

    anna.context.route("**/v1/labels", lose_once)
    clip = anna.press(A4C)
    anna.said("Saved A4C")
    assert lost == [200]
    assert [event.clip for event in parts.records.history()] == [clip]


def test_two_tabs_that_differ_let_the_annotator_choose(anna, parts):
    clip = anna.clip()
    (task,) = parts.records.offer("anna", [(clip, "single", None)])
    parts.write([clip], lambda: parts.records.say(task, Said("A5C"), key=key(), shown=False, seconds=None))
    anna.page.keyboard.press(A4C)
    anna.page.wait_for_selector("#conflict[open]")
    assert "A5C" in anna.page.inner_text("#conflict")
    anna.page.click("#conflict [data-choice=here]")
    anna.until(lambda: opinion(parts, clip) == Said("A4C"))


def test_a_new_tab_goes_on_where_the_other_is(anna, parts):
    done = {anna.press(A4C), anna.press(A4C)}
    other = anna.tab()
    other.wait_for_selector(READY)
    assert other.get_attribute("#cine", "data-clip") not in done


def test_the_picture_can_be_stopped_stepped_and_changed(anna):
    page = anna.page
    frame = lambda: page.inner_text(".reading.frame")  # noqa: E731
    anna.until(lambda: frame().endswith("/ 4"))
    page.keyboard.press("Space")
    before = frame()
    page.wait_for_timeout(300)
    assert frame() == before
    page.keyboard.press(".")
    assert frame() != before
    page.keyboard.press(",")
    assert frame() == before
    page.keyboard.press("+")
    page.locator(".looks input").first.fill("1.6")
    assert "brightness(1.6)" in page.evaluate("document.querySelector('#cine canvas').style.filter")
    anna.press(A4C)
    assert "brightness(1.6)" in page.evaluate("document.querySelector('#cine canvas').style.filter"), (
        "it stays"
    )
    page.keyboard.press("r")
    assert page.evaluate("document.querySelector('#cine canvas').style.filter") == ""


def test_a_name_is_asked_for_and_is_text(browser, address, parts):
    visitor = Visitor(browser, address, name=None)
    visitor.page.fill("#name-text", " Ada <b onclick=alert(1)>x</b> ")
    visitor.page.keyboard.press("Enter")
    visitor.press(A4C)
    visitor.said("Saved")
    assert visitor.page.inner_text("#annotator") == "Ada <b onclick=alert(1)>x</b>"
    assert parts.records.annotators() == ["Ada <b onclick=alert(1)>x</b>"]
    visitor.close()


def test_the_token_is_asked_for_and_leaves_the_address(browser, ground, tmp_path):
    token = "a-long-enough-token"
    with serving(parts_of(ground[0], tmp_path / "state", ground[1], token)) as address:
        visitor = Visitor(browser, address)
        visitor.page.fill("#token-text", token)
        visitor.page.keyboard.press("Enter")
        visitor.clip()
        other = visitor.tab(f"#token={token}")
        other.wait_for_selector(READY)
        assert token not in other.url
        visitor.close()


def test_all_can_be_done_by_keys(anna, parts):
    """Tab reaches every control, with a focus that is seen, and a button answers by Enter."""
    page, seen = anna.page, set()
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.view || ''"))
        assert page.evaluate("document.activeElement === document.body") or page.evaluate(OUTLINE) != "none"
    assert {"undo", "redo", "theme", "help", "skip", "back", "PLAX", "IVC", "none", "cannot-tell"} <= seen
    page.focus("[data-view=IVC]")
    clip = anna.clip()
    page.keyboard.press("Enter")
    anna.until(lambda: opinion(parts, clip) == Said("IVC"))


def test_when_all_is_labelled_the_page_says_so(browser, tmp_path):
    truth = write_ground(tmp_path, patients=2, times=1)
    parts = parts_of(tmp_path, tmp_path / "state", truth)
    with serving(parts) as address:
        visitor = Visitor(browser, address)
        for _ in range(4):
            visitor.press(A4C)
        visitor.page.keyboard.press(A4C)
        visitor.page.wait_for_selector("#cine[data-state=end]")
        visitor.close()
