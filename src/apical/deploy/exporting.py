"""A bundle's network, exported: into the bundle, for quick answers, or beside it, for programs of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.deploy.bundle import Bundle, open_bundle
from apical.deploy.packing import add_export
from apical.errors import CannotDo
from apical.files import write_atomically
from apical.ingest.sampling import spread
from apical.learn.clips import load_clips
from apical.learn.windows import windows

CALIBRATION = 256

AFTER = (
    "Of a clip's logits, by window: their log-softmax, and its mean over the windows. Less its own mean over "
    "the taught views, times the calibration's weight, plus its bias, view by view; a softmax over the "
    "taught views gives the calibrated probabilities. Features of a clip: the mean over its windows."
)


def export_bundle(
    bundle: Path, to: Path | None = None, *, int8: tuple[Path, Path] | None = None
) -> dict[str, Any]:
    """Export the network of a bundle.

    Args:
        bundle: folder or zip.
        to: None: into the bundle, as ONNX. A file to make that ends in .onnx: ONNX, and beside it
            NAME.onnx.json with the bundle's facts and what is to be done with the outputs. Else a folder to
            make, with OpenVINO's files and such a network.json.
        int8: in eight bits, with ranges of training patients' frames: their store and its catalogue.

    Returns:
        its ``version``, ``format``, ``opset`` and ``precision``.

    Raises:
        CannotDo: a package is missing, the network cannot be exported, the store has other frames than the
            bundle's or none of training patients, or a file cannot be written.
    """
    from apical.deploy.export import OPSET, export_onnx, to_openvino
    from apical.deploy.quantise import quantise

    opened = open_bundle(bundle)
    beside = to.with_name(f"{to.name}.json") if to is not None and to.suffix == ".onnx" else None
    for file in (to, beside):
        if file is not None and file.exists():
            raise CannotDo(f"'{file.name}' exists", "choose another --to")
    onnx = export_onnx(opened.classifier, input_size=opened.input_size, frame_size=opened.frames.size)
    about: dict[str, Any] = {"format": "onnx", "opset": OPSET, "precision": "f32"}
    if int8 is not None:
        onnx = quantise(onnx, calibration_windows(opened, *int8))
        about["precision"] = "int8"
    if to is None:
        add_export(bundle, onnx, about)
    else:
        facts = {"after": AFTER, "bundle": opened.facts}
        spec = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
        if beside is not None:
            write_atomically(to, onnx)
            write_atomically(beside, spec)
        else:
            to_openvino(onnx, to)
            write_atomically(to / "network.json", spec)
            about["format"] = "openvino"
    return {"version": opened.model_version, **about}


def calibration_windows(bundle: Bundle, store: Path, catalogue: Path) -> NDArray[np.uint8]:
    """At most `CALIBRATION` windows (w, t, s, s) of training patients' clips, evenly over the store.

    Raises:
        CannotDo: there are none, or the frames were made otherwise than the bundle's.
    """
    clips = load_clips(store, catalogue, bundle.vocabulary)
    if clips.made != bundle.frames:
        raise CannotDo(
            "the frame store was made otherwise than the bundle's frames", "give the one of its run"
        )
    clips = clips.in_split("train")
    if not len(clips):
        raise CannotDo(
            "the catalogue has no clips of training patients", "split it with 'apical labels split'"
        )
    chosen = np.zeros(len(clips), bool)
    chosen[spread(len(clips), CALIBRATION)] = True
    few = clips.select(chosen)
    return few.read(windows(few.first, few.count, bundle.window)[1])
