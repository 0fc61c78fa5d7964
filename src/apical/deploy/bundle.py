"""The bundle: one folder that holds all a prediction needs, without anything that could run code.

``bundle.json`` names the views, the preprocessing, the calibration and where it all came from;
``classifier.safetensors`` and ``unknown.safetensors`` hold the numbers; ``MODEL_CARD.md`` is for people.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from apical.config import FrameSettings, encoder_settings
from apical.deploy.card import model_card
from apical.deploy.swap import replacing_folder
from apical.errors import CannotDo
from apical.files import cannot_write, write_atomically
from apical.judge.calibration import Scaling
from apical.judge.conformal import Conformal
from apical.judge.probabilities import ERROR_RATE, calibrate_run, of_taught_views
from apical.judge.runs import file_hash
from apical.judge.selective import OperatingPoint
from apical.judge.unknown import UnknownDetector
from apical.judge.unknown_figures import DEFAULT, REFUSED, detector_of
from apical.learn.checkpoint import load_weights, save_weights
from apical.learn.classifier import Classifier
from apical.learn.methods import cosine_of
from apical.learn.predictions import Predictions
from apical.learn.run import RunFolder
from apical.learn.train import load_classifier
from apical.views import Vocabulary

SCHEMA = 3
HASHED = ("classifier.safetensors", "unknown.safetensors")
FILES = {"bundle.json", "MODEL_CARD.md", *HASHED}
UNSEALED = {"version", "facts_sha256", "licence"}  # the licence may be stated in a finished bundle


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
        classifier: with its weights, on the CPU, in evaluation mode.
        unknown: the detector of clips that show none of the views.
    """

    facts: dict[str, Any]
    vocabulary: Vocabulary
    frames: FrameSettings
    scaling: Scaling
    conformal: Conformal
    doubtful_below: float | None
    classifier: Classifier
    unknown: UnknownDetector

    @property
    def input_size(self) -> int:
        """Side of the network's input in pixels."""
        return int(self.facts["input_size"])

    @property
    def model_version(self) -> str:
        """Short name of exactly these weights, thresholds and other facts."""
        return str(self.facts["version"])

    def probabilities(self, log_probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities (n, k) of a classifier's log-probabilities (n, k)."""
        return np.asarray(np.exp(self.scaling(log_probabilities)))


def make_bundle(run: Path, out: Path, *, report: Path | None = None, risk: float = 0.02) -> Bundle:
    """Pack a training run, calibrated on its labelled validation patients.

    Scaling, conformal thresholds, the threshold for `unknown` and the one for doubtful clips all come from
    validation patients, whom training did not see. A bundle at `out` is replaced only when the new one is
    whole.

    Args:
        run: the folder of a finished training.
        out: the folder to make.
        report: a folder of `evaluate`; its figures for this run's method go into the bundle and card.
        risk: the share of wrong views that is wanted among clips that are not doubtful.

    Raises:
        CannotDo: the run is not finished, no validation clip has a label, the report does not judge
            this run, `out` is a file or holds something else than a bundle, or it cannot be written.
    """
    _refuse_other(out)
    classifier, facts, statistics = _packed(run, report, risk)
    with replacing_folder(out) as folder:
        save_weights(folder / "classifier.safetensors", classifier)
        write_atomically(folder / "unknown.safetensors", save(statistics))
        facts["hashes"] = {name: file_hash(folder / name) for name in HASHED}
        facts |= _seal(facts)
        write_atomically(folder / "MODEL_CARD.md", model_card(facts).encode())
        content = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder / "bundle.json", content.encode())
        return open_bundle(folder)


def _refuse_other(out: Path) -> None:
    """Refuse to replace what is not a bundle, or holds more than one."""
    try:
        if not out.exists():
            return
        if not out.is_dir():
            raise CannotDo(f"'{out.name}' is a file, not a folder", "choose another --out")
        names = {file.name for file in out.iterdir()}
    except OSError as error:
        raise cannot_write(out, error) from None
    if names and "bundle.json" not in names:
        raise CannotDo(f"'{out.name}' exists and is not a bundle", "choose another --out")
    if names - FILES:
        raise CannotDo(
            f"'{out.name}' is a bundle, but holds other files too, which would be lost",
            "move them away, or choose another --out",
        )


