"""A bundle in a zip is the same bundle; what is no bundle, or a bomb, is refused in one line."""

import shutil
import zipfile

import pytest

from apical.deploy import content
from apical.deploy.bundle import ONNX, open_bundle
from apical.deploy.packing import add_export, make_bundle
from apical.deploy.predict import predict
from apical.errors import CannotDo


@pytest.fixture
def zipped(way, tmp_path):
    make_bundle(way / "runs" / "probe", tmp_path / "bundle.zip", report=way / "report")
    return tmp_path / "bundle.zip"


def same(one, other):
    return one.facts == other.facts and one.weights == other.weights


def test_a_zip_is_the_folder_and_always_the_same(way, zipped, a_file, tmp_path):
    assert same(open_bundle(zipped), open_bundle(way / "bundle"))
    assert predict([a_file], zipped) == predict([a_file], way / "bundle")
    make_bundle(way / "runs" / "probe", tmp_path / "again.zip", report=way / "report")
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()


def test_a_zip_made_by_hand_with_its_folder_is_read_too(way, tmp_path):
    shutil.make_archive(str(tmp_path / "hand"), "zip", way, "bundle")
    assert same(open_bundle(tmp_path / "hand.zip"), open_bundle(way / "bundle"))


def test_what_is_no_bundle(tmp_path):
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(CannotDo, match=r"'text.zip' is neither a folder nor a zip"):
        open_bundle(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(CannotDo, match=r"'other.zip' is not a whole bundle"):
        open_bundle(tmp_path / "other.zip")


def test_a_damaged_zip_and_an_absurd_one(zipped, monkeypatch):
    data = bytearray(zipped.read_bytes())
    data[len(data) // 3] ^= 0xFF
    zipped.with_name("damaged.zip").write_bytes(data)
    with pytest.raises(CannotDo, match=r"not a whole bundle|was changed"):
        open_bundle(zipped.with_name("damaged.zip"))
    monkeypatch.setattr(content, "MOST_BYTES", 1000)
    with pytest.raises(CannotDo, match="not a whole bundle"):
        open_bundle(zipped)


def test_another_zip_is_not_replaced(way, tmp_path):
    with zipfile.ZipFile(tmp_path / "thesis.zip", "w") as archive:
        archive.writestr("thesis.txt", "all my work")
    with pytest.raises(CannotDo, match=r"'thesis.zip' exists and is not a bundle"):
        make_bundle(way / "runs" / "probe", tmp_path / "thesis.zip")
    assert zipfile.ZipFile(tmp_path / "thesis.zip").namelist() == ["thesis.txt"]


def test_a_zip_that_holds_more_is_not_replaced(way, tmp_path):
    shutil.copytree(way / "bundle", tmp_path / "z" / "bundle")
    (tmp_path / "z" / "bundle" / "notes.txt").write_text("mine")
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "z")
    with pytest.raises(CannotDo, match="holds other files too"):
        add_export(tmp_path / "b.zip", b"network", {})


def test_zips_of_other_systems(way, tmp_path):
    """Backslashes, and what a desktop leaves beside the folder."""
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        for file in (way / "bundle").iterdir():
            info = zipfile.ZipInfo("x")
            info.filename = f"bundle\\{file.name}"
            archive.writestr(info, file.read_bytes())
        archive.writestr("__MACOSX/bundle/._bundle.json", b"")
        archive.writestr(".DS_Store", b"")
    assert same(open_bundle(tmp_path / "w"), open_bundle(way / "bundle"))
    assert add_export(tmp_path / "w", b"network", {}).onnx == b"network"


def test_facts_that_are_nested_without_end(way, tmp_path):
    shutil.copytree(way / "bundle", tmp_path / "copy")
    (tmp_path / "copy" / "bundle.json").write_text("[" * 200_000)
    with pytest.raises(CannotDo, match="not a whole bundle"):
        open_bundle(tmp_path / "copy")


def test_an_export_needs_no_card(way, tmp_path):
    shutil.copytree(way / "bundle", tmp_path / "copy")
    (tmp_path / "copy" / "MODEL_CARD.md").unlink()
    add_export(tmp_path / "copy", b"network", {})
    assert "not a medical device" in (tmp_path / "copy" / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_an_export_is_added_without_another_version(form, way, zipped, tmp_path):
    path = zipped
    if form == "folder":
        path = tmp_path / "copy"
        shutil.copytree(way / "bundle", path)
    before = open_bundle(path)
    after = add_export(path, b"network", {"opset": 18})
    assert open_bundle(path).onnx == after.onnx == b"network"
    assert after.model_version == before.model_version
    assert after.facts["exports"][ONNX]["opset"] == 18
    assert add_export(path, b"another", {"opset": 18}).onnx == b"another"


def test_an_exchanged_export_is_found_out(way, tmp_path):
    shutil.copytree(way / "bundle", tmp_path / "copy")
    add_export(tmp_path / "copy", b"network", {})
    (tmp_path / "copy" / ONNX).write_bytes(b"nasty")
    with pytest.raises(CannotDo, match=r"network.onnx of the bundle 'copy' was changed"):
        open_bundle(tmp_path / "copy")
