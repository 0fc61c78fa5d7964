"""The loop of steps: rates of encoder and head, what stays as it is, a loss that is not finite."""

import json
from contextlib import closing

import pytest
import torch

from apical.errors import CannotDo
from apical.learn.backbones import build_encoder
from apical.learn.classifier import Classifier
from apical.learn.device import fabric_on
from apical.learn.fitting import Trainer
from apical.learn.lessons import Learner, supervised
from apical.learn.tracking import Tracker
from learn.lessons_of import a_desk


@pytest.fixture
def fitted(exams, training, tmp_path, monkeypatch):
    """Fits for a few steps; gives the learner, the optimisers that were made, and the figures."""

    def fit(rate, lesson=None, steps=3, **changes):
        desk, clips = a_desk(exams, training("naive", steps=steps, **changes))
        torch.manual_seed(0)
        learner = Learner(Classifier(build_encoder(desk.settings.encoder), desk.views))
        made = []
        adamw = torch.optim.AdamW
        monkeypatch.setattr(torch.optim, "AdamW", lambda *a, **k: made.append(adamw(*a, **k)) or made[-1])
        with closing(Tracker(tmp_path)) as tracker:
            trainer = Trainer(desk.settings, fabric_on("cpu"), tracker, clips, lambda done, total: None)
            trainer.fit(learner, lesson or supervised(desk), steps, encoder_rate=rate)
        figures = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
        return learner, made[0], figures

    return fit


def test_the_encoder_has_its_share_of_the_rate(fitted):
    learner, optimizer, figures = fitted(0.25)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    of_encoder = {rates[id(p)] for p in learner.classifier.encoder.parameters()}
    of_head = {rates[id(p)] for p in learner.classifier.head.parameters()}
    assert of_head == {figures[-1]["learning_rate"]}
    assert of_encoder == {0.25 * figures[-1]["learning_rate"]}


def test_without_a_rate_the_encoder_stays_with_its_running_means(fitted):
    learner, optimizer, _ = fitted(0.0)
    owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not owned & {id(p) for p in learner.classifier.encoder.parameters()}
    counts = [b for name, b in learner.classifier.encoder.named_buffers() if "num_batches" in name]
    assert counts
    assert all(int(count) == 0 for count in counts)
    assert learner.classifier.head.weight.abs().max() > 0


def test_validation_clips_are_looked_at_ten_times(fitted):
    _, _, figures = fitted(1.0, steps=20)
    looked = [one["step"] for one in figures if "validation_macro_f1" in one]
    assert looked == list(range(2, 21, 2))


def test_a_loss_that_is_not_finite_ends_in_one_line(fitted):
    with pytest.raises(CannotDo, match="the loss is not finite at step 1"):
        fitted(1.0, lambda network, step: torch.tensor(float("nan"), requires_grad=True))
