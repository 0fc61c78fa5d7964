"""Reports as DICOM: other programs read them, they say what the answer says, and belong to their patient."""

import io
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.uid import UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

from apical.deploy import dicom_sr, structured_report
from apical.deploy.answers import Answer
from apical.deploy.dicom_sr import OWN, check_sr, sr_bytes, sr_document, sr_series_uid, sr_uid
from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.phantom.dicom_file import Header, write_dicom
from apical.phantom.machine import machine
from apical.phantom.screen import lay_out
from apical.views import Code, View, Vocabulary, standard_vocabulary
from sr_files import WHEN, as_read, assert_valid, file_of, said_by, source

pytestmark = pytest.mark.filterwarnings("ignore:.* for VR .*:UserWarning")
VIEWS = standard_vocabulary()
FACTS = {
    "version": "342a2f9f52ca",
    "training": {"method": "self-training"},
    "unknown": {"threshold": 29.41234567},
}
KNOWN = Answer(
    1,
    "/archive/Doe^Jane/IM1",
    clip="c",
    view="A4C",
    probability=0.8125,
    likeliest="A4C",
    views=("A4C", "A5C"),
    unknown=False,
    doubtful=True,
    unknown_score=12.5,
    contrast_agent=False,
    contrast_agent_probability=0.0625,
    mode="2d",
    frames_used=(0, 4),
    model=FACTS["version"],
)
LOCAL = replace(KNOWN, view="IVC", likeliest="IVC", views=("IVC",), doubtful=False, contrast_agent=True)
STRANGE = replace(KNOWN, view=None, unknown=True, unknown_score=99.0, contrast_agent_probability=None)
ANSWERS = {"known": KNOWN, "local code": LOCAL, "unknown": STRANGE}


def report(of=None, answer=KNOWN, vocabulary=VIEWS, when=WHEN):
    """A report, read back by pydicom."""
    content = sr_bytes(source() if of is None else of, answer, vocabulary, FACTS, when)
    return pydicom.dcmread(io.BytesIO(content))


def read_by_highdicom(content):
    """The document and its one measurement group."""
    document = pytest.importorskip("highdicom").sr.srread(io.BytesIO(content))
    (group,) = document.content.get_image_measurement_groups()
    return document, group


def coded(group):
    return [
        ((q.name.value, q.name.scheme_designator), q.value.value) for q in group.get_qualitative_evaluations()
    ]


def measured(group):
    return {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}


def test_every_standard_code_is_in_the_dictionaries():
    """Those of DICOM that come with pydicom: value, scheme and meaning."""
    known = {
        (scheme, value, meaning)
        for scheme, names in concepts.items()
        for codes in names.values()
        for value, (meaning, _) in codes.items()
    }
    both = vars(structured_report) | vars(dicom_sr)
    ours = [code for code in both.values() if isinstance(code, Code)]
    standard = [code for code in ours if code.scheme not in (OWN, "RFC5646")]
    assert len(standard) == 9
    for code in [*standard, *(view.code for view in VIEWS if view.code)]:
        assert (code.scheme, code.value, code.meaning) in known
    for code in ours:
        assert len(code.value) <= 16
        assert len(code.meaning) <= 64
    own = [code.value for code in ours if code.scheme == OWN]
    assert len(own) == len(set(own)) == 7
    assert not set(own) & {view.local_code for view in VIEWS}


def test_every_coded_view_is_of_context_group_12226():
    members = {
        value
        for scheme, names in cid_concepts[12226].items()
        for name in names
        for value in concepts[scheme][name]
    }
    assert {view.code.value for view in VIEWS if view.code} <= members
    assert sum(view.code is None for view in VIEWS) == 4


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("frames", [1, 5])
def test_validators_find_no_fault(tmp_path, answer, frames):
    kind = UltrasoundMultiFrameImageStorage if frames > 1 else UltrasoundImageStorage
    content = sr_bytes(source(NumberOfFrames=frames, SOPClassUID=kind), answer, VIEWS, FACTS, WHEN)
    (tmp_path / "sr").write_bytes(content)
    assert_valid(tmp_path / "sr")


