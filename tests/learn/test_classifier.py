"""From frames to a clip: pooling equals a naive loop, whatever the blocks and the order."""

import numpy as np
import pytest
import torch

from apical.config import FrameSettings, ResNetSettings
from apical.learn import classifier as module
from apical.learn.augment import plain
from apical.learn.classifier import Classifier, classify_clip, classify_clips
from apical.learn.clips import Clips

CPU = torch.device("cpu")


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Classifier.empty(ResNetSettings(width=4, stem_stride=2), views=3)
    torch.nn.init.normal_(model.head.weight)
    return model.eval()


@pytest.fixture
def clips():
    generator = np.random.default_rng(0)
    count = np.array([3, 1, 5, 2])
    names = np.array(list("abcd"))
    return Clips(
        frames=generator.integers(0, 255, (11, 32, 32), dtype=np.uint8),
        first=np.cumsum(count) - count,
        count=count,
        clip=names,
        patient=names,
        study=names,
        machine=names,
        split=np.array(["train"] * 4),
        label=np.zeros(4, np.int64),
        agent=np.full(4, -1),
        order=np.arange(4),
        made=FrameSettings(size=32),
    )


def test_clips_equal_a_naive_loop(model, clips, monkeypatch):
    monkeypatch.setattr(module, "FRAMES_AT_ONCE", 4)  # so that clips straddle the blocks
    said = classify_clips(model, clips, 32, CPU)
    for i, (first, count) in enumerate(zip(clips.first, clips.count, strict=True)):
        logs = []
        for frame in clips.frames[first : first + count]:
            with torch.no_grad():
                _, logits = model(plain(torch.from_numpy(frame[None, None]), 32))
            logs.append(logits.log_softmax(1)[0].numpy())
        mean = np.mean(logs, axis=0)
        expected = mean - np.log(np.exp(mean).sum())
        np.testing.assert_allclose(said.log_probabilities[i], expected, atol=1e-5)
        alone = classify_clip(model, clips.frames[first : first + count], 32, CPU)
        np.testing.assert_allclose(alone.features[0], said.features[i], atol=1e-5)


def test_a_selection_reads_its_own_frames(model, clips):
    whole = classify_clips(model, clips, 32, CPU)
    some = classify_clips(model, clips.select(np.array([True, False, False, True])), 32, CPU)
    np.testing.assert_allclose(some.log_probabilities, whole.log_probabilities[[0, 3]], atol=1e-6)


def test_logits_of_untaught_views_are_shut_off(model, clips):
    model.taught[1] = False
    said = classify_clips(model, clips, 32, CPU)
    assert (said.log_probabilities.argmax(axis=1) != 1).all()
    assert (np.exp(said.log_probabilities[:, 1]) == 0).all()
    np.testing.assert_allclose(np.exp(said.log_probabilities).sum(axis=1), 1, rtol=1e-5)
