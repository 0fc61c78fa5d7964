"""Elements of a DICOM header with values that cannot be, written as if they could."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from fuzzing.corpus import Corpus
from fuzzing.dicom_files import NAME

config.settings.writing_validation_mode = config.IGNORE

WORDS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
         "PixelRepresentation", "PlanarConfiguration", "UltrasoundColorDataPresent")  # fmt: skip
TEXTS = (
    "NumberOfFrames", "PhotometricInterpretation", "FrameTime", "FrameTimeVector", "CineRate", "HeartRate",
    "RecommendedDisplayFrameRate", "RWaveTimeVector", "InstanceNumber", "StageNumber", "NumberOfStages",
    "StageName", "PixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio", "WindowCenter",
    "WindowWidth", "RescaleSlope", "RescaleIntercept", "ImageType", "SpecificCharacterSet", "SOPClassUID",
    "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID",
    "PatientName", "Manufacturer", "ManufacturerModelName", "Modality", "ContrastBolusAgent",
    "SeriesDescription", "ImageComments", "StudyDate", "StudyTime", "PatientAge", "VOILUTFunction",
    "LossyImageCompressionRatio", "ConversionType",
)  # fmt: skip
VALUES = (
    "", " ", "0", "-1", "1", "2", "65536", "99999", "2147483648", "-9223372036854775809", "1e400", "-1e308",
    "1e-320", "NaN", "inf", "0x10", "1.5", "1,5", "1\\2\\3", "\\", "\\\\\\", "9" * 400, NAME, NAME * 90,
    "US", "RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR", "MONOCHROME1", "ARGB", "YBR_RCT", "SIGMOID",
    "ISO 2022 IR 87", "ISO_IR 192\\X", "ORIGINAL\\PRIMARY\\\\FFFF", "ORIGINAL\\PRIMARY\\TTE\\-001",
    "\x1b$B!!\x1b(B", "\0\0", "\x80\xff\xfe", "GE", "00000000", "99999999", "1" * 65, "1..2", "peak",
    "1.2.840.10008.5.1.4.1.1.6.2", "1.2.840.10008.5.1.4.1.1.7", "0.0001\\1e308",
    "-3\\-3", "0\\0", "3\\nan", "1\\2", "256\\0\\16",
)  # fmt: skip
REGION = ("RegionSpatialFormat", "RegionDataType", "RegionLocationMinX0", "RegionLocationMinY0",
          "RegionLocationMaxX1", "RegionLocationMaxY1", "PhysicalDeltaX", "PhysicalDeltaY",
          "PhysicalUnitsXDirection", "PhysicalUnitsYDirection")  # fmt: skip
TABLES = ("LUTDescriptor", "LUTData", "RedPaletteColorLookupTableDescriptor",
          "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableDescriptor",
          "BluePaletteColorLookupTableData", "ExtendedOffsetTable",
          "SegmentedRedPaletteColorLookupTableData", "ExtendedOffsetTableLengths")  # fmt: skip
DEEPEST = 6
SEQUENCES = ("ReferencedImageSequence", "ViewCodeSequence", "SharedFunctionalGroupsSequence",
             "ContrastBolusAgentSequence", "PerFrameFunctionalGroupsSequence")  # fmt: skip


def rewritten(data: bytes, change: Callable[[Dataset], None]) -> bytes:
    """A file that pydicom reads, changes and writes; raises ValueError where it is nested deeply.

    pydicom's message of what it cannot write doubles with each level.
    """
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if _depth(dataset) > DEEPEST:
        raise ValueError
    change(dataset)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def _depth(dataset: Dataset, above: int = 0) -> int:
    if above > DEEPEST:
        return above
    inside = (item for element in dataset if element.VR == "SQ" for item in element.value)
    return max((_depth(item, above + 1) for item in inside), default=above)


def huge(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """More rows, columns and frames than there are, and than there can be."""

    def change(dataset: Dataset) -> None:
        for name in rng.sample(("Rows", "Columns"), rng.choice((1, 2))):
            _set_words(dataset, name, [rng.choice((0, 4096, 8192, 8193, 16384, 65535))])
        frames = rng.choice(("", "1", "3", "20000", "20001", "65535", "2147483647", "4294967296"))
        _set(dataset, "NumberOfFrames", frames.encode() + b" " * (len(frames) % 2))

    return rewritten(data, change)


def words(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """The form of the pixels: one or a few numbers of it are others, or none, or several."""

    def change(dataset: Dataset) -> None:
        for name in rng.sample(WORDS, rng.choice((1, 1, 2))):
            count = rng.choice((1, 1, 1, 0, 3))
            numbers = (0, 1, 2, 3, 7, 8, 9, 12, 16, 32, 64, 96, 128, 8192, 65535)
            _set_words(dataset, name, [rng.choice(numbers) for _ in range(count)])

    return rewritten(data, change)


def texts(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Texts that are no numbers, too long, or of another element."""

    def change(dataset: Dataset) -> None:
        for name in rng.sample(TEXTS, rng.choice((1, 1, 2, 4))):
            value = rng.choice(VALUES).encode("latin-1")
            _set(dataset, name, value + b" " * (len(value) % 2))

    return rewritten(data, change)


