"""The labelling page's server over HTTP: what is said is kept, what must not get in does not."""

import json
import sqlite3

import numpy as np
import pytest
from labelling_ground import VIEWS, VOCABULARY, key, parts_of, write_ground
from starlette.testclient import TestClient

from apical.catalogue import read_catalogue
from apical.label.advice import Pick, Suspicion
from apical.label.app import MOST_BODY, make_app

HOME = "http://127.0.0.1"
TOKEN = "0123456789abcdef-secret"


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    return folder, write_ground(folder)


@pytest.fixture
def make(ground, tmp_path):
    """Parts and a client of a server in a state folder of the test's own."""
    folder, truth = ground
    opened = []

    def build(token=None, state="state", **changes):
        parts = parts_of(folder, tmp_path / state, truth, token, **changes)
        opened.append(parts)
        return parts, TestClient(make_app(parts), base_url=HOME, raise_server_exceptions=False)

    yield build
    for parts in opened:
        parts.pictures.stop()
        parts.records.close()


@pytest.fixture
def site(make):
    return make(second_readings=0, repeats=0)


def following(client, annotator="anna", queue="useful", count=8, without=""):
    answer = client.get(
        "/v1/next", params={"annotator": annotator, "queue": queue, "count": count, "without": without}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def say(client, item, view, expect=200, **changes):
    body = {
        "task": item["task"], "said": {"view": view}, "key": key(), "shown": False, "seconds": 1.5,
        "seen": item["seen"],
    } | changes  # fmt: skip
    answer = client.post("/v1/labels", json=body)
    assert answer.status_code == expect, answer.text
    return answer.json()


def test_what_is_said_is_on_the_disk_when_the_answer_comes(site, tmp_path):
    _, client = site
    item = following(client)["items"][0]
    said = {"view": "A4C", "contrast_agent": True, "quality": "poor", "note": "gain <b>low</b>"}
    answer = say(client, item, "A4C", said=said)
    assert answer["said"] == said
    assert answer["counts"] == {"labelled": 1, "own": 1}
    with sqlite3.connect(tmp_path / "state/labels.sqlite") as other:  # what another process sees
        (found,) = other.execute("SELECT count(*) FROM events WHERE clip = ?", [item["clip"]]).fetchone()
    assert found == 1


def test_a_clip_that_was_answered_is_not_offered_again(site, ground):
    _, client = site
    seen = set()
    for _ in range(70):
        item = following(client, count=1)["items"][0]
        assert item["clip"] not in seen
        seen.add(item["clip"])
        say(client, item, ground[1][item["clip"]])
    assert following(client)["items"] == [], "ten of the eighty are a test patient's"


def test_clips_of_test_patients_are_not_offered(site, ground):
    _, client = site
    clips = [item["clip"] for item in following(client, count=50)["items"]]
    assert len(clips) == 50
    assert not [clip for clip in clips if clip.startswith("07-")]


def test_what_the_page_has_already_is_left_out(site):
    _, client = site
    first = [item["clip"] for item in following(client, count=5)["items"]]
    second = [item["clip"] for item in following(client, count=5, without=",".join(first))["items"]]
    assert not set(first) & set(second)


def test_the_same_request_sent_twice_is_one_label(site):
    parts, client = site
    item = following(client)["items"][0]
    same = {"key": key()}
    first = say(client, item, "A4C", **same)
    assert say(client, item, "A4C", **same)["event"] == first["event"]
    assert len(parts.records.history()) == 1


def test_who_said_something_else_in_another_tab_is_asked(site):
    parts, client = site
    item = following(client)["items"][0]
    say(client, item, "A4C")
    refused = say(client, item, "A2C", expect=409)
    assert refused["said"]["view"] == "A4C"
    assert len(parts.records.history()) == 1
    say(client, item, "A2C", seen=refused["seen"])
    assert parts.board.label(item["clip"]).view == "A2C"


def test_undo_and_redo_give_what_then_stands(site):
    _, client = site
    item = following(client)["items"][0]
    say(client, item, "A4C")
    back = {"annotator": "anna", "key": key()}
    undone = client.post("/v1/undo", json=back).json()
    assert undone["clips"] == [item["clip"]]
    assert undone["said"] is None
    assert undone["counts"]["labelled"] == 0
    assert following(client, queue=f"clip:{item['clip']}")["items"][0]["said"] is None
    done = client.post("/v1/redo", json=back | {"key": key()}).json()
    assert done["said"]["view"] == "A4C"
    assert client.post("/v1/redo", json=back | {"key": key()}).json()["clips"] == []


def test_a_wall_is_one_action(site, ground):
    parts, client = site
    clips = [clip for clip, view in ground[1].items() if view == "A4C"][:6]
    body = {"annotator": "anna", "clips": clips, "said": {"view": "A4C"}, "kind": "wall", "key": key()}
    answer = client.post("/v1/batch", json=body).json()
    assert len(answer["events"]) == 6
    assert all(event.shown and event.guess.view == "A4C" for event in parts.records.history())
    client.post("/v1/undo", json={"annotator": "anna", "key": key()})
    assert parts.board.labelled() == 0


def test_the_coach_learns_what_counts(site, ground):
    parts, client = site
    item = following(client)["items"][0]
    say(client, item, "A4C")
    row = parts.board.row[item["clip"]]
    assert parts.coach.taught[-1].label[row] == VOCABULARY.names.index("A4C")
    assert (np.delete(parts.coach.taught[-1].label, row) == -1).all()


def test_the_picks_of_the_coach_come_first_with_their_reasons(site):
    parts, client = site
    parts.coach.picks = [Pick(33, "typical of group 2"), Pick(4, "unsure, A4C or A2C: labels of A4C 3")]
    items = following(client)["items"]
    assert [(item["clip"], item["why"]) for item in items[:2]] == [
        (str(parts.board.clips.clip[33]), "typical of group 2"),
        (str(parts.board.clips.clip[4]), "the model is unsure"),
    ]  # fmt: skip


def test_two_annotators_are_not_shown_the_same_new_clip(site):
    _, client = site
    anna = {item["clip"] for item in following(client, "anna")["items"]}
    ben = {item["clip"] for item in following(client, "ben")["items"]}
    assert not anna & ben


def test_second_readings_come_unseen_among_the_others(make, ground):
    _, client = make(second_readings=1, repeats=0)
    read = []
    for _ in range(6):
        item = following(client, "anna", count=1)["items"][0]
        say(client, item, ground[1][item["clip"]])
        read.append(item["clip"])
    items = following(client, "ben", count=14)["items"]
    again = [item for item in items if item["clip"] in read]
    assert len(again) == 2
    assert all(item["said"] is None and item["opinions"] == [] and item["label"] is None for item in again)


def test_repeats_come_without_a_sign_and_change_no_opinion(make, ground):
    parts, client = make(second_readings=0, repeats=1)
    said = {}
    for _ in range(60):
        item = following(client, count=7)["items"][-1]  # the seventh is one that was seen before, if any
        known = item["clip"] in said
        assert item["said"] is None
        assert item["seen"] == 0
        say(client, item, "PLAX" if known else ground[1][item["clip"]])
        if known:
            break
        said[item["clip"]] = ground[1][item["clip"]]
    assert known, "a clip came again"
    (repeat,) = parts.records.repeats()
    assert repeat.second.view == "PLAX"
    assert parts.records.opinions_of(repeat.clip)["anna"].view == said[repeat.clip]


def test_the_reason_does_not_give_a_repeat_away(make, ground):
    parts, client = make(second_readings=0, repeats=1)
    for _ in range(30):
        item = following(client, count=1)["items"][0]
        say(client, item, ground[1][item["clip"]])
    items = following(client, count=14)["items"]
    again = [item for item in items if parts.records.opinions_of(item["clip"])]
    others = [item for item in items if not parts.records.opinions_of(item["clip"])]
    assert again
    assert {item["why"] for item in again} <= {item["why"] for item in others}


def test_a_dispute_is_shown_with_its_opinions_and_decided(site):
    parts, client = site
    item = following(client, "anna")["items"][0]
    say(client, item, "A4C")
    other = following(client, "ben", queue=f"clip:{item['clip']}")["items"][0]
    say(client, other, "A5C")
    assert parts.board.label(item["clip"]).disputed
    found = following(client, "carla", queue="disagreements")["items"]
    assert [(one["annotator"], one["said"]["view"]) for one in found[0]["opinions"]] == [
        ("anna", "A4C"), ("ben", "A5C"),
    ]  # fmt: skip
    say(client, found[0], "A5C")
    assert parts.board.label(item["clip"]).view == "A5C"
    assert following(client, "carla", queue="disagreements")["items"] == []


def test_a_doubted_label_is_asked_about_once(site, ground):
    parts, client = site
    item = following(client)["items"][0]
    say(client, item, "A4C")
    row = parts.board.row[item["clip"]]
    parts.coach.suspects = [Suspicion(row, VOCABULARY.names.index("A5C"), 0.9)]
    (doubted,) = following(client, queue="suspects")["items"]
    assert (doubted["label"], doubted["likelier"]) == ("A4C", "A5C")
    say(client, doubted, "A4C")
    assert following(client, queue="suspects")["items"] == []


def test_cannot_tell_teaches_nothing_and_is_not_asked_again(site):
    parts, client = site
    item = following(client)["items"][0]
    say(client, item, "cannot-tell")
    row = parts.board.row[item["clip"]]
    assert parts.coach.taught[-1].label[row] == -3
    assert not parts.board.is_open(row)
    say(client, following(client)["items"][0], "none")
    assert parts.coach.taught[-1].label.min() == -3
    assert (parts.coach.taught[-1].label == -2).sum() == 1


def test_progress_counts_patients_and_clips(site, ground):
    _, client = site
    for item in following(client, count=3)["items"]:
        say(client, item, "A4C")
    told = client.get("/v1/progress", params={"annotator": "anna"}).json()
    a4c = next(one for one in told["views"] if one["name"] == "A4C")
    assert (a4c["patients"], a4c["clips"]) == (3, 3)
    assert (told["labels"], told["own"], told["today"], told["clips"]) == (3, 3, 3, 70)
    assert told["help"] == [{"view": "A5C", "patients": 3}]


def test_walls_map_and_alike_clips_are_those_on_offer(site, ground):
    parts, client = site
    groups = client.get("/v1/groups").json()["groups"]
    assert sum(group["unlabelled"] for group in groups) == 70
    tiles = client.get(f"/v1/groups/{groups[0]['group']}", params={"count": 200, "annotator": "anna"}).json()
    assert {ground[1][tile["clip"]] for tile in tiles["items"]} == {groups[0]["guess"]}
    chart = client.get("/v1/map").json()
    assert len(chart["clip"]) == len(chart["x"]) == len(chart["guess"]) == 70
    like = client.get(f"/v1/clips/{tiles['items'][0]['clip']}/alike").json()["items"]
    assert {ground[1][tile["clip"]] for tile in like[:10]} == {groups[0]["guess"]}
    parts.coach.ready = False
    for path in ("/v1/groups", "/v1/groups/0", "/v1/map", f"/v1/clips/{tiles['items'][0]['clip']}/alike"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert len(following(client)["items"]) == 8, "clips come without a coach too"


def test_pictures_come_with_their_shape(site):
    _, client = site
    clip = following(client)["items"][0]["clip"]
    for size in ("small", "large"):  # the files are not there, so both are the store's
        answer = client.get(f"/v1/clips/{clip}/cine", params={"size": size})
        assert answer.content[:2] == b"\xff\xd8"
        assert (answer.headers["x-cine-frames"], answer.headers["x-cine-source"]) == ("4", "store")
    assert client.get("/v1/reference/A4C").content[:2] == b"\xff\xd8"
    assert client.get("/v1/reference/nothing").status_code == 404


def test_tables_out_and_in(make, ground):
    _, client = make(second_readings=0, repeats=0)
    items = following(client, count=3)["items"]
    for item, view in zip(items, ("A4C", "none", "cannot-tell"), strict=True):
        say(client, item, view)
    table = client.get("/v1/export/labels.csv")
    assert "attachment" in table.headers["content-disposition"]
    history = client.get("/v1/export/history.json").json()
    assert len(history["events"] if isinstance(history, dict) else history) == 3
    fresh, other = make(state="other", second_readings=0, repeats=0)
    answer = other.post("/v1/import", params={"annotator": "ben", "format": "csv"}, content=table.content)
    assert answer.status_code == 200, answer.text
    assert fresh.board.label(items[0]["clip"]).view == "A4C"
    assert fresh.board.label(items[1]["clip"]).view == "none"


def test_merging_writes_the_catalogue_and_only_then(tmp_path):
    truth = write_ground(tmp_path)
    parts = parts_of(tmp_path, tmp_path / "state", truth, second_readings=0.0, repeats=0.0)
    client = TestClient(make_app(parts), base_url=HOME)
    before = (tmp_path / "catalogue.parquet").read_bytes()
    item = following(client)["items"][0]
    say(client, item, "A4C")
    assert (tmp_path / "catalogue.parquet").read_bytes() == before
    assert client.post("/v1/merge", json={}).json()["labelled"] == 1
    row = read_catalogue(tmp_path / "catalogue.parquet").row(by_predicate=None, index=0, named=True)
    table = read_catalogue(tmp_path / "catalogue.parquet").drop_nulls("view")
    assert table.select("clip", "view", "labelled_by").rows() == [(item["clip"], "A4C", "anna")]
    assert row["split"] == "train"
    client.post("/v1/undo", json={"annotator": "anna", "key": key()})
    assert client.post("/v1/merge", json={}).json()["cleared"] == 1
    parts.pictures.stop()
    parts.records.close()


def test_no_identifier_is_told_unless_asked_for(make):
    for shows in (False, True):
        _, client = make(state=f"state{shows}", show_identifiers=shows)
        items = following(client, count=5)["items"]
        say(client, items[0], "A4C")
        paths = ["/v1/session", "/v1/progress", "/v1/groups", "/v1/map", "/v1/agreement", "/v1/history"]
        told = json.dumps(items) + "".join(client.get(path).text for path in paths)
        told += client.get(f"/v1/clips/{items[0]['clip']}").text
        assert ("pseudonym" in told) == shows
        assert "DOE" not in told, "a folder's name never is"
        assert "nowhere" not in told


BAD_LABELS = [
    {"task": "0" * 32},
    {"said": {"view": "A9C"}},
    {"said": {"view": 7}},
    {"said": {"view": "A4C", "note": "x" * 501}},
    {"said": {"view": "A4C", "note": "a\nb"}},
    {"said": {"view": "A4C", "quality": "superb"}},
    {"said": {"view": "A4C", "more": 1}},
    {"key": "short"},
    {"seconds": -1},
    {"seen": -1},
    {"admin": True},
]


@pytest.mark.parametrize("change", BAD_LABELS)
def test_what_is_no_label_is_refused_and_not_kept(site, change):
    parts, client = site
    item = following(client)["items"][0]
    body = {
        "task": item["task"],
        "said": {"view": "A4C"},
        "key": key(),
        "shown": False,
        "seconds": 1,
        "seen": 0,
    }
    answer = client.post("/v1/labels", json=body | change)
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"problem", "do"}
    assert parts.records.history() == []


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\x00b", "a\u202eb"])
def test_who_has_no_name_gets_no_clip(site, name):
    _, client = site
    assert client.get("/v1/next", params={"annotator": name}).status_code in (400, 422)


PATHS = ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/", "/etc/passwd", "a" * 3000, "%00", "nothing"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "place", ["/v1/clips/{}", "/v1/clips/{}/cine", "/v1/reference/{}", "/{}", "/views/{}"]
)
def test_no_path_leads_out_of_the_catalogue(site, path, place):
    _, client = site
    answer = client.get(place.format(path))
    assert answer.status_code in (404, 422, 307), answer.text
    assert "root:" not in answer.text


