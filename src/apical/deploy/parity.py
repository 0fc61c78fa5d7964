"""Parity: an exported network carries what torch answered to a probe, so that any runtime can be checked.

The probe is noise that every machine makes alike; the answers stand in the model's metadata. A runtime that
answers otherwise (a broken build, a model that was changed or is of another network) is found out in
milliseconds, without torch. This tells faults, not forgers: who changes a model can change its record; the
bundle's hashes are there for that.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo

Outputs = Sequence[NDArray[np.float32]]
"""Features (w, d), logits (w, k) and agent (w,)."""

KEY = "apical.network"
INPUT = "frames"
NAMES = ("features", "logits", "agent")
SCHEMA = 1
WINDOWS = 3
SEED = 8
NEVER = -1e4  # the logit of a view nobody taught; in bf16 it is -9984
TOLERANCE = {"f32": 1e-4, "bf16": 0.1, "int8": 0.1}
"""The largest difference that passes, as a share of the largest number of its kind (1 where that is less)."""


@dataclass(frozen=True)
class Record:
    """What a model says of itself.

    Attributes:
        precision: of its arithmetic: ``f32`` or ``int8``.
        weights: hash of the classifier's weights.
        input_size: side of the network's input in pixels.
        frame_size: side of the frames it is given, in pixels.
        frames: how many frames a window has.
        outputs: what it answers to `probe_frames(frames, frame_size)`.
    """

    precision: str
    weights: str
    input_size: int
    frame_size: int
    frames: int
    outputs: Outputs

    def metadata(self) -> dict[str, str]:
        """The entries for a model's metadata; people can read them too."""
        facts: dict[str, Any] = {
            "schema": SCHEMA,
            "precision": self.precision,
            "weights": self.weights,
            "input_size": self.input_size,
            "frame_size": self.frame_size,
            "frames": self.frames,
            "outputs": {name: _packed(array) for name, array in zip(NAMES, self.outputs, strict=True)},
        }
        return {KEY: json.dumps(facts)}

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Record:
        """What `metadata` gave.

        Raises:
            CannotDo: there is no such record, or it is of another version.
        """
        try:
            facts = json.loads(metadata[KEY])
            if facts["schema"] != SCHEMA:
                raise KeyError("schema")
            return cls(
                precision=str(facts["precision"]),
                weights=str(facts["weights"]),
                input_size=int(facts["input_size"]),
                frame_size=int(facts["frame_size"]),
                frames=int(facts["frames"]),
                outputs=[_unpacked(facts["outputs"][name]) for name in NAMES],
            )
        except (KeyError, TypeError, ValueError):
            raise CannotDo(
                "the exported network is not one that this apical made", "export it anew from its bundle"
            ) from None


def probe_frames(frames: int, size: int) -> NDArray[np.uint8]:
    """(w, frames, size, size) uint8 of noise, the same on every machine and with every version of NumPy."""
    shape = (WINDOWS, frames, size, size)
    raw = np.random.PCG64(SEED).random_raw(int(np.prod(shape)))  # the raw stream is the one that NumPy keeps
    return (np.asarray(raw) >> np.uint64(56)).astype(np.uint8).reshape(shape)


def gap(found: Outputs, expected: Outputs) -> float:
    """The largest difference between answers, as a share of the largest number of its kind, at least of 1.

    Infinite where shapes differ, or one knows what the other does not (NaN, or a view nobody taught).
    """
    return max(_gap(*both) for both in zip(found, expected, strict=True))


def _gap(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    if found.shape != expected.shape or not np.array_equal(_kinds(found), _kinds(expected)):
        return float("inf")
    counted = _kinds(expected) == 0
    off = np.abs(found[counted].astype(np.float64) - expected[counted])
    return float(off.max(initial=0) / max(1.0, np.abs(expected[counted]).max(initial=0)))


def _kinds(numbers: NDArray[np.float32]) -> NDArray[np.int64]:
    """0 for a number that counts, 1 for the logit of a view nobody taught, 2 for NaN."""
    return np.select([np.isnan(numbers), numbers < NEVER / 2], [2, 1], 0)


def _packed(array: NDArray[np.float32]) -> dict[str, Any]:
    return {"shape": array.shape, "values": b64encode(array.astype("<f4").tobytes()).decode()}


def _unpacked(packed: dict[str, Any]) -> NDArray[np.float32]:
    flat = np.frombuffer(b64decode(packed["values"], validate=True), "<f4")
    return flat.reshape(packed["shape"]).astype(np.float32)
