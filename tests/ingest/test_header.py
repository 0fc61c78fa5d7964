"""Facts are what the tags say; tags that cannot be true, or cannot be read, are passed over one by one."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from clip_files import write_dicom
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from apical.errors import ClipProblem
from apical.ingest.dicom import DicomClip
from apical.ingest.facts import Facts, Region
from apical.ingest.header import check_is_ultrasound, read_facts

STILL = np.arange(80 * 100, dtype=np.int64).reshape(1, 80, 100).astype(np.uint8)


def header(**elements: Any) -> Dataset:
    dataset = Dataset()
    defaults = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1", "Modality": "US", "Rows": 80, "Columns": 100}
    for name, value in (defaults | elements).items():
        setattr(dataset, name, value)
    return dataset


def facts(**elements: Any) -> Facts:
    return read_facts(header(**elements), "0" * 16, "some syntax")


def region(x0: int = 0, y0: int = 0, x1: int = 99, y1: int = 79, **elements: Any) -> Dataset:
    """A 2-D region of tissue with pixels of 0.5 x 0.4 mm."""
    item = Dataset()
    defaults = {
        "RegionSpatialFormat": 1, "RegionDataType": 1, "RegionFlags": 0, "RegionLocationMinX0": x0,
        "RegionLocationMinY0": y0, "RegionLocationMaxX1": x1, "RegionLocationMaxY1": y1,
        "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3, "PhysicalDeltaX": 0.05,
        "PhysicalDeltaY": 0.04,
    }  # fmt: skip
    for name, value in (defaults | elements).items():
        if value is not None:
            setattr(item, name, value)
    return item


def test_every_fact() -> None:
    """One header with all that is looked at."""
    found = facts(
        NumberOfFrames=12, FrameTime="25", HeartRate="72", RWaveTimeVector=[10, 840.5], InstanceNumber="7",
        StageName="Peak exercise", Manufacturer="GE Vingmed Ultrasound", ManufacturerModelName="Vivid E95",
        PatientID=" A  1 ", StudyInstanceUID="1.2.3", ContrastBolusAgent="SonoVue", PixelSpacing=[0.3, 0.2],
        SequenceOfUltrasoundRegions=[region()], PhotometricInterpretation="MONOCHROME2",
    )  # fmt: skip
    assert found == Facts(
        clip="0" * 16, frames=12, rows=80, columns=100, syntax="some syntax", frame_time_ms=25, mode="2d",
        contrast_agent=True, stage="peak", heart_rate=72, r_waves_ms=(10, 840.5), instance=7,
        pixel_mm=(0.5, 0.4), pixel_aspect=0.8, manufacturer="GE", model="Vivid E95",
        regions=(Region(1, 1, 0, 0, 99, 79, (0.5, 0.4)),), patient_key="A 1", study_key="1.2.3",
        machine_key="GE Vingmed Ultrasound\0Vivid E95",
    )  # fmt: skip


def test_a_bare_header_has_no_facts_but_sizes() -> None:
    assert facts() == Facts("0" * 16, 1, 80, 100, "some syntax")


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([region()], (0.5, 0.4)),
        ([region(PhysicalDeltaX=-0.05)], (0.5, 0.4)),  # a sign is a direction
        ([region(PhysicalUnitsXDirection=4)], None),  # seconds
        ([region(PhysicalUnitsYDirection=None)], None),
        ([region(PhysicalDeltaX=None)], None),
        ([region(PhysicalDeltaX=0.0)], None),
        ([region(PhysicalDeltaY=float("nan"))], None),
        ([region(PhysicalDeltaX=float("inf"))], None),
        ([region(PhysicalDeltaX=1.0, PhysicalDeltaY=1.0)], None),  # 10 mm a pixel
        ([region(PhysicalDeltaX=1e-5, PhysicalDeltaY=1e-5)], None),
        ([region(PhysicalDeltaX=0.3)], None),  # 7.5 times as wide as high
        ([region(x1=400)], None),  # of a larger picture, so its pixels are not these
        ([region(RegionSpatialFormat=3)], None),  # a spectrum
        ([region(RegionDataType=10)], None),  # an ECG
        (
            [region(50, 50, 60, 60, PhysicalDeltaX=0.02, PhysicalDeltaY=0.02), region()],
            (0.5, 0.4),
        ),  # the larger
        (
            [region(0, 70, 99, 79, RegionSpatialFormat=4, PhysicalDeltaX=0.01), region(0, 0, 99, 60)],
            (0.5, 0.4),
        ),
        ([region(RegionDataType=2)], (0.5, 0.4)),  # colour flow
    ],
)
def test_spacing_from_regions(regions: list[Dataset], expected: tuple[float, float] | None) -> None:
    """In cm there and in mm here, of the largest picture that lies in the frame."""
    found = facts(SequenceOfUltrasoundRegions=regions)
    if expected is None:
        assert found.pixel_mm is None
        assert found.pixel_aspect == 1.0
    else:
        assert found.pixel_mm == pytest.approx(expected)
        assert found.pixel_aspect == pytest.approx(expected[1] / expected[0])


@pytest.mark.parametrize(
    ("elements", "size", "aspect"),
    [
        ({"PixelSpacing": [0.3, 0.2]}, (0.2, 0.3), 1.5),  # written down \\ across
        ({"NominalScannedPixelSpacing": [0.3, 0.2]}, (0.2, 0.3), 1.5),
        ({"PixelSpacing": [1, 1], "NominalScannedPixelSpacing": [0.3, 0.2]}, (1, 1), 1),
        ({"PixelSpacing": [0, 0], "NominalScannedPixelSpacing": [0.3, 0.2]}, (0.2, 0.3), 1.5),
        ({"PixelSpacing": [-1, -1]}, None, 1),
        ({"PixelSpacing": [0.2]}, None, 1),
        ({"PixelSpacing": [900, 900]}, None, 1),
        ({"PixelAspectRatio": [4, 3]}, None, 4 / 3),
        ({"PixelAspectRatio": [0, 3]}, None, 1),
        ({"PixelAspectRatio": [100, 1]}, None, 1),
        ({"PixelAspectRatio": [4, 3], "PixelSpacing": [0.3, 0.3]}, (0.3, 0.3), 1),
    ],
)
def test_spacing_from_other_tags(
    elements: dict[str, Any], size: tuple[float, float] | None, aspect: float
) -> None:
    found = facts(**elements)
    assert found.pixel_mm == (pytest.approx(size) if size else None)
    assert found.pixel_aspect == pytest.approx(aspect)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("REST", "rest"), ("Baseline", "rest"), ("pre", "rest"), ("Low Dose", "low"), ("PEAK", "peak"),
        ("Max dose", "peak"), ("IMPOST", "peak"), ("Post Exercise", "recovery"),
        ("Recovery 2 min", "recovery"),
        ("Posterior", None), ("slow", None), ("Present", None), ("DOE^JOHANNA", None), ("", None),
    ],
)  # fmt: skip
def test_stages_in_our_words(name: str, stage: str | None) -> None:
    assert facts(StageName=name).stage == stage
    numbered = facts(StageName=name, StageNumber=2, NumberOfStages=4).stage
    assert numbered == (stage or "stage 2")


@pytest.mark.parametrize(
    ("elements", "problem"),
    [
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "DICOMDIR"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1", "Modality": "DOC"}, "PDF"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33", "Modality": "SR"}, "structured report"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"}, "not an ultrasound"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "CR"}, "not an ultrasound"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"}, None),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2", "Modality": ""}, None),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1", "Modality": "OT"}, None),
        ({"SOPClassUID": "", "Modality": "US"}, None),
        ({"SOPClassUID": "1.2.3", "Modality": "IVUS"}, None),
        ({"SOPClassUID": "", "Modality": ""}, "not an ultrasound"),
    ],
)
def test_what_is_ultrasound(elements: dict[str, Any], problem: str | None) -> None:
    if problem is None:
        check_is_ultrasound(header(**elements))
        return
    with pytest.raises(ClipProblem, match=problem):
        check_is_ultrasound(header(**elements))


@pytest.mark.parametrize(
    ("elements", "agent"),
    [
        ({}, None),
        ({"ContrastBolusAgent": "Lumason"}, True),
        ({"ContrastBolusAgent": "NONE"}, False),
        ({"ContrastBolusAgent": "no"}, False),
        ({"ContrastBolusAgent": "No contrast"}, False),
        ({"ContrastBolusAgent": "without contrast"}, False),
        ({"ContrastBolusAgent": "not given"}, False),
        ({"ContrastBolusAgent": "Novaluma"}, True),
        ({"ContrastBolusAgentSequence": [Dataset()]}, True),
        ({"SeriesDescription": "LVO contrast A4C"}, True),
    ],
)
def test_contrast_agent(elements: dict[str, Any], agent: bool | None) -> None:
    assert facts(**elements).contrast_agent is agent


PLACE = "11111111"  # a value of eight bytes to write others over
OVERWRITTEN = {
    "FrameTime": "frame_time_ms", "CineRate": "frame_time_ms", "HeartRate": "heart_rate",
    "RecommendedDisplayFrameRate": "frame_time_ms", "InstanceNumber": "instance", "PixelSpacing": "pixel_mm",
    "PixelAspectRatio": "pixel_mm", "FrameTimeVector": "frame_time_ms", "StageNumber": "stage",
}  # fmt: skip
NONSENSE = [b"abcdefgh", b"        ", b"\0" * 8, b"1e400   ", b"-9999999", b"1\\2\\3\\4\\", b"NaN     ",
            b"\xff\xfe\xfd\xfc    ", b"\\\\\\\\\\\\\\\\", b"1,5     ", b"infinity"]  # fmt: skip


@pytest.mark.parametrize("name", OVERWRITTEN)
@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_wrong_value_costs_its_fact_alone(tmp_path: Path, name: str, nonsense: bytes) -> None:
    """Words for numbers, blanks, infinity: the clip opens, and all other facts are as before."""
    path = write_dicom(tmp_path / "a", STILL, **({"FrameTime": None} | {name: PLACE}))
    content = path.read_bytes()
    assert content.count(PLACE.encode()) == 1
    path.write_bytes(content.replace(PLACE.encode(), nonsense))
    clip = DicomClip(path)
    assert np.array_equal(clip.decode([0]), STILL)
    plain = DicomClip(write_dicom(tmp_path / "b", STILL, FrameTime=None)).facts
    fact = OVERWRITTEN[name]
    found = replace(clip.facts, clip=plain.clip, **{fact: getattr(plain, fact)}, pixel_aspect=1.0)
    assert found == plain
    value = getattr(clip.facts, fact)
    numbers = [value] if isinstance(value, int | float) else value
    assert numbers is None or isinstance(numbers, str) or np.isfinite(numbers).all()


@pytest.mark.parametrize(
    ("waves", "expected"),
    [([10, 20], (10, 20)), ([20, 10], ()), ([10, 10], ()), ([5.5], (5.5,)), ([float("nan"), 1], ()),
     ([1, float("inf")], ()), ([], ()), (list(range(2000)), tuple(range(1000)))],
)  # fmt: skip
def test_r_waves_rise(waves: list[float], expected: tuple[float, ...]) -> None:
    assert facts(RWaveTimeVector=waves).r_waves_ms == expected


@given(
    time=st.one_of(st.none(), st.floats(-1e6, 1e6)),
    rate=st.one_of(st.none(), st.floats(-1e6, 1e6)),
    heart=st.one_of(st.none(), st.floats(-1e6, 1e6)),
    waves=st.lists(st.floats(-1e6, 1e6), max_size=5),
)
def test_numbers_are_in_bounds(
    time: float | None, rate: float | None, heart: float | None, waves: list[float]
) -> None:
    """Whatever is written, what is told could be of a heart."""
    given_tags = {"FrameTime": time, "CineRate": rate, "HeartRate": heart, "RWaveTimeVector": waves or None}
    elements = {
        name: [f"{one:.6g}" for one in value] if isinstance(value, list) else f"{value:.6g}"
        for name, value in given_tags.items()
        if value is not None
    }
    found = facts(**elements)
    assert found.frame_time_ms is None or 0.1 <= found.frame_time_ms <= 10_000
    assert found.heart_rate is None or 20 <= found.heart_rate <= 300
    assert list(found.r_waves_ms) == sorted(set(found.r_waves_ms))
    if time is not None and 0.2 <= time <= 9000:
        assert found.frame_time_ms == pytest.approx(time, rel=1e-5)
    if time is None and rate is not None and 0.2 <= rate <= 9000:
        assert found.frame_time_ms == pytest.approx(1000 / rate, rel=1e-5)


@pytest.mark.parametrize(
    "missing", ["RegionSpatialFormat", "RegionDataType", "RegionLocationMinX0", "RegionLocationMaxY1"]
)
def test_regions_without_a_place_or_kind_are_none(missing: str) -> None:
    """Only that region is lost."""
    found = facts(SequenceOfUltrasoundRegions=[region(**{missing: None}), region(0, 0, 50, 50)])
    assert [one.x1 for one in found.regions] == [50]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("meta", [True, False])
def test_no_preamble(tmp_path: Path, syntax: str, meta: bool) -> None:
    """Without 128 bytes and DICM, with file meta or without it: the same facts and pixels."""
    path = write_dicom(tmp_path / "a", STILL)
    expected = DicomClip(path).facts
    dataset = pydicom.dcmread(path)
    dataset.file_meta, dataset.preamble = FileMetaDataset(), None
    body, start = io.BytesIO(), io.BytesIO()
    pydicom.dcmwrite(body, dataset, implicit_vr=syntax == ImplicitVRLittleEndian,
                     little_endian=syntax != ExplicitVRBigEndian)  # fmt: skip
    if meta:
        info = FileMetaDataset()
        info.TransferSyntaxUID, info.MediaStorageSOPClassUID = syntax, dataset.SOPClassUID
        info.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        write_file_meta_info(start, info)
    path.write_bytes(start.getvalue() + body.getvalue())
    assert b"DICM" not in path.read_bytes()[:200]
    clip = DicomClip(path)
    assert np.array_equal(clip.decode([0]), STILL)
    told = asdict(clip.facts) | {"syntax": ""}
    assert told == asdict(expected) | {"syntax": ""}
    assert clip.facts.syntax == pydicom.uid.UID(syntax).name


@pytest.mark.parametrize(
    "name", ["PixelSpacing", "RWaveTimeVector", "FrameTimeVector", "HeartRate", "FrameTime"]
)
def test_numbers_with_commas_cost_no_more_than_themselves(name: str) -> None:
    """As programs of some countries write them; the picture can be read without."""
    old = header()
    value = "33,3" if name in ("HeartRate", "FrameTime") else "0,05\\0,05"
    old[name] = RawDataElement(Tag(name), "DS", len(value), value.encode(), 0, False, True)
    said = read_facts(old, "0" * 16, "some syntax")
    assert (said.pixel_mm, said.r_waves_ms, said.heart_rate) == (None, (), None)
