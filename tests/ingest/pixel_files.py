"""Files of every coding of pixels, and what pydicom makes of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import PIL.Image
import pydicom
from clip_files import write_dicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, pixel_array

from apical.ingest.dicom import DicomClip

IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
BIG = "1.2.840.10008.1.2.2"
NATIVE = (IMPLICIT, EXPLICIT, DEFLATED, BIG)
BASELINE, EXTENDED, LOSSLESS, LOSSLESS_FIRST = ("1.2.840.10008.1.2.4." + n for n in ("50", "51", "57", "70"))
JLS, JLS_NEAR, J2K, J2K_LOSSY = ("1.2.840.10008.1.2.4." + n for n in ("80", "81", "90", "91"))
RLE = "1.2.840.10008.1.2.5"
OTHER_DECODER = {RLE: "pydicom", JLS: "gdcm", JLS_NEAR: "gdcm", J2K: "gdcm", J2K_LOSSY: "gdcm"}
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"


def picture(*shape: int, kind: type[np.number[Any]] = np.uint8) -> NDArray[Any]:
    """Noise over a ramp, over the whole range of the type."""
    limits = np.iinfo(kind)  # type: ignore[type-var]
    span = int(limits.max) - int(limits.min)
    ramp = np.linspace(0, 0.8, int(np.prod(shape))).reshape(shape)
    noise = np.random.default_rng(3).uniform(0, 0.2, shape)
    return ((ramp + noise) * span + int(limits.min)).astype(kind)


def write_native(path: Path, stored: NDArray[Any], syntax: str, photometric: str, *, planar: int = 0,
                 words: bool = False, **elements: Any) -> Path:  # fmt: skip
    """Uncompressed (F, H, W, 3) in a syntax; with `words` bytes are written as OW, which big endian turns."""
    dataset = pydicom.dcmread(write_dicom(path, stored, photometric=photometric, **elements))
    planes = stored.transpose(0, 3, 1, 2) if planar else stored
    if stored.ndim == 4:
        dataset.PlanarConfiguration = planar
    data = planes.astype(stored.dtype.newbyteorder(">" if syntax == BIG else "<")).tobytes()
    data += b"\0" * (len(data) % 2)
    if words and syntax == BIG and stored.itemsize == 1:
        data = np.frombuffer(data, "<u2").byteswap().tobytes()
    dataset.PixelData = data
    dataset["PixelData"].VR = "OW" if words or stored.itemsize == 2 or syntax == IMPLICIT else "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, dataset, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG)
    return path


def write_codestreams(path: Path, frames: NDArray[Any], coded: list[bytes], syntax: str, photometric: str,
                      **elements: Any) -> Path:  # fmt: skip
    """Frames given as codestreams; `frames` only for the header."""
    dataset = pydicom.dcmread(write_dicom(path, frames, photometric=photometric, **elements))
    dataset.PixelData = encapsulate(coded)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    return path


def by_gdcm(path: Path, syntax: gdcm.TransferSyntax) -> Path:
    """Another program's encoder: GDCM's, in place."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path


def reference(path: Path, number: int = 0, plugin: str = "") -> NDArray[np.uint8]:
    """What pydicom makes of a frame in colour, RGB of 8 bits; `plugin`: one of its decoders."""
    dataset = pydicom.dcmread(path, force=True)
    made = pixel_array(dataset, index=number, decoding_plugin=plugin)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(made, dataset)[..., :3]
        return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
    return (made >> max(0, dataset.BitsStored - 8)).astype(np.uint8)


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """ITU-R BT.601 in real numbers."""
    return np.asarray(rgb.astype(float) @ [0.299, 0.587, 0.114])


def check_grey_and_colour(path: Path, expected: list[NDArray[np.uint8]], *, exact: bool = True) -> None:
    """Colours are those expected, alone and together; grey is their luma, or the stored one."""
    clip = DicomClip(path)
    every = range(clip.facts.frames)
    assert np.array_equal(clip.decode_colour(every), np.stack(expected))
    grey = clip.decode(every)
    if clip.pixels.form.luma_first:
        dataset = pydicom.dcmread(path)
        raw = [pixel_array(dataset, index=n, raw=True)[..., 0] for n in every]
        stored = clip.pixels.form.stored
        assert np.array_equal(grey, np.stack(raw) >> stored - 8)
    else:
        assert np.abs(grey - luma(np.stack(expected))).max() <= 0.51
    if exact:
        quick = clip.decode_colour([every[-1]], exact=False)[0]
        assert np.abs(quick.astype(int) - expected[-1]).max() <= 2


def palette(bits: int, *, first: int = 0, entries: int = 256) -> dict[str, Any]:
    """Three tables of `entries` that differ, whose low bytes would show if they were taken."""
    ramp = np.linspace(0, (1 << bits) - 1, entries).astype(f"<u{bits // 8}")
    found: dict[str, Any] = {}
    for name, table in {"Red": ramp, "Green": ramp[::-1], "Blue": ramp ^ ramp.dtype.type(0x35)}.items():
        found[f"{name}PaletteColorLookupTableDescriptor"] = [entries % (1 << 16), first, bits]
        found[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    return found


def jpeg(frame: NDArray[np.uint8], **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(frame).save(buffer, "JPEG", quality=92, **options)
    return buffer.getvalue()


def as_ultrasound(source: Path, path: Path) -> Path:
    dataset = pydicom.dcmread(source)
    dataset.Modality, dataset.SOPClassUID = "US", ULTRASOUND
    dataset.save_as(path)
    return path
