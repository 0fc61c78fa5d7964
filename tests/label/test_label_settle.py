"""One label a clip: what is agreed, what is disputed, and what a catalogue gets of it."""

from itertools import permutations

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from small_records import key, quick_records, say

from apical.catalogue import conform
from apical.errors import CannotDo
from apical.label.opinions import CANNOT_TELL, NOTHING, Said
from apical.label.settle import MergeReport, Settled, merge, settle
from apical.views import NO_VIEW, Vocabulary, standard_vocabulary

VOCABULARY = standard_vocabulary()
VIEWS = ("A4C", "A2C", NO_VIEW, CANNOT_TELL)


@pytest.fixture
def records():
    with quick_records() as records:
        yield records


def opinions(*views):
    return {name: Said(view) for name, view in zip(("Anna", "Ben", "Cem"), views, strict=False)}


@pytest.mark.parametrize(
    ("views", "view", "disputed"),
    [
        ([], None, False),
        (["A4C"], "A4C", False),
        (["A4C", "A4C", "A4C"], "A4C", False),
        (["A4C", "A2C"], None, True),
        (["A4C", "A4C", "A2C"], None, True),  # no majority decides
        ([NO_VIEW], NO_VIEW, False),
        ([NO_VIEW, "A4C"], None, True),
        ([CANNOT_TELL], None, False),
        ([CANNOT_TELL, CANNOT_TELL], None, False),
        ([CANNOT_TELL, "A4C"], None, True),
        ([CANNOT_TELL, NO_VIEW], None, True),
    ],
)
def test_who_agrees_settles_and_who_differs_disputes(views, view, disputed):
    for order in permutations(opinions(*views).items()):
        settled = settle(dict(order), None)
        assert (settled.view, settled.disputed) == (view, disputed)
        assert settled.by == ", ".join(["Anna", "Ben", "Cem"][: len(views)])


@pytest.mark.parametrize("views", [[], ["A4C"], ["A2C", "A2C"], ["A4C", "A2C"], [CANNOT_TELL, "A4C"]])
@pytest.mark.parametrize("decided", VIEWS)
def test_an_adjudication_decides_whatever_the_opinions_are(views, decided):
    settled = settle(opinions(*views), ("Dr. Eve", Said(decided)))
    assert (settled.view, settled.disputed) == (None if decided == CANNOT_TELL else decided, False)
    assert settled.by == "Dr. Eve"


@pytest.mark.parametrize(
    ("said", "agent"),
    [
        ([None], None),
        ([True, None], True),  # who says nothing does not differ
        ([False, None, False], False),
        ([True, False], None),
        ([True, False, True], None),
    ],
)
def test_contrast_agent_is_settled_by_those_who_speak_of_it(said, agent):
    of_each = {f"{number}": Said("A4C", one) for number, one in enumerate(said)}
    assert settle(of_each, None).contrast_agent is agent
    assert settle(of_each, ("Eve", Said("A4C"))).contrast_agent is agent
    assert settle(of_each, ("Eve", Said("A4C", False))).contrast_agent is False


def test_quality_is_settled_in_the_same_way():
    good, poor = Said("A4C", quality="good"), Said("A4C", quality="poor")
    assert settle({"a": good, "b": Said("A2C")}, None) == Settled(None, None, "good", "a, b", True)
    assert settle({"a": good, "b": poor}, None).quality is None
    assert settle({"a": good, "b": poor}, ("Eve", poor)).quality == "poor"


def catalogue(**views):
    """Clips with a view of the catalogue's own, by 'table'; None for those without."""
    rows = [
        {"clip": clip, "path": f"/x/{clip}", "patient": clip, "view": view, "labelled_by": view and "table"}
        for clip, view in views.items()
    ]
    return conform(pl.DataFrame(rows, schema_overrides={"view": pl.String, "labelled_by": pl.String}))


def labels(table):
    """{clip: (view, contrast agent, labelled by)}"""
    return {row[0]: row[1:] for row in table.select("clip", "view", "contrast_agent", "labelled_by").rows()}


def remembering(records, table):
    records.remember(labels(table))
    return records


def test_a_catalogue_gets_what_is_settled_and_the_rest_stays(records):
    table = catalogue(a=None, b="PLAX", c="PLAX", d="PLAX", e="PLAX", f=None, g=None, h="A4C")
    for clip, *views in (
        ("a", "A4C", "A4C"),
        ("b", "A4C"),
        ("c", "A4C", "A2C"),
        ("d", CANNOT_TELL),
        ("f", NO_VIEW),
        ("h", "A4C"),
        ("of another catalogue", "A4C"),
    ):
        for name, view in zip(("Ben", "Anna"), views, strict=False):
            say(remembering(records, table), name, clip, view)
    merged, report = merge(table, records, VOCABULARY)
    assert labels(merged) == {
        "a": ("A4C", None, "Anna, Ben"),
        "b": ("A4C", None, "Ben"),
        "c": (None, None, None),
        "d": (None, None, None),
        "e": ("PLAX", None, "table"),
        "f": (NO_VIEW, None, "Ben"),
        "g": (None, None, None),
        "h": ("A4C", None, "Ben"),
    }
    assert report == MergeReport(labelled=2, changed=1, cleared=2, disputed=1, cannot_tell=1)
    rest = [name for name in table.columns if name not in ("view", "contrast_agent", "labelled_by")]
    assert_frame_equal(merged.select(rest), table.select(rest))


