"""A real S3 server: a bucket is scanned as its folder on disk is, and what fails there is one line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import cv2
import polars as pl
import pytest
import s3fs
from clip_files import screen, write_dicom, write_zip
from fsspec.registry import _registry
from moto.server import ThreadedMotoServer

from apical.config import FrameSettings, ScanSettings
from apical.errors import CannotDo, ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.damage import Unreadable
from apical.ingest.frames import build_frames
from apical.ingest.places import stamp
from apical.ingest.scan import scan
from apical.ingest.walk import walk

ONE = ScanSettings(workers=1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of every way to be reached, and what is none."""
    folder = tmp_path_factory.mktemp("remote") / "tree"
    for number in range(3):
        write_dicom(
            folder / f"exam {number % 2}" / f"DOE_{number}.dcm",
            screen(4, seed=number),
            SOPInstanceUID=f"1.2.3.{number}",
            PatientID=f"MRN-{number % 2}",
            StudyInstanceUID=f"1.2.4.{number % 2}",
        )
    write_dicom(folder / "exam 1" / "IM1", screen(2, seed=4), jpeg=True, SOPInstanceUID="1.2.3.4")
    (folder / "exam 1" / "cut.dcm").write_bytes((folder / "exam 1" / "DOE_1.dcm").read_bytes()[:5000])
    shutil.copy(folder / "exam 1" / "DOE_1.dcm", folder / "exam 1" / "twice.dcm")
    still = bytes(cv2.imencode(".png", screen(1, seed=5)[0])[1])
    write_zip(folder / "archive.zip", {"x/still.png": still, "x/empty.png": b""})
    (folder / "notes.txt").write_text("DOE^JOHANNA")
    (folder / ".hidden.png").write_bytes(still)
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a running S3 server."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, whose address and credentials are in the environment, and nowhere else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    yield boto3.client("s3")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(s3: Any, tree: Path) -> Iterator[str]:
    """The URL of the tree in a bucket."""
    s3.create_bucket(Bucket="hospital")
    s3.put_object(Bucket="hospital", Key="exams/")  # as consoles make a folder
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), "hospital", f"exams/{path.relative_to(tree)}")
    yield "s3://hospital/exams"
    for entry in s3.list_objects_v2(Bucket="hospital").get("Contents", []):
        s3.delete_object(Bucket="hospital", Key=entry["Key"])
    s3.delete_bucket(Bucket="hospital")


@pytest.mark.parametrize(("workers", "end"), [(1, ""), (2, "/")])
def test_the_rows_are_those_of_the_folder(
    tmp_path: Path, tree: Path, bucket: str, workers: int, end: str
) -> None:
    """In the same order; the workers are told of the server by the environment.

    What is known by its place alone has another name: the patient of a picture, a file that is empty.
    """
    salt = tmp_path / "salt.key"
    here, _ = scan(tree, tmp_path / "here.parquet", ONE, salt=salt)
    settings = ScanSettings(workers=workers)
    there, _ = scan(bucket + end, tmp_path / "there.parquet", settings, salt=salt)
    assert there.drop("path", "patient", "clip").equals(here.drop("path", "patient", "clip"))
    named = pl.col("study").is_not_null()
    assert there.filter(named)["patient"].equals(here.filter(named)["patient"])
    whole = pl.col("problem").is_null()
    assert there.filter(whole)["clip"].equals(here.filter(whole)["clip"])
    assert there["patient"].n_unique() == here["patient"].n_unique()
    assert there["path"].to_list() == [path.replace(str(tree), bucket) for path in here["path"]]
    assert there["problem"].to_list() == [
        "empty file", None, None, None, None, None,
        "pixel data is cut off: 0 of 4 frames are there", "a copy of another file",
    ]  # fmt: skip


def test_the_frames_are_those_of_the_folder(tmp_path: Path, tree: Path, bucket: str) -> None:
    salt = tmp_path / "salt.key"
    stores = []
    for name, source in (("here", str(tree)), ("there", bucket)):
        scan(source, tmp_path / f"{name}.parquet", ONE, salt=salt)
        settings = FrameSettings(size=32, frames_per_clip=2)
        stores.append(build_frames(tmp_path / f"{name}.parquet", tmp_path / name, settings, workers=1))
    assert len(stores[0].frames) == 2 * 4 + 1
    assert (stores[0].frames == stores[1].frames).all()
    assert stores[0].index.equals(stores[1].index)


def test_an_archive_or_a_file_in_a_bucket_as_the_source(bucket: str) -> None:
    assert [one.place for one in walk(f"{bucket}/archive.zip")] == [
        f"zip://x/{name}.png::{bucket}/archive.zip" for name in ("empty", "still")
    ]
    assert [one.place for one in walk(f"{bucket}/exam 1/IM1")] == [f"{bucket}/exam 1/IM1"]
    assert open_clip(f"{bucket}/exam 1/IM1").facts.frames == 2


