"""What of a header may stay in a clean copy: a list of what is allowed, and nothing else.

The Basic Application Level Confidentiality Profile of DICOM PS3.15 annex E says what must go. Here it is the
other way round: an element stays only if it is on the list below, and its value only if it is a number, a
term of the standard or a name that is known. So text that somebody typed cannot stay, wherever it stood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import pairwise
from typing import Any, Literal

from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from apical.errors import ClipProblem
from apical.ingest.damage import decoding
from apical.ingest.header import SECONDARY_CAPTURE, ULTRASOUND, text
from apical.ingest.machines import known_maker, known_model
from apical.ingest.pseudonyms import Pseudonyms
from apical.views import Code, standard_vocabulary

Dates = Literal["remove", "shift", "keep"]

_NUMBERS = (
    "InstanceNumber", "SeriesNumber", "StageNumber", "NumberOfStages", "ViewNumber", "NumberOfViewsInStage",
    "CineRate", "FrameTime", "FrameTimeVector", "FrameDelay", "EffectiveDuration", "ActualFrameDuration",
    "RecommendedDisplayFrameRate", "HeartRate", "TransducerFrequency",
    "MechanicalIndex", "BoneThermalIndex", "CranialThermalIndex", "SoftTissueThermalIndex",
    "DepthOfScanField", "FocusDepth", "UltrasoundColorDataPresent",
    "PixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio", "WindowCenter", "WindowWidth",
    "RescaleSlope", "RescaleIntercept", "LossyImageCompressionRatio",
)  # fmt: skip
_REGION_NUMBERS = (
    "RegionSpatialFormat", "RegionDataType", "RegionFlags",
    "RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1",
    "ReferencePixelX0", "ReferencePixelY0", "PhysicalUnitsXDirection", "PhysicalUnitsYDirection",
    "ReferencePixelPhysicalValueX", "ReferencePixelPhysicalValueY", "PhysicalDeltaX", "PhysicalDeltaY",
    "TransducerFrequency", "PulseRepetitionFrequency", "DopplerCorrectionAngle", "SteeringAngle",
)  # fmt: skip
_TERMS = {
    "RescaleType": {"US"},
    "LossyImageCompression": {"00", "01"},
    "LossyImageCompressionMethod": {"ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_13818_2",
                                    "ISO_14496_10", "ISO_23008_2"},
    "VOILUTFunction": {"LINEAR", "LINEAR_EXACT", "SIGMOID"},
    "ConversionType": {"DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"},
}  # fmt: skip
_IMAGE_TYPES = frozenset(
    {"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "TTE", "TEE", "EPICARDIAL", "INTRACARDIAC",
     "CARDIOLOGY", "VASCULAR", "ABDOMINAL", "PEDIATRIC", "INTRAVASCULAR"}
)  # fmt: skip
SMALLEST_NUMBER, LARGEST_NUMBER = 1e-9, 1e7  # beside 0; no date of eight digits is less
LARGEST_COUNT = 99_999  # of integers; no record number of six digits is less
LARGEST_CODE = 255  # of an element that holds one of a few numbers
_LARGEST: dict[str, float] = {"US": LARGEST_CODE, "IS": LARGEST_COUNT}
_IMAGE_TYPE_BITS = 0x077F  # those of value 4 that mean something (PS3.3 C.8.5.6.1.1)
_PATIENT_TERMS = {"PatientSex": {"M", "F", "O"}}
_DATE_ELEMENTS = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_TIME_ELEMENTS = ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime")
_EMPTY = (  # type 2: there, and without a value
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "PatientSex",
    "StudyID", "SeriesNumber", "InstanceNumber", "Manufacturer", "PatientOrientation", "Laterality",
)  # fmt: skip
_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_TIME = re.compile(r"([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9](\.[0-9]{1,6})?")
_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")

_METHODS = {  # PS3.16 CID 7050
    "profile": ("113100", "Basic Application Confidentiality Profile"),
    "pixels": ("113101", "Clean Pixel Data Option"),
    "full dates": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "modified dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "patient": ("113108", "Retain Patient Characteristics Option"),
    "uids": ("113110", "Retain UIDs Option"),
}


@dataclass(frozen=True)
class CleanOptions:
    """What of the header stays beyond the basic profile.

    Attributes:
        dates: removed; moved back by some whole weeks, the same for all of a patient; or kept.
        keep_uids: whether UIDs stay; else they are replaced, the same one always by the same one.
        keep_patient: whether sex, age, size and weight stay.
    """

    dates: Dates = "remove"
    keep_uids: bool = False
    keep_patient: bool = False


def clean_header(
    old: Dataset, clip: str, pseudonyms: Pseudonyms, options: CleanOptions, patient: str | None = None
) -> Dataset:
    """A new header with what may stay of an old one; without pixels and their palette.

    Args:
        old: an ultrasound image's header.
        clip: the clip's id, which stands in for a missing SOPInstanceUID.
        pseudonyms: for patients and UIDs.
        options: what stays beyond the basic profile.
        patient: the pseudonym; by default of the header's own Patient ID, or of its study.
    """
    new = Dataset()
    new.SpecificCharacterSet = "ISO_IR 192"
    for name in _EMPTY:
        setattr(new, name, None)
    sop_class = str(old.get("SOPClassUID") or "")
    new.SOPClassUID = sop_class if sop_class in ULTRASOUND | SECONDARY_CAPTURE else min(SECONDARY_CAPTURE)
    new.Modality = "US"
    _keep_numbers(old, new, _NUMBERS)
    _keep(old, new, ("RWaveTimeVector",), _as_times)
    for name, terms in _TERMS.items():
        _keep(old, new, (name,), partial(_as_terms, terms=terms))
    _clean_image_type(old, new)
    _keep(old, new, ("Manufacturer",), lambda value: known_maker(str(value)))
    _keep(old, new, ("ManufacturerModelName",), lambda value: known_model(str(value)))
    _clean_regions(old, new)
    _clean_views(old, new)
    _clean_identity(old, new, clip, pseudonyms, options, patient)
    if new.SOPClassUID in SECONDARY_CAPTURE and "ConversionType" not in new:
        new.ConversionType = "WSD"
    _state_methods(new, options)
    return new


def new_uid(uid: str, pseudonyms: Pseudonyms, options: CleanOptions) -> str:
    """What stands for a UID in clean copies."""
    plain = uid.strip(" \0")
    valid = _UID.fullmatch(plain) and len(plain) <= 64
    return plain if options.keep_uids and valid else pseudonyms.uid(plain)


def _keep(old: Dataset, new: Dataset, names: tuple[str, ...], check: Callable[[Any], Any]) -> None:
    """Keep what passes a check; what cannot be read, or is of another kind than its element, does not."""
    for name in names:
        with suppress(ClipProblem), decoding("no such value"):
            value = old.get(name)
            kept = None if value is None or value == "" else check(value)
            if kept is not None:
                setattr(new, name, kept)


def _keep_numbers(old: Dataset, new: Dataset, names: tuple[str, ...]) -> None:
    """Keep numbers, as many as an element has by the standard: bytes of text are a row of numbers too."""
    for name in names:
        several = dictionary_VM(name) != "1"
        most = _LARGEST.get(dictionary_VR(name), LARGEST_NUMBER)
        _keep(old, new, (name,), partial(_as_numbers, several=several, most=most))


def _as_numbers(value: Any, *, several: bool, most: float) -> Any:
    """A number or several, each one again made of its value; raises for anything else."""
    if several and isinstance(value, MultiValue | list):
        return [_as_numbers(one, several=False, most=most) for one in value]
    number = float(value)
    if number and not SMALLEST_NUMBER <= abs(number) <= most:
        raise ValueError
    return int(number) if number.is_integer() else float(f"{number:.10g}")


def _as_times(value: Any) -> list[float]:
    """Milliseconds that rise, to a tenth."""
    times = [float(one) for one in (value if isinstance(value, MultiValue | list) else [value])]
    rising = all(other - one >= 1 for one, other in pairwise(times))
    if not rising or not 0 <= times[0] <= times[-1] <= LARGEST_NUMBER or 0 < times[0] < 0.1:
        raise ValueError
    return [round(time, 1) for time in times]


def _as_terms(value: Any, terms: Collection[str]) -> Any:
    texts = [value] if isinstance(value, str) else [str(one) for one in value]
    kept = [text if text in terms else "" for text in texts]
    return (kept if len(kept) > 1 else kept[0]) or None


def _as_image_type(value: Any) -> list[str]:
    texts = [] if isinstance(value, str) else [str(one) for one in value]
    _, second, third, fourth = [*texts, "", "", "", ""][:4]
    kept = ["DERIVED", second if second in _IMAGE_TYPES else "SECONDARY"]
    kept.append(third if third in _IMAGE_TYPES else "")
    if re.fullmatch("[0-9A-Fa-f]{4}", fourth) and not int(fourth, 16) & ~_IMAGE_TYPE_BITS:
        kept.append(fourth)
    return kept if kept[-1] else kept[:-1]


def _clean_image_type(old: Dataset, new: Dataset) -> None:
    """Value 1 says that pixels were changed; value 4 tells the mode by bits."""
    new.ImageType = ["DERIVED", "SECONDARY"]
    _keep(old, new, ("ImageType",), _as_image_type)
    new.DerivationDescription = "Everything but the ultrasound image set to black"


def _clean_regions(old: Dataset, new: Dataset) -> None:
    regions = []
    for item in _items(old, "SequenceOfUltrasoundRegions"):
        kept = Dataset()
        _keep_numbers(item, kept, _REGION_NUMBERS)
        if len(kept):
            regions.append(kept)
    if regions:
        new.SequenceOfUltrasoundRegions = Sequence(regions)


def _clean_views(old: Dataset, new: Dataset) -> None:
    """The View Code Sequence (0054,0220), where its code is of one of the standard views."""
    for item in _items(old, "ViewCodeSequence"):
        code = _view_codes().get(str(item.get("CodeValue") or ""))
        if code is not None:
            new.ViewCodeSequence = Sequence([_coded(code)])


@cache
def _view_codes() -> dict[str, Code]:
    return {view.code.value: view.code for view in standard_vocabulary() if view.code is not None}


def _items(old: Dataset, name: str) -> list[Dataset]:
    """The items of a sequence; none of what is no sequence."""
    value = old.get(name)
    return list(value) if isinstance(value, Sequence) else []


def _clean_identity(
    old: Dataset,
    new: Dataset,
    clip: str,
    pseudonyms: Pseudonyms,
    options: CleanOptions,
    patient: str | None,
) -> None:
    """Pseudonyms, UIDs, and what the options let stay of dates and of the patient."""
    study = text(old, "StudyInstanceUID")
    key = text(old, "PatientID") or study or f"clip {clip}"
    new.PatientID = new.PatientName = patient or pseudonyms.patient(key)
    for name in _UIDS:
        uid = str(old.get(name) or "")
        if uid or name != "FrameOfReferenceUID":
            instead = f"{name} of {clip if name == 'SOPInstanceUID' else key}"
            setattr(new, name, new_uid(uid or instead, pseudonyms, options))
    if options.dates != "remove":
        back = pseudonyms.weeks(new.PatientID) if options.dates == "shift" else 0
        _keep(old, new, _DATE_ELEMENTS, lambda value: _moved(str(value), back))
        _keep(old, new, _TIME_ELEMENTS, lambda value: _time(str(value)))
    if options.keep_patient:
        _keep_numbers(old, new, ("PatientSize", "PatientWeight"))
        for name, terms in _PATIENT_TERMS.items():
            _keep(old, new, (name,), partial(_as_terms, terms=terms))
        _keep(old, new, ("PatientAge",), lambda value: _age(str(value)))


def _moved(date: str, weeks: int) -> str | None:
    if not re.fullmatch("[0-9]{8}", date):
        return None
    return (datetime.strptime(date, "%Y%m%d") - timedelta(weeks=weeks)).strftime("%Y%m%d")


def _time(time: str) -> str | None:
    return time[:6] if _TIME.fullmatch(time) else None


def _age(age: str) -> str | None:
    """An age as it is, but above 89 years as 90, as the HIPAA safe harbour asks."""
    found = re.fullmatch("([0-9]{3})([DWMY])", age)
    if found is None:
        return None
    return "090Y" if found[2] == "Y" and int(found[1]) > 89 else age


def _state_methods(new: Dataset, options: CleanOptions) -> None:
    """Say what was done: (0012,0062) to (0012,0064), (0028,0301) to (0028,0303)."""
    used = ["profile", "pixels"]
    used += (
        [{"shift": "modified dates", "keep": "full dates"}[options.dates]]
        if options.dates != "remove"
        else []
    )
    used += ["patient"] if options.keep_patient else []
    used += ["uids"] if options.keep_uids else []
    new.PatientIdentityRemoved = "YES"
    new.DeidentificationMethod = "Apical: allowed elements only, black beside the image"
    codes = [_coded(Code(_METHODS[name][0], "DCM", _METHODS[name][1])) for name in used]
    new.DeidentificationMethodCodeSequence = Sequence(codes)
    new.BurnedInAnnotation = "NO"
    new.RecognizableVisualFeatures = "NO"
    stated = {"remove": "REMOVED", "shift": "MODIFIED", "keep": "UNMODIFIED"}
    new.LongitudinalTemporalInformationModified = stated[options.dates]


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item
