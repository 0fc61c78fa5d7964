"""Torch as a runtime: the reference that the others are compared with, and the one for GPUs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from apical.deploy.parity import NEVER
from apical.deploy.runtime import NetworkOutputs
from apical.errors import CannotDo
from apical.learn.backbones import channels_last
from apical.learn.classifier import Classifier, classify_windows


@dataclass(frozen=True)
class TorchRuntime:
    """A classifier in torch.

    Attributes:
        classifier: on the device, in evaluation mode.
        input_size: side of its input in pixels.
        device: where it is.
        precision: ``f32``, or ``bf16`` for what torch's autocast does in it.
    """

    classifier: Classifier
    input_size: int
    device: torch.device
    precision: str

    @property
    def name(self) -> str:
        """Runtime, device and precision."""
        return f"torch ({self.device.type}, {self.precision})"

    def __call__(self, frames: NDArray[np.uint8], /) -> NetworkOutputs:
        """The answers, at most 256 frames at a time; on a GPU without TF32, so that they are a CPU's."""
        in_bf16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        as_a_cpu = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with as_a_cpu, in_bf16:
            features, logits = classify_windows(self.classifier, frames, self.input_size, self.device)
        exactly = logits.masked_fill(~self.classifier.taught.cpu(), NEVER)  # which bf16 rounds
        return NetworkOutputs(features.numpy(), exactly.numpy(), self._agent(features).numpy())

    @torch.inference_mode()
    def _agent(self, features: Tensor) -> Tensor:
        """Its logit (w,), of features (w, d) on the CPU."""
        head = self.classifier.agent
        if not self.classifier.agent_taught:
            return torch.full((len(features),), float("nan"))
        return F.linear(features, head.weight.cpu(), head.bias.cpu()).squeeze(1)


def torch_runtime(
    classifier: Classifier,
    input_size: int,
    device: str = "cpu",
    precision: str = "f32",
    threads: int | None = None,
) -> TorchRuntime:
    """A classifier in torch.

    Args:
        classifier: is moved to the device, its kernels laid out as convolutions are fastest.
        input_size: side of its input in pixels.
        device: cpu or cuda.
        precision: f32 or bf16.
        threads: of this whole process on the CPU; None leaves them as they are.

    Raises:
        CannotDo: there is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise CannotDo("torch sees no GPU here", "choose the CPU, or install a torch build for this GPU")
    if threads is not None:
        torch.set_num_threads(threads)
    where = torch.device(device)
    try:
        channels_last(classifier).to(where).eval()
    except RuntimeError as error:  # its memory is full, or it is in use
        raise CannotDo(
            f"the network cannot be put on the device ({type(error).__name__})", "choose --device cpu"
        ) from None
    return TorchRuntime(classifier, input_size, where, precision)