def test_another_sites_page_can_change_nothing(site):
    parts, client = site
    item = following(client)["items"][0]
    body = {
        "task": item["task"],
        "said": {"view": "A4C"},
        "key": key(),
        "shown": False,
        "seconds": 1,
        "seen": 0,
    }
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        assert client.post("/v1/labels", json=body, headers=headers).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = client.post("/v1/labels", content=json.dumps(body), headers={"Content-Type": kind})
        assert answer.status_code in (415, 422)
    assert parts.records.history() == []


def test_with_a_token_nothing_is_told_without_it(make):
    _, client = make(token=TOKEN)
    for path in (
        "/v1/session",
        "/v1/next?annotator=anna",
        "/v1/progress",
        "/v1/export/labels.csv",
        "/v1/map",
    ):
        assert client.get(path).status_code == 401
    for path in ("/v1/labels", "/v1/batch", "/v1/undo", "/v1/merge", "/v1/import", "/v1/fine-tune"):
        assert client.post(path, json={}).status_code == 401
    assert client.get("/").status_code == 200, "the page itself holds no data"
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/v1/session", headers=known).status_code == 200


def test_too_much_is_refused(site, ground):
    _, client = site
    clips = [f"clip{number}" for number in range(201)]
    body = {"annotator": "anna", "clips": clips, "said": {"view": "A4C"}, "kind": "wall", "key": key()}
    assert client.post("/v1/batch", json=body).status_code == 422
    assert client.post("/v1/labels", content=b" " * (MOST_BODY + 1)).status_code == 413
    body = {**body, "clips": [next(iter(ground[1])), "no clip"]}
    assert client.post("/v1/batch", json=body).status_code in (400, 404)


def test_the_page_allows_no_script_but_its_own(site):
    _, client = site
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    page = client.get("/").text
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_views_have_keys_of_their_own(site):
    _, client = site
    keys = [view["key"] for view in client.get("/v1/session").json()["views"]]
    assert len(set(keys)) == len(keys) == len(VOCABULARY)
    assert set(VIEWS) <= set(VOCABULARY.names)
