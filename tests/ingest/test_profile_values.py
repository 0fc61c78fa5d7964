"""Of dates, UIDs, numbers, codes and names of machines only what is one stays; nobody's text does."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from typing import Any

import pydicom
import pytest
from headers import ALL, PSEUDONYMS, TOKEN, allow_any_value, cleaned, content, ultrasound
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID

from apical.ingest.profile import CleanOptions, clean_header, new_uid
from apical.ingest.pseudonyms import Pseudonyms


@pytest.fixture(autouse=True)
def _any_value(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_any_value(monkeypatch)


days = st.datetimes(datetime(1905, 1, 1), datetime(2030, 1, 1)).map(lambda day: f"{day:%Y%m%d}")


@given(dates=st.lists(days, min_size=2, max_size=4), patient=st.text("ABC123", min_size=1))
def test_shifted_dates_keep_intervals_and_days_of_the_week(dates: list[str], patient: str) -> None:
    """All dates of a patient's files move by one number of whole weeks, of at least a year."""
    shifts = set()
    for date in dates:
        dataset = ultrasound(PatientID=patient, StudyDate=date, ContentDate=date, StudyTime="101112.5")
        new = clean_header(dataset, "clip", PSEUDONYMS, CleanOptions(dates="shift"))
        assert new.StudyDate == new.ContentDate
        assert new.StudyTime == "101112"
        shifts.add(datetime.strptime(date, "%Y%m%d") - datetime.strptime(new.StudyDate, "%Y%m%d"))
    (shift,) = shifts
    assert timedelta(days=364) <= shift <= timedelta(days=3660)
    assert shift.days % 7 == 0


def test_patients_and_keys_have_shifts_of_their_own() -> None:
    of_one = {PSEUDONYMS.weeks(f"patient {number}") for number in range(100)}
    of_other = {Pseudonyms(bytes(31) + b"\x01").weeks(f"patient {number}") for number in range(100)}
    assert len(of_one) > 70
    assert [PSEUDONYMS.weeks(f"patient {n}") for n in range(100)] != [
        Pseudonyms(bytes(31) + b"\x01").weeks(f"patient {n}") for n in range(100)
    ]
    assert len(of_other) > 70


@pytest.mark.parametrize(
    "value", ["DOE JOHN", "1953.04.17", "19531317", "0", "١٩٥٣٠٤١٧", "19530417-1", "00010101"]
)
def test_what_is_no_date_does_not_stay(value: str) -> None:
    dataset = ultrasound()
    dataset.add(DataElement(Tag(tag_for_keyword("StudyDate")), "LO", value))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for dates in ("shift", "keep"):
        kept = cleaned(dataset, CleanOptions(dates=dates)).StudyDate
        assert not kept or (value == "00010101" and dates == "keep")


@pytest.mark.parametrize("value", ["DOE JOHN", "2460", "1015", "10:11:12", "101112.5 DOE", "246060"])
def test_what_is_no_time_does_not_stay(value: str) -> None:
    dataset = ultrasound()
    dataset.add(DataElement(Tag(tag_for_keyword("StudyTime")), "LO", value))
    assert not cleaned(dataset, CleanOptions(dates="keep")).StudyTime


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        ("077Y", "077Y"),
        ("089Y", "089Y"),
        ("090Y", "090Y"),
        ("104Y", "090Y"),
        ("011M", "011M"),
        ("77", None),
        ("DOE", None),
    ],
)
def test_ages_above_89_are_one(age: str, kept: str | None) -> None:
    """As the HIPAA safe harbour asks (45 CFR 164.514(b)(2)(i)(C))."""
    assert cleaned(ultrasound(PatientAge=age), CleanOptions(keep_patient=True)).get("PatientAge") == kept


uids = st.lists(st.integers(0, 10**9), min_size=1, max_size=6).map(
    lambda parts: ".".join(map(str, [1, 2, *parts]))
)


