"""Labels of people as DICOM SR: valid, read back as they were, by persons, of their image and patient."""

import io
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from apical.deploy.structured_report import OWN
from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.ingest.pseudonyms import clip_id_of_uid
from apical.label import reports
from apical.label.opinions import CANNOT_TELL, LONGEST_NAME, QUALITIES, Said, check_annotator, check_said
from apical.label.report_content import read_report
from apical.label.reports import (
    NOTE,
    Labelled,
    label_bytes,
    label_document,
    label_series_uid,
    label_uid,
    person_name,
    reports_of,
    split_names,
)
from apical.views import NO_VIEW, Code, View, Vocabulary, standard_vocabulary
from small_clips import small_clips
from sr_files import WHEN, as_read, assert_valid, said_by, source

VIEWS = standard_vocabulary()
LABEL = Labelled(Said("A4C", True, "good", "a note"), ("Doe^Jane", "Bo"))
LABELS = {
    "standard code": LABEL,
    "local code": Labelled(Said("IVC", False, "fair"), ("Ärztin Öz",)),
    "none": Labelled(Said(NO_VIEW, None, "poor"), ("Bo",)),
    "cannot tell": Labelled(Said(CANNOT_TELL), ("王小东",)),
    "adjudicated": Labelled(Said("PLAX"), ("Bo",), True, ("Al", "Doe^Jane")),
    "nobody is named": Labelled(Said("PLAX")),
    "names that PN cannot hold": Labelled(Said("PLAX"), ("a=b\\c", "^^^^^^", "=", "x" * 70, "end^")),
}


def read_back(content, path, vocabulary=VIEWS):
    path.write_bytes(content)
    (label,), problems = read_report(str(path), vocabulary)
    assert problems == []
    return label


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_validators_find_no_fault_and_it_reads_back(tmp_path, label):
    content = label_bytes(as_read(source()), label, VIEWS, WHEN)
    read = read_back(content, tmp_path / "sr")
    assert read.label == label
    assert (read.clip, read.program, read.verified) == (clip_id_of_uid("1.2.840.99.1"), False, False)
    assert_valid(tmp_path / "sr")


NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=LONGEST_NAME)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(str.strip)


def allowed(check, *values):
    try:
        check(*values)
    except WrongCall:
        return False
    return True


@settings(max_examples=40)
@given(
    said=st.builds(
        Said,
        st.sampled_from([*VIEWS.names, NO_VIEW, CANNOT_TELL]),
        st.sampled_from([True, False, None]),
        st.sampled_from([*QUALITIES, None]),
        st.one_of(PLAIN, st.just(NOTE)),
    ).filter(lambda said: allowed(check_said, said, VIEWS)),
    by=st.lists(NAME.filter(lambda name: allowed(check_annotator, name)), max_size=3),
    adjudicated=st.booleans(),
    among=st.lists(NAME.filter(lambda name: allowed(check_annotator, name)), max_size=2),
)
def test_whatever_can_be_said_reads_back(tmp_path_factory, said, by, adjudicated, among):
    by, among = tuple(map(check_annotator, by)), tuple(map(check_annotator, among))
    label = Labelled(said, by, adjudicated, among)
    content = label_bytes(source(), label, VIEWS, WHEN)
    read = read_back(content, tmp_path_factory.getbasetemp() / "label").label
    assert read == label


