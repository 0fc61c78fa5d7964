"""The whole way: clips of the phantom in a real Orthanc, a real bundle, and reports that dcmtk reads."""

import io
import shutil
import subprocess
import threading
from types import SimpleNamespace

import pydicom
import pytest
from orthanc import PASSWORD, USER, running_orthanc, wait_for
from small_instances import write_ct

from apical.deploy.answering import Answerer
from apical.deploy.answers import records
from apical.deploy.dicom_sr import sr_uid
from apical.deploy.service.dicomweb import DicomWeb, authorization
from apical.deploy.service.link import PacsLink
from apical.deploy.service.queue import Queue
from apical.deploy.service.serve import document_of
from apical.deploy.service.spool import Spool
from apical.errors import CannotDo

pytest.importorskip("dicomweb_client", reason="apical[dicom-net] is not installed")
pytest.importorskip("highdicom", reason="apical[dicom-net] is not installed")


@pytest.fixture
def orthanc(tmp_path):
    yield from running_orthanc(tmp_path / "orthanc")


def link_to(url, **settings):
    secret = authorization({"APICAL_PACS_CREDENTIALS": f"{USER}:{PASSWORD}"})
    return PacsLink(lambda: DicomWeb(url, authorization=secret), **settings)


def test_clips_in_orthanc_get_reports_in_orthanc(orthanc, way, tmp_path):
    clips = sorted((way / "phantom").rglob("*.dcm"))[:6]
    write_ct(tmp_path / "ct.dcm")
    orthanc.upload(*clips, tmp_path / "ct.dcm")
    originals = orthanc.instances()
    spool = Spool(tmp_path / "state")
    queue = Queue(tmp_path / "state" / "queue.sqlite", 100, spool.remove)
    answerer = Answerer.open(way / "bundle")
    model = answerer.bundle.model_version
    link = link_to(orthanc.url, every=0.1, days=None).start(queue, spool, model, threading.Event())
    answers = {}

    def work():
        while item := queue.claim():
            answer = answerer.answer(item.number, str(item.file))
            uid = pydicom.dcmread(item.file, stop_before_pixels=True).SOPInstanceUID
            answers[sr_uid(uid, model)] = answer
            queue.finish(item, records([answer])[0], document=document_of(answerer, item.file, answer))
            spool.remove(item.file)
        return len(answers) == len(clips) and queue.counts()["outbox"] == 0

    wait_for(work)
    link.stop(60)
    queue.close()
    found = orthanc.instances()
    assert {uid: found[uid] for uid in originals} == originals
    reports = {uid: content for uid, content in found.items() if uid not in originals}
    assert reports.keys() == {uid for uid, answer in answers.items() if answer.likeliest}
    assert reports
    for uid, content in reports.items():
        (tmp_path / "report.dcm").write_bytes(content)
        assert pydicom.dcmread(io.BytesIO(content)).Modality == "SR"
        if shutil.which("dsrdump"):
            said = subprocess.run(
                ["dsrdump", tmp_path / "report.dcm"], capture_output=True, text=True, check=True
            )
            assert "Image View" in said.stdout
            assert model in said.stdout, uid


def test_a_notice_is_passed_on_as_far_as_it_is_known(orthanc, way, tmp_path):
    (clip,) = sorted((way / "phantom").rglob("*.dcm"))[:1]
    orthanc.upload(clip)
    header = pydicom.dcmread(clip, stop_before_pixels=True)
    spool = Spool(tmp_path / "state")
    queue = Queue(tmp_path / "state" / "queue.sqlite", 100, spool.remove)
    link = link_to(orthanc.url, every=None)
    notice = SimpleNamespace(study=header.StudyInstanceUID, series=None, instance=None)
    with pytest.raises(CannotDo, match="not started"):
        link.notify(notice)
    assert link.problems == {"pacs": None, "outbox": None}
    link.start(queue, spool, "model", threading.Event())
    link.notify(notice)
    wait_for(lambda: queue.counts()["queued"] == 1)
    orthanc.kill()
    link.notify(notice)
    assert "cannot be reached" in wait_for(lambda: link.problems["pacs"])
    assert link.problems["outbox"] is None
    link.stop(60)
    queue.close()