def test_what_changes_in_the_bucket_is_seen(tmp_path: Path, bucket: str, s3: Any) -> None:
    """In the same process too, where s3fs remembers its lists: new, changed and deleted objects."""
    out = tmp_path / "c.parquet"
    before, _ = scan(bucket, out, ONE)
    old = stamp(f"{bucket}/exam 0/DOE_0.dcm")
    write_dicom(tmp_path / "new.dcm", screen(7), SOPInstanceUID="1.2.3.9")
    s3.upload_file(str(tmp_path / "new.dcm"), "hospital", "exams/exam 0/new.dcm")
    s3.delete_object(Bucket="hospital", Key="exams/exam 1/IM1")
    changed = s3.get_object(Bucket="hospital", Key="exams/exam 0/DOE_0.dcm")["Body"].read()
    changed = changed.replace(b"33.3", b"44.4")
    s3.put_object(Bucket="hospital", Key="exams/exam 0/DOE_0.dcm", Body=changed)
    after, _ = scan(bucket, out, ONE)
    assert after.height == before.height + 1
    rows = {row["path"].removeprefix(bucket): row for row in after.iter_rows(named=True)}
    assert rows["/exam 0/new.dcm"]["frames"] == 7
    assert rows["/exam 0/DOE_0.dcm"]["frame_time_ms"] == 44.4
    assert rows["/exam 1/IM1"]["problem"] == "the file is gone"
    assert stamp(f"{bucket}/exam 0/DOE_0.dcm") != old


@pytest.mark.parametrize("source", ["s3://no-such-bucket", "s3://no-such-bucket/exams", "s3://hospital/none"])
def test_a_bucket_or_folder_that_is_not_there(tmp_path: Path, bucket: str, source: str) -> None:
    with pytest.raises(CannotDo, match=r"the source cannot be listed .* your access") as caught:
        scan(source, tmp_path / "c.parquet", ONE)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c.parquet").exists()


def test_a_bucket_without_clips(tmp_path: Path, s3: Any) -> None:
    s3.create_bucket(Bucket="empty")
    with pytest.raises(CannotDo, match="holds no DICOM files"):
        scan("s3://empty", tmp_path / "c.parquet", ONE)


def test_without_access_nothing_counts_as_gone(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One folder of the bucket is refused: the scan stops, and the catalogue stays as it was."""
    out = tmp_path / "c.parquet"
    scan(bucket, out, ONE)
    before = out.read_bytes()
    real = s3fs.S3FileSystem._lsdir

    async def refuse(self: Any, path: str, **more: Any) -> Any:
        if path.endswith("exam 1"):
            raise PermissionError("Access Denied")
        return await real(self, path, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "_lsdir", refuse)
    with pytest.raises(CannotDo, match="the source cannot be listed"):
        scan(bucket, out, ONE)
    assert out.read_bytes() == before


def test_a_server_that_does_not_answer(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No damage of a clip; and a scan is one line."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(CannotDo, match="the source cannot be listed"):
        scan(bucket, tmp_path / "c.parquet", ONE)
    with pytest.raises(Unreadable):
        open_clip(f"{bucket}/exam 1/IM1")


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_connection_that_breaks_off_is_no_damage(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Whatever is read when it breaks; the next scan reads those files again."""
    requests = 0
    real = s3fs.S3File._fetch_range

    def fetch(self: Any, start: int, end: int) -> bytes:
        nonlocal requests
        requests += 1
        if requests > after:
            raise RuntimeError("a library's own error")
        return real(self, start, end)

    out = tmp_path / "c.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3File, "_fetch_range", fetch)
        table, _ = scan(bucket, out, ONE)
        assert requests > after
        assert "the file cannot be read" in set(table["problem"])
        assert "damaged DICOM header" not in set(table["problem"])
    whole, _ = scan(bucket, out, ONE)
    assert whole["problem"].null_count() == 5


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what to install."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for protocol in ("s3", "s3a"):
        monkeypatch.delitem(_registry, protocol, raising=False)
    for protocol in ("s3", "s3a"):
        with pytest.raises(CannotDo, match=rf"'{protocol}://' needs a library .* pip install 'apical\[s3\]'"):
            scan(f"{protocol}://hospital", tmp_path / "c.parquet", ONE)


def test_a_clip_in_a_bucket_that_is_none(bucket: str) -> None:
    with pytest.raises(Unreadable):
        open_clip(f"{bucket}/none.dcm")
    with pytest.raises(ClipProblem, match="not a DICOM file"):
        open_clip(f"{bucket}/notes.txt")
