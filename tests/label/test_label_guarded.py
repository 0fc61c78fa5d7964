"""What must not get in or out of the labelling page's server."""

import json

import pytest
from labelling_ground import body_of, following, key, parts_of, say

from apical.errors import CannotDo
from apical.label.app import MOST_BODY
from apical.label.opinions import Said

TOKEN = "0123456789abcdef-secret"


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
    body = body_of(item, "A4C")
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
    body = body_of(item, "A4C")
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


def test_another_sites_page_can_use_up_no_clips(site):
    _, client = site
    for site_of in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site_of}
        assert client.get("/v1/next?annotator=ghost", headers=headers).status_code == 403
        assert client.get("/", headers=headers).status_code == 200, "a link to the page may be followed"
    assert client.get("/v1/next?annotator=anna", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_reports_with_identities_need_a_page_that_may_show_them(make):
    _, client = make(show_identifiers=False)
    answer = client.get("/v1/export/reports.zip")
    assert answer.status_code == 400
    assert "--show-identifiers" in answer.json()["do"]


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '[{"SOPInstanceUID": "\\ud800", "view": "A4C"}]', "{", "[1]"]
)
def test_tables_that_are_none_are_refused_in_words(site, content):
    _, client = site
    answer = client.post("/v1/import", params={"annotator": "ann", "format": "json"}, content=content)
    assert answer.json().get("problem") != "a fault of the service"
    assert client.get("/v1/history", params={"before": 10**30}).status_code == 422


def test_labels_of_views_that_the_vocabulary_lacks_are_one_line(ground, tmp_path):

    folder, truth = ground
    parts = parts_of(folder, tmp_path / "state", truth)
    (task,) = parts.records.offer("anna", [(next(iter(truth)), "single", None)])
    parts.records.say(task, Said("my-own-view"), key=key(), shown=False, seconds=None)
    parts.records.close()
    with pytest.raises(CannotDo, match="the vocabulary does not have"):
        parts_of(folder, tmp_path / "state", truth)