def test_an_adjudication_is_merged_under_the_name_of_who_decided(records):
    table = catalogue(a=None)
    say(records, "Anna", "a", "A4C")
    say(records, "Ben", "a", "A2C")
    say(records, "Eve", "a", "PLAX", "adjudication")
    merged, report = merge(table, records, VOCABULARY)
    assert labels(merged) == {"a": ("PLAX", None, "Eve")}
    assert (report.disputed, report.labelled) == (0, 1)


def test_what_was_taken_back_gives_the_catalogue_its_own_label_back(records):
    table = catalogue(a="PLAX", b=None, c="PLAX")
    remembering(records, table)
    say(records, "Anna", "a", Said("A4C", True))
    say(records, "Anna", "b", "A4C")
    say(records, "Anna", "c", CANNOT_TELL)
    merged, _ = merge(table, records, VOCABULARY)
    assert labels(merged)["a"] == ("A4C", True, "Anna")
    for _ in range(3):
        records.undo("Anna", key=key())
    back, report = merge(merged, records, VOCABULARY)
    assert_frame_equal(back, table)
    assert report == MergeReport(labelled=1, changed=1, cleared=1, disputed=0, cannot_tell=0)


def test_a_label_that_others_gave_since_is_not_overwritten_by_what_was_taken_back(records):
    table = catalogue(a="PLAX", b=None)
    remembering(records, table)
    say(records, "Anna", "a", "A4C")
    say(records, "Anna", "b", "A4C")
    records.undo("Anna", key=key())
    records.undo("Anna", key=key())
    since = table.with_columns(view=pl.lit("PSAX-AV"), labelled_by=pl.lit("core lab"))
    merged, report = merge(since, records, VOCABULARY)
    assert_frame_equal(merged, since)
    assert (report.labelled, report.changed, report.cleared) == (0, 0, 0)


def test_a_comma_in_a_name_does_not_hide_whose_label_it_was(records):
    table = catalogue(a="PLAX")
    remembering(records, table)
    say(records, "Smith, J.", "a", "A4C")
    merged, _ = merge(table, records, VOCABULARY)
    records.undo("Smith, J.", key=key())
    assert_frame_equal(merge(merged, records, VOCABULARY)[0], table)


@pytest.mark.parametrize(
    ("said", "agent"), [([None], True), ([False], False), ([True, False], None), ([None, False], False)]
)
def test_contrast_agent_is_the_catalogues_own_where_nobody_speaks_of_it(records, said, agent):
    table = catalogue(a=None).with_columns(contrast_agent=pl.lit(True))  # the header said so
    remembering(records, table)
    for name, one in zip(("Anna", "Ben"), said, strict=False):
        say(records, name, "a", Said("A4C", one))
    merged, _ = merge(table, records, VOCABULARY)
    assert labels(merged)["a"][1] is agent
    for name in ("Anna", "Ben"):
        records.undo(name, key=key())
    say(records, "Anna", "a", "A4C")
    assert labels(merge(merged, records, VOCABULARY)[0])["a"] == ("A4C", True, "Anna")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_merging_twice_changes_nothing_more_and_no_row_is_lost(data):
    with quick_records() as records:
        check_merges(records, data)


def check_merges(records, data):
    clips = [f"c{number}" for number in range(6)]
    own = data.draw(st.lists(st.sampled_from([None, "PLAX", "A4C"]), min_size=6, max_size=6))
    table = catalogue(**dict(zip(clips, own, strict=True)))
    remembering(records, table)
    saids = st.builds(Said, st.sampled_from([*VIEWS, None]), st.sampled_from([None, True, False]))
    kinds = st.sampled_from(["single", "adjudication"])
    acts = st.tuples(st.sampled_from(["Anna", "Ben"]), st.sampled_from(clips), saids, kinds)
    merged = table
    for batch in data.draw(st.lists(st.lists(acts, max_size=6), min_size=1, max_size=3)):
        for name, clip, said, kind in batch:
            say(records, name, clip, said, kind)
        before, (merged, report) = merged, merge(merged, records, VOCABULARY)
        again, second = merge(merged, records, VOCABULARY)
        assert_frame_equal(again, merged)
        assert (second.labelled, second.changed, second.cleared) == (0, 0, 0)
        assert (second.disputed, second.cannot_tell) == (report.disputed, report.cannot_tell)
        old, new, said, decided = labels(before), labels(merged), records.opinions(), records.adjudications()
        assert list(new) == clips
        for clip in clips:  # what a merge into the untouched catalogue would have given
            settled = settle(said.get(clip, {}), decided.get(clip))
            heard = clip in said or clip in decided
            assert new[clip][0] == (settled.view if heard else labels(table)[clip][0])
        moves = [(old[clip][0], new[clip][0]) for clip in clips]
        assert report.labelled == sum(a is None and b is not None for a, b in moves)
        assert report.cleared == sum(a is not None and b is None for a, b in moves)


def test_views_of_another_vocabulary_are_not_merged(records):
    say(records, "Anna", "a", "A4C")
    other = Vocabulary.from_records([{"name": "PLAX"}, {"name": "PSAX"}])
    with pytest.raises(CannotDo):
        merge(catalogue(a=None), records, other)
    say(records, "Anna", "a", NOTHING)
    assert labels(merge(catalogue(a=None), records, other)[0]) == {"a": (None, None, None)}
