"""Small classifiers of every family, with weights as far from their start as training takes them."""

import torch
from torch import nn

from apical.config import ClipEncoderSettings, ResNetSettings, ViTSettings
from apical.learn.classifier import Classifier

SIZE, FRAME = 32, 40  # of the input, and of the frames that are given
VIEWS = 6
RESNET = ResNetSettings(depth=10, width=8, stem_stride=2)
ENCODERS = {
    "resnet": RESNET,
    "pooled resnet with group norm": ResNetSettings(depth=10, width=8, stem_stride=4, norm="group"),
    "vit": ViTSettings(patch=8, width=16, layers=2, heads=2),
    "clip": ClipEncoderSettings(of_frame=RESNET, frames=3, layers=1, heads=4),
}


def made(encoder=RESNET, *, agent=True, cosine=None):
    """In evaluation mode, two of six views untaught."""
    torch.manual_seed(0)
    classifier = Classifier.empty(encoder, VIEWS, cosine=cosine)
    for weight in classifier.parameters():
        if weight.ndim == 1:  # norms and biases
            nn.init.normal_(weight, 0.5, 0.3)
        elif not weight.any():  # what starts at nothing
            nn.init.normal_(weight, std=0.2)
    classifier.taught[[1, 4]] = False
    classifier.agent_taught.fill_(agent)
    crops = torch.randn(16, classifier.encoder.frames, SIZE, SIZE)
    with torch.no_grad():
        classifier.train()(crops)  # statistics of batch norms
    return classifier.eval()
