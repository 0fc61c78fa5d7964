"""The page in a real browser, before a service that is made up: what it shows, sends and survives."""

import csv
import json
import re
import zipfile

import pytest
from fake_service import FRAMES, SAID, VIEWS, Told, start

from real_browser import CHROMIUM, browser, wait

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

ROWS = "[...document.querySelectorAll('tbody tr')]"
ANSWERED = "/are answered/.test(document.querySelector('#said').textContent)"
MET = "document.querySelector('#model').textContent.includes('ef9894d93dc8')"
SEEN = "document.querySelector('.cine img')?.naturalWidth > 0 && document.querySelector('.votes')"

# Texts that are seen whose contrast with what lies behind them is too low (WCAG 2.2, 1.4.3).
TOO_PALE = """(() => {
  const parts = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+(?:e-?\\d+)?/g).map(Number);
    return [...(colour.startsWith("color(") ? [r, g, b] : [r / 255, g / 255, b / 255]), a];
  };
  const light = (c) => c.slice(0, 3).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parts(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0.5) return colour;
    }
  };
  const texts = [...document.querySelectorAll("body *")].filter((e) =>
    e.checkVisibility({ opacityProperty: true })
    && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
  if (texts.length < 20) return ["too few texts are seen"];
  return texts.map((e) => {
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))].sort((a, b) => b - a);
    return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5).map(String);
})()"""


@pytest.fixture(scope="module")
def new_tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as new_tab:
        yield new_tab


@pytest.fixture
def told():
    return Told(speed=12)


@pytest.fixture
def service(told):
    server = start(told)
    yield server
    told.gate.set()
    end(server)


@pytest.fixture
def tab(new_tab, service):
    tab = opened(new_tab, service)
    yield tab
    check(tab, service)


@pytest.fixture
def exam(tmp_path):
    return write_exam(tmp_path)


@pytest.fixture(scope="module")
def shown(new_tab, tmp_path_factory):
    """A tab in which all is answered, for tests that only look; they leave it as they found it."""
    service = start(Told(speed=12))
    tab = opened(new_tab, service)
    answered(tab, write_exam(tmp_path_factory.mktemp("shown")))
    yield tab
    check(tab, service)
    end(service)


def opened(new_tab, service):
    tab = new_tab()
    tab.screen(1400, 900)
    tab.open(f"http://127.0.0.1:{service.server_port}/")
    return tab


def check(tab, service):
    """The browser had nothing to complain of, and nobody else was asked for anything."""
    assert tab.complaints() == []
    asked = {address.split("/")[2] for address in tab.addresses() if not address.startswith("blob:")}
    assert asked == {f"127.0.0.1:{service.server_port}"}


def end(server):
    server.shutdown()
    server.server_close()


def write_exam(root):
    """A clip for each kind of answer, in two folders."""
    return [
        write(root / f"exam/{'rest' if place < 6 else 'stress'}/DOE_JANE_{place}.dcm", b"clip %d" % place)
        for place in range(len(SAID))
    ]


