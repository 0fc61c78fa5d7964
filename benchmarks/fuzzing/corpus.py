"""The sound files that the fuzzer starts from, with planted identifiers where they can hold text."""

from __future__ import annotations

import gzip
import io
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import nibabel
import numpy as np
import pydicom
from pydicom import uid
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from apical.ingest.dicom import quiet_pydicom
from fuzzing.dicom_files import NAME, PATIENT_ID, changed, coloured, dicom, dicoms, screens, written

LARGEST = 1 << 20  # bytes of a real file
MODES = 8

_MODALITY = rb"(?:\x08\0\x60\0|\0\x08\0\x60)(?:CS\x02\0|CS\0\x02|\x02\0\0\0)"
_OTHER_MODALITY = re.compile(rb"(" + _MODALITY + rb")(CT|MR|OT|NM|RT)")

Corpus = dict[str, bytes]  # by name; what is before the first slash is the folder of the source


def corpus(data: Path | None = None) -> Corpus:
    """The synthetic files and, with a folder of real ones, also those and the examples of pydicom."""
    with tempfile.TemporaryDirectory() as place, quiet_pydicom():
        folder = Path(place)
        files: Corpus = {}
        files |= dict(_pictures(folder))
        files |= dict(_volumes(folder))
        files |= dict(dicoms(folder))
        files |= dict(_videos(folder))
        files |= dict(_dicom_videos(folder, files))
        files |= dict(_phantoms(folder))
        files |= dict(_archives(files))
    if data is not None:
        files |= dict(_real(data))
    return {name: files[name] for name in sorted(files)}


def _phantoms(folder: Path) -> Iterator[tuple[str, bytes]]:
    from apical.config import PhantomSettings
    from apical.phantom.study import write_phantom  # brings PyTorch, which no worker needs

    settings = PhantomSettings(patients=1, frames=2, image_rows=96, other_modes=MODES, workers=1)
    write_phantom(folder / "phantom", settings)
    for path in sorted((folder / "phantom").rglob("*.dcm")):
        yield f"phantom-{path.stem}.dcm", path.read_bytes()


def _pictures(folder: Path) -> Iterator[tuple[str, bytes]]:
    frame, colour = screens()[1], coloured(screens())[1]
    comment = b"Comment\0" + NAME.encode()
    pictures = ((".png", frame), (".png", colour), (".png", frame.astype(np.uint16) << 8), (".jpg", colour))
    for suffix, picture in pictures:
        data = cv2.imencode(suffix, picture)[1].tobytes()
        name = f"{'x'.join(map(str, picture.shape))}-{picture.dtype}{suffix}"
        if suffix == ".png":
            yield name, data[:33] + png_chunk(b"tEXt", comment) + data[33:]
        else:
            yield name, data[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + data[2:]
    how = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    yield "progressive.jpg", cv2.imencode(".jpg", colour, how)[1].tobytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its length and check sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _volumes(folder: Path) -> Iterator[tuple[str, bytes]]:
    frames = screens()
    columns_first = frames.transpose(2, 1, 0)
    for name, values in (
        ("bytes.nii", columns_first), ("words.nii", columns_first.astype(np.int16)),
        ("second.nii", columns_first.astype(np.float32)), ("moving.nii", columns_first[:, :, None]),
        ("solid.nii", np.stack([columns_first] * 2, axis=3)),
    ):  # fmt: skip
        kind = nibabel.Nifti2Image if name == "second.nii" else nibabel.Nifti1Image
        image = kind(values, np.eye(4))
        image.header["descrip"] = NAME.encode()
        data = image.to_bytes()
        yield name, data
        yield f"{name}.gz", gzip.compress(data, mtime=0)
    header = (
        f"ObjectType = Image\nNDims = 3\nComment = {NAME}\nBinaryData = True\n"
        "BinaryDataByteOrderMSB = False\nCompressedData = {}\nDimSize = 128 96 3\n"
        "ElementSpacing = 0.3 0.3 33\nElementType = MET_UCHAR\nElementDataFile = {}\n"
    )
    yield "plain.mha", header.format("False", "LOCAL").encode() + frames.tobytes()
    yield "packed.mha", header.format("True", "LOCAL").encode() + zlib.compress(frames.tobytes())
    yield "beside/beside.mhd", header.format("False", "beside.raw").encode()
    yield "beside/beside.raw", frames.tobytes()


def _video(path: Path, codec: str, layout: str, container: str | None = None) -> bytes:
    with av.open(str(path), "w", format=container) as video:
        video.metadata["title"] = video.metadata["comment"] = NAME
        stream = video.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, layout
        stream.codec_context.thread_count = 1
        stream.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        for frame in coloured(screens(8)):
            video.mux(
                stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=layout))
            )
        video.mux(stream.encode())
    return path.read_bytes()


