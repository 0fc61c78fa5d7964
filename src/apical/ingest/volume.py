"""Open a NIfTI or MetaImage file (MHD, MHA): stills, and cines whose third axis is time.

Both write columns first. Data sets of echo use their third axis for time; a fourth one, or a third of one
that says it is space and not time, is a volume, which has no view and no sector.
"""

from __future__ import annotations

import gzip
import logging
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.damage import decoding
from apical.ingest.facts import Facts, check_size, possible_frame_time
from apical.ingest.formats import kind_of
from apical.ingest.places import archive_of, is_remote, member_of, opened
from apical.ingest.pseudonyms import clip_id_of_bytes

LARGEST_VOLUME = 1 << 30  # bytes, unpacked
_TYPES = {"MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_USHORT": "u2", "MET_SHORT": "i2",
          "MET_UINT": "u4", "MET_INT": "i4", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"}  # fmt: skip


@dataclass(frozen=True)
class _Voxels:
    """What either format holds.

    Attributes:
        values: (frames, rows, columns) or (frames, rows, columns, 3), any real type.
        spacing: mm across, down.
        frame_time_ms: between frames, where the file tells.
        spatial: whether the frames are slices of a volume.
        content: bytes that identify the file.
        scale: slope and intercept that make real numbers of the values.
    """

    values: NDArray[np.generic]
    spacing: tuple[float, float]
    frame_time_ms: float | None
    spatial: bool
    content: bytes
    scale: tuple[float, float] = (1.0, 0.0)


class VolumeClip:
    """A NIfTI or MetaImage file as a clip; the interface of `DicomClip`."""

    def __init__(self, place: str, kind: str) -> None:
        """Read the file; raises `ClipProblem` as `DicomClip` does."""
        with _quiet(), decoding("damaged NIfTI file" if kind == "nifti" else "damaged MetaImage file"):
            voxels = _read_nifti(place) if kind == "nifti" else _read_meta(place)
            frames, rows, columns = voxels.values.shape[:3]
            check_size(frames, rows, columns)
            self._frames = _to_8_bits(voxels.values, *voxels.scale)
        across, down = voxels.spacing
        known = all(np.isfinite(side) and 0.005 <= side <= 5 for side in (across, down))
        sane = known and 0.2 <= down / across <= 5
        self.facts = Facts(
            clip_id_of_bytes(voxels.content),
            frames,
            rows,
            columns,
            syntax="NIfTI" if kind == "nifti" else "MetaImage",
            frame_time_ms=possible_frame_time(voxels.frame_time_ms),
            mode="3d" if voxels.spatial else None,
            pixel_mm=(across, down) if sane else None,
            pixel_aspect=down / across if sane else 1.0,
        )

    def decode(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Grey frames, (len(numbers), rows, columns) uint8."""
        frames = self._frames[list(numbers)]
        if frames.ndim == 3:
            return frames
        luma = frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return np.rint(luma).astype(np.uint8)

    def frames(self, numbers: Sequence[int], *, half: bool = False) -> Iterator[NDArray[np.uint8]]:
        """The frames of `decode` one after another, (rows, columns) uint8 each."""
        yield from self.decode(numbers)

    def decode_colour(self, numbers: Sequence[int], *, exact: bool = True) -> NDArray[np.uint8]:
        """RGB frames, (len(numbers), rows, columns, 3) uint8."""
        frames = self._frames[list(numbers)]
        return frames if frames.ndim == 4 else np.repeat(frames[..., None], 3, axis=3)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what nibabel logs of a header, and what NumPy warns of numbers that are too large or none."""
    logger = logging.getLogger("nibabel.global")
    was = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was


def _to_8_bits(values: NDArray[np.generic], slope: float = 1.0, inter: float = 0.0) -> NDArray[np.uint8]:
    """Grey levels 0-255: bytes as they are, real values of that range rounded, other ranges stretched.

    A frame at a time, for real numbers take eight times the memory.
    """
    scaled = (slope, inter) != (1.0, 0.0)
    if values.dtype == np.uint8 and not scaled:
        return np.ascontiguousarray(values, dtype=np.uint8)

    def real(frame: NDArray[np.generic]) -> NDArray[Any]:
        numbers: NDArray[Any] = frame.astype(
            np.result_type(values.dtype, np.float64 if scaled else np.float32)
        )
        numbers = numbers * slope + inter if scaled else numbers
        numbers[~np.isfinite(numbers)] = 0
        return numbers

    ends = [(float(numbers.min()), float(numbers.max())) for numbers in map(real, values)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    grey = np.empty(values.shape, np.uint8)
    for number, frame in enumerate(values):
        numbers = real(frame)
        if low < 0 or high > 255 or high <= 1:
            numbers = np.nan_to_num((numbers - low) * (255 / (high - low) if high > low else 0.0))
        grey[number] = np.rint(np.clip(numbers, 0, 255))
    return grey


def _read_nifti(place: str) -> _Voxels:
    """By nibabel, from memory, so that no header can send it to another file."""
    import nibabel

    with opened(place) as file:
        content = _plain(file)
    kind: Any = nibabel.Nifti2Image if content[4:8] in (b"n+2\0", b"ni2\0") else nibabel.Nifti1Image
    image = kind.from_bytes(content)
    shape = image.shape
    if not 2 <= len(shape) <= 5 or np.prod(shape, dtype=float) > LARGEST_VOLUME:
        raise ClipProblem("impossible number of rows, columns or frames")
    check_size(int(shape[2]) if len(shape) > 2 else 1, int(shape[1]), int(shape[0]))
    if np.prod(shape, dtype=float) * image.get_data_dtype().itemsize > len(content):
        raise ClipProblem("damaged NIfTI file")  # for which nibabel would set memory aside first
    values: NDArray[Any] = np.asanyarray(image.dataobj.get_unscaled())
    if values.dtype.names:  # RGB24
        values = np.stack([values[name] for name in values.dtype.names[:3]], axis=-1)
        values = values.squeeze() if values.ndim > 4 else values
        values = values[:, :, None] if values.ndim == 3 else values
        ordered = values.transpose(2, 1, 0, 3)
    else:
        values = values[..., None] if values.ndim == 2 else values
        deep = values.ndim > 3 and values.shape[2] > 1 and max(values.shape[3:]) > 1
        if deep:  # a volume that moves: its first instant stands for it
            values = values.reshape(*values.shape[:3], -1)[..., 0]
        ordered = values.reshape(values.shape[0], values.shape[1], -1).transpose(2, 1, 0)
    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    raw = kind.header_class(content[: kind.header_class.sizeof_hdr], check=False)  # nibabel makes 1 of 0
    across, down = (abs(float(side)) for side in raw["pixdim"][1:3])
    units = image.header.get_xyzt_units()
    time = zooms[3] if len(zooms) > 3 and len(shape) > 3 else None
    milliseconds = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}.get(units[1])
    spatial = len(shape) > 3 and shape[2] > 1
    return _Voxels(
        ordered,
        (across, down),
        time * milliseconds if time and milliseconds and not spatial else None,
        spatial,
        content,
        (float(image.dataobj.slope), float(image.dataobj.inter)),
    )


def _plain(file: BinaryIO) -> bytes:
    """The bytes of a file, unpacked if they are packed, up to the limit."""
    head = file.read(2)
    file.seek(0)
    source = cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb")) if head == b"\x1f\x8b" else file
    content = source.read(LARGEST_VOLUME + 1)
    if len(content) > LARGEST_VOLUME:
        raise ClipProblem("unpacks to far more than the file holds: a decompression bomb")
    return content


def _read_meta(place: str) -> _Voxels:
    """A MetaImage: a text header, and the values behind it or in a file beside it."""
    with opened(place) as file:
        header, start = _meta_header(file)
        names = {"LOCAL"} if place.lower().endswith(".mha") else set()
        beside = header.get("ElementDataFile", "LOCAL")
        if beside == "LOCAL" or beside in names:
            file.seek(start)
            data = file.read(LARGEST_VOLUME + 1)
        else:
            data = None
    if data is None:
        with opened(_beside(place, beside)) as file:
            data = file.read(LARGEST_VOLUME + 1)
    if len(data) > LARGEST_VOLUME:
        raise ClipProblem("impossible number of rows, columns or frames")
    size = [int(side) for side in header["DimSize"].split()]
    if not 2 <= len(size) <= 4 or min(size) < 1 or np.prod(size, dtype=float) > LARGEST_VOLUME:
        raise ClipProblem("impossible number of rows, columns or frames")
    check_size(size[2] if len(size) > 2 else 1, size[1], size[0])
    big = header.get("BinaryDataByteOrderMSB", header.get("ElementByteOrderMSB", "False")).lower() == "true"
    kind = np.dtype((">" if big else "<") + _TYPES[header["ElementType"].removesuffix("_ARRAY")])
    channels = int(header.get("ElementNumberOfChannels", "1"))
    if channels not in (1, 3) or header.get("BinaryData", "True").lower() == "false":
        raise ClipProblem("damaged MetaImage file")
    count = int(np.prod(size)) * channels
    if header.get("CompressedData", "False").lower() == "true":
        inflater = zlib.decompressobj()
        data = inflater.decompress(data, count * kind.itemsize)
    elif (skip := int(header.get("HeaderSize", "0"))) > 0:
        data = data[skip:]
    elif skip == -1:
        data = data[-count * kind.itemsize :]
    values = np.frombuffer(data, kind, count=count)
    shape = [*reversed(size), channels][: len(size) + (channels > 1)]
    values = values.reshape(shape)
    spatial = len(size) == 4 and size[2] > 1
    if len(size) == 2:
        values = values[None]
    elif len(size) == 4:
        values = values[0] if spatial else values[:, 0]
    spacing = [float(step) for step in header.get("ElementSpacing", header.get("ElementSize", "1 1")).split()]
    time = spacing[2] if len(size) == 3 and len(spacing) > 2 else 0.0
    return _Voxels(
        values, (spacing[0], spacing[1]), time if 5 <= time <= 1000 else None, spatial,
        repr(sorted(header.items())).encode() + data,
    )  # fmt: skip


def _meta_header(file: BinaryIO) -> tuple[dict[str, str], int]:
    """The lines of the header, and where the values begin."""
    header: dict[str, str] = {}
    for _ in range(200):
        line = file.readline(4096)
        name, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            break
        header[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            return header, file.tell()
    raise ClipProblem("damaged MetaImage file")


def _beside(place: str, name: str) -> str:
    """The place of a file in the same folder; a header may not point anywhere else."""
    if PurePosixPath(name).name != name or "\\" in name or name in ("..", "LIST"):
        raise ClipProblem("a MetaImage whose values are not in a file beside it")
    inside = archive_of(place)
    if inside is not None:
        folder = PurePosixPath(inside[1]).parent
        return member_of(inside[0], name if str(folder) == "." else f"{folder}/{name}")
    head, _, _ = place.rpartition("/") if is_remote(place) else (str(PurePosixPath(place).parent), "", "")
    return f"{head}/{name}"


def is_packed_nifti(file: BinaryIO) -> bool:
    """Whether a gzip file holds a NIfTI header."""
    file.seek(0)
    with gzip.GzipFile(fileobj=file, mode="rb") as plain:
        return kind_of(plain.read(352)) == "nifti"
