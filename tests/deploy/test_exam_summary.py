"""A study's summary: every clip is counted once, every view is present, doubtful or missing."""

import csv
import json
from itertools import chain

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.deploy.answers import Answer
from apical.deploy.exam import Studies, studies_file, write_studies

VIEWS = ["PLAX", "A4C", "A2C"]


def summarise(answers):
    studies = Studies()
    for answer in answers:
        studies.add(answer)
    return studies.summaries()


def clip(study="1", view="PLAX", doubtful=False, **more):
    return Answer(1, "", study=study, view=view, likeliest=view, doubtful=doubtful, unknown=False, **more)


def test_views_are_present_doubtful_or_missing():
    unknown = Answer(1, "", study="1", likeliest="A2C", unknown=True)
    doppler, broken = Answer(1, "", study="1", mode="spectral"), Answer(1, "", study="1", problem="cut off")
    (one,) = summarise(
        [clip(), clip(doubtful=True), clip(view="A4C", doubtful=True), unknown, doppler, broken]
    )
    assert one.record(VIEWS) == {
        "study": "1", "clips": 6, "present": ["PLAX"], "doubtful": ["A4C"], "missing": ["A2C"],
        "unknown": 1, "other_modes": 1, "problems": 1,
    }  # fmt: skip
    assert one.line(VIEWS) == "study 1: 6 clips; present: PLAX; doubtful: A4C; missing: A2C"


def test_clips_without_a_study_are_in_none():
    assert summarise([clip(study=None)]) == []


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_a_row_a_study_in_every_kind_of_file(tmp_path, ending):
    out = studies_file(tmp_path / f"answers.{ending}")
    assert out.name == f"answers-studies.{ending}"
    summaries = summarise([clip(), clip(view="A4C"), clip("2", doubtful=True)])
    write_studies(summaries, VIEWS, out)
    expected = [one.record(VIEWS) for one in summaries]
    if ending == "csv":
        rows = list(csv.DictReader(out.open()))
        assert [row["present"].split() for row in rows] == [row["present"] for row in expected]
        assert [int(row["clips"]) for row in rows] == [2, 1]
    elif ending == "parquet":
        assert pl.read_parquet(out).to_dicts() == expected
    else:
        text = out.read_text()
        rows = json.loads(text) if ending == "json" else [json.loads(line) for line in text.splitlines()]
        assert rows == expected
    write_studies([], VIEWS, out)
    assert out.exists()


answers = st.lists(
    st.builds(
        clip,
        study=st.sampled_from(["1", "2"]),
        view=st.sampled_from([*VIEWS, None]),
        doubtful=st.booleans(),
    ),
    max_size=30,
)


@given(answers)
def test_nothing_is_lost_or_counted_twice(some):
    for one in summarise(some):
        mine = [answer for answer in some if answer.study == one.study]
        parts = [one.present(VIEWS), one.doubtful(VIEWS), one.missing(VIEWS)]
        assert sorted(chain(*parts)) == sorted(VIEWS)
        named = sum(sum(counts) for counts in one.views.values())
        assert named + one.unknown + one.other_modes + one.problems == one.clips == len(mine)
        for view in VIEWS:
            assert (view in one.present(VIEWS)) == any(a.view == view and not a.doubtful for a in mine)
