"""What can be said, and who can say it."""

import subprocess
import sys
import unicodedata

import hypothesis.strategies as st
import pytest
from hypothesis import given

from apical.errors import WrongCall
from apical.label.opinions import CANNOT_TELL, LONGEST_NAME, LONGEST_NOTE, Said, check_annotator, check_said
from apical.views import NO_VIEW, standard_vocabulary

VOCABULARY = standard_vocabulary()


@pytest.mark.parametrize("view", [*VOCABULARY.names, NO_VIEW, CANNOT_TELL, None])
@pytest.mark.parametrize("quality", ["good", "fair", "poor", None])
def test_views_of_the_vocabulary_and_what_stands_beside_them_can_be_said(view, quality):
    check_said(Said(view, True, quality, "foreshortened? – né 心"), VOCABULARY)


@pytest.mark.parametrize(
    "said",
    [
        Said("apical 4 chamber"),  # an alias is not a name
        Said("a4c"),
        Said(""),
        Said("A4C", quality="excellent"),
        Said("A4C", quality=""),
        Said("A4C", note="x" * (LONGEST_NOTE + 1)),
        Said("A4C", note="two\nlines"),
        Said("A4C", note="\x00"),
        Said("A4C", note="\x1b[31m"),
        Said("A4C", note="\ud800"),  # cannot be written as UTF-8
        Said("A4C", note="\u202etxet"),  # turns what follows around
        Said("A4C", note="two\u2028lines"),
    ],
)
def test_nothing_else_can_be_said(said):
    with pytest.raises(WrongCall):
        check_said(said, VOCABULARY)


def test_a_note_may_be_as_long_as_is_said():
    check_said(Said("A4C", note="é" * LONGEST_NOTE), VOCABULARY)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Anna ", "Anna"),
        ("Anna \t de  Vries", "Anna de Vries"),
        ("Jose\u0301", "Jos\u00e9"),
        ("x" * LONGEST_NAME, "x" * LONGEST_NAME),
        ("Smith, J.", "Smith, J."),
    ],
)
def test_a_name_is_kept_in_one_spelling(text, name):
    assert check_annotator(text) == name


@pytest.mark.parametrize("text", ["", "  ", "\n", "x" * (LONGEST_NAME + 1), "a\x00b", "a\u202eb", "\udc80"])
def test_a_name_that_could_not_be_told_or_written_is_refused(text):
    with pytest.raises(WrongCall):
        check_annotator(text)


@given(st.text())
def test_a_name_that_is_taken_is_plain_and_stays_as_it_is(text):
    try:
        name = check_annotator(text)
    except WrongCall:
        return
    assert check_annotator(name) == name
    assert 1 <= len(name.encode("utf-8").decode("utf-8")) <= LONGEST_NAME
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name)


def test_the_records_are_read_without_what_is_heavy():
    code = (
        "import sys, apical.label.records; print(sorted({'torch', 'sklearn', 'fastapi'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
