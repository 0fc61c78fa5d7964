"""A bundle's network, exported: into the bundle, for quick answers, or beside it, for programs of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apical.deploy.bundle import open_bundle
from apical.deploy.packing import add_export
from apical.errors import CannotDo
from apical.files import write_atomically

AFTER = (
    "log-softmax of the logits, mean over the clip's windows; then the bundle's calibration (weights and "
    "biases of views) and log-softmax again: calibrated probabilities. Features: mean over the windows."
)


def export_bundle(bundle: Path, to: Path | None = None) -> dict[str, Any]:
    """Export the network of a bundle.

    Args:
        bundle: folder or zip.
        to: None: into the bundle, as ONNX. A file that ends in .onnx: ONNX, and a .json beside it with the
            bundle's facts and what is to be done with the outputs. Else a folder to make, with OpenVINO's
            files and that .json.

    Returns:
        its ``version``, ``format``, ``opset`` and ``precision``.

    Raises:
        CannotDo: a package is missing, the network cannot be exported, or a file cannot be written.
    """
    from apical.deploy.export import OPSET, export_onnx, to_openvino

    opened = open_bundle(bundle)
    onnx = export_onnx(opened.classifier, input_size=opened.input_size, frame_size=opened.frames.size)
    about: dict[str, Any] = {"format": "onnx", "opset": OPSET, "precision": "f32"}
    if to is None:
        add_export(bundle, onnx, about)
    else:
        facts = {"after": AFTER, "bundle": opened.facts}
        spec = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
        if to.suffix == ".onnx":
            write_atomically(to, onnx)
            write_atomically(to.with_suffix(".json"), spec)
        else:
            if to.exists():
                raise CannotDo(f"'{to.name}' exists", "choose another --to")
            to_openvino(onnx, to)
            write_atomically(to / "network.json", spec)
            about["format"] = "openvino"
    return {"version": opened.model_version, **about}