def _packed(
    run: Path, report: Path | None, risk: float
) -> tuple[Classifier, dict[str, Any], dict[str, NDArray[Any]]]:
    """The classifier, the facts but for hashes, and the arrays of the unknown detector."""
    folder = RunFolder(run)
    classifier, settings, vocabulary = load_classifier(run)
    answers = Predictions.load(folder.predictions)
    taught = classifier.taught.numpy()
    if not len(of_taught_views(answers, "validation")):
        raise CannotDo(
            "no labelled clip of a validation patient shows a view that was taught",
            "label some, or split with a larger --validation, and train again",
        )
    fitted = calibrate_run(answers, risk)
    unknown = detector_of(answers)
    conformal = asdict(fitted.conformal)
    teaching = answers.select(answers.split == "train")
    metrics = _metrics(report, file_hash(folder.predictions)) if report else None
    found = metrics and metrics["unknown"]
    caught = {"none of the views (so labelled)": found["caught"]["value"]} if found else None
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "apical": version("apical"),
        "views": vocabulary.to_records(),
        "taught": [view for view, is_taught in zip(vocabulary.names, taught, strict=True) if is_taught],
        "encoder": settings.encoder.model_dump(),
        "cosine": cosine_of(settings),
        "input_size": settings.input_size,
        "frames": folder.settings()["frames"],
        "parameters": sum(weight.numel() for weight in classifier.parameters()),
        "calibration": asdict(fitted.scaling),
        "temperature": fitted.temperature.value,
        "temperature_at_bound": fitted.temperature.at_bound,
        "conformal": {"error_rate": ERROR_RATE, "enough_patients": conformal.pop("enough"), **conformal},
        "operating_point": asdict(fitted.operating),
        "unknown": {"threshold": unknown.threshold, "refused": REFUSED, "score": DEFAULT, "caught": caught},
        "training": {
            "method": settings.method,
            "seed": settings.seed,
            "patients": len(np.unique(teaching.patient)),
            "clips": len(teaching),
            "label_budget": folder.read_json("budget.json"),
            "environment": folder.read_json("environment.json"),
        },
        "metrics": metrics,
        "licence": None,  # the weights' licence is for whoever trained them to state
        "intended_use": "research only; not a medical device",
    }
    return classifier, facts, {"means": unknown.means, "precision": unknown.precision}


def _seal(facts: dict[str, Any]) -> dict[str, str]:
    """The hash of all facts but `UNSEALED` ones, and the version that follows from it and the files."""
    sealed = {name: value for name, value in facts.items() if name not in UNSEALED}
    of_facts = hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()
    of_files = [facts["hashes"][name] for name in HASHED]
    whole = hashlib.sha256("".join([of_facts, *of_files]).encode()).hexdigest()
    return {"facts_sha256": of_facts, "version": whole[:12]}


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
        if facts["schema"] < SCHEMA:
            raise CannotDo(
                f"the bundle '{path.name}' has schema {facts['schema']}, older than this apical reads",
                "make it again from its run with 'apical bundle'",
            )
        seal = _seal(facts)
        unchanged = {name: file_hash(path / name) == facts["hashes"][name] for name in HASHED}
        unchanged["bundle.json"] = seal == {name: facts[name] for name in seal}
        for name, is_same in unchanged.items():
            if not is_same:
                raise CannotDo(f"{name} of the bundle '{path.name}' was changed", "get the bundle anew")
        vocabulary = Vocabulary.from_records(facts["views"])
        classifier = Classifier.empty(
            encoder_settings(facts["encoder"]), len(vocabulary), cosine=facts.get("cosine")
        )
        load_weights(path / "classifier.safetensors", classifier)
        statistics = load_file(path / "unknown.safetensors")
        unknown = UnknownDetector(statistics["means"], statistics["precision"], facts["unknown"]["threshold"])
        frames = FrameSettings.model_validate(facts["frames"])
        calibration = facts["calibration"]
        scaling = Scaling(calibration["kind"], tuple(calibration["weight"]), tuple(calibration["bias"]))
        conformal = _conformal(facts["conformal"])
        doubtful_below = OperatingPoint(**facts["operating_point"]).used
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CannotDo(
            f"'{path.name}' is not a whole bundle ({type(error).__name__})",
            "give a folder that 'apical bundle' made",
        ) from None
    classifier.eval()
    return Bundle(facts, vocabulary, frames, scaling, conformal, doubtful_below, classifier, unknown)


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


def _metrics(report: Path, predictions: str) -> dict[str, Any]:
    """What an evaluation found for the method of the run whose predictions have this hash."""
    try:
        content = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
        judged = {run["predictions_sha256"]: run["method"] for run in content.get("runs", [])}
        if predictions not in judged:
            raise CannotDo(
                f"the report '{report.name}' does not judge this run",
                "give the folder that 'apical evaluate' made of this run, or evaluate it anew",
            )
        of_method = {figures["method"]: figures for figures in content["methods"]}
        figures: dict[str, Any] = of_method[judged[predictions]]
        about = {name: content[name] for name in ("split", "patients", "clips")}
        deep = content["deep"]
        unknown = deep["unknown"] if deep["method"] == figures["method"] else None
        return {**about, "confidence": content["settings"]["confidence"], "unknown": unknown, **figures}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotDo(
            f"the report '{report.name}' cannot be read ({type(error).__name__})",
            "give a folder that 'apical evaluate' made",
        ) from None