def test_a_person_says_it_and_no_device(tmp_path):
    """As dcmtk and highdicom read it."""
    highdicom = pytest.importorskip("highdicom")
    content = label_bytes(source(), replace(LABEL, adjudicated=True), VIEWS, WHEN)
    document = highdicom.sr.srread(io.BytesIO(content))
    people = document.content.get_observer_contexts(
        observer_type=highdicom.sr.CodedConcept("121006", "DCM", "Person")
    )
    assert [str(one.observer_identifying_attributes.name) for one in people] == ["Doe^Jane", "Bo^"]
    assert len(document.content.get_observer_contexts()) == 2
    (group,) = document.content.get_image_measurement_groups()
    said = [
        (q.name.value, q.value.value, q.value.scheme_designator) for q in group.get_qualitative_evaluations()
    ]
    assert said == [
        ("111031", "399214001", "SCT"),
        ("CONTRAST-SEEN", "373066001", "SCT"),
        ("IMAGE-QUALITY", "122741", "DCM"),
    ]
    assert group.get_measurements() == []
    assert [one.referenced_sop_instance_uid for one in group.source_images] == ["1.2.840.99.1"]
    (tmp_path / "sr").write_bytes(content)
    lines = [line.strip() for line in said_by("dsrdump", "+Pl", tmp_path / "sr")]
    assert '<contains TEXT:(,,"Comment")="Labelled by a person for research; not a medical report.">' in lines
    assert '<contains TEXT:(,,"Comment")="a note">' in lines
    assert sum('=(C96561,NCIt,"Adjudicator")' in line for line in lines) == 2


@pytest.mark.parametrize("view", [NO_VIEW, CANNOT_TELL])
def test_without_a_view_no_image_view_is_claimed(view):
    said = str(label_document(source(), Labelled(Said(view), ("Bo",)), VIEWS, WHEN))
    assert "Image View" not in said
    assert {NO_VIEW: "SHOWS-NONE", CANNOT_TELL: "CANNOT-TELL"}[view] in said


def test_it_says_how_far_it_can_be_trusted_and_belongs_to_its_patient():
    said = label_document(source(), LABEL, VIEWS, WHEN)
    assert (said.VerificationFlag, said.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert (said.ContentQualification, said.CompletionFlag) == ("RESEARCH", "COMPLETE")
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
        assert said[name].value == source()[name].value
    assert said.SeriesInstanceUID == label_series_uid("1.2.840.99.3")
    assert said.SeriesInstanceUID != source().SeriesInstanceUID


def test_the_same_label_is_one_report_and_another_label_another():
    one, later = (label_document(source(), LABEL, VIEWS, when) for when in (WHEN, WHEN + timedelta(days=1)))
    assert one.SOPInstanceUID == later.SOPInstanceUID
    turned = replace(LABEL, by=LABEL.by[::-1])
    assert label_uid("1.2", turned) == label_uid("1.2", LABEL)
    others = [
        replace(LABEL, by=("Doe^Jane",)),
        replace(LABEL, adjudicated=True),
        replace(LABEL, among=("Al",)),
        *(
            replace(LABEL, said=replace(LABEL.said, **change))
            for change in ({"view": "A2C"}, {"contrast_agent": None}, {"quality": "fair"}, {"note": ""})
        ),
    ]
    uids = {label_uid(image, label) for image in ("1.2", "1.3") for label in (LABEL, *others)}
    assert len(uids) == 2 * (1 + len(others))
    assert all(pydicom.uid.UID(uid).is_valid for uid in uids)


def test_uids_do_not_change_from_release_to_release():
    """Else a PACS would get each label twice."""
    assert label_uid("1.2.3", LABEL) == "2.25.155457854423063795344174175588998787413"
    assert label_series_uid("1.2.3") == "2.25.161658185227150742943286794707315838773"


def test_every_standard_code_is_in_the_dictionaries():
    ours = [code for code in vars(reports).values() if isinstance(code, Code)]
    ours += [*reports.QUALITY_CODES.values(), *reports.WITHOUT_VIEW.values()]
    known = {
        (scheme, value, meaning)
        for scheme, names in concepts.items()
        for codes in names.values()
        for value, (meaning, _) in codes.items()
    }
    for code in ours:
        assert code.scheme in (OWN, "RFC5646") or (code.scheme, code.value, code.meaning) in known
        assert len(code.value) <= 16
        assert len(code.meaning) <= 64
    roles = {value for name in cid_concepts[7453]["NCIt"] for value in concepts["NCIt"][name]}
    assert reports.ADJUDICATOR.value in roles


def test_what_cannot_be_reported():
    with pytest.raises(WrongCall, match="no view of the vocabulary"):
        label_document(source(), Labelled(Said("A9C")), VIEWS, WHEN)
    with pytest.raises(WrongCall, match="no view of the vocabulary"):
        label_document(source(), Labelled(Said(None, True)), VIEWS, WHEN)
    with pytest.raises(ClipProblem, match="SOPInstanceUID is missing"):
        label_document(source(SOPInstanceUID=None), LABEL, VIEWS, WHEN)
    with pytest.raises(WrongCall, match="time zone"):
        label_document(source(), LABEL, VIEWS, WHEN.replace(tzinfo=None))


def test_nothing_of_a_name_is_logged_or_warned_of(caplog, recwarn):
    """highdicom quotes a name of one component in a warning."""
    label_bytes(source(), Labelled(Said("A4C"), ("Nowak", "a=b")), VIEWS, WHEN)
    assert not any("Nowak" in str(one.message) for one in recwarn)
    assert "Nowak" not in caplog.text


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("Bo", "Bo^"),
        ("Doe^Jane", "Doe^Jane"),
        ("a\\b=c", "a b c^"),
        ("^" * 9, "Unnamed^"),
        ("x" * 99, "x" * 63 + "^"),
    ],
)
def test_names_of_persons(name, person):
    assert person_name(name) == person
    assert len(person) <= 64


