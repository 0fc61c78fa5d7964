"""The catalogue: its schema, splits by patient, label budgets, and what is refused."""

import errno
import os

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.catalogue import (
    SCHEMA,
    check_splits,
    conform,
    limit_labels,
    read_catalogue,
    split_patients,
    usable,
    write_catalogue,
)
from apical.errors import CannotDo, PatientOverlap, WrongCall


def table(patients, **columns):
    """A catalogue with a clip for each entry of `patients`."""
    rows = {
        "clip": [f"c{i}" for i in range(len(patients))],
        "path": ["x"] * len(patients),
        "patient": patients,
    }
    return conform(pl.DataFrame(rows | columns))


def test_round_trip_keeps_everything(tmp_path):
    written = table(["a", "b"], region=[[1, 2, 3, 4], None], view=["A4C", None], site=["s", "t"])
    write_catalogue(written, tmp_path / "c.parquet")
    assert read_catalogue(tmp_path / "c.parquet").equals(written)
    assert written.columns == [*SCHEMA, "site"]


def test_a_csv_made_by_hand_is_a_catalogue(tmp_path):
    (tmp_path / "c.csv").write_text("clip,path,patient,view,split\n1,/x/a.dcm,7,A4C,train\n2,/x/b.dcm,8,,\n")
    read = read_catalogue(tmp_path / "c.csv")
    assert read["clip"].to_list() == ["1", "2"]
    assert read["view"].to_list() == ["A4C", None]
    assert read["frames"].null_count() == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,path\n1,x\n", "without 'patient'"),
        ("clip,path,patient\n1,x,\n", "without 'patient'"),
        ("clip,path,patient\n1,x,p\n1,y,p\n", "a clip twice"),
        ("clip,path,patient,split\n1,x,p,dev\n", "unknown splits"),
        ("clip,path,patient,frames\n1,x,p,many\n", r"cannot be read.*SCHEMA"),
        ("", "cannot be read"),
    ],
)
def test_a_bad_table_is_one_clear_error(tmp_path, text, message):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(CannotDo, match=message):
        read_catalogue(tmp_path / "c.csv")


def test_what_is_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "c.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(CannotDo, match=r"catalogue 'c\.parquet' cannot be read"):
        read_catalogue(tmp_path / "c.parquet")


def test_a_patient_in_two_splits_is_an_error():
    with pytest.raises(PatientOverlap, match="1 patient stands in more than one split"):
        table(["a", "a", "b"], split=["train", "test", "test"])


PATIENTS = st.lists(st.integers(0, 30).map(str), min_size=8, max_size=120).filter(lambda p: len(set(p)) >= 6)


@given(PATIENTS, st.integers(0, 50), st.floats(0, 0.4), st.floats(0, 0.4))
def test_splits_are_disjoint_by_patient_and_complete(patients, seed, validation, test):
    split = split_patients(table(patients), validation=validation, test=test, seed=seed)
    check_splits(split)
    assert split["split"].null_count() == 0
    assert split["clip"].to_list() == [f"c{i}" for i in range(len(patients))]
    wanted = {"train"} | ({"validation"} if validation else set()) | ({"test"} if test else set())
    assert set(split["split"]) == wanted
    assert split.equals(split_patients(table(patients), validation=validation, test=test, seed=seed))


def test_broken_clips_do_not_count_as_patients():
    broken = table(["a", "b", "c", "d"], problem=[None, None, None, "no pixels"])
    split = split_patients(broken)
    assert split["split"].to_list()[3] is None
    assert usable(split).height == 3


def test_one_patient_cannot_be_split():
    with pytest.raises(CannotDo, match="1 patient cannot be split by patient"):
        split_patients(table(["a", "a"]))


def test_shares_must_leave_training_patients():
    with pytest.raises(WrongCall):
        split_patients(table(list("abcdef")), validation=0.5, test=0.5)


