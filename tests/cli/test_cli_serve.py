"""``serve`` as it is called: what does not fit together is refused before anything is opened."""

import pytest

from apical.cli import run
from apical.cli.options import COULD_NOT, WRONG_CALL
from apical.errors import CannotDo


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--title", "ECHO"], "there is no receiver to set up"),
        (["--receive-from", "ECHO"], "there is no receiver to set up"),
        (["--pacs-all-days"], "there is no PACS to look at"),
        (["--pacs-days", "3"], "there is no PACS to look at"),
        (["--reply", "pacs"], "--reply names no node"),
        (["--reply", "pacs:104:"], "reply.title"),
        (["--device", "tpu"], "device"),
        (["--pacs", "ftp://pacs"], "the address of the PACS is none"),
    ],
)
def test_a_call_that_cannot_be_meant(way, tmp_path, capsys, words, said):
    state = tmp_path / "state"
    assert run(["serve", str(way / "bundle"), "--state", str(state), "--port", "0", *words]) == WRONG_CALL
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line


def test_a_bundle_that_is_none(tmp_path, capsys):
    words = ["serve", str(tmp_path / "none"), "--state", str(tmp_path / "state"), "--port", "0"]
    assert run(words) == COULD_NOT
    assert "there is no bundle" in capsys.readouterr().err


def test_reports_that_could_not_be_made_are_told_first(way, tmp_path, capsys, monkeypatch):
    def missing():
        raise CannotDo("highdicom is not installed", "pip install 'apical[dicom-net]'")

    monkeypatch.setattr("apical.deploy.service.start.check_sr", missing)
    monkeypatch.setattr("apical.deploy.service.start.serve", lambda *_, **__: pytest.fail("it serves"))
    words = ["serve", str(way / "bundle"), "--state", str(tmp_path / "state"), "--port", "0"]
    assert run([*words, "--pacs", "http://127.0.0.1:1/dicom-web"]) == COULD_NOT
    assert "apical[dicom-net]" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_a_token_that_is_too_short(way, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("APICAL_TOKEN", "short")
    assert (
        run(["serve", str(way / "bundle"), "--state", str(tmp_path / "state"), "--port", "0"]) == WRONG_CALL
    )
    said = capsys.readouterr().err
    assert "token" in said
    assert "short" not in said
