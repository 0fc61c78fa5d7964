"""How the pixels of a file are encoded: transfer syntax, colour model, and the bytes themselves."""

import numpy as np
import simplejpeg
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from apical.phantom.machine import Encoding
from apical.phantom.screen import Pixels

JPEG_QUALITY = 88

# Transfer syntax and Photometric Interpretation. That of JPEG is the same however its colours are subsampled
# (PS3.3 C.7.6.3.1.2). None is RGB and none deflated: validators in use take these for errors.
CODINGS: dict[Encoding, tuple[UID, str]] = {
    "jpeg": (JPEGBaseline8Bit, "YBR_FULL_422"),
    "jpeg-444": (JPEGBaseline8Bit, "YBR_FULL_422"),
    "jpeg-420": (JPEGBaseline8Bit, "YBR_FULL_422"),
    "rgb": (ExplicitVRLittleEndian, "RGB"),
    "rgb-planes": (ImplicitVRLittleEndian, "RGB"),
    "gray": (ExplicitVRLittleEndian, "MONOCHROME2"),
    "rle": (RLELossless, "RGB"),
    "rle-gray": (RLELossless, "MONOCHROME2"),
    "jpeg-ls": (JPEGLSLossless, "RGB"),
    "jpeg-ls-gray": (JPEGLSLossless, "MONOCHROME2"),
    "jpeg-2000": (JPEG2000Lossless, "YBR_RCT"),
}
# What machines of gray files write where colours tell something.
_IN_COLOUR: dict[Encoding, Encoding] = {"gray": "rgb", "rle-gray": "rle", "jpeg-ls-gray": "jpeg-ls"}
_SUBSAMPLING = {"jpeg": "422", "jpeg-444": "444", "jpeg-420": "420"}
_PLUGINS = {RLELossless: "pylibjpeg", JPEGLSLossless: "pyjpegls", JPEG2000Lossless: "pylibjpeg"}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def in_colour(encoding: Encoding) -> Encoding:
    """The same syntax with colours; `encoding` itself if it has them."""
    return _IN_COLOUR.get(encoding, encoding)


def add_pixels(dataset: Dataset, frames: Pixels, encoding: Encoding) -> None:
    """Add the Image Pixel module (PS3.3 C.7.6.3) to a dataset with file meta information, in place.

    The transfer syntax, the number of frames if there are several, and what is lost (C.7.6.1.1.5) are stated
    too. The same frames give the same bytes.

    Args:
        dataset: gets the elements.
        frames: RGB uint8 [frames, rows, columns, 3].
        encoding: see `CODINGS`.
    """
    count, rows, columns, _ = frames.shape
    syntax, colours = CODINGS[encoding]
    gray = colours == "MONOCHROME2"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SamplesPerPixel = 1 if gray else 3
    dataset.PhotometricInterpretation = colours
    if not gray:
        dataset.PlanarConfiguration = int(encoding == "rgb-planes")
    if count > 1:
        dataset.NumberOfFrames = count
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    pixels = (frames @ _LUMA).round().astype(np.uint8) if gray else frames
    if syntax == JPEGBaseline8Bit:
        _add_jpegs(dataset, pixels, _SUBSAMPLING[encoding])
    elif syntax.is_encapsulated:
        dataset.compress(
            syntax,
            pixels if count > 1 else pixels[0],
            encoding_plugin=_PLUGINS[syntax],
            generate_instance_uid=False,
        )
    else:
        samples = pixels.transpose(0, 3, 1, 2) if encoding == "rgb-planes" else pixels
        data = samples.tobytes()
        dataset.PixelData = data + b"\0" * (len(data) % 2)  # DICOM asks for an even length


def _add_jpegs(dataset: Dataset, frames: Pixels, subsampling: str) -> None:
    encoded = [
        simplejpeg.encode_jpeg(frame, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling=subsampling)
        for frame in frames
    ]
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = f"{frames.nbytes / sum(map(len, encoded)):.2f}"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.PixelData = encapsulate(encoded, has_bot=True)