@given(uid=uids, other=uids)
def test_uids_are_replaced_alike_and_are_valid(uid: str, other: str) -> None:
    new, same = (new_uid(one, PSEUDONYMS, CleanOptions()) for one in (uid, f"{uid}\0"))
    assert new == same
    assert UID(new).is_valid
    assert len(new) <= 64
    assert uid not in new or len(uid) < 8
    assert (new == new_uid(other, PSEUDONYMS, CleanOptions())) == (uid == other)
    assert new != new_uid(uid, Pseudonyms(bytes(31) + b"\x01"), CleanOptions())
    assert new_uid(uid, PSEUDONYMS, CleanOptions(keep_uids=True)) == uid


@pytest.mark.parametrize(
    "uid", ["DOE^JOHN", "1.2.DOE", "1.02.3", "9.1.2", "1", "1." * 40 + "1", "1.2.٣", "1.2.3 4711"]
)
def test_a_uid_that_is_none_is_replaced_even_where_uids_stay(uid: str) -> None:
    new = new_uid(uid, PSEUDONYMS, CleanOptions(keep_uids=True))
    assert new != uid
    assert UID(new).is_valid


def test_series_and_study_stay_together() -> None:
    """Two files of a series have it in common after cleaning too, and the file meta is not asked."""
    one, other = (cleaned(ultrasound(SOPInstanceUID=f"1.2.{n}")) for n in (7, 8))
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.PatientID == one.PatientName == PSEUDONYMS.patient("MRN-4711")


def test_a_header_without_identifiers_gets_some() -> None:
    dataset = ultrasound()
    for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        delattr(dataset, name)
    one, other = (clean_header(dataset, clip, PSEUDONYMS, CleanOptions()) for clip in ("a", "b"))
    for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert one[name].value
        assert one[name].value != other[name].value


NUMBERS = (
    "InstanceNumber", "SeriesNumber", "StageNumber", "ViewNumber", "CineRate", "FrameTime", "FrameTimeVector",
    "HeartRate", "RWaveTimeVector", "PixelSpacing", "WindowCenter", "RescaleSlope", "MechanicalIndex",
    "PatientSize", "UltrasoundColorDataPresent", "LossyImageCompressionRatio", "PatientWeight",
    "PixelAspectRatio",
)  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("vr", ["LO", "UN", "OB", "PN", "UT"])
@pytest.mark.parametrize(
    "value", ["DOE^JOHN", "19530417", "3\\DOE^JOHN", "nan", "inf", "4711 DOE^JOHN", "1e300"]
)
def test_text_in_an_element_of_numbers_does_not_stay(name: str, vr: str, value: str) -> None:
    """Whatever VR the file gives the element, or none; and it does not keep the file from being cleaned."""
    dataset = ultrasound()
    dataset[name] = DataElement(Tag(tag_for_keyword(name)), "LO", value)
    for implicit in (False, True):
        data = content(dataset, implicit)
        if not implicit:  # pydicom would not write it under such a VR
            tag = Tag(tag_for_keyword(name))
            length = len(value) + len(value) % 2
            short = (
                tag.group.to_bytes(2, "little")
                + tag.element.to_bytes(2, "little")
                + b"LO"
                + length.to_bytes(2, "little")
            )
            assert short in data
            long = vr in ("UN", "OB", "UT")
            size = b"\0\0" + length.to_bytes(4, "little") if long else length.to_bytes(2, "little")
            data = data.replace(short, short[:4] + vr.encode() + size)
        old = pydicom.dcmread(io.BytesIO(data), force=True)
        new = content(clean_header(old, "clip", PSEUDONYMS, ALL))
        for word in (b"DOE", b"JOHN", b"19530417", b"nan", b"inf", b"1e300"):
            assert word not in new


