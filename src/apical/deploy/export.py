"""A bundle's network for other runtimes: ONNX and OpenVINO, with the preprocessing inside.

The graph takes frames as `apical.ingest.prepare` gives them and does the rest itself, so that nobody has to
repeat the preprocessing by hand, and get it subtly wrong. Its antialiased resize is linear and goes by rows
and columns apart: A·X·Aᵀ with a fixed A. As two matrix products it means the same in every runtime, which
their own resizing operators do not.

Batches are of any size. What the exporter notes of the machine on which it ran (paths of source files) is
taken out, so that the same weights give the same bytes.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apical.deploy.parity import INPUT, NAMES, Record, probe_frames
from apical.deploy.runtime import import_openvino, needed
from apical.errors import CannotDo
from apical.files import write_atomically
from apical.learn.augment import DEVIATION, MEAN
from apical.learn.classifier import Classifier

OPSET = 18
PREPROCESSING = (
    "inside the graph: divide by 255; resize from frame_size to input_size, bilinear and antialiased, as the "
    "product A·X·Aᵀ; subtract {mean}; divide by {deviation}"
)
FRAMES = "uint8 (windows, {frames}, {size}, {size}): grey, masked to the ultrasound sector and cropped to it"
OUTPUTS = (
    "features (windows, d); logits (windows, k), -10000 for views that were not taught; agent (windows,), "
    "the logit of contrast agent, NaN if that was not taught"
)


class Network(nn.Module):
    """Frames (w, t, s, s) uint8 → features (w, d), logits (w, k) and the logit of contrast agent (w,).

    Args:
        classifier: the trained one.
        input_size: side of the encoder's input in pixels.
        frame_size: s.
    """

    resize: Tensor

    def __init__(self, classifier: Classifier, input_size: int, frame_size: int) -> None:
        super().__init__()
        self.classifier, self.tells_agent = classifier, bool(classifier.agent_taught)
        self.resizes = input_size != frame_size
        self.register_buffer("resize", resize_matrix(frame_size, input_size))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `learn.augment.plain`, then the classifier."""
        crops = frames.float() / 255
        if self.resizes:
            crops = self.resize @ crops @ self.resize.T
        features, logits = self.classifier((crops - MEAN) / DEVIATION)
        if self.tells_agent:
            return features, logits, self.classifier.agent(features).squeeze(1)
        return features, logits, torch.full_like(features[:, 0], float("nan"))


def resize_matrix(before: int, after: int) -> Tensor:
    """A, (after, before) float32: A·X·Aᵀ is X in another size, bilinear and antialiased."""
    lit = torch.eye(before)[None, None]  # a column of it has one lit pixel
    return F.interpolate(lit, (after, before), mode="bilinear", antialias=True)[0, 0]


def network_of(classifier: Classifier, *, input_size: int, frame_size: int) -> Network:
    """A copy of the classifier on the CPU, in evaluation mode, behind its preprocessing."""
    return Network(copy.deepcopy(classifier).cpu(), input_size, frame_size).eval()


def export_onnx(classifier: Classifier, *, input_size: int, frame_size: int) -> bytes:
    """The network as one ONNX file of opset 18, with any number of windows; see `parity` for its metadata.

    Args:
        classifier: the trained one; it is not changed.
        input_size: side of the encoder's input in pixels.
        frame_size: side of the frames that will be given.

    Raises:
        CannotDo: `onnx` is not installed, or the network has a part that ONNX does not know.
    """
    needed("onnxscript")
    network = network_of(classifier, input_size=input_size, frame_size=frame_size)
    probe = torch.from_numpy(probe_frames(classifier.encoder.frames, frame_size))
    with torch.inference_mode():
        answers = [answer.numpy() for answer in network(probe)]
    model = _exported(network, probe)
    record = Record("f32", weights_hash(classifier), input_size, frame_size, probe.shape[1], answers)
    write_metadata(model, record)
    return serialised(model)


def _exported(network: Network, probe: Tensor) -> Any:
    """The model, as onnx's message."""
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (probe,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(NAMES),
                dynamic_shapes={INPUT: {0: torch.export.Dim("windows")}},
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise CannotDo(
            f"this network cannot be exported ({type(error).__name__})", "answer with --runtime torch"
        ) from None
    return program.model_proto  # type: ignore[union-attr]


def write_metadata(model: Any, record: Record) -> None:
    """Take the exporter's notes out of a model and put ours in; changes the message itself."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del graph.value_info[:]
    size, frames = record.frame_size, record.frames
    about = {
        "frames": FRAMES.format(frames=frames, size=size),
        "preprocessing": PREPROCESSING.format(mean=MEAN, deviation=DEVIATION),
        "outputs": OUTPUTS,
        "intended_use": "research only; not a medical device",
        **record.metadata(),
    }
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)


def serialised(model: Any) -> bytes:
    """A message of onnx as bytes, the same each time."""
    return bytes(model.SerializeToString(deterministic=True))


def weights_hash(classifier: Classifier) -> str:
    """Short name of exactly these weights, wherever they lie."""
    digest = hashlib.sha256()
    for name, tensor in sorted(classifier.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def to_openvino(model: bytes, folder: Path) -> list[Path]:
    """Write an exported network as OpenVINO's ``network.xml`` and ``network.bin``, in 32 bits.

    The metadata stand in the first one's ``rt_info``, section ``framework``.

    Args:
        model: what `export_onnx` or `quantise` gave.
        folder: made if need be; two files of these names in it are replaced.

    Raises:
        CannotDo: OpenVINO is not installed or cannot read the model, or the files cannot be written.
    """
    openvino = import_openvino()
    try:
        read = openvino.Core().read_model(model, b"")
    except RuntimeError:
        raise CannotDo("OpenVINO cannot read this model", "export it anew from its bundle") from None
    names = ("network.bin", "network.xml")  # the weights first, so that whoever finds the other can use it
    with TemporaryDirectory() as aside:
        openvino.save_model(read, Path(aside) / "network.xml", compress_to_fp16=False)
        for name in names:
            write_atomically(folder / name, (Path(aside) / name).read_bytes())
    return [folder / name for name in reversed(names)]
