"""Data sets of videos and DICOM: EV9V, NED, the three EchoNets and MIMIC-IV-ECHO."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from dataset_trees import (
    EV9V_IDS,
    append,
    clips,
    echonet_dynamic,
    echonet_lvh,
    echonet_pediatric,
    ev9v,
    ev9v_of_the_code,
    mimic,
    ned,
    read,
    write,
)

from apical.errors import CannotDo
from apical.ingest.datasets import DATASETS, read_dataset
from apical.views import standard_vocabulary


def test_ev9v(tmp_path: Path) -> None:
    ev9v(tmp_path)
    entries, counts = read("ev9v", tmp_path)
    assert {file: (entry.label, entry.split) for file, entry in clips(entries).items()} == {
        f"Videos/{name}.mp4": said for name, said in EV9V_IDS.items()
    }
    assert {entry.patient for entry in entries.values()} == {name[:19] for name in EV9V_IDS}
    assert {file.partition("/")[0] for file, entry in entries.items() if entry.skip} == {"Images"}
    assert counts.lines() == []


@pytest.mark.parametrize("build", [partial(ev9v, videos=False), ev9v_of_the_code])
def test_ev9v_frames_alone(tmp_path: Path, build: Callable[[Path], None]) -> None:
    """Without the videos every frame is a still of its clip's view, in both forms of the lists."""
    build(tmp_path)
    entries, _ = read("ev9v", tmp_path)
    assert {(Path(file).parent.name, entry.label, entry.split) for file, entry in entries.items()} == {
        (name, *said) for name, said in EV9V_IDS.items()
    }
    assert len(clips(entries)) == 2 * len(EV9V_IDS)


def test_ev9v_in_part(tmp_path: Path) -> None:
    """A clip whose video is not here keeps its frames; one that is in no list keeps its recording."""
    ev9v(tmp_path)
    first, second, *_ = EV9V_IDS
    (tmp_path / f"Videos/{first}.mp4").unlink()
    write(tmp_path, ["Videos/2022-07-27_14-06-42_320x240_99.mp4", "Videos/unlike.mp4"])
    append(tmp_path / "train_labeled.txt", "gone_320x240_1 A4C\n")
    entries, counts = read("ev9v", tmp_path)
    found = clips(entries)
    assert f"Images/{first}/frame_000001.jpg" in found
    assert f"Images/{second}/frame_000001.jpg" not in found
    other = found["Videos/2022-07-27_14-06-42_320x240_99.mp4"]
    assert (other.patient, other.label, other.split) == ("2022-07-27_14-06-42", None, "train")
    assert found["Videos/unlike.mp4"].patient == "unlike"
    assert counts.missing == 1


def test_ev9v_recording_in_two_splits(tmp_path: Path) -> None:
    ev9v(tmp_path)
    write(tmp_path, ["Videos/2022-07-27_14-06-42_320x240_5.mp4"])
    append(tmp_path / "test_labeled.txt", "2022-07-27_14-06-42_320x240_5 SC4C\n")
    entries, counts = read("ev9v", tmp_path)
    splits = {entry.split for entry in entries.values() if entry.patient == "2022-07-27_14-06-42"}
    assert splits == {"train"}
    assert counts.moved == 1


def test_ev9v_views() -> None:
    """What the publishers' two texts contradict has no view."""
    views = DATASETS["ev9v"][0].views
    assert {code for code, view in views.items() if view is None} == {"PASA", "PMASA", "PMPALA"}
    assert len(views) == 9


def test_ned(tmp_path: Path) -> None:
    ned(tmp_path)
    entries, counts = read("ned", tmp_path)
    place = "echos_video"
    assert {file: (entry.patient, entry.label) for file, entry in entries.items()} == {
        f"{place}/case 1/101.mp4": ("case 1", "Apical 4 Chamber"),
        f"{place}/case 1/b.mp4": ("case 1", "Ductal arch of newborns"),
        f"{place}/case 1/c.mp4": ("case 1", None),
        f"{place}/case 1/d.mp4": ("case 1", None),
        f"{place}/case 2/b.mp4": ("case 2", "PLAX"),
    }
    label = standard_vocabulary().find(entries[f"{place}/case 1/101.mp4"].label or "")
    assert label is not None
    assert label.view == "A4C"
    assert (counts.missing, counts.odd) == (1, 1)


def test_ned_with_a_broken_table(tmp_path: Path) -> None:
    """One case without labels does not end the others; its videos keep their patient."""
    ned(tmp_path)
    (tmp_path / "echos_video/case 2/labels.csv").write_text("what,else\n")
    entries, counts = read("ned", tmp_path)
    assert entries["echos_video/case 2/b.mp4"].patient == "case 2"
    assert counts.odd == 2
    (tmp_path / "echos_video/case 1/labels.csv").write_text("what,else\n")
    with pytest.raises(CannotDo, match=r"'labels\.csv' has no column 'Filename'"):
        read_dataset("ned", tmp_path)


def test_ned_one_case_alone(tmp_path: Path) -> None:
    ned(tmp_path)
    entries, _ = read("ned", tmp_path / "echos_video/case 2")
    assert [(entry.file, entry.patient) for entry in entries.values()] == [("b.mp4", "case 2")]


