"""The bundle: one folder, or its zip, that holds all a prediction needs and nothing that could run code.

``bundle.json`` names the views, the preprocessing, the calibration and where it all came from;
``classifier.safetensors`` and ``unknown.safetensors`` hold the numbers; ``MODEL_CARD.md`` is for people, and
``network.onnx``, which `apical.deploy.export` adds, for quick runtimes. Opening one needs no torch.

Hashes tell weights, statistics or an export that were damaged or exchanged, and facts that were edited. They
are no signature: whoever can write a whole bundle can write its hashes.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from apical.config import FrameSettings, encoder_settings
from apical.deploy.content import Content, sha256
from apical.errors import CannotDo
from apical.judge.calibration import Scaling
from apical.judge.conformal import Conformal
from apical.judge.selective import OperatingPoint
from apical.judge.unknown import UnknownDetector
from apical.views import Vocabulary

if TYPE_CHECKING:
    from apical.learn.classifier import Classifier

SCHEMA = 4
OLDEST = 3  # whose facts are all that this version needs
CLASSIFIER, UNKNOWN, ONNX, FACTS, CARD = (
    "classifier.safetensors", "unknown.safetensors", "network.onnx", "bundle.json", "MODEL_CARD.md",
)  # fmt: skip
HASHED = (CLASSIFIER, UNKNOWN)
FILES = {FACTS, CARD, ONNX, *HASHED}
_BROKEN = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, NotImplementedError, SafetensorError,
    RecursionError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
UNSEALED = {"version", "facts_sha256", "licence", "exports"}  # may be added to a finished bundle


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        facts: the content of ``bundle.json``.
        vocabulary: its views.
        frames: how clips become frames.
        scaling: of log-probabilities, so that probabilities mean what they say.
        conformal: which views are credible, by probabilities.
        doubtful_below: clips whose view is less probable than this are doubtful; None: all are.
        unknown: the detector of clips that show none of the views.
        weights: the content of ``classifier.safetensors``.
        onnx: the content of ``network.onnx``, if the bundle has one.
    """

    facts: dict[str, Any]
    vocabulary: Vocabulary
    frames: FrameSettings
    scaling: Scaling
    conformal: Conformal
    doubtful_below: float | None
    unknown: UnknownDetector
    weights: bytes
    onnx: bytes | None

    @property
    def input_size(self) -> int:
        """Side of the network's input in pixels."""
        return int(self.facts["input_size"])

    @property
    def window(self) -> int:
        """How many frames the network looks at together."""
        return int(getattr(encoder_settings(self.facts["encoder"]), "frames", 1))

    @property
    def model_version(self) -> str:
        """Short name of exactly these weights, thresholds and other facts."""
        return str(self.facts["version"])

    @cached_property
    def classifier(self) -> Classifier:
        """With its weights, on the CPU, in evaluation mode. Imports torch.

        Raises:
            CannotDo: the weights are not those of the network that the facts describe.
        """
        from safetensors.torch import load as load_tensors

        from apical.learn.classifier import Classifier

        encoder = encoder_settings(self.facts["encoder"])
        made = Classifier.empty(encoder, len(self.vocabulary), cosine=self.facts.get("cosine"))
        try:
            made.load_state_dict(load_tensors(self.weights))
        except (ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise CannotDo(
                f"the weights of the bundle are not those of its network ({type(error).__name__})",
                "get the bundle anew",
            ) from None
        return made.eval()

    def probabilities(self, log_probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """Calibrated probabilities (n, k) of a classifier's log-probabilities (n, k)."""
        return np.asarray(np.exp(self.scaling(log_probabilities)))


def open_bundle(path: Path) -> Bundle:
    """Open a bundle, a folder or a zip, and check that it is whole.

    Raises:
        CannotDo: not a bundle, made by a newer version, or a file is not the one that was packed.
    """
    content = Content(path)
    try:
        facts = json.loads(content.read(FACTS))
        _check_schema(content.name, facts)
        listed = {name: facts["hashes"][name] for name in HASHED}
        if ONNX in facts.get("exports", {}):
            listed[ONNX] = facts["exports"][ONNX]["sha256"]
        files = {name: content.read(name) for name in listed}
        unchanged = {name: sha256(files[name]) == digest for name, digest in listed.items()}
        found = seal(facts)
        unchanged[FACTS] = found == {name: facts[name] for name in found}
        for name, is_same in unchanged.items():
            if not is_same:
                raise CannotDo(f"{name} of the bundle '{content.name}' was changed", "get the bundle anew")
        statistics = load(files[UNKNOWN])
        calibration = facts["calibration"]
        return Bundle(
            facts=facts,
            vocabulary=Vocabulary.from_records(facts["views"]),
            frames=FrameSettings.model_validate(facts["frames"]),
            scaling=Scaling(calibration["kind"], tuple(calibration["weight"]), tuple(calibration["bias"])),
            conformal=_conformal(facts["conformal"]),
            doubtful_below=OperatingPoint(**facts["operating_point"]).used,
            unknown=UnknownDetector(
                statistics["means"], statistics["precision"], facts["unknown"]["threshold"]
            ),
            weights=files[CLASSIFIER],
            onnx=files.get(ONNX),
        )
    except _BROKEN as error:
        raise CannotDo(
            f"'{content.name}' is not a whole bundle ({type(error).__name__})",
            "give a folder or zip that 'apical bundle' made",
        ) from None


def _check_schema(name: str, facts: dict[str, Any]) -> None:
    if facts["schema"] > SCHEMA:
        raise CannotDo(
            f"the bundle '{name}' has schema {facts['schema']}, newer than this apical knows",
            f"upgrade apical (this is {version('apical')}, the bundle was made by {facts['apical']})",
        )
    if facts["schema"] < OLDEST:
        raise CannotDo(
            f"the bundle '{name}' has schema {facts['schema']}, older than this apical reads",
            "make it again from its run with 'apical bundle'",
        )


def seal(facts: dict[str, Any]) -> dict[str, str]:
    """The hash of all facts but `UNSEALED` ones, and the version that follows from it and the files."""
    sealed = {name: value for name, value in facts.items() if name not in UNSEALED}
    of_facts = sha256(json.dumps(sealed, sort_keys=True).encode())
    of_files = [facts["hashes"][name] for name in HASHED]
    whole = sha256("".join([of_facts, *of_files]).encode())
    return {"facts_sha256": of_facts, "version": whole[:12]}


def _conformal(facts: dict[str, Any]) -> Conformal:
    return Conformal(
        score=facts["score"],
        threshold=facts["threshold"],
        patients=facts["patients"],
        enough=facts["enough_patients"],
        thresholds=tuple(facts["thresholds"]),
        view_patients=tuple(facts["view_patients"]),
        promised=tuple(facts["promised"]),
    )
