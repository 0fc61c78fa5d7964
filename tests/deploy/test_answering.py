"""One file, one answer: the same as looking at everything, from fewer frames, and never an exception."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
import torch

from apical.deploy.answering import Answerer, log_softmax
from apical.deploy.bundle import open_bundle
from apical.deploy.runtime import NetworkOutputs
from apical.ingest.clip import open_clip
from apical.ingest.prepare import prepare
from apical.learn.classifier import classify_clip


@pytest.fixture(scope="module")
def bundle(way):
    return open_bundle(way / "bundle")


class Scripted:
    """A runtime that says of each frame what its brightest corner pixel says to."""

    name, precision = "scripted", "f32"

    def __init__(self, views, script):
        self.views, self.script, self.asked = views, list(script), []

    def __call__(self, frames):
        logits = np.full((len(frames), self.views), -4.0, np.float32)
        for row in range(len(frames)):
            logits[row, self.script.pop(0)] = 4
        self.asked.append(len(frames))
        return NetworkOutputs(np.ones((len(frames), 8), np.float32), logits, np.full(len(frames), np.nan))


def of_many_frames(bundle):
    """The same bundle, but eight frames are taken of a clip, and nothing is unknown or doubtful."""
    unknown = replace(bundle.unknown, means=np.ones((1, 8)), precision=np.eye(8), threshold=1e9)
    frames = bundle.frames.model_copy(update={"frames_per_clip": 8})
    return replace(bundle, frames=frames, unknown=unknown, doubtful_below=None)


@pytest.fixture
def long_clip(a_file, tmp_path):
    """Sixteen times the frames of a file of the phantom."""
    dataset = pydicom.dcmread(a_file)
    dataset.decompress()
    pixels = dataset.pixel_array
    dataset.PixelData = np.concatenate([pixels] * 16).tobytes()
    dataset.NumberOfFrames = 16 * len(pixels)
    dataset.save_as(tmp_path / "long.dcm")
    return str(tmp_path / "long.dcm")


def test_without_stopping_early_it_is_what_torch_says_of_all_frames(bundle, way):
    answerer = Answerer.of(bundle, runtime="torch", early=False)
    for path in sorted((way / "phantom").rglob("*.dcm"))[:4]:
        answer, seen = answerer.look(1, str(path))
        prepared = prepare(open_clip(path), bundle.frames)
        said = classify_clip(bundle.classifier, prepared.frames, bundle.input_size, torch.device("cpu"))
        expected = bundle.probabilities(said.log_probabilities)[0]
        np.testing.assert_allclose(seen.probabilities, expected, atol=1e-5)
        np.testing.assert_array_equal(seen.frames, prepared.frames)
        np.testing.assert_array_equal(seen.numbers, prepared.numbers)
        assert answer.probability == seen.probabilities.max()
        assert answer.frames_used == tuple(seen.numbers)
        np.testing.assert_allclose(seen.by_frame.sum(axis=1), 1)


def test_it_stops_once_frames_agree_and_goes_on_while_they_do_not(bundle, long_clip):
    many = of_many_frames(bundle)
    views = len(bundle.vocabulary)
    agreeing = Scripted(views, [3] * 8)
    answer, seen = Answerer(many, agreeing).look(1, long_clip)
    assert agreeing.asked == [2]
    assert len(answer.frames_used) == len(seen.frames) == len(seen.by_frame) == 2
    differing = Scripted(views, [3, 4] * 4)
    answer = Answerer(many, differing).answer(1, long_clip)
    assert differing.asked == [2, 1, 1, 1, 1, 1, 1]
    assert len(answer.frames_used) == 8
    patient = Scripted(views, [3] * 8)
    assert len(Answerer(many, patient, early=False).answer(1, long_clip).frames_used) == 8
    assert patient.asked == [8]


def test_what_is_said_of_frames_stands_in_the_order_of_the_clip(bundle, long_clip):
    many = of_many_frames(bundle)
    said = [4, 2, 6, 1, 5, 3, 7, 0]  # the order of looking, so frame n says view n
    _, seen = Answerer(many, Scripted(len(bundle.vocabulary), said)).look(1, long_clip)
    assert seen.by_frame.argmax(axis=1).tolist() == list(range(8))
    assert np.all(np.diff(seen.starts) > 0)


def test_a_network_that_gives_no_numbers_is_a_problem(bundle, a_file):
    class Broken(Scripted):
        precision = "int8"

        def __call__(self, frames):
            return super().__call__(frames)._replace(logits=np.full((len(frames), self.views), np.nan))

    answer = Answerer(of_many_frames(bundle), Broken(13, [0] * 8)).answer(1, str(a_file))
    assert answer.problem == "the network gives no numbers for it"
    assert answer.view is None
    assert answer.model == f"{bundle.model_version}-int8"


def test_a_broken_file_is_a_record(bundle, tmp_path):
    (tmp_path / "Doe^John.dcm").write_bytes(b"no image")
    answer, seen = Answerer.of(bundle).look(7, str(tmp_path / "Doe^John.dcm"))
    assert answer.number == 7
    assert answer.problem
    assert "Doe" not in answer.problem
    assert seen is None


def test_clips_of_a_study_share_a_name_that_only_the_key_tells(bundle, way):
    files = [str(path) for path in sorted((way / "phantom").rglob("*.dcm"))[8:16]]
    one, same, other = (Answerer.of(bundle, key=key) for key in (b"k", b"k", b"other"))
    keyed = [one.answer(1, file).study for file in files]
    uids = [pydicom.dcmread(file).StudyInstanceUID for file in files]
    assert len(set(uids)) == len(set(keyed)) == len(set(zip(uids, keyed, strict=True))) == 2
    assert [same.answer(1, file).study for file in files[:2]] == keyed[:2]
    assert other.answer(1, files[0]).study != keyed[0]
    assert not any(uid in name for uid in uids for name in keyed)


def test_log_softmax_is_that_of_torch():
    logits = np.random.default_rng(0).normal(0, 30, (5, 7)).astype(np.float32)
    np.testing.assert_allclose(log_softmax(logits), torch.tensor(logits).log_softmax(1), atol=1e-5)