def test_echonet_dynamic(tmp_path: Path) -> None:
    echonet_dynamic(tmp_path)
    entries, counts = read("echonet-dynamic", tmp_path)
    assert {(entry.patient, entry.label, entry.split) for entry in entries.values()} == {
        ("0X10A", "A4C", "validation"),
        ("0X10B", "A4C", "train"),
        ("0X10C", "A4C", "test"),
        ("0X298EBAF6CC2B526", "A4C", None),  # in no list
    }
    assert counts.missing == 1


def test_echonet_dynamic_without_splits(tmp_path: Path) -> None:
    """Some copies of the list have none; some have the suffix in the names."""
    write(tmp_path, ["Videos/0X1.avi"], FileList_csv="filename,fps\n0X1.AVI,50\n")
    entries, _ = read("echonet-dynamic", tmp_path)
    assert [(entry.file, entry.split) for entry in entries.values()] == [("Videos/0X1.avi", None)]


def test_echonet_dynamic_in_small_letters(tmp_path: Path) -> None:
    """As some archives and file systems leave it."""
    write(tmp_path, ["echonet/videos/0x1.avi"], echonet__filelist_csv="FileName,FPS,Split\n0X1,50,TEST\n")
    entries, counts = read("echonet-dynamic", tmp_path)
    assert {file: entry.split for file, entry in entries.items()} == {"echonet/videos/0x1.avi": "test"}
    assert counts.missing == 0


def test_echonet_lvh(tmp_path: Path) -> None:
    """Many rows a video are one entry, in whatever batch and in any case of letters."""
    echonet_lvh(tmp_path)
    entries, counts = read("echonet-lvh", tmp_path)
    assert {file: (entry.label, entry.split) for file, entry in entries.items()} == {
        "Batch1/0X101.avi": ("PLAX", "train"),
        "Batch3/0xabc.avi": ("PLAX", "validation"),
        "Batch4/0X777.avi": ("PLAX", None),
    }
    assert counts.missing == 1  # 0X404, though it has two rows
    assert counts.moved == counts.conflicts == 0


def test_echonet_lvh_video_in_two_splits(tmp_path: Path) -> None:
    echonet_lvh(tmp_path)
    append(tmp_path / "MeasurementsList.csv", "5,0X101,LVPWd,1.1,21,1.0,2.0,3.0,4.0,72,50,1024,768,test\n")
    entries, counts = read("echonet-lvh", tmp_path)
    assert entries["Batch1/0X101.avi"].split == "train"
    assert counts.moved == 1


def test_echonet_pediatric(tmp_path: Path) -> None:
    echonet_pediatric(tmp_path)
    entries, counts = read("echonet-pediatric", tmp_path)
    assert {
        file.rpartition("/")[2]: (entry.patient, entry.label, entry.split) for file, entry in entries.items()
    } == {
        "CR32a7555-CR32a7582-000039.avi": ("CR32a7555", "A4C", "train"),
        "CR32a7555-CR3dca855-000033.avi": ("CR32a7555", "A4C", "train"),
        "CR32a95e6-CR3dcad12-000058.avi": ("CR32a95e6", "A4C", "test"),
        "CR32a7555-CR32a7582-000041.avi": ("CR32a7555", "PSAX", "train"),
        "CR3dca6a0-CR3dca87f-000030.avi": ("CR3dca6a0", "PSAX", "validation"),
        "odd.avi": ("odd", "PSAX", None),
    }
    assert counts.moved == 0  # folds 0 and 3 are both train


def test_echonet_pediatric_child_in_two_folds(tmp_path: Path) -> None:
    echonet_pediatric(tmp_path)
    path = tmp_path / "PSAX/FileList.csv"
    path.write_text(path.read_text().replace(",3\n", ",9.0\n"))
    entries, counts = read("echonet-pediatric", tmp_path)
    assert {entry.split for entry in entries.values() if entry.patient == "CR32a7555"} == {"train"}
    assert counts.moved == 1


@pytest.mark.parametrize(
    ("fold", "split"),
    [("0", "train"), ("7", "train"), ("8", "validation"), ("9", "test"), ("10", None), ("", None)],
)
def test_echonet_pediatric_folds(tmp_path: Path, fold: str, split: str | None) -> None:
    write(tmp_path, ["A4C/Videos/a.avi"], A4C__FileList_csv=f"FileName,Split\na.avi,{fold}\n")
    assert read("echonet-pediatric", tmp_path)[0]["A4C/Videos/a.avi"].split == split


def test_echonet_pediatric_one_view_alone(tmp_path: Path) -> None:
    echonet_pediatric(tmp_path)
    (tmp_path / "A4C/FileList.csv").unlink()
    entries, _ = read("echonet-pediatric", tmp_path)
    assert {file.partition("/")[0]: entry.label for file, entry in entries.items()} == {
        "A4C": "A4C",
        "PSAX": "PSAX",
    }


def test_mimic(tmp_path: Path) -> None:
    mimic(tmp_path)
    entries, counts = read("mimic-iv-echo", tmp_path)
    assert {(entry.patient, entry.study, entry.label) for entry in entries.values()} == {
        ("10002221", "94106955", None),
        ("10002221", "90000001", None),
        ("11000007", "91000000", None),
    }
    assert counts.missing == 1


def test_mimic_as_wget_leaves_it(tmp_path: Path) -> None:
    mimic(tmp_path / "physionet.org/files/mimic-iv-echo/1.0")
    assert len(read("mimic-iv-echo", tmp_path)[0]) == 3
