"""Who is shown which clip next: new ones, second readings, blind repeats, disputes, doubts."""

from labelling_ground import VOCABULARY, following, key, say, take

from apical.label.advice import Suspicion

TOKEN = "0123456789abcdef-secret"


def test_clips_of_test_patients_are_not_offered(site, ground):
    _, client = site
    clips = [item["clip"] for item in following(client, count=50)["items"]]
    assert len(clips) == 50
    assert not [clip for clip in clips if clip.startswith("07-")]


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
        item = following(client, count=1)["items"][0]
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


def test_repeats_and_second_readings_come_however_few_clips_are_asked_for_at_a_time(make, ground):
    """As the page asks: three at a time, the next when one is answered."""
    parts, client = make(second_readings=0, repeats=1)
    waiting = []
    for _ in range(60):
        if len(waiting) < 3:
            waiting += following(client, count=3, without=",".join(one["clip"] for one in waiting))["items"]
        item = waiting.pop(0)
        say(client, item, ground[1][item["clip"]])
    assert len(parts.records.repeats()) >= 3


def test_a_repeat_that_is_undone_is_blind_when_it_comes_again(make, ground):
    parts, client = make(second_readings=0, repeats=1)
    while not parts.records.repeats():
        item = following(client, count=1)["items"][0]
        say(client, item, ground[1][item["clip"]])
    undone = client.post("/v1/undo", json={"annotator": "anna", "key": key()}).json()
    assert undone["clips"] == [item["clip"]]
    assert undone["said"] is None
    again = following(client, queue=f"clip:{item['clip']}")["items"][0]
    assert again["said"] is None
    say(client, again, "PLAX")
    assert parts.records.opinions_of(item["clip"])["anna"].view == ground[1][item["clip"]]
    assert parts.records.repeats()[0].second.view == "PLAX"


def test_who_decides_after_somebody_else_did_is_told(site):
    parts, client = site
    item = following(client, "anna")["items"][0]
    say(client, item, "A4C")
    say(client, following(client, "ben", queue=f"clip:{item['clip']}")["items"][0], "A5C")
    carla = following(client, "carla", queue="disagreements")["items"][0]
    (task,) = parts.records.offer("dora", [(item["clip"], "adjudication", None)])
    say(client, {"task": task, "seen": parts.records.version()}, "A5C")
    refused = say(client, carla, "A4C", expect=409)
    assert refused["said"]["view"] == "A5C"
    assert parts.records.adjudication_of(item["clip"])[0] == "dora"


def test_test_patients_are_not_offered_by_any_queue(site, ground):
    _, client = site
    clip = next(clip for clip in ground[1] if clip.startswith("07-"))
    said = (("A4C", "ann"), ("A5C", "ben"))
    assert take(client, [{"clip": clip, "view": view, "labelled_by": name} for view, name in said]) == 1
    assert following(client, "carla", queue="disagreements")["items"] == []


def test_undo_leaves_what_was_imported(site, ground):
    parts, client = site
    assert take(client, [{"clip": next(iter(ground[1])), "view": "A4C", "labelled_by": "ben"}]) == 1
    assert client.post("/v1/undo", json={"annotator": "ben", "key": key()}).json()["clips"] == []
    assert parts.board.labelled() == 1
