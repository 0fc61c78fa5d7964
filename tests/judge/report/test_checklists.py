"""Checklists have the published items, and say of each whether it is answered."""

import re
from collections import Counter

import pytest

from apical.judge.report.checklists import KEYS, fill

TRIPOD_AI = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 "
    "18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
)
CLAIM = " ".join(map(str, range(1, 45)))


def answered(known):
    """By the list's title, the numbers that have an answer."""
    return {one.title: [row.number for row in one.rows if row.answer is not None] for one in fill(known)}


def test_the_numbers_are_the_published_ones():
    tripod, claim = fill({})
    assert " ".join(row.number for row in tripod.rows) == TRIPOD_AI
    assert " ".join(row.number for row in claim.rows) == CLAIM
    assert "e078378" in tripod.citation
    assert "10.1148/ryai.240300" in claim.citation


def test_where_nothing_is_known_every_item_is_left_to_the_authors():
    for one in fill({}):
        assert one.filled == 0
        assert one.missing == one.rows


def test_all_that_can_be_known_answers_all_but_what_the_paper_itself_answers():
    tripod, claim = fill(dict.fromkeys(KEYS, "So it is."))
    assert [row.number for row in tripod.missing] == ["2", "3a", "3c", "6c", "9c", "25", "27c"]
    assert [row.number for row in claim.missing] == ["2", "3"]
    assert (tripod.filled, claim.filled) == (52 - 7, 44 - 2)


def test_an_answer_stands_at_its_items_and_nowhere_else():
    assert answered({"robustness": "Under noise F1 falls by 0.02."}) == {
        "TRIPOD+AI": [],
        "CLAIM 2024": ["30"],
    }
    assert answered({"class_imbalance": "Four views are rare."}) == {"TRIPOD+AI": ["13"], "CLAIM 2024": []}
    assert answered({"missing_data": "None."}) == {"TRIPOD+AI": ["11"], "CLAIM 2024": ["12"]}
    tripod, _ = fill({"missing_data": "None."})
    assert next(row for row in tripod.rows if row.number == "11").answer == "None."


def test_each_key_answers_something_alone_and_together_they_answer_no_item_twice():
    numbers = [one for key in KEYS for one in _places(answered({key: "So it is."}))]
    assert Counter(numbers).most_common(1)[0][1] == 1
    assert len(set(KEYS)) == len(KEYS)
    assert all(_places(answered({key: "So it is."})) for key in KEYS)


def _places(found):
    return [(title, number) for title, numbers in found.items() for number in numbers]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"colour": "red", "model": "ResNet"}, "answered by colour; see KEYS"),
        ({"model": " \n", "code": "here"}, "nothing is said of model"),
    ],
)
def test_an_unknown_key_and_an_empty_sentence_are_errors(known, message):
    with pytest.raises(ValueError, match=message):
        fill(known)


def test_topics_are_short_words_of_our_own_and_differ():
    for one in fill({}):
        topics = [row.topic for row in one.rows]
        assert len(set(topics)) == len(topics)
        assert all(0 < len(re.findall(r"\w+", topic)) <= 9 for topic in topics)