@pytest.mark.parametrize("frames", [1, 5])
def test_a_file_of_the_phantom_is_reported_on(tmp_path, frames):
    look = machine(0)
    screen = lay_out(look, 60, depth_mm=150)
    blank = np.zeros((frames, screen.rows, screen.columns, 3), np.uint8)
    header = Header("PHANTOM-0001", "Phantom^Nr1", "0/1", "20200101", "080045", 1, 72, 33.3)
    write_dicom(tmp_path / "clip.dcm", blank, header, look, screen)
    before = (tmp_path / "clip.dcm").read_bytes()
    clip = pydicom.dcmread(tmp_path / "clip.dcm")
    (tmp_path / "sr").write_bytes(sr_bytes(clip, KNOWN, VIEWS, FACTS, WHEN))
    assert_valid(tmp_path / "sr")
    assert (tmp_path / "clip.dcm").read_bytes() == before
    lines = said_by("dsrdump", "+Pu", "+Pl", tmp_path / "sr")
    kind, pages = ("USm", ",1,5") if frames > 1 else ("US", "")
    image = f'<contains IMAGE:(,,"Source of Measurement")=({kind} image,"{clip.SOPInstanceUID}"{pages})>'
    assert image in [line.strip() for line in lines]
    if shutil.which("dcentvfy"):
        both = said_by("dcentvfy", tmp_path / "clip.dcm", tmp_path / "sr")  # one patient, one study
        assert [line for line in both if "Error" in line] == []


def test_highdicom_reads_what_was_answered():
    document, group = read_by_highdicom(sr_bytes(source(), KNOWN, VIEWS, FACTS, WHEN))
    assert coded(group) == [
        (("111031", "DCM"), "399214001"),
        (("CREDIBLE-VIEW", OWN), "399214001"),
        (("CREDIBLE-VIEW", OWN), "A5C"),
        (("DOUBTFUL", OWN), "373066001"),
        (("CONTRAST-AGENT", OWN), "373067005"),
    ]
    numbers = {"122157": (0.8125, "1"), "UNKNOWN-SCORE": (12.5, "1"), "CONTRAST-PROB": (0.0625, "1")}
    assert measured(group) == numbers
    (image,) = group.source_images
    assert image.referenced_sop_class_uid == UltrasoundMultiFrameImageStorage
    assert (image.referenced_sop_instance_uid, image.referenced_frame_numbers) == ("1.2.840.99.1", [1, 5])
    assert document.get_evidence(current_procedure_only=True) == [
        ("1.2.840.99.3", "1.2.840.99.2", "1.2.840.99.1", UltrasoundMultiFrameImageStorage)
    ]
    (observer,) = document.content.get_observer_contexts()
    device = observer.observer_identifying_attributes
    assert (device.name, device.model_name) == ("Apical", "bundle 342a2f9f52ca")
    texts = {item.name.meaning: item.value for item in group[0].ContentSequence if item.ValueType == "TEXT"}
    assert texts["Algorithm Name"] == "Apical"
    assert texts["Algorithm Version"] == FACTS["version"]
    assert texts["Comment"].startswith("Research use only; not a medical device")


def test_of_an_unknown_image_no_view_is_claimed():
    _, group = read_by_highdicom(sr_bytes(source(), STRANGE, VIEWS, FACTS, WHEN))
    assert coded(group) == [
        (("111031", "DCM"), "261665006"),
        (("NEAREST-VIEW", OWN), "399214001"),
        (("DOUBTFUL", OWN), "373066001"),
        (("CONTRAST-AGENT", OWN), "373067005"),
    ]
    assert measured(group) == {"NEAREST-PROB": (0.8125, "1"), "UNKNOWN-SCORE": (99.0, "1")}


