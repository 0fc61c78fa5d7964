"""Plant identifiers wherever a DICOM file has room for them, and look for them in what is written."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pydicom
from clip_files import screen, write_dicom
from hypothesis import Phase
from numpy.typing import NDArray
from PIL import Image
from pydicom import config
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

SCRIPTS = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ÄÖÜßàéèêçñøåÆÿ", "ŁŠŽřěůőűąęđ", "ΑΒΓΔΕΖΗΘΛΞΠΣΦΨΩ", "БГДЖЗИЛПФЦЧШЩЫЭЮЯ",
    "ابتثجحخدذرزسشصضطظعغ", "אבגדהוזחטיכלמנסעפצקרשת",
    "山田太郎鈴木佐藤高橋渡辺伊藤", "アイウエオカキクケコサシスセソ",
    "김이박최정강조윤장임한오",
    "กขคงจฉชซญดตถทธนบปผ",
)  # fmt: skip
SEEDS = (Phase.explicit, Phase.reuse, Phase.generate)  # of hypothesis; a smaller seed tells nothing
WORD = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
TEXT_VRS = (
    "AE",
    "AS",
    "CS",
    "DA",
    "DS",
    "DT",
    "IS",
    "LO",
    "LT",
    "PN",
    "SH",
    "ST",
    "TM",
    "UC",
    "UI",
    "UR",
    "UT",
)
NEEDED = frozenset(  # a file with text there shows nothing that could be cleaned
    {"SOPClassUID", "Modality", "PhotometricInterpretation", "NumberOfFrames", "SpecificCharacterSet"}
    | {"RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelSpacing", "PixelAspectRatio"}
)
KNOWN = {
    vr: [
        tag
        for tag, (of, _, _, _, keyword) in DicomDictionary.items()
        if of == vr and tag >> 16 > 2 and tag >> 16 < 0x7FE0 and keyword and keyword not in NEEDED
    ]
    for vr in TEXT_VRS
}
SEQUENCES = [tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ" and tag >> 16 > 2]
ENCODINGS = (
    "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "latin-1", "iso8859-2", "iso8859-5", "iso8859-6",
    "iso8859-7", "iso8859-8", "shift_jis", "euc_kr", "gb18030", "tis-620", "cp1252",
)  # fmt: skip


class Plants:
    """Identifiers, each made once and remembered; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tokens: set[str] = set()

    def word(self, length: int = 10) -> str:
        return self._keep("".join(self.random.choices(WORD, k=length)))

    def name(self) -> str:
        return self._keep("".join(self.random.choices(self.random.choice(SCRIPTS), k=7)))

    def digits(self, length: int = 9) -> str:
        return self._keep("1" + "".join(self.random.choices("0123456789", k=length - 1)))

    def date(self) -> str:
        year, month, day = (self.random.randint(*ends) for ends in ((1900, 2019), (1, 12), (1, 28)))
        return self._keep(f"{year}{month:02}{day:02}")

    def time(self) -> str:
        hour, minute, part = (self.random.randint(*ends) for ends in ((10, 23), (10, 59), (100000, 999999)))
        return self._keep(f"{hour}{minute}37.{part}")

    def phone(self) -> str:
        return self._keep(f"+{self.random.randint(10, 99)}-{self.random.randint(10**8, 10**9)}")

    def value(self, vr: str) -> Any:
        """A value for a VR, full of identifiers."""
        makers = {
            "AE": self.word, "SH": self.word, "CS": lambda: self.word(14), "DA": self.date, "TM": self.time,
            "DT": lambda: self.date() + self.time(), "DS": self.digits, "IS": self.digits,
            "AS": lambda: self._keep(f"{self.random.randint(100, 999)}Y"),
            "PN": lambda: f"{self.name()}^{self.name()}={self.name()}^{self.word()}",
            "UI": lambda: f"1.2.826.0.{self.digits(18)}", "UR": lambda: f"https://phr.example/{self.word()}",
            "LO": lambda: f"{self.name()} {self.word()}",
        }  # fmt: skip
        return makers.get(vr, lambda: f"{self.name()}, {self.phone()}; {self.date()} {self.word()}")()

    def bytes(self, size: int) -> bytes:
        """Text that fills so many bytes."""
        text = b""
        while len(text) < size:
            text += self.word(8).encode() + b" "
        return text[:size]

    def _keep(self, token: str) -> str:
        self.tokens.add(token)
        return token