def test_names_of_a_catalogue():
    assert split_names("Al, Bo") == ("Al", "Bo")
    assert split_names("Al, Al") == ("Al",)
    for nobody in (None, "", "table", " , "):
        assert split_names(nobody) == ()


def test_views_of_users_own_vocabularies_read_back(tmp_path):
    names = ("Ansicht\\Schraeg von unten, mit einem sehr langen Namen", "短軸", "A\nB", "none")
    own = Vocabulary(
        (*(View(name, name) for name in names), View("coded", "c", Code("X1", "99HOSPITAL-LONG-NAME", "")))
    )
    for view in own.names:
        label = Labelled(Said(view), ("Bo",))
        assert read_back(label_bytes(source(), label, own, WHEN), tmp_path / "sr", own).label == label


def test_reports_of_files_of_all_kinds(tmp_path):
    """One that is no DICOM file, one that is gone, one that is another clip now, one of an unknown view."""
    table = small_clips(tmp_path, 3)
    first, second, third = table["clip"]
    places = dict(table.select("clip", "path").iter_rows())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    places |= {
        "gone": str(tmp_path / "Doe^Jane.dcm"),
        "other": places[first],
        "still": str(tmp_path / "s.png"),
    }
    pytest.importorskip("PIL.Image").new("L", (64, 64)).save(tmp_path / "s.png")
    labels = dict.fromkeys((first, "gone", "other", "still", second), LABEL) | {third: Labelled(Said("A9C"))}
    made = list(reports_of(labels, places, VIEWS, WHEN))
    assert [one.clip for one in made] == list(labels)
    assert [one.content is not None for one in made] == [True, False, False, False, True, False]
    assert [one.problem for one in made] == [
        None,
        "the file cannot be read",
        "its file is another one now; scan again",
        None,
        None,
        "its label is no view of the vocabulary",
    ]
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    (tmp_path / "sr").write_bytes(made[0].content)
    assert read_report(str(tmp_path / "sr"), VIEWS)[0][0].clip == first
    assert pydicom.dcmread(tmp_path / "sr").PatientName == "Doe^Nr0"


def test_highdicom_is_asked_for_only_when_it_is_needed(monkeypatch, tmp_path):
    """Reading needs none; and nothing heavy is loaded."""
    heavy = "import sys, apical.label.read_reports, apical.label.exports;"
    heavy += "print([m for m in ('highdicom', 'torch', 'sklearn', 'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    monkeypatch.setitem(sys.modules, "highdicom.sr", None)
    with pytest.raises(CannotDo, match=r"highdicom .* pip install 'apical\[dicom-net\]'"):
        list(reports_of({}, {}, VIEWS, WHEN))
