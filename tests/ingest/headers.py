"""Headers to clean, and what is written of them."""

from __future__ import annotations

import io
from typing import Any

import pydicom
import pytest
from dicomanonymizer.dicom_anonymization_databases import (
    dicomfields_2023,
    dicomfields_2024b,
    dicomfields_2026c,
)
from pydicom import config
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from apical.ingest.profile import CleanOptions, clean_header
from apical.ingest.pseudonyms import Pseudonyms

TABLES = (dicomfields_2023, dicomfields_2024b, dicomfields_2026c)  # PS3.15 table E.1-1 of three editions
PSEUDONYMS = Pseudonyms(bytes(32))
TOKEN = "QZXJ4711KVW"
BASIC = CleanOptions()
ALL = CleanOptions(dates="keep", keep_uids=True, keep_patient=True)


def ultrasound(**elements: Any) -> Dataset:
    dataset = Dataset()
    defaults = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1", "Modality": "US", "PatientID": "MRN-4711",
        "StudyInstanceUID": "1.2.3", "SOPInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5",
    }  # fmt: skip
    for keyword, value in (defaults | elements).items():
        setattr(dataset, keyword, value)
    return dataset


def cleaned(dataset: Dataset, options: CleanOptions = BASIC) -> Dataset:
    """The clean header of what is read again from a file."""
    return read_again(clean_header(read_again(dataset), "clip", PSEUDONYMS, options))


def content(dataset: Dataset, implicit: bool = False) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=implicit, little_endian=True)
    return file.getvalue()


def read_again(dataset: Dataset, implicit: bool = False) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content(dataset, implicit)), force=True)


def allow_any_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pydicom write values that the standard does not allow."""
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)


def attributes() -> list[Tag]:
    """Every attribute of the table; of a group of numbers, the first, one within and the last."""
    found = set()
    for table in TABLES:
        for entry in table.ALL_TAGS:
            group, element = entry[:2]
            if len(entry) == 2:
                found.add((group, element))
            else:  # group, element and the masks of both
                found |= {
                    (group + step, (element + 0x3000) if entry[3] == 0 else element) for step in (0, 2, 30)
                }
    return sorted(Tag(*one) for one in found if one[0] > 2)


def valued(tag: Tag, value: str = TOKEN) -> DataElement:
    """The attribute with a value of its VR that cannot be taken for another."""
    vr = dictionary_VR(tag) if keyword_for_tag(tag) else "LO"
    vr = vr.split(" or ")[-1]
    texts = {
        "DA": "19530417", "TM": "081537.135791", "DT": "19530417081537.135791", "AS": "077Y",
        "UI": f"1.2.826.1{4711:020}1", "IS": "918273645", "DS": "918273645.5", "AE": value, "CS": value,
    }  # fmt: skip
    if vr == "SQ":
        item = Dataset()
        item.PatientName, item.CodeMeaning, item.StudyDate = value, value, "19530417"
        return DataElement(tag, vr, Sequence([item]))
    numbers = {"US": 47110, "SS": -17110, "UL": 918273645, "SL": -918273645, "FL": 4711.25, "FD": 918273.645}
    if vr in numbers:
        return DataElement(tag, vr, numbers[vr])
    if vr in ("OB", "OW", "UN", "OF", "OD", "OL", "OV"):
        return DataElement(tag, vr, (value + "    ").encode()[:8])
    return DataElement(tag, vr, texts.get(vr, value))