@settings(max_examples=30)
@given(
    view=st.sampled_from(VIEWS.names),
    others=st.sets(st.sampled_from(VIEWS.names)),
    probability=st.floats(0, 1),
    score=st.floats(0, 1e12),
    unknown=st.booleans(),
    agent=st.sampled_from([True, False, None]),
    frames=st.sets(st.integers(0, 9999)),
)
def test_nothing_is_lost_of_any_answer(view, others, probability, score, unknown, agent, frames):
    views = (view, *sorted(others - {view}))
    answer = replace(
        KNOWN,
        view=None if unknown else view,
        likeliest=view,
        views=views,
        probability=probability,
        unknown_score=score,
        unknown=unknown,
        contrast_agent=agent,
        frames_used=tuple(sorted(frames)),
    )
    _, group = read_by_highdicom(sr_bytes(source(NumberOfFrames=10_000), answer, VIEWS, FACTS, WHEN))
    codes = {one.name: one.code.value if one.code else one.local_code for one in VIEWS}
    said = coded(group)
    assert said[0][1] == ("261665006" if unknown else codes[view])
    assert (said[1][1] if unknown else said[0][1]) == codes[view]
    credible = [value for (name, _), value in said if name == "CREDIBLE-VIEW"]
    assert credible == ([] if unknown else [codes[one] for one in views])
    about_agent = [value for (name, _), value in said if name == "CONTRAST-AGENT"]
    assert about_agent == {True: ["373066001"], False: ["373067005"], None: []}[agent]
    assert measured(group)["NEAREST-PROB" if unknown else "122157"][0] == probability
    assert measured(group)["UNKNOWN-SCORE"][0] == score
    (image,) = group.source_images
    assert list(image.referenced_frame_numbers or ()) == [number + 1 for number in sorted(frames)]


def test_sent_twice_it_is_the_same_report():
    one, other = (sr_bytes(source(), KNOWN, VIEWS, FACTS, WHEN) for _ in range(2))
    assert one == other
    later = report(when=WHEN + timedelta(days=1))
    assert (later.SOPInstanceUID, later.SeriesInstanceUID) == (
        sr_uid("1.2.840.99.1", FACTS["version"]),
        sr_series_uid("1.2.840.99.3", FACTS["version"]),
    )


def test_reports_differ_by_image_and_model_and_lie_in_one_series_a_study():
    images = [f"1.2.3.{number}" for number in range(50)]
    uids = {sr_uid(image, model) for image in images for model in ("a", "b")}
    assert len(uids) == 100
    assert all(pydicom.uid.UID(uid).is_valid and uid.startswith("2.25.") for uid in uids)
    one, other = report(), report(source(SOPInstanceUID="1.2.840.99.9"))
    assert one.SOPInstanceUID != other.SOPInstanceUID
    for name in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"):
        assert one[name] == other[name]
    assert report(source(StudyInstanceUID="1.2.9")).SeriesInstanceUID != one.SeriesInstanceUID
    assert sr_series_uid("1.2.3", "a") != sr_uid("1.2.3", "a")


def test_reports_have_numbers_of_their_own_in_their_series(tmp_path):
    """Also on the first images of several series, and on images without a number."""
    uids = [f"1.2.840.99.{number}" for number in range(60)]
    numbers = [int(report(source(SOPInstanceUID=uid, InstanceNumber=1)).InstanceNumber) for uid in uids]
    assert len(set(numbers)) == 60
    assert all(1 <= number < 2**31 for number in numbers)
    assert report(source(InstanceNumber=None)).InstanceNumber == report().InstanceNumber


def test_uids_do_not_change_from_release_to_release():
    """Else a PACS would get each report twice."""
    assert sr_uid("1.2.3", "342a2f9f52ca") == "2.25.28243468380785648012731129097333932613"
    assert sr_series_uid("1.2.3", "342a2f9f52ca") == "2.25.88471936335661948365065268297268588824"


