"""Labels from DICOM SR: Apical's own and those of other makers; nothing is guessed."""

import random
from datetime import timedelta

import polars as pl
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, EnhancedSRStorage, ExplicitVRLittleEndian

from apical.deploy.answers import Answer
from apical.deploy.dicom_sr import sr_bytes
from apical.errors import CannotDo, ClipProblem
from apical.ingest.pseudonyms import clip_id_of_uid
from apical.label.exports import catalogue_labels
from apical.label.opinions import CANNOT_TELL, Said
from apical.label.read_reports import import_reports, read_reports
from apical.label.report_content import NoReport, read_report
from apical.label.reports import Labelled, label_bytes, reports_of
from apical.views import NO_VIEW, Code, View, Vocabulary, standard_vocabulary
from small_clips import small_clips
from sr_files import WHEN, source

VIEWS = standard_vocabulary()
FOUR, LONG = ("399214001", "SCT", "Apical four chamber"), ("399139001", "SCT", "Parasternal long axis")
IMAGE_VIEW = ("111031", "DCM", "Image View")
PERSON, DEVICE = ("121006", "DCM", "Person"), ("121007", "DCM", "Device")


def code(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def node(kind, name=None, *children, **values):
    item = Dataset()
    item.ValueType, item.RelationshipType = kind, "CONTAINS"
    if name:
        item.ConceptNameCodeSequence = [code(*name)]
    for key, value in values.items():
        setattr(item, key, value)
    if children:
        item.ContentSequence = list(children)
    return item


def coded(name, value, *children):
    return node("CODE", name, *children, ConceptCodeSequence=[code(*value)])


def image(uid, *children):
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.3.1", uid
    return node("IMAGE", None, *children, ReferencedSOPSequence=[reference])


def person(name):
    return [
        coded(("121005", "DCM", "Observer Type"), PERSON),
        node("PNAME", ("121008", "DCM", "Person Observer Name"), PersonName=name),
    ]


def device(name):
    return [
        coded(("121005", "DCM", "Observer Type"), DEVICE),
        node("TEXT", ("121013", "DCM", "Device Observer Name"), TextValue=name),
    ]


def algorithm(name):
    return node("TEXT", ("111001", "DCM", "Algorithm Name"), TextValue=name)


def group(*children):
    return node("CONTAINER", ("125007", "DCM", "Measurement Group"), *children)


def document(path, *children, verified=False, kind=EnhancedSRStorage, day="20260301"):
    """A report of another maker."""
    root = node("CONTAINER", ("126000", "DCM", "Imaging Measurement Report"), *children)
    del root.RelationshipType
    root.SOPClassUID, root.SOPInstanceUID, root.Modality = kind, pydicom.uid.generate_uid(), "SR"
    root.PatientName, root.ContentDate, root.ContentTime = "Doe^Jane", day, "101112"
    root.VerificationFlag = "VERIFIED" if verified else "UNVERIFIED"
    root.file_meta = FileMetaDataset()
    root.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    root.save_as(path, enforce_file_format=True)
    return path


def read(path, vocabulary=VIEWS):
    labels, problems = read_report(str(path), vocabulary)
    return [(one.clip, one.label.said.view, one.label.by, one.program) for one in labels], problems


def clip(uid):
    return clip_id_of_uid(uid)


def test_a_report_of_another_maker(tmp_path):
    path = document(
        tmp_path / "sr",
        *person("Doe^John^^Dr"),
        node("CONTAINER", ("126010", "DCM", "Imaging Measurements"),
             group(coded(IMAGE_VIEW, FOUR), image("1.2.3")), group(coded(IMAGE_VIEW, LONG), image("1.2.4"))),
    )  # fmt: skip
    by = ("Doe^John^^Dr",)
    assert read(path) == ([(clip("1.2.3"), "A4C", by, False), (clip("1.2.4"), "PLAX", by, False)], [])
    assert not read_report(str(path), VIEWS)[0][0].verified
    sure = document(
        tmp_path / "sure", *person("X"), group(coded(IMAGE_VIEW, FOUR), image("1.2")), verified=True
    )
    assert read_report(str(sure), VIEWS)[0][0].verified


@pytest.mark.parametrize(
    "tree",
    [
        [group(coded(IMAGE_VIEW, FOUR), node("NUM", ("1", "L", "x"), image("1.2.3")))],
        [group(coded(IMAGE_VIEW, FOUR), image("1.2.3"), image("1.2.3"))],
        [image("1.2.3", coded(IMAGE_VIEW, FOUR)), image("1.2.4")],
        [image("1.2.3"), group(node("NUM", ("1", "L", "x"), coded(IMAGE_VIEW, FOUR)))],
        [group(coded(IMAGE_VIEW, FOUR), node("SCOORD", ("1", "L", "x"), image("1.2.3")))],
    ],
    ids=["below a sibling", "named twice", "of the image itself", "above", "by coordinates"],
)
def test_the_one_image_is_found(tmp_path, tree):
    assert read(document(tmp_path / "sr", *person("A"), *tree)) == (
        [(clip("1.2.3"), "A4C", ("A",), False)],
        [],
    )


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ([group(coded(IMAGE_VIEW, FOUR), image("1.2.3"), image("1.2.4"))],
         "an Image View of 2 images instead of one"),
        ([group(coded(IMAGE_VIEW, FOUR))], "an Image View of no images instead of one"),
        ([group(coded(IMAGE_VIEW, ("399200001", "SCT", "Subcostal short axis")), image("1.2.3"))],
         "an Image View that the vocabulary does not have"),
        ([group(coded(IMAGE_VIEW, ("399214001", "99X", "Doe")), image("1.2.3"))],
         "an Image View that the vocabulary does not have"),
        ([group(node("CODE", IMAGE_VIEW), image("1.2.3"))],
         "an Image View that the vocabulary does not have"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_a_problem_and_no_label(tmp_path, tree, problem):
    assert read(document(tmp_path / "sr", *person("A"), *tree)) == ([], [problem])


def test_older_codes_are_the_same(tmp_path):
    """Those of the scheme SRT, as reports had them before 2019 (PS3.16, CID 12226 of then)."""
    old = [("G-A19C", "SRT", "x", "A4C"), ("G-A19B", "SNM3", "x", "A2C"), ("G-0396", "99SDM", "x", "PLAX")]
    for *value, view in old:
        path = document(tmp_path / "sr", *person("A"), group(coded(IMAGE_VIEW, value), image("1.2.3")))
        assert read(path)[0] == [(clip("1.2.3"), view, ("A",), False)]


def test_a_code_of_two_views_is_not_guessed(tmp_path):
    both = Vocabulary((View("A", "a", Code(*FOUR)), View("B", "b", Code(*FOUR))))
    path = document(tmp_path / "sr", *person("A"), group(coded(IMAGE_VIEW, FOUR), image("1.2.3")))
    assert read(path, both) == ([], ["an Image View that the vocabulary does not have"])


@pytest.mark.parametrize(
    ("observers", "beside", "verified", "expected"),
    [
        (person("A"), [], False, (("A",), False)),
        (device("AI"), [], False, (("AI",), True)),
        (device("AI"), [], True, (("AI",), True)),
        ([*device("AI"), *person("A")], [], False, (("A",), False)),
        ([*device("AI"), *person("A")], [algorithm("Net")], False, (("AI",), True)),
        ([*device("AI"), *person("A")], [algorithm("Net")], True, (("A",), False)),
        (person("A"), [algorithm("Net")], False, (("a program",), True)),
        ([], [], False, ((), False)),
        ([], [algorithm("Net")], False, (("a program",), True)),
        ([], [algorithm("Net")], True, (("a program",), True)),
    ],
)
def test_people_and_programs_are_told_apart(tmp_path, observers, beside, verified, expected):
    """Beside an algorithm a person says it only once it is verified."""
    path = document(
        tmp_path / "sr", *observers, group(coded(IMAGE_VIEW, FOUR), image("1.2"), *beside), verified=verified
    )
    assert [label[2:] for label in read(path)[0]] == [expected]


def test_who_verified_what_a_program_said_says_it(tmp_path):
    tree = [*device("AI"), group(coded(IMAGE_VIEW, FOUR), image("1.2"), algorithm("Net"))]
    for verified, expected in ((False, ("AI",)), (True, ("Doe^John",))):
        path = document(tmp_path / "sr", *tree, verified=verified)
        dataset = pydicom.dcmread(path)
        dataset.VerifyingObserverSequence = [Dataset()]
        dataset.VerifyingObserverSequence[0].VerifyingObserverName = "Doe^John"
        dataset.save_as(path)
        assert [label[2:] for label in read(path)[0]] == [(expected, not verified)]


def test_a_group_may_have_observers_of_its_own(tmp_path):
    path = document(
        tmp_path / "sr",
        *person("A"),
        group(*person("B"), coded(IMAGE_VIEW, FOUR), image("1.2")),
        group(coded(IMAGE_VIEW, FOUR), image("1.3")),
    )
    assert [label[2] for label in read(path)[0]] == [("B",), ("A",)]


def test_what_is_no_report_is_told_from_what_is_damaged(tmp_path):
    (tmp_path / "text").write_text("no DICOM")
    small_clips(tmp_path, 1)
    for path in (tmp_path / "text", tmp_path / "IM0.dcm"):
        with pytest.raises(NoReport):
            read_report(str(path), VIEWS)


def test_a_file_that_was_cut_off_is_a_problem(tmp_path):
    others = document(tmp_path / "sr", *person("A"), group(coded(IMAGE_VIEW, FOUR), image("1.2.3")))
    for whole in (others.read_bytes(), label_bytes(source(), Labelled(Said("A4C"), ("A",)), VIEWS, WHEN)):
        for end in range(250, len(whole), 17):
            (tmp_path / "cut").write_bytes(whole[:end])
            with pytest.raises(ClipProblem, match=r"^(damaged|incomplete) DICOM file$"):
                read_report(str(tmp_path / "cut"), VIEWS)


def test_whatever_is_in_a_file_is_a_problem_and_no_crash(tmp_path):
    whole = bytearray(label_bytes(source(), Labelled(Said("A4C"), ("A",)), VIEWS, WHEN))
    draw = random.Random(0)
    for _ in range(150):
        spoilt = bytearray(whole)
        for _ in range(draw.choice([1, 3, 20])):
            spoilt[draw.randrange(132, len(spoilt))] = draw.randrange(256)
        (tmp_path / "sr").write_bytes(spoilt)
        try:
            labels, _ = read_report(str(tmp_path / "sr"), VIEWS)
        except ClipProblem as problem:
            assert str(problem) in ("damaged DICOM file", "incomplete DICOM file", "no structured report")  # noqa: PT017
        else:
            assert all(one.label.said.view in (*VIEWS.names, NO_VIEW, CANNOT_TELL) for one in labels)


def test_a_tree_without_end_is_a_problem(tmp_path):
    path = document(tmp_path / "sr", image("1.2"))
    dataset = pydicom.dcmread(path)
    del dataset.ContentSequence
    dataset.save_as(path)
    level = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    for depth in (3, 20_000):
        end = (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * depth
        (tmp_path / "deep").write_bytes(path.read_bytes() + level * depth + end)
        if depth == 3:
            assert read(tmp_path / "deep") == ([], [])
        else:
            with pytest.raises(ClipProblem, match="damaged DICOM file"):
                read_report(str(tmp_path / "deep"), VIEWS)


SAID = Labelled(Said("A4C"), ("Al",))


def write(folder, uid, label, *, days=0, name=None):
    """A report of Apical's on an image."""
    folder.mkdir(exist_ok=True)
    content = label_bytes(source(SOPInstanceUID=uid), label, VIEWS, WHEN + timedelta(days=days))
    path = folder / (name or f"{len(list(folder.iterdir()))}.dcm")
    path.write_bytes(content)


def views_of(found):
    return sorted((one.label.said.view, one.label.by) for one in found.labels)


def test_of_the_same_people_the_latest_counts(tmp_path):
    write(tmp_path / "f", "1.2", SAID, days=1, name="a.dcm")
    write(tmp_path / "f", "1.2", Labelled(Said("A2C"), ("Al",)), days=2, name="b.dcm")
    write(tmp_path / "f", "1.2", Labelled(Said("PLAX"), ("Al",)), name="c.dcm")
    write(tmp_path / "f", "1.2", Labelled(Said("A5C"), ("Bo",)), name="d.dcm")
    write(tmp_path / "f", "1.3", SAID)
    found = read_reports([str(tmp_path / "f")], VIEWS)
    assert views_of(found) == [("A2C", ("Al",)), ("A4C", ("Al",)), ("A5C", ("Bo",))]
    assert (found.reports, found.passed_over, found.problems) == (5, 0, ())


def test_an_adjudication_counts_before_all_others_and_the_latest_of_them(tmp_path):
    write(tmp_path / "f", "1.2", SAID, days=9)
    write(tmp_path / "f", "1.2", Labelled(Said("A2C"), ("Bo",), True), days=1)
    write(tmp_path / "f", "1.2", Labelled(Said("A3C"), ("Cy",), True), days=2)
    assert views_of(read_reports([str(tmp_path / "f")], VIEWS)) == [("A3C", ("Cy",))]


def test_the_same_report_twice_counts_once(tmp_path):
    for _ in range(2):
        write(tmp_path / "f", "1.2", SAID)
    assert views_of(read_reports([str(tmp_path / "f")], VIEWS)) == [("A4C", ("Al",))]


ANSWER = Answer(
    1,
    "f",
    view="A4C",
    probability=0.9,
    likeliest="A4C",
    views=("A4C",),
    unknown=False,
    unknown_score=1.0,
    model="m",
)
FACTS = {"version": "m", "training": {"method": "probe"}, "unknown": {"threshold": 2.0}}


def test_labels_of_apicals_own_model_are_no_labels_of_people(tmp_path):
    write(tmp_path / "f", "1.2", SAID)
    for uid in ("1.2", "1.3"):
        content = sr_bytes(source(SOPInstanceUID=uid), ANSWER, VIEWS, FACTS, WHEN)
        (tmp_path / "f" / f"m{uid}.dcm").write_bytes(content)
    found = read_reports([str(tmp_path / "f")], VIEWS)
    assert (views_of(found), found.programs) == ([("A4C", ("Al",))], 2)
    asked = read_reports([str(tmp_path / "f")], VIEWS, programs=True)
    assert views_of(asked) == [("A4C", ("Al",)), ("A4C", ("Apical",))]
    assert {one.clip for one in asked.labels if one.program} == {clip("1.3")}


def test_a_folder_of_a_pacs_holds_images_too(tmp_path):
    small_clips(tmp_path, 2)
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 200)
    write(tmp_path, "1.2", SAID, name="sr.dcm")
    found = read_reports([str(tmp_path)], VIEWS)
    assert (len(found.labels), found.reports, found.passed_over) == (1, 1, 2)
    assert found.problems == ("file 3: incomplete DICOM file",)


def exported(table, folder, labels=None):
    folder.mkdir()
    places = dict(table.select("clip", "path").iter_rows())
    for made in reports_of(labels or catalogue_labels(table), places, VIEWS, WHEN):
        assert made.problem is None
        (folder / made.file).write_bytes(made.content)
    return [str(folder)]


def test_out_and_in_gives_the_same_labels(tmp_path):
    table = small_clips(tmp_path, 5).with_columns(
        pl.Series("view", ["A4C", "IVC", NO_VIEW, None, "PLAX"]),
        pl.Series("contrast_agent", [True, False, None, True, None]),
        pl.Series("labelled_by", ["Al", "Al, Bo", "table", None, "Doe^Jane"]),
    )
    bare = table.with_columns(
        pl.lit(None, table.schema[name]).alias(name) for name in ("view", "labelled_by")
    )
    bare = bare.with_columns(contrast_agent=pl.when(pl.col("view").is_null()).then(None).cast(pl.Boolean))
    labelled, found, report = import_reports(bare, exported(table, tmp_path / "out"), VIEWS)
    assert labelled["view"].to_list() == table["view"].to_list()
    assert labelled["labelled_by"].to_list() == table["labelled_by"].to_list()
    assert labelled["contrast_agent"].to_list() == [True, False, None, None, None]
    assert (report.labelled, report.problems, found.reports) == (4, [], 4)
    again, _, _ = import_reports(labelled, [str(tmp_path / "out")], VIEWS)
    assert again.equals(labelled)


def test_contradictions_are_listed_and_not_settled(tmp_path):
    table = small_clips(tmp_path, 3).with_columns(view=pl.lit("A5C"))
    first, second, third = table["clip"]
    folders = []
    for number, labels in enumerate([
        {first: SAID, second: SAID, third: SAID},
        {first: Labelled(Said("A2C"), ("Bo",)), second: Labelled(Said(CANNOT_TELL), ("Bo",)),
         third: Labelled(Said("A4C"), ("Bo",))},
    ]):  # fmt: skip
        folders += exported(table, tmp_path / str(number), labels)
    labelled, found, report = import_reports(table, folders, VIEWS)
    assert labelled["view"].to_list() == [None, "A5C", "A4C"]
    assert labelled["labelled_by"].to_list() == [None, None, "Al, Bo"]
    assert found.cannot_tell == 1
    assert report.problems == [
        "1 clip of which one report tells the view and one that it cannot be told, left as before",
        f"1 clip with two different labels, which got none ({first})",
    ]


def test_reports_of_other_images_are_told_and_no_report_is_an_error(tmp_path):
    table = small_clips(tmp_path, 2)
    with pytest.raises(CannotDo, match="no DICOM SR"):
        import_reports(table, [str(tmp_path)], VIEWS)
    write(tmp_path, "1.2", SAID)
    with pytest.raises(CannotDo, match="no report tells the view of a clip of the catalogue"):
        import_reports(table, [str(tmp_path)], VIEWS)
    exported(table, tmp_path / "out", {table["clip"][1]: SAID})
    labelled, _, report = import_reports(table, [str(tmp_path)], VIEWS)
    assert labelled["view"].to_list() == [None, "A4C"]
    assert report.problems == ["1 label of images that the catalogue does not have"]


def test_comprehensive_reports_are_read_too(tmp_path):
    path = document(
        tmp_path / "sr",
        *person("A"),
        group(coded(IMAGE_VIEW, FOUR), image("1.2")),
        kind=ComprehensiveSRStorage,
    )
    assert len(read(path)[0]) == 1