def test_numbers_stay() -> None:
    numbers = {
        "InstanceNumber": 12, "FrameTime": 33.333, "HeartRate": 71, "PixelSpacing": [0.5, 0.25],
        "WindowWidth": 256, "FrameTimeVector": [0, 33.5, 33.25], "RecommendedDisplayFrameRate": 30,
        "PixelAspectRatio": [4, 3],
    }  # fmt: skip
    new = cleaned(ultrasound(**numbers))
    for name, value in numbers.items():
        kept = new[name].value
        assert (list(kept) if isinstance(value, list) else kept) == value


def test_regions_keep_their_numbers_and_nothing_else() -> None:
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 2
    region.RegionLocationMinX0, region.RegionLocationMaxX1 = 40, 600
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.03125, -0.0625
    expected = {element.keyword: element.value for element in region}
    region.PixelComponentCodeSequence = Sequence([ultrasound()])
    region.PatientComments = TOKEN
    (kept,) = cleaned(ultrasound(SequenceOfUltrasoundRegions=Sequence([region]))).SequenceOfUltrasoundRegions
    assert {element.keyword: element.value for element in kept} == expected


@pytest.mark.parametrize("name", ["SequenceOfUltrasoundRegions", "ViewCodeSequence", "ImageType"])
@pytest.mark.parametrize("vr", ["LO", "OB"])
def test_what_should_be_a_sequence_and_is_text(name: str, vr: str) -> None:
    dataset = ultrasound()
    value = TOKEN + " " if vr == "LO" else f"{TOKEN} ".encode()
    dataset.add(DataElement(Tag(tag_for_keyword(name)), vr, value))
    assert TOKEN.encode() not in content(cleaned(dataset))


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["ORIGINAL", "PRIMARY", "TTE", "0001"], ["DERIVED", "PRIMARY", "TTE", "0001"]),
        (["DERIVED", "SECONDARY"], ["DERIVED", "SECONDARY"]),
        (["ORIGINAL", "PRIMARY", "", "0011"], ["DERIVED", "PRIMARY", "", "0011"]),
        (["ORIGINAL", "DOE", "JOHN", "0001", "TTE"], ["DERIVED", "SECONDARY", "", "0001"]),
        (["4711", "4711", "4711", "4711", "0088", "4711"], ["DERIVED", "SECONDARY"]),
        (["ORIGINAL", "PRIMARY", "TTE", "BEEF"], ["DERIVED", "PRIMARY", "TTE"]),
        ("DOE", ["DERIVED", "SECONDARY"]),
    ],
)
def test_image_type(values: Any, kept: list[str]) -> None:
    """Only terms of the standard, and only in value 4 the bits of the modes that it knows."""
    assert list(cleaned(ultrasound(ImageType=values)).ImageType) == kept


@pytest.mark.parametrize(
    ("maker", "model", "kept"),
    [
        ("GE Healthcare Ultrasound", "Vivid E95", ("GE", "Vivid E95")),
        ("Philips, lent to Dr. DOE", "EPIQ 7C of ward 4711", ("Philips", None)),
        ("DOE and sons", "MyLab DOE", (None, None)),
    ],
)
def test_machines_have_known_names_or_none(
    maker: str, model: str, kept: tuple[str | None, str | None]
) -> None:
    new = cleaned(ultrasound(Manufacturer=maker, ManufacturerModelName=model))
    assert (new.Manufacturer or None, new.get("ManufacturerModelName")) == kept
    assert b"DOE" not in content(new)
    assert b"4711" not in content(new)


def test_a_view_code_is_kept_by_its_code_alone() -> None:
    """The meaning is ours: theirs is free text."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "G-A19C", "SRT", f"4 chambers of {TOKEN}"
    other = Dataset()
    other.CodeValue, other.CodingSchemeDesignator, other.CodeMeaning = TOKEN, "99DOE", TOKEN
    new = cleaned(ultrasound(ViewCodeSequence=Sequence([other, item])))
    assert TOKEN.encode() not in content(new)
    assert len(new.get("ViewCodeSequence", [])) <= 1
