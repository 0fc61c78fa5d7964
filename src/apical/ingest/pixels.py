"""Decode frames of one DICOM file from their bytes.

pydicom is the reference for every transfer syntax; each frame is given to it alone, so memory is that of one
frame. JPEG frames of 8 bits go straight to libjpeg-turbo where grey is the stored luma or the colours need
not be exact, which is an order of magnitude faster. What a codestream says of its own size is checked
before it is decoded: decoders ask for the memory that the codestream wants, not the header.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from apical.errors import ClipProblem
from apical.ingest.codestream import check_codestream, is_orderly_jpeg, read_codestream

JPEG = frozenset("1.2.840.10008.1.2.4." + end for end in ("50", "51", "57", "70"))
END_OF_JPEG = b"\xff\xd9"
HTJ2K = frozenset("1.2.840.10008.1.2.4." + end for end in ("201", "202", "203"))
NEEDS_GDCM = "JPEG of this kind needs python-gdcm: pip install 'apical[gdcm]'"
_PLUGINS: dict[str, str] = {
    syntax: plugin
    for plugin, syntaxes in (
        ("pylibjpeg", [*JPEG2000TransferSyntaxes, *HTJ2K, RLELossless]),
        ("pyjpegls", JPEGLSTransferSyntaxes),
    )
    for syntax in syntaxes
}
_LUMA_FIRST = frozenset({"YBR_FULL", "YBR_FULL_422"})
_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_ONE_SAMPLE = _MONOCHROME | {"PALETTE COLOR"}
_KNOWN = _LUMA_FIRST | _ONE_SAMPLE | {"RGB", "YBR_ICT", "YBR_RCT"}
_GREY_TRANSFORMS = ("RescaleSlope", "ModalityLUTSequence", "WindowWidth", "VOILUTSequence")

Colour = Literal["grey", "half grey", "rgb", "quick rgb"]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class PixelFormat:
    """How pixels are written (PS3.3 C.7.6.3); all values are possible ones.

    Attributes:
        syntax: transfer syntax.
        rows, columns, samples, allocated, stored, signed, planar, photometric: of the Image Pixel module.
        swapped: bytes of pairs are swapped: 8 bits as words, big endian.
    """

    syntax: UID
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    planar: int
    photometric: str
    swapped: bool = False

    @classmethod
    def of(cls, dataset: Dataset, vr: str) -> PixelFormat:
        """Read it from a header; `vr` is that of the pixel data.

        Raises:
            ClipProblem: it cannot be, or is not supported.
        """
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
        allocated = int(dataset.get("BitsAllocated") or 0)
        stored = int(dataset.get("BitsStored") or allocated)
        planar = int(dataset.get("PlanarConfiguration") or 0)
        samples = 1 if photometric in _ONE_SAMPLE else 3
        bits = allocated in (8, 16) and 1 <= stored <= allocated
        if photometric not in _KNOWN or not bits or planar not in (0, 1):
            raise ClipProblem("colour model or number of bits is not supported")
        if int(dataset.get("SamplesPerPixel") or samples) != samples:
            raise ClipProblem("colour model and number of samples do not fit")
        return cls(
            syntax=syntax,
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            samples=samples,
            allocated=allocated,
            stored=stored,
            signed=int(dataset.get("PixelRepresentation") or 0) == 1,
            planar=planar,
            photometric=photometric,
            swapped=syntax == ExplicitVRBigEndian and vr == "OW" and allocated == 8,
        )

    @property
    def frame_bytes(self) -> int:
        """Length of an uncompressed frame."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.allocated // 8

    @property
    def luma_first(self) -> bool:
        """Whether the first sample of a pixel is its luma."""
        return self.photometric in _LUMA_FIRST