def test_it_says_how_far_it_can_be_trusted():
    said = report()
    assert (said.VerificationFlag, said.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert (said.PreliminaryFlag, said.ContentQualification) == ("PRELIMINARY", "RESEARCH")
    assert said.SeriesDescription == "Apical views (research)"
    (scheme,) = said.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == OWN


CHARACTER_SETS = {
    "latin": ("ISO_IR 100", "Müller^Åsa"),
    "cyrillic": ("ISO_IR 144", "Люкceмбypг^Анна"),
    "greek": ("ISO_IR 126", "Διονυσιος^Α"),
    "utf-8": ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    "gb18030": ("GB18030", "Wang^XiaoDong=王^小东"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "none": (None, "Doe^Jane"),
}


@pytest.mark.parametrize(("characters", "name"), CHARACTER_SETS.values(), ids=CHARACTER_SETS)
def test_names_are_the_same_in_any_character_set(tmp_path, characters, name):
    """For pydicom, and for dcmtk, which decodes both files by itself."""
    clip = as_read(source(SpecificCharacterSet=characters, PatientName=name))
    clip.save_as(tmp_path / "clip")
    (tmp_path / "sr").write_bytes(sr_bytes(pydicom.dcmread(tmp_path / "clip"), KNOWN, VIEWS, FACTS, WHEN))
    assert str(pydicom.dcmread(tmp_path / "sr").PatientName) == name
    assert_valid(tmp_path / "sr")
    if characters == CHARACTER_SETS["japanese"][0]:
        return  # dcmtk by way of the C library's iconv does not read the original
    by_dcmtk = [said_by("dcmdump", "+U8", "+P", "0010,0010", tmp_path / file) for file in ("clip", "sr")]
    assert name in by_dcmtk[0][0]
    assert [lines[0].split("[")[1].split("]")[0] for lines in by_dcmtk] == [name, name]


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=200)
LATIN = st.text(st.characters(codec="latin-1", exclude_categories=["C", "Z"]), min_size=1, max_size=200)


@settings(max_examples=40)
@given(
    st.one_of(st.tuples(st.just("ISO_IR 192"), TEXT, TEXT), st.tuples(st.just("ISO_IR 100"), LATIN, LATIN))
)
def test_identity_is_copied_as_it_is_however_wrong(told):
    """Over-long, several values in one, signs of any kind: a PACS files the report by these very texts."""
    characters, name, patient = told
    clip = as_read(source(SpecificCharacterSet=characters, PatientName=name, PatientID=patient))
    said = report(clip)
    for element in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "StudyID"):
        assert said[element].value == pydicom.dcmread(io.BytesIO(file_of(clip)))[element].value


TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName", "StudyID",
)  # fmt: skip


@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_a_header_that_lacks_what_it_must_have(tmp_path, value):
    bare = source(**dict.fromkeys(TYPE_2, value), InstanceNumber=None, SpecificCharacterSet=None)
    content = sr_bytes(as_read(bare), KNOWN, VIEWS, FACTS, WHEN)
    (tmp_path / "sr").write_bytes(content)
    assert_valid(tmp_path / "sr")
    said = pydicom.dcmread(io.BytesIO(content))
    for name in TYPE_2:
        assert name in said
        assert not said[name].value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StudyDate", "1.3.2026"),
        ("StudyDate", "20261301"),
        ("PatientBirthDate", "unknown"),
        ("StudyTime", "10:11:12"),
        ("StudyTime", "250000"),
        ("PatientSex", "female"),
    ],
)
def test_dates_times_and_a_sex_that_are_none_are_left_empty(tmp_path, name, value):
    wrong = Dataset()
    wrong.update(source())
    wrong.add(pydicom.DataElement(name, wrong[name].VR, value, validation_mode=pydicom.config.IGNORE))
    content = sr_bytes(as_read(wrong), KNOWN, VIEWS, FACTS, WHEN)
    (tmp_path / "sr").write_bytes(content)
    assert_valid(tmp_path / "sr")
    assert not pydicom.dcmread(io.BytesIO(content))[name].value