def write(path, content=b"a clip"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def rows(tab):
    return tab.texts("tbody tr")


def answered(tab, files):
    tab.until(MET)
    tab.choose("#files", files)
    tab.until(ANSWERED)


def open_row(tab, place, seen=SEEN):
    tab.ask(f"{ROWS}[{place}].querySelector('button').click()")
    tab.until(seen)


def test_a_folder_that_is_dropped_is_answered_row_by_row(tab, exam):
    tab.until(MET)
    tab.drop("#drop", [exam[0].parent.parent])
    tab.until(ANSWERED)
    found = rows(tab)
    assert [row.split()[0] for row in found] == [path.name for path in exam]
    assert found[1] == "DOE_JANE_1.dcm exam/rest A4C apical four-chamber 93 % A4C, A5C"
    assert found[2].endswith("A2C apical two-chamber doubtful 61 % A2C, A3C, A4C")
    assert found[5].endswith("– nearest: IVC unknown")
    assert found[6].endswith("shows spectral Doppler not 2-D")
    assert found[7].endswith("pixel data is cut off: 3 of 40 frames are there problem")
    assert "contrast agent" in found[8]
    assert "contrast agent" not in found[1]


def test_it_counts_the_kinds_and_shows_only_those_that_are_asked_for(shown):
    assert shown.texts(".tile") == [
        "12 clips", "7 named", "2 doubtful", "1 unknown", "1 not 2-D", "1 problem",
    ]  # fmt: skip
    shown.click(".tile.doubtful")
    assert [row.split()[0] for row in rows(shown)] == ["DOE_JANE_2.dcm", "DOE_JANE_11.dcm"]
    shown.click(".tile.doubtful")
    assert len(rows(shown)) == 12


def test_it_says_which_taught_views_are_there(shown):
    assert shown.texts("#strip b") == list(VIEWS.names)
    assert shown.texts("#strip .doubtful b") == ["A2C", "subcostal-4C"]
    # of IVC there is only a clip that is unknown, which shows none
    assert shown.texts("#strip .missing b") == ["RV-inflow", "PSAX-apex", "A5C", "IVC", "suprasternal"]
    assert shown.texts("#strip-words") == ["6 of 13 present, 2 doubtful, 5 missing"]


def test_while_clips_wait_no_view_is_missing_yet(tab, told, exam):
    told.speed = 0
    tab.until(MET)
    tab.choose("#files", exam)
    wait(lambda: tab.texts("#strip-words") == ["0 of 13 present, 0 doubtful, 13 not yet"])
    assert tab.texts(".tile.waiting") == ["12 waiting"]


def test_a_clip_is_shown_with_its_cine_a_sentence_and_why(shown):
    open_row(shown, 1)
    (said,) = shown.texts("#detail")
    assert "A4C (apical four-chamber) with 93 %. Also credible: A5C." in said
    assert "its distance from the views taught is 213, and up to 409 counts as known" in said
    assert "Yes: 93 %, where 80 % is asked for." in said
    assert "ef9894d93dc8, openvino (cpu, int8)" in said
    assert len(shown.texts(".bars li")) == 5
    assert shown.texts(".bars .credible") == ["A4C 93 % credible", "A5C 4 % credible"]
    votes = shown.ask("[...document.querySelectorAll('.vote')].map(vote => vote.ariaLabel)")
    assert len(votes) == len(FRAMES)
    assert votes[2] == "Frame 12: A5C with 77 %"


def test_each_kind_of_answer_has_its_sentence(shown):
    best = "PSAX-PM (parasternal short axis at the papillary muscles) with > 99 %."
    doubtful = "Doubtful: most likely A2C (apical two-chamber) with 61 %, where 80 % is asked for."
    for place, sentence in (
        (2, f"{doubtful} Also credible: A3C, A4C."),
        (4, f"{best} No other view is credible."),
        (5, "Looks like none of the views taught; the nearest is IVC (subcostal inferior vena cava)."),
        (6, "Shows spectral Doppler. Views are named in 2-D clips only."),
        (7, "It could not be looked at: pixel data is cut off: 3 of 40 frames are there."),
    ):
        open_row(shown, place, f"document.querySelector('.verdict').innerText === {json.dumps(sentence)}")


def test_a_frame_can_be_stopped_at_and_its_picture_is_another_one(shown):
    open_row(shown, 1)
    pictures = []
    for place in (0, 4):
        shown.ask(f"document.querySelectorAll('.vote')[{place}].click()")
        shown.until(f"document.querySelector('.which').innerText === 'Frame {FRAMES[place]}'")
        pictures.append(shown.ask("document.querySelector('canvas').toDataURL()"))
    assert pictures[0] != pictures[1]
    shown.click(".pause")
    assert shown.ask("document.querySelector('.cine img:not([hidden]) ~ canvas[hidden]') !== null")


def test_what_is_one_frame_cannot_be_stopped(shown):
    open_row(shown, 4)
    shown.until("/One look was enough/.test(document.querySelector('#detail').innerText)")
    assert shown.texts(".pause") == []


def test_nothing_moves_where_less_motion_is_wanted(tab, exam):
    tab.screen(1400, 900, prefers_reduced_motion="reduce")
    answered(tab, exam)
    open_row(tab, 1, "document.querySelector('.cine img[hidden] ~ canvas:not([hidden])')")


def test_a_cine_is_given_back_when_another_clip_is_opened(shown):
    open_row(shown, 1)
    address = shown.ask("document.querySelector('.cine img').src")
    assert address.startswith("blob:")
    loads = f"(i => (i.src = '{address}', i.decode().then(() => true, () => false)))(new Image())"
    assert shown.ask(loads)
    open_row(shown, 2)
    assert not shown.ask(loads)


def test_arrow_keys_go_from_clip_to_clip_and_escape_leaves(shown):
    shown.ask(f"{ROWS}[3].querySelector('button').focus()")
    focus = f"{ROWS}.findIndex(row => row.contains(document.activeElement))"
    current = f"{ROWS}.findIndex(row => row.ariaCurrent === 'true')"
    shown.press("ArrowDown")
    assert (shown.ask(focus), shown.ask(current)) == (4, 4)
    shown.press("ArrowUp")
    shown.press("ArrowUp")
    assert (shown.ask(focus), shown.ask(current)) == (2, 2)
    shown.press("Escape")
    assert shown.ask("document.querySelector('#detail').hidden")
    assert shown.ask(focus) == 2
    shown.press("Enter")
    assert (shown.ask(focus), shown.ask(current)) == (2, 2)


def test_names_of_files_stay_in_the_browser(tab, told, tmp_path):
    for name in ("DOE_JANE.dcm", "DOE.1.2.840.113619.77", "DOE.Nii.GZ"):
        write(tmp_path / "DOE^JANE" / name)
    tab.until(MET)
    tab.drop("#drop", [tmp_path / "DOE^JANE"])
    tab.until(ANSWERED)
    sent = b"".join(told.bodies) + "".join(f"{method} {path}" for method, path in told.requests).encode()
    assert sorted(re.findall(rb'filename="([^"]*)"', sent)) == [b"clip-1.dcm", b"clip-2", b"clip-3.nii.gz"]
    assert b"DOE" not in sent
    assert b"113619" not in sent
    assert "DOE_JANE.dcm" in " ".join(rows(tab))


def test_what_computers_put_into_folders_is_left_out_and_said(tab, told, tmp_path):
    for name in ("one.dcm", ".DS_Store", "Thumbs.db", "DICOMDIR"):
        write(tmp_path / "exam" / name, name.encode())
    told.speed = 0
    tab.until(MET)
    tab.drop("#drop", [tmp_path / "exam"])
    wait(lambda: tab.texts("#said") == ["3 hidden or index files were left out."])
    told.speed = 1
    tab.until(ANSWERED)
    assert told.items == [b"one.dcm"]


def test_a_name_that_is_markup_is_only_text(tab, tmp_path):
    name = "<img src=x onerror=window.caught=1><script>window.caught=1<&#x2f;script>.dcm"
    answered(tab, [write(tmp_path / name)])
    open_row(tab, 0)
    assert rows(tab)[0].startswith(name.split()[0])
    assert tab.ask("document.querySelector('#detail-title').innerText") == name
    assert tab.ask("window.caught === undefined && !document.querySelector('tbody img, #detail h2 *')")


def test_the_token_is_asked_for_until_it_fits_and_kept_in_the_tab(new_tab, service, told, exam):
    told.token = "right"
    tab = new_tab()
    tab.open(f"http://127.0.0.1:{service.server_port}/")
    form = "!document.querySelector('#token').hidden"
    for token in ("wrong", "right"):
        tab.until(form)
        assert tab.ask("document.activeElement.id") == "token-text"
        tab.ask(f"document.querySelector('#token-text').value = '{token}'")
        tab.click("#token button")
        tab.until(form if token == "wrong" else MET)
    answered(tab, exam[:2])
    open_row(tab, 1)  # the cine asks for it, too
    assert not tab.ask(form)
    assert tab.ask("JSON.stringify(sessionStorage)") == '{"apical-token":"right"}'
    assert tab.ask("[localStorage.length, document.cookie, location.search]") == [0, "", ""]
    assert "right" not in str(told.requests)
    assert tab.complaints() == []


def test_a_busy_service_is_asked_again_and_each_clip_is_sent_once(tab, told, exam):
    told.refusals = 2
    answered(tab, exam)
    assert told.refusals == 0
    assert told.items == [b"clip %d" % place for place in range(12)]
    assert tab.ask("document.querySelector('#connection').hidden")


def test_it_outlives_a_restart_of_the_service(tab, service, told, exam):
    told.speed = 0
    tab.until(MET)
    tab.choose("#files", exam)
    wait(lambda: len(told.items) == 12)
    end(service)
    wait(lambda: tab.texts("#connection") == ["Connection lost, trying again …"])
    told.speed = 12
    again = start(told, service.server_port)
    try:
        tab.until(ANSWERED)
        assert tab.ask("document.querySelector('#connection').hidden")
        assert len(told.items) == 12
        assert rows(tab)[0].endswith("PLAX parasternal long axis 97 % PLAX")
    finally:
        end(again)


def test_a_job_that_the_service_forgot_is_a_problem_that_says_so(tab, told, exam):
    told.speed = 0
    tab.until(MET)
    tab.choose("#files", exam[:2])
    wait(lambda: told.jobs)
    told.jobs.clear()
    tab.until(ANSWERED)
    assert ["the service has forgotten this clip; send it again" in row for row in rows(tab)] == [True, True]


def test_sending_can_be_cancelled(tab, told, exam):
    told.gate.clear()
    tab.until(MET)
    tab.choose("#files", exam)
    tab.until("document.querySelector('#sent-words').innerText === '0 of 12 clips sent'")
    wait(lambda: ("POST", "/v1/jobs") in told.requests)
    tab.click("#cancel")
    tab.until("document.querySelector('#sending').hidden")
    tab.until(f"{ROWS}.every(row => /not sent: it was cancelled/.test(row.innerText))")
    told.gate.set()
    tab.choose("#files", exam[:1])
    tab.until(f"/%/.test({ROWS}[12]?.innerText)")  # and more can be sent after it
    assert len([one for one in told.requests if one == ("POST", "/v1/jobs")]) == 2


def test_a_clip_that_is_too_large_spoils_no_other(tab, told, tmp_path):
    told.largest = 5000
    answered(tab, [write(tmp_path / f"{n}.dcm", bytes(n)) for n in (100, 6000, 300)])
    assert told.items == [bytes(100), bytes(300)]
    assert ["too large for this service" in row for row in rows(tab)] == [False, False, True]  # 6000 is last


def test_an_archive_becomes_the_clips_that_are_in_it(tab, told, tmp_path):
    path = tmp_path / "exam.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for place in range(3):
            archive.writestr(f"{place}.dcm", b"member %d" % place)
    answered(tab, [write(tmp_path / "a.dcm"), path, write(tmp_path / "z.dcm")])
    assert told.items == [b"a clip", b"a clip", b"member 0", b"member 1", b"member 2"]
    assert [row.split()[0] for row in rows(tab)] == ["a.dcm", "1", "2", "3", "z.dcm"]
    assert tab.ask(f"{ROWS}[2].querySelector('small').innerText") == "exam.zip"


def test_a_file_that_goes_away_is_a_problem_and_ends_nothing(tab, told, tmp_path):
    told.gate.clear()
    files = [write(tmp_path / f"{n}.dcm", bytes(n)) for n in range(10, 16)]
    tab.until(MET)
    tab.choose("#files", files)
    wait(lambda: ("POST", "/v1/jobs") in told.requests)
    files[-1].unlink()
    told.gate.set()
    tab.until(ANSWERED)
    assert ["the file has gone" in row for row in rows(tab)] == [False] * 5 + [True]
    assert len(told.items) == 5


def test_many_files_are_sent_a_few_at_a_time_in_order(tab, told, tmp_path):
    answered(tab, [write(tmp_path / f"{n}.dcm", b"clip %d" % n) for n in range(41)])
    assert told.items == [b"clip %d" % n for n in range(41)]
    assert max(len(items) for items in told.jobs.values()) == 4
    assert tab.ask("document.querySelector('#sending').hidden")


def saved(tab, button, folder):
    tab.save_to(folder)
    tab.click(f"#{button}")
    path = folder / f"answers.{button}"
    wait(lambda: path.is_file() and path.stat().st_size)
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text


def test_answers_are_saved_as_csv_and_json_with_names_only_if_they_are_wanted(tab, exam, tmp_path):
    danger = write(tmp_path / 'exam/=HYPERLINK("x"),1.dcm')
    answered(tab, [*exam, danger])
    plain = saved(tab, "csv", tmp_path)
    assert "DOE" not in plain
    table = list(csv.DictReader(plain.splitlines()))
    assert [row["number"] for row in table] == [str(number) for number in range(1, 14)]
    assert "file" not in table[0]
    records = json.loads(saved(tab, "json", tmp_path))
    assert [row["view"] for row in table] == [record.get("view") or "" for record in records]
    assert [row["views"] for row in table] == [" ".join(record["views"]) for record in records]
    assert "DOE" not in str(records)
    assert "item" not in records[0]
    tab.click("#with-names")
    named = list(csv.DictReader(saved(tab, "csv", tmp_path).splitlines()))
    assert named[0]["file"] == '\'=HYPERLINK("x"),1.dcm'  # table programs would run it
    assert [row["file"] for row in named[1:]] == [path.name for path in exam]


def test_clips_of_several_studies_can_be_looked_at_study_by_study(tab, exam, tmp_path):
    answered(tab, exam)
    assert tab.texts("#study-choice") == []
    tab.choose("#files", [write(tmp_path / "a.dcm"), write(tmp_path / "b.dcm")])
    tab.until(f"/%/.test({ROWS}[13]?.innerText)")
    choose = "s.value = s.options[2].value, s.dispatchEvent(new Event('change'))"
    tab.ask(f"(s => ({choose}))(document.querySelector('#study'))")
    assert [row.split()[0] for row in rows(tab)] == ["a.dcm", "b.dcm"]
    assert tab.texts("#strip-words") == ["2 of 13 present, 0 doubtful, 11 missing"]
    assert tab.texts(".tile")[0] == "2 clips"


def test_clear_all_has_the_service_forget(tab, told, exam):
    answered(tab, exam)
    tab.click("#clear")
    wait(lambda: not told.jobs)
    assert rows(tab) == []
    assert tab.ask("document.querySelector('#results').hidden && document.querySelector('#detail').hidden")


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_it_fits_the_screen(tab, exam, width):
    tab.screen(width, 800)
    answered(tab, exam)
    too_wide = "document.documentElement.scrollWidth - innerWidth"
    assert tab.ask(too_wide) <= 0
    open_row(tab, 1)
    assert tab.ask("(d => d.scrollWidth - d.clientWidth)(document.querySelector('#detail'))") == 0
    assert tab.ask(too_wide) <= 0
    over_all = tab.ask("document.querySelector('#detail').getBoundingClientRect().width === innerWidth")
    assert over_all == (width < 960)
    assert tab.ask("document.querySelector('#overview').inert") == over_all  # none can go to what is hidden
    tab.press("Escape")
    assert not tab.ask("document.querySelector('#overview').inert")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(shown, scheme):
    shown.screen(1400, 900, scheme)
    for place in (1, 2, 5, 7):
        open_row(shown, place, "document.querySelector('.verdict')" if place == 7 else SEEN)
        assert shown.ask(TOO_PALE) == []
    shown.screen(1400, 900)


def test_every_control_has_a_name(shown):
    open_row(shown, 1)
    controls = shown.controls()
    assert len(controls) > 30
    assert [role for role, name in controls if not name.strip()] == []
    assert ("button", "Frame 12: A5C with 77 %") in controls


def test_it_says_what_it_is_not(shown):
    assert shown.texts(".research") == ["Research software, not a medical device"]


def test_the_browser_would_complain_of_what_the_policy_forbids(new_tab, service):
    tab = new_tab()
    tab.open(f"http://127.0.0.1:{service.server_port}/")
    tab.until(MET)
    assert tab.complaints() == []
    tab.ask("document.body.setAttribute('style', 'color: red')")
    wait(lambda: (tab.ask("1"), tab.complaints())[1])
