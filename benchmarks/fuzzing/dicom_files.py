"""Sound DICOM files of many syntaxes and forms of pixels, for the corpus of the fuzzer."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "ingest"))
from clip_files import screen, write_dicom

NAME, PATIENT_ID, STUDY = "ZQXJOHANNA^DOE", "MRN-ZQXJ-47114711", "1.2.826.0.1.47114711"
SECRETS = ("zqxjo", "47114711")  # parts that appear in nothing else; none may leave ingest


def screens(count: int = 3) -> NDArray[np.uint8]:
    return screen(count, 96, 128, seed=7)


def coloured(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB, with a patch of Doppler colours."""
    colour = np.repeat(frames[..., None], 3, axis=3)
    colour[:, 40:60, 55:75] = (200, 30, 20)
    return colour


def dicom(folder: Path, pixels: NDArray[Any], **options: Any) -> bytes:
    planted = {"PatientName": NAME, "PatientID": PATIENT_ID, "StudyInstanceUID": STUDY, "StudyID": NAME,
               "SOPInstanceUID": "1.2.826.0.2.47114711", "SeriesInstanceUID": "1.2.826.0.3.47114711",
               "SeriesDescription": NAME, "StageName": f"rest {NAME}", "InstitutionName": NAME,
               "HeartRate": 66, "RWaveTimeVector": [5.0, 40.0, 90.0]}  # fmt: skip
    return write_dicom(folder / "x.dcm", pixels, **planted | options).read_bytes()


def changed(data: bytes, **elements: Any) -> Dataset:
    dataset = pydicom.dcmread(io.BytesIO(data))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset, **options: Any) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, **options)
    return buffer.getvalue()


def _plain(data: bytes, syntax: uid.UID, bits: int) -> bytes:
    """An uncompressed file in another uncompressed syntax."""
    old, dataset = pydicom.dcmread(io.BytesIO(data)), Dataset()
    for element in old:  # parsed, so that they can be written in another order of bytes
        dataset.add(element)
    if syntax == uid.ExplicitVRBigEndian and bits == 16:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta = old.file_meta
    dataset.file_meta.TransferSyntaxUID = syntax
    little, implicit = syntax != uid.ExplicitVRBigEndian, syntax == uid.ImplicitVRLittleEndian
    return written(dataset, little_endian=little, implicit_vr=implicit, enforce_file_format=True)


