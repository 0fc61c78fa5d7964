"""Open one DICOM file: read its header, find its frames, decode the chosen ones."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from apical.errors import ClipProblem
from apical.ingest.damage import Rationed, Unreadable, decoding
from apical.ingest.facts import Facts
from apical.ingest.fragments import EncapsulatedFrames, NativeFrames, cut_off
from apical.ingest.header import check_is_ultrasound, read_facts
from apical.ingest.pixels import Colour, FrameDecoder, PixelFormat
from apical.ingest.places import opened
from apical.ingest.pseudonyms import clip_id_of_file, clip_id_of_uid
from apical.ingest.video import VideoStream, container_of

LARGEST_ELEMENT = "1 MB"  # of the header; what is larger is passed over
LARGEST_INFLATED = 1 << 30  # bytes
LARGEST_VIDEO = 1 << 30  # bytes
UNDEFINED = 0xFFFFFFFF
_DEFLATED, _ENCAPSULATED_RAW = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1.98"
_VIDEO = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
_LONG_VRS = frozenset({b"OB", b"OW", b"OD", b"OF", b"OL", b"OV", b"UN"})


class DicomClip:
    """One opened DICOM file.

    Attributes:
        facts: what the header says.
        dataset: the header, without pixels and elements above `LARGEST_ELEMENT`.
    """

    def __init__(self, place: Path | str) -> None:
        """Read the header and find the frames.

        Raises:
            Unreadable: the file cannot be read.
            ClipProblem: not DICOM, not ultrasound, no pixels, or of sizes that cannot be.
        """
        self._place = str(place)
        with opened(self._place) as outer, quiet_pydicom(), decoding("damaged DICOM header"):
            self._inflated = _inflated(outer)
            file = self._inflated or outer
            dataset = self.dataset = _read_header(file)
            check_is_ultrasound(dataset)
            vr, length, start = _pixel_element(file, dataset)
            _complete_meta(dataset, length)
            uid = str(dataset.get("SOPInstanceUID") or "")
            syntax = UID(dataset.file_meta.TransferSyntaxUID)
            self.facts = read_facts(
                dataset, clip_id_of_uid(uid) if uid else clip_id_of_file(outer), syntax.name
            )
            self._video = _video(file, start, syntax) if syntax in _VIDEO else None
            if self._video is not None:
                self.facts = _facts_of_video(self.facts, self._video)
                return
            if (length == UNDEFINED) != syntax.is_encapsulated:
                raise ClipProblem("transfer syntax and pixel data do not fit")
            compressed = syntax.is_encapsulated and syntax != _ENCAPSULATED_RAW
            self.pixels = FrameDecoder(PixelFormat.of(dataset, vr), dataset, compressed=compressed)
            self._frames = _frames(file, start, length, self.pixels.form, dataset, self.facts.frames)

    def decode(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames to grey: the luma where it is stored, else ITU-R BT.601 luma of the colours.

        Args:
            numbers: frame numbers from 0.

        Returns:
            (len(numbers), rows, columns) uint8.

        Raises:
            ClipProblem: a frame cannot be decoded.
        """
        return self._stack(self.frames(numbers), len(numbers), self.facts.rows, self.facts.columns)

    def decode_colour(self, numbers: Sequence[int], *, exact: bool = True) -> NDArray[np.uint8]:
        """Decode frames to RGB, (len(numbers), rows, columns, 3) uint8; else as `decode`.

        Args:
            numbers: frame numbers from 0.
            exact: as pydicom converts them; otherwise JPEG colours may differ by 2 levels, at a tenth
                of the time.
        """
        frames = self._decoded(numbers, "rgb" if exact else "quick rgb")
        return self._stack(frames, len(numbers), self.facts.rows, self.facts.columns, 3)

    def frames(self, numbers: Sequence[int], *, half: bool = False) -> Iterator[NDArray[np.uint8]]:
        """The frames of `decode` one after another, (rows, columns) uint8 each, never two in memory.

        With `half` those of a JPEG come at half the size, rounded up, which takes a sixth less time.
        """
        yield from self._decoded(numbers, "half grey" if half else "grey")

    @property
    def is_video(self) -> bool:
        """Whether its frames are those of a video stream."""
        return self._video is not None

    def samples(self) -> Iterator[NDArray[Any]]:
        """All frames as they are stored, one after another; see `FrameDecoder.samples`.

        Raises:
            ClipProblem: a frame cannot be decoded, or it is a video, which has no such samples.
        """
        if self._video is not None:
            raise ClipProblem("the samples of a video are not stored")
        with self._file() as file:
            for number in range(self.facts.frames):
                with decoding("pixel data cannot be decoded"), quiet_pydicom():
                    yield self.pixels.samples(self._frames.read(file, number))

    def _decoded(self, numbers: Sequence[int], colour: Colour) -> Iterator[NDArray[np.uint8]]:
        if self._video is not None:
            yield from self._video.decode(numbers, "rgb24" if "rgb" in colour else "gray")
            return
        rows, columns = self.facts.rows, self.facts.columns
        sizes = {(rows, columns), ((rows + 1) // 2, (columns + 1) // 2) if colour == "half grey" else ()}
        with self._file() as file:
            for number in numbers:
                with quiet_pydicom(), decoding("pixel data cannot be decoded"):
                    frame = self.pixels.decode(self._frames.read(file, number), colour)
                if frame.shape[:2] not in sizes:
                    raise ClipProblem("pixel data does not have the size that the header says")
                yield frame

    @staticmethod
    def _stack(frames: Iterator[NDArray[np.uint8]], *shape: int) -> NDArray[np.uint8]:
        stack = np.empty(shape, np.uint8)
        for place, frame in zip(stack, frames, strict=True):
            place[...] = frame
        return stack

    @contextmanager
    def _file(self) -> Iterator[BinaryIO]:
        with nullcontext(self._inflated) if self._inflated else opened(self._place) as file:
            yield file


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings and log: they quote values of the file, which may be identifiers."""
    logger = logging.getLogger("pydicom")  # its children hand their records up to it
    was = logger.propagate
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = was


def _inflated(file: BinaryIO) -> BinaryIO | None:
    """A deflated file, inflated up to a limit and marked as plain; None for any other file."""
    head = file.read(1024)
    file.seek(0)
    at = head.find(_DEFLATED.encode())
    if at < 0 or head[128:132] != b"DICM":
        return None
    (length,) = struct.unpack_from("<I", head, 140)  # of the file meta group, behind its own element
    start = 144 + length
    body = file.read()
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(body[start:], LARGEST_INFLATED)
    if inflater.unconsumed_tail:
        raise ClipProblem("unpacks to far more than the file holds: a decompression bomb")
    meta = body[:start].replace(
        _DEFLATED.encode(), ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")
    )
    return io.BytesIO(meta + plain)


def _read_header(file: BinaryIO) -> Dataset:
    """Parse up to the pixels; a file without the DICM mark must prove itself by its elements."""
    head = file.read(132)
    if not head:
        raise ClipProblem("empty file")
    file.seek(0)
    try:
        rationed = cast(BinaryIO, Rationed(file))
        dataset = pydicom.dcmread(rationed, stop_before_pixels=True, force=True, defer_size=LARGEST_ELEMENT)
    except OSError as error:
        if error.errno is not None:  # of the system; pydicom's own have no number
            raise Unreadable from None
        raise
    known = [name for name in ("Modality", "SOPClassUID", "Rows") if name in dataset]
    if head[128:] != b"DICM" and not {"Rows", "SOPClassUID"} & set(known):
        raise ClipProblem("not a DICOM file")
    if not known and "MediaStorageSOPClassUID" in dataset.file_meta:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    elif not known:
        raise ClipProblem("incomplete DICOM file")
    _drop_void_transforms(dataset)
    _mend_palettes(dataset)
    return dataset


def _drop_void_transforms(dataset: Dataset) -> None:
    """Remove grey transformations that say nothing or cannot be: pydicom would stumble over them."""
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        items = dataset[name].value if name in dataset else None
        first = items[0] if isinstance(items, Sequence) and items else None
        sound = isinstance(first, Dataset) and "LUTDescriptor" in first and "LUTData" in first
        if name in dataset and not sound:
            del dataset[name]
    function = str(dataset.get("VOILUTFunction") or "").upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID") and "VOILUTFunction" in dataset:
        del dataset.VOILUTFunction
    least = 1e-9 if function in ("LINEAR_EXACT", "SIGMOID") else 1.0
    pairs = (("WindowWidth", "WindowCenter", least), ("RescaleSlope", "RescaleIntercept", None))
    for scale, offset, lower in pairs:
        values = [_first(dataset, scale), _first(dataset, offset)]
        sound = bool(np.isfinite(values).all()) and (values[0] >= lower if lower else values[0] != 0)
        for name in (scale, offset) if not sound else ():
            dataset.pop(name, None)


def _first(dataset: Dataset, name: str) -> float:
    """The first value of a numeric element; NaN where there is none."""
    value = dataset.get(name)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return float("nan") if value is None else float(value)


def _mend_palettes(dataset: Dataset) -> None:
    """Bring palettes to what pydicom takes them for; segmented ones it reads right.

    That is words in little endian, no byte to make them even, and words where pixels are words.
    """
    for colour in ("Red", "Green", "Blue"):
        table, form = (f"{colour}PaletteColorLookupTable{part}" for part in ("Data", "Descriptor"))
        if table not in dataset or form not in dataset or dataset[table].VR not in ("OW", "OB"):
            continue
        data, entries = dataset[table].value, dataset[form].value[0] or 1 << 16
        if not dataset.original_encoding[1] and dataset[table].VR == "OW":
            data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
        if len(data) == entries + 1:
            data = data[:-1]
        if len(data) == entries and dataset.get("BitsAllocated") == 16:
            data = np.repeat(np.frombuffer(data, "u1"), 2).tobytes()
            dataset[form].value = [*dataset[form].value[:2], 16]
        dataset[table].value = data


def _pixel_element(file: BinaryIO, dataset: Dataset) -> tuple[str, int, int]:
    """VR, length and position of the value of Pixel Data, at which parsing stopped."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    head = file.read(12)
    at = file.tell() - len(head)
    if len(head) < 12 or struct.unpack(order + "HH", head[:4]) != (0x7FE0, 0x0010):
        raise ClipProblem("no pixel data")
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ClipProblem("no pixel data")
    if implicit:
        return "OW", struct.unpack(order + "I", head[4:8])[0], at + 8
    vr = head[4:6]
    if vr not in _LONG_VRS:
        raise ClipProblem("damaged DICOM header")
    return vr.decode(), struct.unpack(order + "I", head[8:12])[0], at + 12


def _complete_meta(dataset: Dataset, length: int) -> None:
    """Give a file without a transfer syntax that in which it was parsed, which holds if uncompressed."""
    if "TransferSyntaxUID" in dataset.file_meta:
        return
    if length == UNDEFINED:
        raise ClipProblem("compressed pixel data without a transfer syntax")
    implicit, little = dataset.original_encoding
    plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain


def _frames(
    file: BinaryIO, start: int, length: int, form: PixelFormat, dataset: Dataset, frames: int
) -> NativeFrames | EncapsulatedFrames:
    if length == UNDEFINED:
        extended = dataset.get("ExtendedOffsetTable")
        return EncapsulatedFrames(file, start, frames, cast(bytes | None, extended))
    if length < frames * form.frame_bytes:
        raise cut_off(length // max(1, form.frame_bytes), frames)
    return NativeFrames(start, form.frame_bytes, frames, form.swapped)


def _video(file: BinaryIO, start: int, syntax: UID) -> VideoStream:
    data = EncapsulatedFrames(file, start, 1).read_all(file, LARGEST_VIDEO)
    container = container_of(data, syntax)
    if container is None:
        raise ClipProblem("a video stream of no known container")
    return VideoStream(lambda: nullcontext(cast(BinaryIO, io.BytesIO(data))), container)


def _facts_of_video(facts: Facts, video: VideoStream) -> Facts:
    """The facts with the stream's own number of frames: that of the header is often another."""
    if (video.rows, video.columns) != (facts.rows, facts.columns):
        raise ClipProblem("pixel data does not have the size that the header says")
    return replace(facts, frames=video.frames, frame_time_ms=facts.frame_time_ms or video.frame_time_ms)