def regions(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Regions of the picture, some of them absurd."""

    def number(name: str) -> bytes:
        vr = dictionary_VR(tag_for_keyword(name) or 0)
        if vr == "FD":
            return struct.pack("<d", rng.choice((0.05, 0.03, 0.0, -1.0, 1e308, float("nan"), float("inf"))))
        absurd = rng.choice((0, 1, 2, 3, 5, 60, 95, 127, 128, 65535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        usual = rng.randrange(128) if "Location" in name else rng.choice((1, 2, 3, 10))
        return struct.pack("<I", absurd if rng.random() < 0.4 else usual)[: 4 if vr in ("UL", "SL") else 2]

    def region() -> Dataset:
        item = Dataset()
        for name in REGION if rng.random() < 0.8 else rng.sample(REGION, 5):
            _set(item, name, number(name))
        return item

    def change(dataset: Dataset) -> None:
        dataset.SequenceOfUltrasoundRegions = [region() for _ in range(rng.choice((0, 1, 1, 2, 5, 300)))]

    return rewritten(data, change)


def tables(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Palettes, look-up tables and tables of offsets of wrong lengths and depths."""

    def descriptor() -> bytes:
        entries = rng.choice((0, 1, 2, 255, 256, 4096, 65535))
        return struct.pack("<3H", entries, rng.choice((0, 1, 65535)), rng.choice((0, 8, 12, 16, 17, 65535)))

    def change(dataset: Dataset) -> None:
        table = dataset
        if rng.random() < 0.5:
            table = Dataset()
            name = rng.choice(("VOILUTSequence", "ModalityLUTSequence"))
            setattr(dataset, name, [table] * rng.choice((1, 1, 2)))
            _set(table, "LUTDescriptor", descriptor())
            _set(table, "LUTData", rng.randbytes(2 * rng.choice((0, 1, 255, 256, 4096))))
        for name in rng.sample(TABLES, 3):
            entries = rng.randbytes(2 * rng.choice((0, 1, 3, 255, 256, 65536)))
            _set(table, name, descriptor() if "Descriptor" in name else entries)

    return rewritten(data, change)


def nested(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Sequences of items that hold sequences; each end holds a name."""

    def change(dataset: Dataset) -> None:
        inner = Dataset()
        inner.PatientName = NAME
        for _ in range(rng.choice((1, 5, 60))):
            outer = Dataset()
            outer.ReferencedImageSequence = [inner]
            inner = outer
        setattr(dataset, rng.choice(SEQUENCES), [inner] * rng.choice((1, 2, 5)))

    return rewritten(data, change)


def _set_words(dataset: Dataset, name: str, numbers: list[int]) -> None:
    little = getattr(dataset, "original_encoding", (False, True))[1]
    _set(dataset, name, struct.pack(f"{'<' if little else '>'}{len(numbers)}H", *numbers))


def _set(dataset: Dataset, name: str, value: bytes) -> None:
    """An element with just these bytes, unchecked."""
    tag = Tag(tag_for_keyword(name) or 0)
    implicit, little = getattr(dataset, "original_encoding", (False, True))
    vr = dictionary_VR(tag)[:2]
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, bool(implicit), bool(little))


MUTATIONS = (huge, huge, words, texts, texts, regions, tables, nested)
