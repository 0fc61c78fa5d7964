"""The contact sheet shows the surest clips first, with what was said of them."""

import base64

import cv2
import numpy as np
import pytest

from apical.judge.report.pictures import most_confused, short_id, surest_right, surest_wrong
from apical.judge.runs import labelled
from fake_runs import VIEWS, fake_predictions

JUDGED = labelled(fake_predictions(), "test")


def no_picture(clip):
    return None


def test_wrong_clips_are_the_surest_and_in_order():
    shown = surest_wrong(JUDGED, no_picture, most=5)
    wrong = JUDGED.predicted != JUDGED.label
    expected = np.sort(np.exp(JUDGED.log_probabilities[wrong].max(1)))[::-1][:5]
    np.testing.assert_allclose([clip.probability for clip in shown], expected)
    assert all(clip.named != clip.true and clip.image is None for clip in shown)


def test_right_clips_are_the_surest_of_each_view():
    shown = surest_right(JUDGED, no_picture)
    assert [clip.true for clip in shown] == [clip.named for clip in shown] == list(VIEWS)
    is_plax = (JUDGED.label == 0) & (JUDGED.predicted == 0)
    assert shown[0].probability == np.exp(JUDGED.log_probabilities[is_plax].max())


def test_only_shown_clips_are_fetched_and_large_pictures_are_made_smaller():
    fetched = []

    def picture(clip):
        fetched.append(clip)
        return np.full((400, 300), 7, np.uint8)

    (shown,) = surest_wrong(JUDGED, picture, most=1)
    assert len(fetched) == 1
    png = base64.b64decode(shown.image.removeprefix("data:image/png;base64,"))
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.shape == (160, 120)
    assert (decoded == 7).all()


def test_no_wrong_clip():
    right = JUDGED.select(JUDGED.predicted == JUDGED.label)
    assert surest_wrong(right, no_picture) == []


@pytest.mark.parametrize("clip", ["Smith_John_A4C", "1970010112345678", "0123456789ABCDEF", "abc", "ab" * 9])
def test_ids_made_by_hand_are_not_shown(clip):
    """They may be names or numbers of patients; hashes, as a scan makes them, are shown."""
    assert short_id("0123456789abcdef") == "01234567"
    assert not any(part in short_id(clip) for part in (clip[:4], clip[-4:]))


def test_the_pairs_confused_most_often_come_first_with_their_surest_clips():
    pairs = most_confused(JUDGED, no_picture, most=3, clips=2)
    wrong = JUDGED.predicted != JUDGED.label
    named = [(VIEWS[t], VIEWS[p]) for t, p in zip(JUDGED.label[wrong], JUDGED.predicted[wrong], strict=True)]
    counts = sorted((named.count(pair) for pair in set(named)), reverse=True)
    assert [pair.count for pair in pairs] == [count for count in counts[:3] if count > 1]
    for pair in pairs:
        assert named.count((pair.true, pair.named)) == pair.count
        assert {(clip.true, clip.named) for clip in pair.shown} == {(pair.true, pair.named)}
        probabilities = [clip.probability for clip in pair.shown]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(pair.shown) <= 2