def _by_gdcm(folder: Path, data: bytes, kind: int) -> bytes:
    """A file with its pixels compressed by gdcm, which writes syntaxes that pydicom does not."""
    (folder / "in.dcm").write_bytes(data)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(folder / "in.dcm"))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(kind))
    change.SetInput(reader.GetImage())
    assert change.Change(), kind
    writer.SetFileName(str(folder / "out.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()
    packed, dataset = pydicom.dcmread(folder / "out.dcm"), pydicom.dcmread(io.BytesIO(data))
    dataset["PixelData"] = packed["PixelData"]  # the rest of it is of this day
    dataset.PhotometricInterpretation = packed.PhotometricInterpretation
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    return written(dataset)


def dicoms(folder: Path) -> Iterator[tuple[str, bytes]]:
    frames = screens()
    colour, deep = coloured(frames), frames.astype(np.uint16) << 4
    grey, rgb = dicom(folder, frames), dicom(folder, colour, photometric="RGB")
    twelve = {"BitsStored": 12, "HighBit": 11}
    words = dicom(folder, deep, **twelve)
    for name, data, bits in (("grey", grey, 8), ("rgb", rgb, 8), ("16-bit", words, 16)):
        yield f"{name}-explicit.dcm", data
        for kind, syntax in (("implicit", uid.ImplicitVRLittleEndian), ("big", uid.ExplicitVRBigEndian),
                             ("deflated", uid.DeflatedExplicitVRLittleEndian)):  # fmt: skip
            yield f"{name}-{kind}.dcm", _plain(data, syntax, bits)
    yield "no-preamble.dcm", _plain(grey, uid.ImplicitVRLittleEndian, 8)[132:]
    signed = (frames.astype(np.int16) - 128) << 4
    window = {"RescaleSlope": 0.5, "RescaleIntercept": -3, "WindowCenter": 10, "WindowWidth": 900}
    yield "signed.dcm", dicom(folder, signed, **window)
    yield "planar.dcm", dicom(folder, colour.transpose(0, 3, 1, 2).reshape(3, 96, 128, 3), photometric="RGB",
                               PlanarConfiguration=1)  # fmt: skip
    full = dicom(folder, colour, photometric="YBR_FULL")
    yield "ybr-full.dcm", full
    subsampled = changed(full, PhotometricInterpretation="YBR_FULL_422")
    subsampled.PixelData = np.repeat(frames.reshape(-1), 2).tobytes()
    yield "ybr-full-422.dcm", written(subsampled)
    regions = ((1, 1, 0, 0, 127, 90), (1, 2, 30, 30, 80, 80), (3, 10, 0, 85, 127, 95))
    yield "regions.dcm", dicom(folder, frames, regions=regions, ImageType=["ORIGINAL", "PRIMARY", "TTE",
                                "0001"], PixelSpacing=[0.3, 0.3], UltrasoundColorDataPresent=0)  # fmt: skip
    ramp = (np.arange(256, dtype=np.uint16) * 257).astype("<u2").tobytes()
    palette = {f"{one}PaletteColorLookupTable{part}": value for one in ("Red", "Green", "Blue")
               for part, value in (("Descriptor", [256, 0, 16]), ("Data", ramp))}  # fmt: skip
    yield "palette-8.dcm", dicom(folder, frames, photometric="PALETTE COLOR", **palette)
    yield "palette-16.dcm", dicom(folder, frames.astype(np.uint16), photometric="PALETTE COLOR", **palette)
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 8], np.arange(255, -1, -1).astype("<u2").tobytes()
    yield "lut.dcm", dicom(folder, frames, photometric="MONOCHROME1", VOILUTSequence=Sequence([table]))
    yield "many-frames.dcm", dicom(folder, screens(12))
    kinds: tuple[Any, ...] = (
        ("grey", frames, {}),
        ("rgb", colour, {"photometric": "RGB"}),
        ("16", deep, twelve),
    )
    for name, syntax in (("rle", uid.RLELossless), ("jls", uid.JPEGLSLossless), ("jls-near",
                         uid.JPEGLSNearLossless), ("j2k", uid.JPEG2000Lossless)):  # fmt: skip
        for kind, pixels, options in kinds:
            yield f"{name}-{kind}.dcm", dicom(folder, pixels, compress=syntax, **options)
    yield "jpeg-grey.dcm", dicom(folder, frames, jpeg=True)
    yield "jpeg-rgb.dcm", dicom(folder, colour, jpeg=True, photometric="YBR_FULL_422")
    lossless, first = gdcm.TransferSyntax.JPEGLosslessProcess14, gdcm.TransferSyntax.JPEGLosslessProcess14_1
    for name, data, kind in (
        ("lossless-grey", grey, first),
        ("lossless-rgb", rgb, first),
        ("lossless-16", words, lossless),
    ):
        yield f"jpeg-{name}.dcm", _by_gdcm(folder, data, kind)
    yield from _tables(dicom(folder, screens(5), jpeg=True))


def _tables(data: bytes) -> Iterator[tuple[str, bytes]]:
    """JPEG frames behind a Basic or an Extended Offset Table, or none, and in several fragments."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    coded = list(generate_frames(dataset.PixelData, number_of_frames=5))
    for name, options in (("no", {"has_bot": False}), ("basic", {}), ("split", {"fragments_per_frame": 3})):
        dataset.PixelData = encapsulate(coded, **options)
        yield f"table-{name}.dcm", written(dataset)
    pixels, offsets, lengths = encapsulate_extended(coded)
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = (
        pixels,
        offsets,
        lengths,
    )
    yield "table-extended.dcm", written(dataset)
