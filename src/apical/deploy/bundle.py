"""The bundle: one folder that holds all a prediction needs, without anything that could run code.

``bundle.json`` names the views, the preprocessing, the calibration and where it all came from;
``classifier.safetensors`` and ``unknown.safetensors`` hold the numbers; ``MODEL_CARD.md`` is for people.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from apical.config import EncoderSettings, FrameSettings
from apical.deploy.card import model_card
from apical.errors import CannotDo
from apical.files import write_atomically
from apical.judge.calibration import calibrate, fit_temperature
from apical.judge.conformal import fit_conformal
from apical.judge.unknown import UnknownDetector, fit_unknown
from apical.learn.checkpoint import load_weights, save_weights
from apical.learn.classifier import Classifier
from apical.learn.predictions import Predictions
from apical.learn.run import RunFolder
from apical.learn.train import load_classifier
from apical.views import Vocabulary

SCHEMA = 1
ERROR_RATE = 0.1  # of the conformal sets
REFUSED = 0.05  # share of held-out clips of taught views that the unknown detector may refuse


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        facts: the content of ``bundle.json``.
        vocabulary: its views.
        frames: how clips become frames.
        classifier: with its weights, on the CPU, in evaluation mode.
        unknown: the detector of clips that show none of the views.
    """

    facts: dict[str, Any]
    vocabulary: Vocabulary
    frames: FrameSettings
    classifier: Classifier
    unknown: UnknownDetector

    @property
    def input_size(self) -> int:
        """Side of the network's input in pixels."""
        return int(self.facts["input_size"])

    @property
    def model_version(self) -> str:
        """Short name of exactly these weights and thresholds."""
        return str(self.facts["version"])

    def probabilities(self, log_probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities (n, k) of a classifier's log-probabilities (n, k)."""
        return np.asarray(np.exp(calibrate(log_probabilities, self.facts["temperature"])))


def make_bundle(run: Path, out: Path, *, report: Path | None = None) -> Bundle:
    """Pack a training run, calibrated on its labelled validation patients.

    Temperature, conformal threshold and the threshold for `unknown` all come from validation
    patients, whom training did not see.

    Args:
        run: the folder of a finished training.
        out: the folder to make.
        report: a folder of `evaluate`; its figures for this method go into the bundle and card.

    Raises:
        CannotDo: the run is not finished, no validation clip has a label, `out` exists and is no
            bundle, or it cannot be written.
    """
    if out.exists() and not (out / "bundle.json").exists() and any(out.iterdir()):
        raise CannotDo(f"'{out.name}' exists and is not a bundle", "choose another --out")
    folder = RunFolder(run)
    classifier, settings, vocabulary = load_classifier(run)
    answers = Predictions.load(folder.predictions)
    taught = classifier.taught.numpy()
    judged = (answers.split == "validation") & (answers.label >= 0) & taught[answers.label]
    if not judged.any():
        raise CannotDo(
            "no labelled clip of a validation patient shows a view that was taught",
            "label some, or split with a larger --validation, and train again",
        )
    held_out = answers.select(judged)
    temperature = fit_temperature(held_out.log_probabilities, held_out.label)
    probabilities = np.exp(calibrate(held_out.log_probabilities, temperature.value))
    conformal = fit_conformal(probabilities, held_out.label, held_out.patient, error_rate=ERROR_RATE)
    teaching = answers.select((answers.split == "train") & (answers.label >= 0))
    unknown = fit_unknown(teaching.features, teaching.label, held_out.features, refused=REFUSED)
    save_weights(out / "classifier.safetensors", classifier)
    statistics = {"means": unknown.means, "precision": unknown.precision}
    write_atomically(out / "unknown.safetensors", save(statistics))
    files = ("classifier.safetensors", "unknown.safetensors")
    hashes = {name: _sha256(out / name) for name in files}
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "apical": version("apical"),
        "version": hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:12],
        "hashes": hashes,
        "views": vocabulary.to_records(),
        "taught": [view for view, is_taught in zip(vocabulary.names, taught, strict=True) if is_taught],
        "encoder": settings.encoder.model_dump(),
        "input_size": settings.input_size,
        "frames": folder.settings()["frames"],
        "temperature": temperature.value,
        "temperature_at_bound": temperature.at_bound,
        "conformal": {
            "error_rate": ERROR_RATE,
            "threshold": conformal.threshold,
            "patients": conformal.patients,
            "enough_patients": conformal.enough,
        },
        "unknown": {"threshold": unknown.threshold, "refused": REFUSED},
        "training": {
            "method": settings.method,
            "seed": settings.seed,
            "label_budget": folder.read_json("budget.json"),
            "environment": folder.read_json("environment.json"),
        },
        "metrics": _metrics(report, settings.method) if report else None,
        "licence": None,  # the weights' licence is for whoever trained them to state
        "intended_use": "research only; not a medical device",
    }
    write_atomically(out / "MODEL_CARD.md", model_card(facts).encode())
    write_atomically(out / "bundle.json", (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())
    return open_bundle(out)


def open_bundle(path: Path) -> Bundle:
    """Open a bundle and check that it is whole.

    Raises:
        CannotDo: not a bundle, made by a newer version, or a file is not the one that was packed.
    """
    try:
        facts = json.loads((path / "bundle.json").read_text(encoding="utf-8"))
        if facts["schema"] > SCHEMA:
            raise CannotDo(
                f"the bundle '{path.name}' has schema {facts['schema']}, newer than this apical knows",
                f"upgrade apical (this is {version('apical')}, the bundle was made by {facts['apical']})",
            )
        for name, expected in facts["hashes"].items():
            if _sha256(path / name) != expected:
                raise CannotDo(f"{name} of the bundle '{path.name}' was changed", "get the bundle anew")
        vocabulary = Vocabulary.from_records(facts["views"])
        classifier = Classifier.empty(EncoderSettings.model_validate(facts["encoder"]), len(vocabulary))
        load_weights(path / "classifier.safetensors", classifier)
        statistics = load_file(path / "unknown.safetensors")
        unknown = UnknownDetector(statistics["means"], statistics["precision"], facts["unknown"]["threshold"])
        frames = FrameSettings.model_validate(facts["frames"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CannotDo(
            f"'{path.name}' is not a whole bundle ({type(error).__name__})",
            "give a folder that 'apical bundle' made",
        ) from error
    classifier.eval()
    return Bundle(facts, vocabulary, frames, classifier, unknown)


def _metrics(report: Path, method: str) -> dict[str, Any]:
    """What an evaluation found for one method."""
    try:
        content = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
        figures: dict[str, Any] = next(one for one in content["methods"] if one["method"] == method)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise CannotDo(
            f"the report '{report.name}' says nothing of the method '{method}'",
            "give the folder that 'apical evaluate' made of this run",
        ) from error
    return {"split": content["split"], "patients": content["patients"], "clips": content["clips"], **figures}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