@given(PATIENTS, st.integers(0, 20), st.data())
def test_label_budgets_count_patients_and_are_nested(patients, seed, data):
    views = data.draw(
        st.lists(st.sampled_from(["A4C", "A5C"]), min_size=len(patients), max_size=len(patients))
    )
    catalogue = split_patients(table(patients, view=views), seed=seed)
    kept: set[str] = set()
    for budget in (1, 2, 5):
        limited = limit_labels(catalogue, {}, default=budget, seed=seed)
        training = limited.filter((pl.col("split") == "train") & pl.col("view").is_not_null())
        for (view,), of_view in training.group_by("view"):
            all_of_view = catalogue.filter((pl.col("split") == "train") & (pl.col("view") == view))
            assert of_view["patient"].n_unique() == min(budget, all_of_view["patient"].n_unique())
        assert kept <= set(training["clip"])
        kept = set(training["clip"])
        others = pl.col("split") != "train"
        assert limited.filter(others).equals(catalogue.filter(others))


def test_a_budget_for_a_view_without_labels_is_an_error():
    catalogue = split_patients(table(list("abcdef"), view=["A4C"] * 6))
    with pytest.raises(WrongCall, match="no training clip is labelled IVC"):
        limit_labels(catalogue, {"IVC": 1})


def test_a_full_disk_leaves_the_old_catalogue(tmp_path, monkeypatch):
    path = tmp_path / "c.parquet"
    write_catalogue(table(["a"]), path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("apical.files.os.fsync", full)
    with pytest.raises(CannotDo, match=r"'c\.parquet' cannot be written \(No space left on device\)"):
        write_catalogue(table(["b"]), path)
    monkeypatch.undo()
    assert read_catalogue(path)["patient"].to_list() == ["a"]
    assert os.listdir(tmp_path) == ["c.parquet"]


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotDo, match="cannot be written"):
        write_catalogue(table(["a"]), tmp_path / "file" / "c.parquet")


def test_splits_and_budgets_do_not_depend_on_the_pseudonyms():
    """The same clips under two keys: the draws go by the order of the rows."""
    patients = [f"{number % 9}" for number in range(40)]
    renamed = [f"{(7 * int(name) + 3) % 101}x" for name in patients]
    views = ["A4C", "A5C"] * 20
    one, other = (split_patients(table(names, view=views), seed=4) for names in (patients, renamed))
    assert one["split"].equals(other["split"])
    few = [limit_labels(each, {"A5C": 1}, default=2, seed=4)["view"] for each in (one, other)]
    assert few[0].equals(few[1])


def test_a_new_clip_gets_the_split_of_its_patient():
    assert table(["a", "b", "a"], split=["test", None, None])["split"].to_list() == ["test", None, "test"]


def test_a_users_csv_is_not_overwritten(tmp_path):
    with pytest.raises(WrongCall, match="not as CSV"):
        write_catalogue(table(["a"]), tmp_path / "mine.csv")


def test_numbers_with_leading_zeros_stay_text(tmp_path):
    (tmp_path / "c.csv").write_text("clip,path,patient,contrast_agent\n0001,x,007,true\n2,y,7,\n")
    read = read_catalogue(tmp_path / "c.csv")
    assert read["patient"].to_list() == ["007", "7"]
    assert read["contrast_agent"].to_list() == [True, None]


def test_odd_splits_are_not_quoted():
    """A shifted column may hold names."""
    with pytest.raises(CannotDo) as caught:
        table(["a"], split=["Smith John"])
    assert "Smith" not in str(caught.value)


def test_a_negative_budget():
    with pytest.raises(WrongCall, match="negative"):
        limit_labels(table(["a"]), {}, default=-1)


def test_a_study_in_two_splits_is_an_error():
    with pytest.raises(PatientOverlap, match="a study stands in more than one split"):
        table(["a", "b"], study=["s", "s"], split=["train", "test"])
