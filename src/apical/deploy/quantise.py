"""An exported network in 8 bits: post-training static quantisation of its convolutions.

Weights become int8 by channel and activations uint8 by tensor, with ranges seen on calibration frames
(Jacob et al. 2018, arXiv 1712.05877). Preprocessing, heads and the first convolution stay in 32 bits: they
cost little. Behind the first one activations come from a ReLU, so that 0 is exactly 0 in 8 bits; where it is
not, OpenVINO 2026.4 pads a convolution with something else than 0, and its features are far off. The result
is ONNX with QDQ nodes, which onnxruntime and OpenVINO both read.

It is not what is taken by default: `benchmarks/export.py` counts the clips whose view changes. Answers differ
a little between CPUs, those without VNNI the most: they saturate sums that others do not.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.deploy.export import serialised, write_metadata
from apical.deploy.parity import INPUT, Record, probe_frames
from apical.deploy.runtime import needed, onnx_runtime
from apical.errors import CannotDo

QUANTISED = ["Conv", "Relu"]
AT_ONCE = 32


def quantise(model: bytes, windows: NDArray[np.uint8]) -> bytes:
    """The network with int8 convolutions.

    Args:
        model: what `export_onnx` gave.
        windows: (w, t, s, s) uint8 to see ranges on: some hundred, of training patients.

    Raises:
        CannotDo: onnxruntime or onnx is not installed, or the network is not one of convolutions.
    """
    onnx, tools = needed("onnx"), needed("onnxruntime.quantization")
    before = onnx_runtime(model).record
    message = onnx.load_from_string(model)
    if any(node.op_type == "Softmax" for node in message.graph.node):
        raise CannotDo("a network with attention is not made 8 bits here", "use it in f32 or bf16")
    first = next(node.name for node in message.graph.node if node.op_type == "Conv")
    message.metadata_props.add(
        key="onnx.quant.pre_process", value="onnxruntime.quant"
    )  # it is folded already
    with TemporaryDirectory() as folder:
        tools.quantize_static(
            message,
            Path(folder) / "network.onnx",
            _reader(tools, windows),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            nodes_to_exclude=[first],
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )
        made = onnx.load(Path(folder) / "network.onnx")
    about = (before.weights, before.input_size, before.frame_size, before.frames)
    write_metadata(made, Record("int8", *about, before.outputs))
    answers = onnx_runtime(serialised(made), 1)(probe_frames(before.frames, before.frame_size))
    write_metadata(made, Record("int8", *about, answers))
    return serialised(made)


def _reader(tools: Any, windows: NDArray[np.uint8]) -> Any:
    """The calibration windows as onnxruntime asks for them."""

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.parts = iter(range(0, len(windows), AT_ONCE))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            start = next(self.parts, None)
            return None if start is None else {INPUT: np.ascontiguousarray(windows[start : start + AT_ONCE])}

    return Reader()