def plant(dataset: Dataset, plants: Plants, depth: int = 4, many: int = 40) -> None:
    """Identifiers in known, unknown and private elements of every text VR, and the same in sequences."""
    known = [(tag, vr) for vr in TEXT_VRS for tag in plants.random.sample(KNOWN[vr], min(2, len(KNOWN[vr])))]
    known += plants.random.sample([(tag, vr) for vr in TEXT_VRS for tag in KNOWN[vr]], many)
    for tag, vr in known:
        dataset.add(DataElement(tag, vr, plants.value(vr)))
    for number, vr in enumerate(TEXT_VRS):
        dataset.add(DataElement(Tag(0x0018, 0xEE00 + number), vr, plants.value(vr)))  # in no dictionary
        dataset.add(DataElement(Tag(0x0029, 0x1000 + number), vr, plants.value(vr)))
        dataset.add(DataElement(Tag(0x0033, 0x1000 + number), vr, plants.value(vr)))  # without a creator
    dataset.add(DataElement(Tag(0x0029, 0x0010), "LO", plants.word()))
    dataset.add(DataElement(Tag(0x0029, 0x10F0), "UN", plants.bytes(30)))
    dataset.add(DataElement(Tag(0x0029, 0x10F1), "OB", plants.bytes(30)))
    if depth:
        tags = [*plants.random.sample(SEQUENCES, 2), Tag(0x0029, 0x10F2)]
        for tag in tags if depth == 4 else tags[2:] if depth % 2 else tags[:1]:
            item = Dataset()
            plant(item, plants, depth - 1, many=4)
            dataset.add(DataElement(tag, "SQ", Sequence([item])))


def plant_oddly(dataset: Dataset, plants: Plants) -> None:
    """Overlays, curves, an icon, the items that a clean header keeps, and elements behind the pixels."""
    for group in (0x6000, 0x6002, 0x601E):
        for element, vr in ((0x0022, "LO"), (0x4000, "LT"), (0x1500, "LO")):
            dataset.add(DataElement(Tag(group, element), vr, plants.value(vr)))
        dataset.add(DataElement(Tag(group, 0x3000), "OW", plants.bytes(64)))
        dataset.add(DataElement(Tag(group - 0x1000, 0x3000), "OW", plants.bytes(64)))
        dataset.add(DataElement(Tag(group - 0x1000, 0x0040), "LO", plants.value("LO")))
    icon = Dataset()
    icon.PixelData = plants.bytes(64)
    icon["PixelData"].VR = "OB"
    dataset.IconImageSequence = Sequence([icon])
    for name in ("ViewCodeSequence", "SequenceOfUltrasoundRegions"):
        item = Dataset()
        plant(item, plants, depth=1, many=4)
        dataset.add(DataElement(Tag(pydicom.datadict.tag_for_keyword(name)), "SQ", Sequence([item])))
    dataset.add(DataElement(Tag(0xFFFA, 0xFFFA), "SQ", Sequence([icon])))
    dataset.add(DataElement(Tag(0xFFFC, 0xFFFC), "OB", plants.bytes(40)))