def test_retired_kinds_of_images_are_reported_on(tmp_path):
    """Ultrasound images of 1993: highdicom's own documents refuse them, but PACS keep them."""
    old = source(SOPClassUID="1.2.840.10008.5.1.4.1.1.6", NumberOfFrames=None)
    content = sr_bytes(old, KNOWN, VIEWS, FACTS, WHEN)
    (tmp_path / "sr").write_bytes(content)
    assert_valid(tmp_path / "sr")
    _, group = read_by_highdicom(content)
    assert group.source_images[0].referenced_sop_class_uid == "1.2.840.10008.5.1.4.1.1.6"


def test_the_original_is_not_changed():
    clip = as_read(source(PatientName="Müller^Åsa", StudyDate=" 20260301"))
    before = {tag: clip.get_item(tag) for tag in clip.keys()}  # noqa: SIM118
    assert any(element.is_raw for element in before.values())
    sr_document(clip, KNOWN, VIEWS, FACTS, WHEN)
    assert {tag: clip.get_item(tag) for tag in clip.keys()} == before  # noqa: SIM118
    in_memory = source()
    sr_document(in_memory, KNOWN, VIEWS, FACTS, WHEN)
    assert in_memory == source()


@pytest.mark.parametrize("name", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
@pytest.mark.parametrize(
    "value", [None, "", "Jane.Doe", "1." * 32 + "1"], ids=["none", "empty", "text", "long"]
)
def test_an_image_that_cannot_be_referred_to_is_a_problem(name, value):
    with pytest.raises(ClipProblem, match=f"^cannot be reported on: its {name} is missing, or no UID$"):
        sr_document(source(**{name: value}), KNOWN, VIEWS, FACTS, WHEN)


def test_where_no_view_is_named_there_is_no_report():
    for answer in (Answer(1, "f", problem="damaged"), Answer(1, "f", clip="c", mode="colour")):
        assert sr_document(source(), answer, VIEWS, FACTS, WHEN) is None
        assert sr_bytes(source(), answer, VIEWS, FACTS, WHEN) is None


@pytest.mark.parametrize("model", ["other", "342a2f9f52ca-int4", "342a2f9f52ca-", "342a2f9f52caint8", None])
def test_an_answer_of_another_bundle_is_a_wrong_call(model):
    with pytest.raises(WrongCall, match="another bundle's"):
        sr_document(source(), replace(KNOWN, model=model), VIEWS, FACTS, WHEN)


@pytest.mark.parametrize("precision", ["f32", "int8", "bf16"])
def test_an_answer_in_another_precision_has_a_report_of_its_own_that_says_so(tmp_path, precision):
    model = FACTS["version"] + ("" if precision == "f32" else f"-{precision}")
    content = sr_bytes(source(), replace(KNOWN, model=model), VIEWS, FACTS, WHEN)
    (tmp_path / "sr").write_bytes(content)
    assert_valid(tmp_path / "sr")
    document, group = read_by_highdicom(content)
    assert document.SOPInstanceUID == sr_uid("1.2.840.99.1", model)
    assert document.SeriesInstanceUID == sr_series_uid("1.2.840.99.3", model)
    texts = [(item.name.meaning, item.value) for item in group[0].ContentSequence if item.ValueType == "TEXT"]
    assert ("Algorithm Version", model) in texts
    assert ("Algorithm Parameters", f"precision: {precision}") in texts


def test_wrong_calls():
    with pytest.raises(WrongCall, match="time zone"):
        sr_document(source(), KNOWN, VIEWS, FACTS, datetime(2026, 3, 1))


@pytest.mark.parametrize(
    ("offset", "date", "clock"),
    [("+0530", "20260302", "050015"), ("-0330", "20260301", "200015"), ("+1400", "20260302", "133015")],
)
def test_its_time_is_in_the_time_zone_of_the_original(offset, date, clock):
    """The offset holds for all times of a document, those copied among them."""
    said = report(source(TimezoneOffsetFromUTC=offset))
    assert (said.ContentDate, said.ContentTime, said.TimezoneOffsetFromUTC) == (date, clock, offset)
    assert said.StudyTime == "101112.5"


def test_its_time_is_else_that_of_the_machine(monkeypatch):
    here = WHEN.astimezone(timezone(timedelta(hours=-7)))
    monkeypatch.setenv("TZ", "XYZ-9")
    time.tzset()
    try:
        for when in (WHEN, here):
            for offset in (None, "", "+9:00", "later"):
                said = report(source(TimezoneOffsetFromUTC=offset), when=when)
                assert (said.ContentDate, said.ContentTime) == ("20260302", "083015")
                assert "TimezoneOffsetFromUTC" not in said
    finally:
        monkeypatch.undo()
        time.tzset()


def test_views_of_users_own_vocabularies_are_valid(tmp_path):
    """Names that no code may be, and codes of other schemes."""
    names = ("Ansicht\\Schraeg von unten, mit einem sehr langen Namen und mehr", "短軸", "A\nB")
    code = Code("X1", "99HOSPITAL-WITH-A-LONG-NAME", "")
    titles = (names[0], "短軸像", "A\nB " * 40)
    own = (View(name, title) for name, title in zip(names, titles, strict=True))
    vocabulary = Vocabulary((*own, View("coded", "With a code", code)))
    answer = replace(KNOWN, view=names[0], likeliest=names[0], views=vocabulary.names)
    content = sr_bytes(source(), answer, vocabulary, FACTS, WHEN)
    (tmp_path / "sr").write_bytes(content)
    lines = said_by("dciodvfy", tmp_path / "sr")
    assert [line for line in lines if line.startswith("Error")] == []
    assert said_by("dsrdump", tmp_path / "sr")[0] == "Comprehensive SR Document"
    _, group = read_by_highdicom(content)
    values = [value for _, value in coded(group)][1:5]
    assert values == [names[0].replace("\\", " "), "短軸", "A B", "X1"]


def test_nothing_of_the_header_is_logged_or_warned_of(caplog, recwarn):
    """Of UIDs that break the rules, and of text that is not in the character set it says."""
    caplog.set_level("DEBUG")
    content = file_of(as_read(source(StudyInstanceUID="1.2.840.99.03", SpecificCharacterSet="ISO_IR 192")))
    clip = pydicom.dcmread(io.BytesIO(content.replace(b"Doe^Jane", b"Doe^J\xfcrg")))
    recwarn.clear()
    caplog.clear()
    written = sr_bytes(clip, KNOWN, VIEWS, FACTS, WHEN)
    loud = caplog.text + "".join(str(one.message) for one in recwarn)
    assert not any(word in loud for word in ("Doe", "J\\xfc", "4711", "1.2.840.99"))
    said = pydicom.dcmread(io.BytesIO(written))  # by pydicom itself, which warns and logs
    assert said.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID == "1.2.840.99.03"
    assert str(said.PatientName) == str(clip.PatientName)
    assert recwarn
    assert caplog.records


def test_highdicom_is_asked_for_only_when_it_is_needed(monkeypatch):
    heavy = "import sys, apical.deploy.dicom_sr as d; d.sr_uid('1.2', 'm');"
    heavy += "print([m for m in ('highdicom', 'torch', 'sklearn', 'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    monkeypatch.setitem(sys.modules, "highdicom.sr", None)
    with pytest.raises(CannotDo, match=r"highdicom .* pip install 'apical\[dicom-net\]'"):
        check_sr()
    with pytest.raises(CannotDo, match=r"highdicom .* pip install 'apical\[dicom-net\]'"):
        sr_document(source(), KNOWN, VIEWS, FACTS, WHEN)


def test_it_works_with_the_facts_of_a_real_bundle(way):
    facts = json.loads((Path(way) / "bundle" / "bundle.json").read_text())
    said = sr_document(source(), replace(KNOWN, model=facts["version"]), VIEWS, facts, WHEN)
    assert said.SOPInstanceUID == sr_uid("1.2.840.99.1", facts["version"])
