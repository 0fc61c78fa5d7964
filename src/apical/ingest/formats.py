"""Tell a file by its first bytes, whatever its name."""

from __future__ import annotations

from typing import Literal

Kind = Literal["dicom", "png", "jpeg", "gif", "avi", "mov", "nifti", "mhd", "zip", "gzip"]

HEAD = 352  # bytes to read: a NIfTI-1 header has 348 and its magic at their end

IMAGE_SUFFIXES = frozenset(
    {".dcm", ".dicom", ".ima", ".avi", ".mp4", ".m4v", ".mov", ".gif", ".png", ".jpg", ".jpeg"}
    | {".nii", ".mhd", ".mha"}
)
NOT_OPENED = frozenset({".gz", ".tgz", ".bz2", ".xz", ".tar", ".7z", ".rar", ".iso"})
NOT_READ = frozenset(
    {".wmv", ".asf", ".mpg", ".mpeg", ".mkv", ".webm", ".flv", ".bmp", ".tif", ".tiff", ".webp"}
)


def kind_of(head: bytes) -> Kind | None:
    """The kind of a file from its first `HEAD` bytes; None where they tell of none.

    A DICOM file without preamble counts if it begins with group 0002 or 0008, as data sets do.
    """
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[4:8] in (b"ftyp", b"moov", b"wide", b"mdat", b"free"):
        return "mov"
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head[:64].replace(b" ", b"").startswith((b"ObjectType=", b"NDims=", b"Comment=")):
        return "mhd"
    if len(head) > 8 and head[0:1] in (b"\x02", b"\x08") and head[1:2] == b"\0" and head[3:4] == b"\0":
        return "dicom"  # a bare data set, little endian
    if len(head) > 8 and head[1:2] in (b"\x02", b"\x08") and head[0:1] == b"\0" and head[2:3] == b"\0":
        return "dicom"  # big endian
    return None