def planted_file(path: Path, plants: Plants, kind: str = "grey", *, charset: str = "ISO_IR 192") -> Path:
    """A cine with identifiers in every place that a file has, and burnt into its corners.

    Args:
        kind: ``grey``, ``palette``, ``jpeg``, or the UID of a transfer syntax for grey frames.
        charset: what the file says of its texts; they are in UTF-8 whatever it says.
    """
    pixels = burnt(screen(3, 180, 240, seed=plants.random.randint(0, 99), text=False), plants)
    if kind == "jpeg":
        pixels = np.repeat(pixels[..., None], 3, axis=3)
    how = {"jpeg": "YBR_FULL_422", "palette": "PALETTE COLOR"}.get(kind, "MONOCHROME2")
    compress = kind if kind.startswith("1.") else None
    bits = {"BitsStored": 7, "HighBit": 6} if kind == "palette" else {}
    if bits:
        pixels //= 2
    write_dicom(path, pixels, jpeg=kind == "jpeg", photometric=how, compress=compress, **bits)
    dataset = pydicom.dcmread(path)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    plant(dataset, plants)
    plant_oddly(dataset, plants)
    dataset.PatientID, dataset.PatientName = plants.value("LO"), plants.value("PN")
    dataset.StudyInstanceUID, dataset.SOPInstanceUID = plants.value("UI"), plants.value("UI")
    meta = dataset.file_meta
    meta.SourceApplicationEntityTitle = meta.SendingApplicationEntityTitle = plants.word()
    meta.PrivateInformationCreatorUID, meta.PrivateInformation = plants.value("UI"), plants.bytes(40)
    meta.ImplementationVersionName = plants.word()
    dataset.preamble = plants.bytes(128)
    if kind == "palette":
        for colour in ("Red", "Green", "Blue"):
            setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 8])
            table = bytes(range(0, 256, 2)) + plants.bytes(128)  # colours of values that there cannot be
            setattr(dataset, f"{colour}PaletteColorLookupTableData", table)
    if meta.TransferSyntaxUID.is_encapsulated:
        coded = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=3))
        coded = [commented(frame, plants) for frame in coded] if kind == "jpeg" else coded
        dataset.PixelData = pydicom.encaps.encapsulate(coded)
    else:
        dataset.PixelData += plants.bytes(300)  # behind the last frame
    content = io.BytesIO()
    was, config.settings.writing_validation_mode = config.settings.writing_validation_mode, config.IGNORE
    try:
        dataset.save_as(content, enforce_file_format=True)
    finally:
        config.settings.writing_validation_mode = was
    data = content.getvalue().replace(b"ISO_IR 192", charset.ljust(10).encode()) + plants.bytes(100)
    path.write_bytes(data)
    return path


def burnt(frames: NDArray[np.uint8], plants: Plants) -> NDArray[np.uint8]:
    """Names in the four corners of a screen, in every frame."""
    rows, columns = frames.shape[1:]
    for frame in frames:
        for row, column in BURNT:
            cv2.putText(frame, plants.word(6), (round(column * columns), round(row * rows)), 0, 0.3, 255, 1)
    return frames


BURNT = ((0.06, 0.01), (0.06, 0.75), (0.97, 0.01), (0.97, 0.75))


def commented(frame: bytes, plants: Plants) -> bytes:
    """A JPEG with a comment and an EXIF-like segment, and bytes behind its end."""
    segments = b""
    for marker in (0xFE, 0xE1, 0xED):
        text = plants.bytes(60)
        segments += struct.pack(">BBH", 0xFF, marker, len(text) + 2) + text
    return frame[:2] + segments + frame[2:] + plants.bytes(20)


def forms(token: str) -> set[bytes]:
    """The bytes as which a token may be written: encoded, wrongly decoded, and hashed without a key."""
    found = set()
    for encoding in ENCODINGS:
        try:
            found |= {token.encode(encoding), token.lower().encode(encoding)}
        except UnicodeEncodeError:
            continue
    plain = token.encode()
    found |= {plain.decode(one, "replace").encode() for one in ("latin-1", "iso8859-5", "cp1252")}
    found |= {base64.b64encode(plain).rstrip(b"=")[:-1], plain.hex().encode()} if len(plain) > 5 else set()
    for kind in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512):
        digest = kind(plain).digest()
        found |= {digest[:6], digest.hex()[:12].encode(), digest.hex()[:12].upper().encode()}
    return found


def contents(file: Path) -> Iterator[bytes]:
    """All bytes of a file, and what its own library reads in it."""
    yield file.name.encode("utf-8", "surrogateescape")
    yield file.read_bytes()
    if file.suffix == ".parquet":
        yield repr(list(pl.read_parquet(file).drop("path", strict=False).iter_rows())).encode()
    elif file.suffix == ".journal":
        with sqlite3.connect(file) as database:
            for (table,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                yield repr(database.execute(f"SELECT * FROM {table}").fetchall()).encode()
    elif file.suffix == ".png":
        yield repr(Image.open(file).info).encode()
    elif file.suffix == ".dcm":
        yield str(pydicom.dcmread(file)).encode()


def leaks(where: list[bytes], tokens: set[str]) -> dict[str, bytes]:
    """The tokens that occur in some bytes, and as what."""
    whole = b"\0\0".join(where)
    begins = {whole[at : at + 4] for at in range(len(whole))}  # looked up before the whole is searched
    return {token: form for token in tokens for form in forms(token) if form[:4] in begins and form in whole}