def _videos(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name, codec, layout in (
        ("mjpeg.avi", "mjpeg", "yuvj420p"), ("raw.avi", "rawvideo", "bgr24"), ("ms.avi", "msmpeg4v3",
        "yuv420p"), ("ffv1.avi", "ffv1", "bgr0"), ("cinepak.avi", "cinepak", "rgb24"), ("h264.mp4",
        "libx264", "yuv420p"), ("hevc.mp4", "libx265", "yuv420p"), ("mpeg4.mp4", "mpeg4", "yuv420p"),
        ("png.mov", "png", "rgb24"), ("colours.gif", "gif", "rgb8"),
    ):  # fmt: skip
        yield name, _video(folder / name, codec, layout)


def _dicom_videos(folder: Path, files: Corpus) -> Iterator[tuple[str, bytes]]:
    base = dicom(folder, coloured(screens()), photometric="YBR_PARTIAL_420")
    streams = {
        "h264-mp4": (files["h264.mp4"], "102"),
        "h264": (_video(folder / "a.h264", "libx264", "yuv420p", "h264"), "102"),
        "hevc": (_video(folder / "a.hevc", "libx265", "yuv420p", "hevc"), "107"),
        "mpeg2": (_video(folder / "a.m2v", "mpeg2video", "yuv420p", "mpeg2video"), "100"),
        "mpeg2-ts": (_video(folder / "a.ts", "mpeg2video", "yuv420p", "mpegts"), "100"),
    }
    for name, (stream, end) in streams.items():
        dataset = changed(base, NumberOfFrames=8)
        dataset.file_meta.TransferSyntaxUID = uid.UID("1.2.840.10008.1.2.4." + end)
        dataset.PixelData = encapsulate([stream], has_bot=False)
        yield f"video-{name}.dcm", written(dataset)


def _archives(files: Corpus) -> Iterator[tuple[str, bytes]]:
    names = ("grey-explicit.dcm", "jpeg-grey.dcm", "colours.gif", "bytes.nii.gz")
    for name, method in (
        ("stored", zipfile.ZIP_STORED),
        ("packed", zipfile.ZIP_DEFLATED),
        ("lzma", zipfile.ZIP_LZMA),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member in names:
                archive.writestr(zipfile.ZipInfo(f"ZQXJOHANNA/{member}"), files[member], method)
        yield f"{name}.zip", buffer.getvalue()
    dataset = Dataset()
    dataset.FileSetID, dataset.DirectoryRecordSequence = (
        "ZQXJOHANNA",
        [_listed(number) for number in range(3)],
    )
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = uid.UID("1.2.3")
    yield "exam/DICOMDIR", written(dataset, enforce_file_format=True)
    for number, name in enumerate(names[:2]):
        yield f"exam/EXAM/IM{number}", files[name]


def _listed(number: int) -> Dataset:
    """A record of a DICOMDIR."""
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord = record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.RecordInUseFlag, record.DirectoryRecordType = 0xFFFF, "IMAGE"
    record.ReferencedFileID, record.PatientID = ["EXAM", f"IM{number}"], PATIENT_ID
    return record


def _real(data: Path) -> Iterator[tuple[str, bytes]]:
    """Real files that are not too large, and the examples that come with pydicom."""
    found = [path for path in sorted((data / "dicom-dev").rglob("*")) if path.suffix not in (".md", "")]
    found += sorted((data / "camus-dev").rglob("*.png"))[:3]
    found += [
        path for path in map(Path, get_testdata_files()) if path.suffix == ".dcm" or path.name == "DICOMDIR"
    ]
    for path in found:
        if path.is_file() and path.stat().st_size <= LARGEST:
            content = _OTHER_MODALITY.sub(rb"\1US", path.read_bytes())  # or they would be refused at once
            yield f"real-{path.parent.name}-{path.name}", content
