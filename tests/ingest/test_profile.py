"""No attribute that PS3.15 says must go leaves with its value, and the header says what was done."""

from __future__ import annotations

import io
import re

import pydicom
import pytest
from headers import (
    ALL,
    PSEUDONYMS,
    TOKEN,
    allow_any_value,
    attributes,
    cleaned,
    content,
    read_again,
    ultrasound,
    valued,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from planting import KNOWN, SCRIPTS, SEEDS, TEXT_VRS, Plants, leaks, plant, plant_oddly
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr import codes

from apical.ingest.profile import CleanOptions, Dates, clean_header

KEPT_BY_OPTION = {  # by which options attributes of the table may stay
    "patient": {"PatientSex", "PatientAge", "PatientSize", "PatientWeight"},
    "dates": {
        f"{of}{what}" for of in ("Study", "Series", "Acquisition", "Content") for what in ("Date", "Time")
    },
    "uids": {"SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"},
}


@pytest.fixture(autouse=True)
def _any_value(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_any_value(monkeypatch)


@pytest.mark.parametrize("options", [CleanOptions(), ALL], ids=["basic", "with all options"])
def test_no_attribute_of_the_table_leaves_with_its_value(options: CleanOptions) -> None:
    """Each on its own, at top level, in the sequences that a clean header has, and in another one."""
    may_stay = set().union(*KEPT_BY_OPTION.values()) if options == ALL else set()
    survivors = []
    for tag in attributes():
        planted = valued(tag)
        for places in ((), ("SequenceOfUltrasoundRegions", "ViewCodeSequence", "RequestAttributesSequence")):
            dataset = ultrasound()
            item = Dataset() if places else dataset
            item.add(planted)
            for place in places:
                setattr(dataset, place, Sequence([item]))
            new = clean_header(read_again(dataset), "clip", PSEUDONYMS, options)
            values = [str(one.value) for one in new.iterall() if one.VR != "SQ"]
            leaves = str(planted.value) in values or TOKEN in " ".join(values)
            if leaves and (places or keyword_for_tag(tag) not in may_stay):
                survivors.append((tag, keyword_for_tag(tag), places))
    assert len(attributes()) > 600
    assert survivors == []


def test_all_attributes_of_the_table_at_once() -> None:
    """In one file, nested four deep, and whether or not the file names VRs."""
    dataset = ultrasound()
    inner = Dataset()
    for tag in attributes():
        inner.add(valued(tag))
    for _ in range(4):
        outer = Dataset()
        outer.RequestAttributesSequence = Sequence([inner])
        inner = outer
    for tag in attributes():
        dataset.add(valued(tag))
    dataset.ViewCodeSequence = dataset.SequenceOfUltrasoundRegions = Sequence([inner])
    dataset.ReferencedImageSequence = Sequence([inner])
    for implicit in (False, True):
        new = clean_header(read_again(dataset, implicit), "clip", PSEUDONYMS, CleanOptions())
        written = content(new)
        for token in (TOKEN, "19530417", "081537", "918273645", "1.2.826.", "077Y"):
            assert token.encode() not in written


def test_what_an_option_keeps_and_nothing_else_does() -> None:
    given_values = {
        "PatientSex": "F", "PatientAge": "077Y", "PatientSize": 1.71, "PatientWeight": 68.5,
        **{f"{of}Date": "19530417" for of in ("Study", "Series", "Acquisition", "Content")},
        **{f"{of}Time": "081537" for of in ("Study", "Series", "Acquisition", "Content")},
        "SOPInstanceUID": "1.2.3.4", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.5",
        "FrameOfReferenceUID": "1.2.3.6",
    }  # fmt: skip
    dataset = ultrasound(**given_values)
    for options, kept in (
        (CleanOptions(), set()),
        (CleanOptions(keep_patient=True), KEPT_BY_OPTION["patient"]),
        (CleanOptions(dates="keep"), KEPT_BY_OPTION["dates"]),
        (CleanOptions(keep_uids=True), KEPT_BY_OPTION["uids"]),
    ):
        new = cleaned(dataset, options)
        assert {name for name, value in given_values.items() if new.get(name) == value} == kept


@pytest.mark.parametrize("dates", ["remove", "shift", "keep"])
@pytest.mark.parametrize("keep_uids", [False, True])
@pytest.mark.parametrize("keep_patient", [False, True])
def test_the_header_says_what_was_done(dates: Dates, keep_uids: bool, keep_patient: bool) -> None:
    """The codes are those of CID 7050 in pydicom's copy of PS3.16, one for each option."""
    new = cleaned(ultrasound(), CleanOptions(dates=dates, keep_uids=keep_uids, keep_patient=keep_patient))
    cid = codes.CID7050
    expected = [cid.BasicApplicationConfidentialityProfile, cid.CleanPixelDataOption]
    if dates == "shift":
        expected.append(cid.RetainLongitudinalTemporalInformationModifiedDatesOption)
    elif dates == "keep":
        expected.append(cid.RetainLongitudinalTemporalInformationFullDatesOption)
    expected += [cid.RetainPatientCharacteristicsOption] if keep_patient else []
    expected += [cid.RetainUidsOption] if keep_uids else []
    said = {
        (item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
        for item in new.DeidentificationMethodCodeSequence
    }
    assert said == {(code.value, code.scheme_designator, code.meaning) for code in expected}
    assert new.PatientIdentityRemoved == "YES"
    assert new.BurnedInAnnotation == "NO"
    stated = {"remove": "REMOVED", "shift": "MODIFIED", "keep": "UNMODIFIED"}[dates]
    assert new.LongitudinalTemporalInformationModified == stated
    assert new.DeidentificationMethod


def test_type_2_elements_are_there_without_a_value() -> None:
    new = cleaned(ultrasound(ReferringPhysicianName="WHO^DOCTOR", AccessionNumber="A1", StudyID="S1"))
    for name in (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "PatientBirthDate",
        "StudyID",
    ):
        assert name in new
        assert not new[name].value


CHARSETS = {
    "ISO_IR 100": "latin-1", "ISO_IR 101": "iso8859-2", "ISO_IR 144": "iso8859-5", "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7", "ISO_IR 138": "iso8859-8", "ISO_IR 166": "tis-620",
    "GB18030": "gb18030", "ISO_IR 192": "utf-8",
}  # fmt: skip
LETTERS = "".join(SCRIPTS)


@settings(max_examples=40)
@given(charset=st.sampled_from(sorted(CHARSETS)), data=st.data())
def test_names_of_every_script_go(charset: str, data: st.DataObject) -> None:
    """Written in the encoding that the file names, in elements that go, that stay, and that stay in part."""
    codec = CHARSETS[charset]
    letters = [letter for letter in LETTERS if letter.encode(codec, "ignore").decode(codec) == letter]
    name = "".join(data.draw(st.lists(st.sampled_from(letters), min_size=8, max_size=16)))
    item = Dataset()
    item.CodeValue, item.CodeMeaning, item.PatientComments = name[:16], name, name
    dataset = ultrasound(SpecificCharacterSet=charset, PatientName=name, PatientComments=name)
    dataset.PatientID = dataset.Manufacturer = dataset.ManufacturerModelName = dataset.StudyID = name
    for keyword in ("RescaleType", "FrameTime", "HeartRate", "StudyTime", "StudyDate", "PatientSex"):
        dataset.add(DataElement(tag_for_keyword(keyword), "LO", name))
    dataset.add(DataElement(tag_for_keyword("ImageType"), "LO", ["ORIGINAL", name, name, name]))
    dataset.ViewCodeSequence = dataset.SequenceOfUltrasoundRegions = Sequence([item])
    written = content(dataset)
    assert written.count(name.encode(codec)) > 10
    new = clean_header(pydicom.dcmread(io.BytesIO(written), force=True), name, PSEUDONYMS, ALL)
    assert leaks([content(new), str(new).encode()], {name}) == {}


@settings(max_examples=12, phases=SEEDS)
@given(seed=st.integers(0, 2**32 - 1), implicit=st.booleans(), options=st.sampled_from([CleanOptions(), ALL]))
def test_no_planted_identifier_is_in_a_clean_header(seed: int, implicit: bool, options: CleanOptions) -> None:
    """Random text in every text VR, in known, unknown and private elements, to depth 4."""
    plants = Plants(seed)
    dataset = ultrasound(SpecificCharacterSet="ISO_IR 192")
    plant(dataset, plants, many=20)
    plant_oddly(dataset, plants)
    kept = set().union(*KEPT_BY_OPTION.values()) if options == ALL else set()
    told = " ".join(str(element.value) for element in dataset if element.keyword in kept)
    plants.tokens = {token for token in plants.tokens if token not in told}
    old = read_again(dataset, implicit)
    new = clean_header(old, "clip", PSEUDONYMS, options)
    assert len(plants.tokens) > 300
    ours = re.compile(rb"2\.25\.[0-9]{36,39}")  # 160 random digits, where a short number may be by chance
    assert leaks([ours.sub(b"", part) for part in (content(new), str(new).encode())], plants.tokens) == {}


def test_the_planting_reaches_every_text_vr() -> None:
    """Else the test above would prove less than it says."""
    dataset = Dataset()
    plant(dataset, Plants(1))
    assert {element.VR for element in dataset.iterall()} >= {*TEXT_VRS, "UN", "OB", "SQ"}
    assert all(len(KNOWN[vr]) > 1 for vr in TEXT_VRS)
    assert dataset[0x0029, 0x10F2].value[0][0x0029, 0x10F2].value[0][0x0029, 0x1001].value
