"""A desk on the small exams, and a network that keeps what it said, to write a lesson's loss out by hand."""

import numpy as np
import torch
from torch import nn

from apical.learn.backbones import build_encoder
from apical.learn.classifier import Classifier
from apical.learn.clips import load_clips
from apical.learn.lessons import Desk
from apical.views import standard_vocabulary

CPU = torch.device("cpu")


def a_desk(exams, settings, *, labelled=None):
    """A desk, and all training clips; of `labelled` patients, or of all."""
    vocabulary = standard_vocabulary()
    clips = load_clips(exams / "frames", exams / "catalogue.parquet", vocabulary).in_split("train")
    if labelled is not None:
        clips.label[clips.patient_code >= labelled] = -1
    desk = Desk(
        teaching=clips.labelled(),
        settings=settings,
        frames=1,
        views=len(vocabulary),
        device=CPU,
        generator=np.random.default_rng(0),
    )
    return desk, clips


class Recorder(nn.Module):
    """Random logits and embeddings for whatever comes in; `said` keeps the logits of each call."""

    def __init__(self, classifier, views):
        super().__init__()
        self.classifier, self.views, self.said = classifier, views, []
        self.crops, self.embeddings = [], None

    def forward(self, crops):
        generator = torch.Generator().manual_seed(len(self.said))
        logits = torch.randn(len(crops), self.views, generator=generator)
        self.embeddings = torch.randn(len(crops), 16, generator=generator)
        self.said.append(logits)
        self.crops.append(crops)
        return logits, self.embeddings


def fixed_network(desk):
    """A network whose answers do not depend on crops, and a list of (logits, labels drawn), a call each."""
    torch.manual_seed(0)
    classifier = Classifier(build_encoder(desk.settings.encoder), desk.views)
    network = Recorder(classifier, desk.views)
    seen = []
    known = desk.label

    def label(chosen):
        found = known(chosen)
        seen.append((network.said[-1] if network.said else None, found))
        return found

    object.__setattr__(desk, "label", label)
    return network, seen