class FrameDecoder:
    """Turns the bytes of a frame into pixels.

    Args:
        form: how they are written.
        dataset: the header, for palettes, windows and rescaling.
        compressed: whether frames are codestreams.
    """

    def __init__(self, form: PixelFormat, dataset: Dataset, *, compressed: bool) -> None:
        self.form = form
        self._dataset = dataset
        self._compressed = compressed

    def decode(self, data: bytes, colour: Colour) -> Picture:
        """One frame, (rows, columns) uint8 for ``grey``, else (rows, columns, 3) uint8 RGB.

        Grey is the luma where it is stored, else ITU-R BT.601 luma of the colours. ``half grey`` is that
        at half the size, rounded up, where a JPEG gives it for less, else ``grey``. RGB is what pydicom
        makes of it; ``quick rgb`` may differ from that by 2 levels, for looking and not for keeping.

        Raises:
            ClipProblem: the frame is not what the header says.
        """
        form = self.form
        grey = colour in ("grey", "half grey")
        if form.syntax in JPEG and (colour != "rgb" or not form.luma_first):
            quick = self._quick_jpeg(data, grey=grey, half=colour == "half grey")
            if quick is not None:
                return self._to_8_bits(quick, grey=grey)
        luma = grey and form.luma_first
        pixels = self.samples(data) if luma else self._reference(data, raw=False)
        return self._to_8_bits(pixels[..., 0] if luma else pixels, grey=grey)

    def samples(self, data: bytes) -> NDArray[Any]:
        """One frame as it is stored: (rows, columns) or (rows, columns, 3), the type its bits ask for.

        Subsampled colours are brought to the size of the frame; nothing else is converted.
        """
        if not self._compressed and self.form.photometric != "YBR_FULL_422":
            return self._native(data)
        quick = None
        if self.form.syntax in JPEG and not self.form.luma_first:
            quick = self._quick_jpeg(data, grey=False)
        return self._reference(data, raw=True) if quick is None else quick

    def _native(self, data: bytes) -> NDArray[Any]:
        form = self.form
        kind = ("i" if form.signed else "u") + str(form.allocated // 8)
        order = ">" if form.syntax == ExplicitVRBigEndian else "<"
        flat = np.frombuffer(data, order + kind, count=form.rows * form.columns * form.samples)
        if form.stored < form.allocated:  # what stands in the other bits is no picture
            spare = form.allocated - form.stored
            flat = flat << spare >> spare
        if form.samples == 1:
            return flat.reshape(form.rows, form.columns)
        if form.planar:
            return flat.reshape(3, form.rows, form.columns).transpose(1, 2, 0)
        return flat.reshape(form.rows, form.columns, 3)

    def _reference(self, data: bytes, *, raw: bool) -> NDArray[Any]:
        """One frame by pydicom."""
        form = self.form
        if not self._compressed and form.photometric not in _LUMA_FIRST:
            return self._native(data)
        options: dict[str, Any] = {
            "rows": form.rows,
            "columns": form.columns,
            "number_of_frames": 1,
            "samples_per_pixel": form.samples,
            "photometric_interpretation": form.photometric,
            "bits_allocated": form.allocated,
            "bits_stored": form.stored,
            "pixel_representation": int(form.signed),
            "pixel_keyword": "PixelData",
            "pixel_vr": "OB" if form.allocated == 8 else "OW",
        }
        if form.samples > 1:
            options["planar_configuration"] = 0 if self._compressed else form.planar  # codestreams tell it
        plugin = ""
        if self._compressed:
            plugin = self._plugin(data)
            end = END_OF_JPEG if plugin == "pyjpegls" else b""  # or CharLS looks for a bit for seconds
            data = encapsulate([data + end], has_bot=False)
        pixels, _ = get_decoder(form.syntax).as_array(
            data, index=0, raw=raw, decoding_plugin=plugin, **options
        )
        return np.asarray(pixels)

    def _plugin(self, data: bytes) -> str:
        """pydicom's plug-in for the syntax, once the codestream has said what the header says."""
        form = self.form
        if form.syntax == RLELossless:
            return _PLUGINS[form.syntax]
        found = check_codestream(data, form.rows, form.columns, form.samples)
        if form.syntax not in JPEG:
            return _PLUGINS[form.syntax]
        lossless = form.syntax[-2:] in ("57", "70")
        if found.bits <= 8 and not lossless:
            return "pillow"
        if find_spec("gdcm") is None:
            raise ClipProblem(NEEDS_GDCM)
        if not is_orderly_jpeg(data):
            raise ClipProblem("pixel data cannot be decoded")
        return "gdcm"

    def _quick_jpeg(self, data: bytes, *, grey: bool, half: bool = False) -> Picture | None:
        """One frame by libjpeg alone; None where that may not be what was stored.

        The JPEG's own size and colours must be those of the header. Where libjpeg only warns,
        simplejpeg raises, and pydicom decides whether the frame is damaged.
        """
        form = self.form
        expected = "YCbCr" if form.luma_first else "RGB" if form.photometric == "RGB" else "Gray"
        one = expected == "Gray" or (grey and expected == "YCbCr")
        found = read_codestream(data)
        if found is None or (found.rows, found.columns, form.allocated) != (form.rows, form.columns, 8):
            return None
        try:
            colours = found.colours or simplejpeg.decode_jpeg_header(data)[2]  # which is slow
            if colours != expected or found.bits != 8:
                return None
            least = {"min_height": (form.rows + 1) // 2, "min_width": (form.columns + 1) // 2}
            if not half or not one or found.colours is None:
                least = {}
            pixels = simplejpeg.decode_jpeg(data, colorspace="GRAY" if one else "RGB", **least)
        except ValueError:
            return None
        return np.asarray(pixels[..., 0] if one else pixels, np.uint8)

    def _to_8_bits(self, pixels: NDArray[Any], *, grey: bool) -> Picture:
        """One decoded frame, grey or colour as stored, to uint8 grey (rows, columns) or RGB."""
        form = self.form
        if form.photometric == "PALETTE COLOR":
            pixels = self._palette[pixels]
        elif form.photometric in _MONOCHROME:
            pixels = self._window(pixels)
        elif form.stored > 8:
            pixels = pixels >> (form.stored - 8)
        picture = np.ascontiguousarray(pixels, dtype=np.uint8)
        if grey and picture.ndim == 3:
            return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        if not grey and picture.ndim == 2:
            return np.repeat(picture[..., None], 3, axis=2)
        return picture

    @cached_property
    def darkest(self) -> int:
        """The stored value whose colour of the palette is the darkest."""
        used = self._palette[: 1 << self.form.stored]
        return int(used.astype(int).sum(axis=1).argmin())

    @cached_property
    def _palette(self) -> Picture:
        """(2 ** BitsAllocated, 3) uint8: the colour of every stored value.

        Entries of 16 bits lose their lower byte, unless all upper bytes are empty: some files say 16
        bits and hold 8.
        """
        values = np.arange(1 << self.form.allocated, dtype=f"u{self.form.allocated // 8}")
        colours = apply_color_lut(values, self._dataset)[..., :3]
        if colours.shape != (len(values), 3):  # an empty table is left out
            raise ClipProblem("the palette lacks one of its colours")
        return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)

    def _window(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Monochrome values through modality and VOI transformations to 0-255, black at 0.

        The scale comes from the stored range, not from the picture, so all frames share it.
        """
        dataset, form = self._dataset, self.form
        ends = np.array([0, (1 << form.stored) - 1]) - (1 << form.stored - 1 if form.signed else 0)
        if any(name in dataset for name in _GREY_TRANSFORMS):
            ends = apply_modality_lut(ends.astype(pixels.dtype), dataset)
            pixels = apply_voi_lut(apply_modality_lut(pixels, dataset), dataset)
            if "VOILUTSequence" in dataset:
                ends = _range_of(dataset.VOILUTSequence[0])
            elif "ModalityLUTSequence" in dataset and "WindowWidth" in dataset:
                ends = _range_of(dataset.ModalityLUTSequence[0])
        low, high = float(ends.min()), float(ends.max())
        if pixels.dtype != np.uint8 or (low, high) != (0, 255):
            pixels = np.clip(np.rint((pixels - low) * (255 / max(high - low, 1e-9))), 0, 255)
        grey = pixels.astype(np.uint8)
        return 255 - grey if form.photometric == "MONOCHROME1" else grey


def _range_of(table: Dataset) -> NDArray[np.int64]:
    """The least and the greatest value that a lookup table may give."""
    return np.array([0, (1 << int(table.LUTDescriptor[2])) - 1])
