"""A data set's card: true to the catalogue, in the hub's form, without any identifier."""

import numpy as np
import polars as pl
import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.catalogue import conform, usable
from apical.errors import CannotDo
from apical.ingest.machines import _MAKERS
from apical.judge.report.cards import licence_fields, markdown_table
from apical.judge.report.dataset_card import NOT_SHOWN, dataset_card, size_category

VIEWS = ("PLAX", "A4C", "IVC")


def catalogue(clips=60, seed=0, **columns):
    """A catalogue of ten patients; `columns` replace its own."""
    random = np.random.default_rng(seed)
    patient = random.integers(10, size=clips)
    own = {
        "clip": [f"c11b{i:012x}" for i in range(clips)],
        "path": [f"/data/St Mary/DOE^JANE/IM_{i:04d}.dcm" for i in range(clips)],
        "patient": [f"9a71e4{p:010x}" for p in patient],
        "study": [f"57d1e5{p:010x}" for p in patient],
        "frames": random.integers(1, 40, size=clips),
        "rows": random.choice([300, 600], clips),
        "columns": random.choice([400, 800], clips),
        "frame_time_ms": random.uniform(10, 50, clips),
        "heart_rate": random.uniform(50, 110, clips),
        "mode": random.choice(["2d", "colour"], clips),
        "contrast_agent": random.choice([True, False, None], clips).tolist(),
        "manufacturer": random.choice(["GE", "unlisted-0123abcd"], clips),
        "model": random.choice(["Vivid E95", "unlisted-99999999"], clips),
        "view": random.choice([*VIEWS, "none", None], clips).tolist(),
        "labelled_by": random.choice(["Dr Jane Doe", "table"], clips),
        "split": np.array(["train", "validation", "test", None])[patient % 4].tolist(),
        "problem": random.choice([None, None, "damaged video"], clips).tolist(),
    }
    return conform(pl.DataFrame(own | columns, strict=False))


