"""Tiny copies of public data sets, laid out as they are published. No image holds a pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from apical.ingest.datasets import Counts, Entry, read_dataset

CINE_A, CINE_B, CINE_C = "4d" * 32, "a0" * 32, "0b" * 32


def write(root: Path, files: Iterable[str] = (), **texts: str) -> None:
    """Empty files, and text files under names with ``__`` for a slash and a last ``_`` for the dot."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    for name, text in texts.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = root / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def read(name: str, root: Path) -> tuple[dict[str, Entry], Counts]:
    """The entries by file, and the counts."""
    about, entries, counts = read_dataset(name, root)
    assert about.name == name
    return {entry.file: entry for entry in entries}, counts


def clips(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Those that are not to be skipped."""
    return {file: entry for file, entry in entries.items() if entry.skip is None}


def camus(root: Path, patients: Iterable[str] = ("0001", "0033", "0068", "0450")) -> None:
    for number in patients:
        folder = f"database_nifti/patient{number}"
        write(root, [f"{folder}/Info_{view}.cfg" for view in ("2CH", "4CH")])
        for view in ("2CH", "4CH"):
            for part in ("ED", "ES", "half_sequence"):
                for mask in ("", "_gt"):
                    write(root, [f"{folder}/patient{number}_{view}_{part}{mask}.nii.gz"])
    write(
        root,
        database_split__subgroup_training_txt="patient0001\npatient0033 \n",
        database_split__subgroup_validation_txt="patient0002\n",
        database_split__subgroup_testing_txt="patient0450\npatient0068\n",
        database_split__information_txt="of the lists\n",
    )


def camus_original(root: Path) -> None:
    for half, number in (
        ("training", "0001"),
        ("training", "0033"),
        ("training", "0068"),
        ("testing", "0001"),
    ):
        place = f"{half}/patient{number}"
        for view in ("2CH", "4CH"):
            write(root, [f"{place}/Info_{view}.cfg"])
            parts = ["ED", "ES", "sequence"] + (["ED_gt", "ES_gt"] if half == "training" else [])
            for part in parts:
                for form in ("mhd", "raw"):
                    write(root, [f"{place}/patient{number}_{view}_{part}.{form}"])


EV9V_IDS = {
    "2022-07-27_14-06-42_320x240_2": ("PMPALA", "train"),
    "2022-07-27_14-06-42-seg2_320x240_3": ("PLHLA", "train"),
    "2022-04-28_08-03-07_003_320x240_8": ("A5C", "validation"),
    "2022-07-01_10-07-13-seg2_002_320x240_6": ("PMVLSA", "test"),
}


def ev9v(root: Path, videos: bool = True, images: bool = True) -> None:
    for name in EV9V_IDS:
        write(root, [f"Videos/{name}.mp4"] if videos else [])
        write(root, [f"Images/{name}/frame_{k:06}.jpg" for k in (1, 2)] if images else [])
    write(root, ["README.md", "Videos.tar"])
    for split in ("train", "validation", "test"):
        rows = "".join(f"{name} {view}\n" for name, (view, of) in EV9V_IDS.items() if of == split)
        (root / f"{split}_labeled.txt").write_text(rows)


def ev9v_of_the_code(root: Path) -> None:
    ev9v(root, videos=False)
    for split in ("train", "validation", "test"):
        (root / f"{split}_labeled.txt").unlink()
        names = [name for name, (_, of) in EV9V_IDS.items() if of == split]
        (root / f"{split}.txt").write_text("\n".join(names))
    rows = "".join(f"{name},{view}\n" for name, (view, _) in EV9V_IDS.items())
    (root / "labels.csv").write_text("names,labels\n" + rows)


TMED_COLUMNS = (
    "query_key,SourceFolder,view_label,diagnosis_label,view_classifier_split,diagnosis_classifier_split\n"
)


def tmed2(root: Path) -> None:
    both, views, rest = "view_and_diagnosis_labeled_set", "view_labeled_set", "unlabeled_set/unlabeled_set"
    write(
        root,
        [
            f"{both}/labeled/4860s1_0.png",
            f"{both}/labeled/4860s1_1.png",
            f"{both}/labeled/4860s2_0.png",
            f"{both}/unlabeled/4860s1_0.png",  # another image under the same name
            f"{both}/labeled/12s1_0.png",
            f"{views}/labeled/labeled/77s1_3.png",  # labeled.zip unpacked into a folder
            f"{rest}/9001s1_0.png",
        ],
        labels_per_image_csv="query_key,view_label,diagnosis_label\n",
        DEV479__TMED2_fold0_labeledpart_csv=TMED_COLUMNS
        + f"4860s1_0.png,{both}/labeled,A4C,no_AS,train,train\n"
        + f"4860s1_1.png,{both}/labeled,PSAX,no_AS,train,train\n"
        + f"4860s2_0.png,{both}/labeled,A4CorA2CorOther,no_AS,train,train\n"
        + f"12s1_0.png,{both}/labeled,PLAX,severe_AS,test,test\n"
        + f"77s1_3.png,{views}\\labeled,A2C,Not_Provided,val,\n",
        DEV479__TMED2_fold0_unlabeledpart_csv=TMED_COLUMNS
        + f"4860s1_0.png,{both}/unlabeled,Not_Provided,no_AS,train,train\n",
        DEV479__TMED2_fold1_labeledpart_csv=TMED_COLUMNS
        + f"4860s1_0.png,{both}/labeled,A4C,no_AS,test,test\n",
    )


def unity_file(cine: str, frame: int, folder: str = "01") -> str:
    return f"png-cache/{folder}/{cine[:2]}/{cine[2:4]}/{folder}-{cine}-{frame:04}.png"


def unity(root: Path) -> None:
    write(
        root,
        [unity_file(CINE_A, 0), unity_file(CINE_A, 23), unity_file(CINE_B, 5), unity_file(CINE_C, 1, "02")],
        labels__keys_json="{}",
        labels__labels_all_json="{}",
    )
    key = '"{}": {{"labels": {{"lv-endo": {{"type": "off", "x": "", "y": ""}}}}}}'
    train = [f"01-{CINE_A}-0000.png", f"01-{CINE_A}-0007_(1).png"]
    (root / "labels/labels-train.json").write_text("{" + ",".join(map(key.format, train)) + "}")
    (root / "labels/labels-tune.json").write_text("{" + key.format(f"01-{CINE_B}-0005:png") + "}")


def cactus(root: Path) -> None:
    for folder in ("A4C/scan 1", "PL", "PSAV", "PSMV", "Random", "SC"):
        write(root, [f"Images Dataset/{folder}/{number}.jpg" for number in (1, 2)])
    write(root, Grades__A4C_grades_csv="Image Name,Subfolder Name,Grade\n")


def ned(root: Path) -> None:
    write(
        root,
        [
            f"echos_video/{name}.mp4"
            for name in ("case 1/101", "case 1/b", "case 1/c", "case 1/d", "case 2/b")
        ],
    )
    heading = "Filename,Notes,Classification\n"
    (root / "echos_video/case 1/labels.csv").write_text(
        heading
        + '101,"fine, sharp",Apical 4 Chamber\nb.mp4,,Ductal arch of newborns\nc,,nan\ngone,,A4C\n,,A4C\n'
    )
    (root / "echos_video/case 2/labels.csv").write_text(heading + "b,,PLAX\n")


def echonet_dynamic(root: Path) -> None:
    write(
        root,
        [f"Videos/0X{name}.avi" for name in ("10A", "10B", "10C", "298EBAF6CC2B526")],
        FileList_csv="FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split\n"
        "0X10A,78.4,14.8,69.2,112,112,50,174,VAL\n"
        "0X10B,59.1,38.3,98.7,112,112,50,215,TRAIN\n"
        "0X10C,59.1,38.3,98.7,112,112,50,215,TEST\n"
        "0XGONE,59.1,38.3,98.7,112,112,50,215,TEST\n",
        VolumeTracings_csv="FileName,X1,Y1,X2,Y2,Frame\n0X10A.avi,1,2,3,4,5\n",
    )


def echonet_lvh(root: Path) -> None:
    write(
        root,
        ["Batch1/0X101.avi", "Batch3/0xabc.avi", "Batch4/0X777.avi"],
        MeasurementsList_csv=",HashedFileName,Calc,CalcValue,Frame,X1,X2,Y1,Y2,Frames,FPS,Width,Height,split\n"
        "0,0X101,IVSd,0.96,21,412.0,415.0,203.0,240.0,72,50,1024,768,train\n"
        "1,0X101,LVIDd,4.6,21,412.0,415.0,203.0,240.0,72,50,1024,768,train\n"
        "2,0XABC,LVPWd,1.1,21,412.0,415.0,203.0,240.0,72,50,1024,768,val\n"
        "3,0X404,IVSd,1.1,21,412.0,415.0,203.0,240.0,72,50,1024,768,test\n"
        "4,0X404,LVIDd,1.1,21,412.0,415.0,203.0,240.0,72,50,1024,768,test\n",
    )


def echonet_pediatric(root: Path) -> None:
    heading = "FileName,EF,Sex,Age,Weight,Height,Split\n"
    write(
        root,
        [
            "A4C/Videos/CR32a7555-CR32a7582-000039.avi",
            "A4C/Videos/CR32a7555-CR3dca855-000033.avi",
            "A4C/Videos/CR32a95e6-CR3dcad12-000058.avi",
            "PSAX/Videos/CR32a7555-CR32a7582-000041.avi",
            "PSAX/Videos/CR3dca6a0-CR3dca87f-000030.avi",
            "PSAX/Videos/odd.avi",
        ],
        A4C__FileList_csv=heading
        + "CR32a7555-CR32a7582-000039.avi,61.35,F,1,11.3,90,0\n"
        + "CR32a7555-CR3dca855-000033.avi,61.35,F,1,11.3,90,0\n"
        + "CR32a95e6-CR3dcad12-000058.avi,60.97,F,13,,,9\n",
        PSAX__FileList_csv=heading
        + "CR32a7555-CR32a7582-000041.avi,61.35,F,1,11.3,90,3\n"
        + "CR3dca6a0-CR3dca87f-000030.avi,61.35,F,1,11.3,90,8\n"
        + "odd.avi,61.35,F,1,11.3,90,x\n",
        A4C__VolumeTracings_csv="FileName,X,Y,Frame\n",
    )


def mimic(root: Path) -> None:
    write(
        root,
        [
            "files/p10/p10002221/s94106955/94106955_0001.dcm",
            "files/p10/p10002221/s90000001/90000001_0001.dcm",
            "files/p11/p11000007/s91000000/91000000_0001.dcm",  # not in the list
        ],
        echo_study_list_csv="subject_id,study_id,study_datetime,note_id\n",
    )
    (root / "echo-record-list.csv").write_text(
        "subject_id,study_id,acquisition_datetime,dicom_filepath\n"
        "10002221,94106955,2150-01-01 10:00:00,files/p10/p10002221/s94106955/94106955_0001.dcm\n"
        "10002221,94106955,2150-01-01 10:00:01,files/p10/p10002221/s94106955/94106955_0002.dcm\n"
        "10002221,90000001,2151-01-01 10:00:00,files/p10/p10002221/s90000001/90000001_0001.dcm\n"
    )


TREES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "camus": ("camus", camus),
    "camus, original": ("camus", camus_original),
    "ev9v": ("ev9v", ev9v),
    "ev9v, of the code": ("ev9v", ev9v_of_the_code),
    "tmed2": ("tmed2", tmed2),
    "unity": ("unity", unity),
    "cactus": ("cactus", cactus),
    "ned": ("ned", ned),
    "echonet-dynamic": ("echonet-dynamic", echonet_dynamic),
    "echonet-lvh": ("echonet-lvh", echonet_lvh),
    "echonet-pediatric": ("echonet-pediatric", echonet_pediatric),
    "mimic-iv-echo": ("mimic-iv-echo", mimic),
}
