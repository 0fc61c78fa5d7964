"""The labelling page's server over HTTP: what is said is kept, and counts."""

import sqlite3
from urllib.parse import quote

import numpy as np
from labelling_ground import HOME, VIEWS, VOCABULARY, following, key, parts_of, say, write_ground
from starlette.testclient import TestClient

from apical.catalogue import read_catalogue
from apical.label.advice import Pick
from apical.label.app import make_app

TOKEN = "0123456789abcdef-secret"


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


def test_ids_may_hold_a_slash(tmp_path):
    truth = write_ground(tmp_path, patients=2, times=1, before="site/exam 1/")
    parts = parts_of(tmp_path, tmp_path / "state", truth)
    client = TestClient(make_app(parts), base_url=HOME)
    item = following(client)["items"][0]
    assert item["clip"].startswith("site/exam 1/")
    path = f"/v1/clips/{quote(item['clip'], safe='')}"
    for end in ("", "/cine?size=small", "/alike"):
        assert client.get(path + end).status_code == 200, end
    say(client, item, "A4C")
    assert following(client, queue=f"clip:{item['clip']}")["items"][0]["said"]["view"] == "A4C"
    parts.pictures.stop()
    parts.records.close()


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


def test_views_have_keys_of_their_own(site):
    _, client = site
    keys = [view["key"] for view in client.get("/v1/session").json()["views"]]
    assert len(set(keys)) == len(keys) == len(VOCABULARY)
    assert set(VIEWS) <= set(VOCABULARY.names)


def test_a_wall_does_not_change_what_was_said_meanwhile(site):
    parts, client = site
    item = following(client)["items"][0]
    say(client, item, "A4C")
    body = {
        "annotator": "anna",
        "clips": [item["clip"]],
        "said": {"view": "PLAX"},
        "kind": "wall",
        "key": key(),
    }
    assert client.post("/v1/batch", json=body).json()["events"] == []
    assert parts.records.opinions_of(item["clip"])["anna"].view == "A4C"