def cells(text, head):
    """A table of the card by its first column: first cell → the other cells."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |"))
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, *others = line.strip("| ").split(" | ")
        found[first] = others
    return found


def test_the_hub_reads_its_block():
    card = DatasetCard(dataset_card(catalogue(), VIEWS, title="Echo: 10 'patients'"))
    assert card.data.pretty_name == "Echo: 10 'patients'"
    assert card.data.license == "unknown"
    assert card.data.task_categories == ["image-classification", "video-classification"]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.annotations_creators == ["other"]
    assert card.text.strip().startswith("# Echo: 10 'patients'")


def test_what_is_not_so_is_not_claimed():
    stills = catalogue(frames=[1] * 60, view=[None] * 60)
    fields = yaml.safe_load(dataset_card(stills, VIEWS, title="Stills").split("---\n")[1])
    assert fields["license"] == "unknown"
    assert fields["task_categories"] == ["image-classification"]
    assert fields["annotations_creators"] == ["no-annotation"]
    assert "- the licence\n" in dataset_card(stills, VIEWS, title="Stills")


def test_sizes_are_counted_as_by_hand():
    table = catalogue()
    rows = cells(dataset_card(table, VIEWS, title="t"), "split")
    for name, split in [
        ("train", "train"),
        ("validation", "validation"),
        ("test", "test"),
        ("no split", None),
    ]:
        of = [row for row in table.to_dicts() if row["split"] == split]
        able = [row for row in of if row["problem"] is None]
        expected = [
            len({row["patient"] for row in of}),
            len({row["study"] for row in of}),
            len(of),
            len(able),
            sum(row["view"] is not None for row in able),
        ]
        assert rows[name] == [str(number) for number in expected]
    assert rows["all"][2] == "60"


def test_views_are_counted_as_by_hand_and_strange_labels_are_not_shown():
    views = [*VIEWS, "none", None, "Dr Doe's favourite"] * 10
    table = catalogue(view=views)
    text = dataset_card(table, VIEWS, title="t")
    rows = cells(text, "view")
    named = dict(zip(VIEWS, VIEWS, strict=True)) | {"none": "none of these", None: "not labelled"}
    named |= {"Dr Doe's favourite": "labelled with another name"}
    for view, name in named.items():
        for column, split in enumerate(["train", "validation", "test", None]):
            clips = [r for r in usable(table).to_dicts() if r["view"] == view and r["split"] == split]
            assert rows[name][column] == f"{len(clips)} ({len({r['patient'] for r in clips})})"
    assert "favourite" not in text


def test_spreads_are_those_of_the_known_values():
    times = [None, float("nan"), *np.arange(1.0, 59.0)]
    text = dataset_card(
        catalogue(frame_time_ms=times, problem=[None] * 60, heart_rate=[None] * 60), VIEWS, title="t"
    )
    middle = np.quantile(np.arange(1.0, 59.0), [0.05, 0.5, 0.95])
    said = f"median {middle[1]:.4g} ms, 90 % in {middle[0]:.4g} to {middle[2]:.4g}; not recorded for 2."
    assert f"Time between frames: {said}" in text
    assert "Heart rate: not recorded." in text


def test_contrast_agent_and_sizes_in_pixels():
    agent = [True] * 5 + [False] * 15 + [None] * 40
    table = catalogue(
        contrast_agent=agent, problem=[None] * 60, rows=[*range(300, 310)] * 6, columns=[400] * 60
    )
    text = dataset_card(table, VIEWS, title="t")
    assert "Contrast agent: with 5, without 15, not recorded 40." in text
    assert (
        "400 × 309 (6), 400 × 308 (6), 400 × 307 (6), 400 × 306 (6), 400 × 305 (6), and 5 other sizes."
        in text
    )


def test_labellers_are_counted_but_not_named():
    by = ["Dr Jane Doe", "J. Smith", "table"] * 20
    text = dataset_card(catalogue(labelled_by=by, view=["A4C"] * 60, problem=[None] * 60), VIEWS, title="t")
    assert "60 of 60 usable clips have a label. Who labelled is named for 40 of them, by 2 different" in text
    assert not any(name in text for name in ("Doe", "Smith"))


def test_makers_and_modes_are_shown_only_from_lists():
    makers = ["GE", "unlisted-0123abcd", "GE of St Mary's", "unlisted-Jane", None, "Philips"] * 10
    modes = ["2d", "m-mode", "Jane's mode", None, "2d", "2d"] * 10
    text = dataset_card(catalogue(manufacturer=makers, mode=modes, problem=[None] * 60), VIEWS, title="t")
    assert {name: row[0] for name, row in cells(text, "manufacturer").items()} == {
        NOT_SHOWN: "20", "GE": "10", "Philips": "10", "not recorded": "10", "unlisted-0123abcd": "10",
    }  # fmt: skip
    assert {name: row[0] for name, row in cells(text, "mode").items()} == {
        "2d": "30", NOT_SHOWN: "10", "m-mode": "10", "not recorded": "10",
    }  # fmt: skip
    assert "Mary" not in text
    assert "Jane" not in text


def test_every_listed_maker_is_shown_under_its_name():
    names = [name for name, _ in _MAKERS]
    table = catalogue(len(names), manufacturer=names, problem=[None] * len(names))
    assert set(cells(dataset_card(table, VIEWS, title="t"), "manufacturer")) == set(names)


def test_problems_are_counted_by_kind():
    first = catalogue()
    problems = [
        "pixel data is cut off: 3 of 40 frames are there",
        "pixel data is cut off: 12 of 9 frames are there",
    ]
    problems += [
        "damaged video",
        "cannot read /home/jane/x.dcm",
        r"C:\jane",
        f"as {first['patient'][7]}",
        None,
    ]
    text = dataset_card(catalogue(7, problem=problems, patient=first["patient"][1:8]), VIEWS, title="t")
    assert cells(text, "problem") == {
        NOT_SHOWN: ["3"],
        "pixel data is cut off: N of N frames are there": ["2"],
        "damaged video": ["1"],
    }
    assert "jane" not in text


def test_an_empty_catalogue_has_a_card_and_a_table_that_is_none_has_not():
    text = dataset_card(catalogue().clear(), VIEWS, title="nothing")
    assert cells(text, "split")["all"] == ["0"] * 5
    assert "Every clip can be used." in text
    with pytest.raises(CannotDo, match="clips without 'patient'"):
        dataset_card(pl.DataFrame({"clip": ["a"], "path": ["b"]}), VIEWS, title="t")


texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20)
ids = st.text("0123456789abcdef", min_size=8, max_size=16)


@settings(max_examples=40)
@given(data=st.data(), clips=st.integers(1, 6))
def test_no_identifier_or_path_of_the_catalogue_stands_in_the_card(data, clips):
    def column(values):
        return data.draw(st.lists(values, min_size=clips, max_size=clips))

    own = {
        "clip": data.draw(st.lists(ids, min_size=clips, max_size=clips, unique=True)),
        "patient": column(ids),
        "study": column(ids),
    }
    own["path"] = [
        f"/data/{name}/{patient}.dcm" for name, patient in zip(own["clip"], own["patient"], strict=True)
    ]
    leaks = st.one_of(st.sampled_from([name for names in own.values() for name in names]), texts, st.none())
    spoken = st.one_of(st.builds("{} is broken: {}".format, leaks, leaks), leaks)
    free = {name: column(leaks) for name in ("manufacturer", "model", "mode", "view", "labelled_by", "stage")}
    schema = dict.fromkeys((*own, *free, "problem"), pl.String)
    table = pl.DataFrame({**own, **free, "problem": column(spoken)}, schema=schema)
    text = dataset_card(table, VIEWS, title="Echo")
    assert not [name for names in own.values() for name in names if name in text]
    assert DatasetCard(text).data.license == "unknown"


@pytest.mark.parametrize(
    ("clips", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (4167, "1K<n<10K"),
        (10**5, "100K<n<1M"),
        (10**8, "100M<n<1B"),
    ],
)
def test_the_hubs_names_for_sizes(clips, name):
    assert size_category(clips) == name


def test_a_licence_without_an_identifier_of_the_hub_is_other():
    assert licence_fields("Apache-2.0") == {"license": "apache-2.0"}
    assert licence_fields("Ask St Mary") == {"license": "other", "license_name": "ask-st-mary"}


def test_no_cell_ends_its_table():
    assert markdown_table(["a|b"], [["c\nd"], ["<e>"]]) == "| a\\|b |\n| --- |\n| c d |\n| &lt;e> |"
