"""Packing a bundle: a training run, calibrated on patients whom training did not see."""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from apical.deploy.bundle import (
    CARD,
    CLASSIFIER,
    FACTS,
    FILES,
    HASHED,
    ONNX,
    SCHEMA,
    UNKNOWN,
    Bundle,
    open_bundle,
    seal,
)
from apical.deploy.card import model_card
from apical.deploy.content import Content, sha256, zip_folder
from apical.deploy.swap import replacing_folder
from apical.errors import CannotDo
from apical.files import cannot_write, write_atomically
from apical.judge.probabilities import ERROR_RATE, calibrate_run, of_taught_views
from apical.judge.runs import file_hash
from apical.judge.unknown_figures import DEFAULT, REFUSED, detector_of
from apical.learn.checkpoint import weights_of
from apical.learn.classifier import Classifier
from apical.learn.methods import cosine_of
from apical.learn.predictions import Predictions
from apical.learn.run import RunFolder
from apical.learn.train import load_classifier


def make_bundle(run: Path, out: Path, *, report: Path | None = None, risk: float = 0.02) -> Bundle:
    """Pack a training run, calibrated on its labelled validation patients.

    Scaling, conformal thresholds, the threshold for `unknown` and the one for doubtful clips all come from
    validation patients, whom training did not see. A bundle at `out` is replaced only when the new one is
    whole.

    Args:
        run: the folder of a finished training.
        out: the folder to make, or a zip if it ends in .zip.
        report: a folder of `evaluate`; its figures for this run's method go into the bundle and card.
        risk: the share of wrong views that is wanted among clips that are not doubtful.

    Raises:
        CannotDo: the run is not finished, no validation clip has a label, the report does not judge
            this run, `out` is a file or holds something else than a bundle, or it cannot be written.
    """
    _refuse_other(out)
    classifier, facts, statistics = _packed(run, report, risk)
    files = {CLASSIFIER: weights_of(classifier), UNKNOWN: save(statistics)}
    facts["hashes"] = {name: sha256(data) for name, data in files.items()}
    facts |= seal(facts)
    files |= {CARD: model_card(facts).encode(), FACTS: _json(facts)}
    return _write_bundle(files, out)


def add_export(path: Path, onnx: bytes, about: dict[str, Any]) -> Bundle:
    """Put a network for quick runtimes into a bundle, in one step; its version stays.

    Args:
        path: the bundle, a folder or a zip.
        onnx: from `apical.deploy.export.export_onnx`.
        about: what is said of it, beside its hash.

    Raises:
        CannotDo: the bundle is not whole, holds other files too, or cannot be written.
    """
    bundle = open_bundle(path)
    _refuse_other(path)
    content = Content(path)
    files = {name: content.read(name) for name in HASHED}
    files[CARD] = content.read(CARD) if CARD in content.names() else model_card(bundle.facts).encode()
    exports = {ONNX: {"sha256": sha256(onnx), **about}}
    facts = bundle.facts | {"exports": exports}
    return _write_bundle({**files, ONNX: onnx, FACTS: _json(facts)}, path)


def _json(facts: dict[str, Any]) -> bytes:
    return (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()


def _write_bundle(files: dict[str, bytes], out: Path) -> Bundle:
    """Write the files of a bundle in one step, and open it, which checks that it is whole."""
    if out.is_file() or out.suffix.lower() == ".zip":
        with tempfile.TemporaryDirectory() as folder:
            _write_files(files, Path(folder))
            opened = open_bundle(Path(folder))
            zip_folder(Path(folder), out)
            return opened
    with replacing_folder(out) as new:
        _write_files(files, new)
        return open_bundle(new)


def _write_files(files: dict[str, bytes], folder: Path) -> None:
    for name, data in files.items():
        write_atomically(folder / name, data)


def _refuse_other(out: Path) -> None:
    """Refuse to replace what is not a bundle, or holds more than one."""
    try:
        if not out.exists():
            return
        if zipfile.is_zipfile(out):
            names = Content(out).names()
        elif not out.is_dir():
            raise CannotDo(f"'{out.name}' is a file, not a folder", "choose another place")
        else:
            names = {file.name for file in out.iterdir()}
    except OSError as error:
        raise cannot_write(out, error) from None
    if names and FACTS not in names:
        raise CannotDo(f"'{out.name}' exists and is not a bundle", "choose another place")
    if names - FILES:
        raise CannotDo(
            f"'{out.name}' is a bundle, but holds other files too, which would be lost",
            "move them away, or choose another place",
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
