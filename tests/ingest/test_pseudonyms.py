"""Pseudonyms are stable under one salt, different under another, and the salt is kept safe."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.errors import CannotDo
from apical.ingest.pseudonyms import Pseudonyms, clip_id_of_bytes, clip_id_of_file, clip_id_of_uid

ONE, OTHER = Pseudonyms(bytes(32)), Pseudonyms(bytes(31) + b"\x01")


@given(key=st.text(), second=st.text())
def test_pseudonyms(key: str, second: str) -> None:
    assert ONE.patient(key) == ONE.patient(key)
    assert ONE.patient(key) != OTHER.patient(key)
    assert ONE.patient(key) != ONE.study(key)
    assert (ONE.patient(key) == ONE.patient(second)) == (key == second)
    assert len(ONE.patient(key)) == 16
    assert set(ONE.patient(key)) <= set("0123456789abcdef")


def test_salt_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "salt.key"
    made = Pseudonyms.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    assert list(path.parent.iterdir()) == [path]
    assert Pseudonyms.load_or_create(path).patient("a") == made.patient("a")
    assert Pseudonyms.load_or_create(tmp_path / "other.key").patient("a") != made.patient("a")
    assert path.read_bytes().hex() not in repr(made)


def test_what_is_no_salt(tmp_path: Path) -> None:
    (tmp_path / "salt.key").write_bytes(b"short")
    with pytest.raises(CannotDo, match="is no salt"):
        Pseudonyms.load_or_create(tmp_path / "salt.key")
    with pytest.raises(CannotDo):
        Pseudonyms.load_or_create(tmp_path)


def test_clip_ids(tmp_path: Path) -> None:
    assert clip_id_of_uid("1.2.3\0") == clip_id_of_uid("1.2.3") == hashlib.sha256(b"1.2.3").hexdigest()[:16]
    assert clip_id_of_bytes(b"x") == hashlib.sha256(b"x").hexdigest()[:16]
    (tmp_path / "a").write_bytes(b"x")
    with (tmp_path / "a").open("rb") as file:
        file.read()
        assert clip_id_of_file(file) == clip_id_of_bytes(b"x")
