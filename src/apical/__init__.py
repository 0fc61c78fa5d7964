"""Apical: names the view of an echocardiogram clip from very few labels.

The functions here are the verbs of the command line. Each is imported when first used, so that
``import apical`` is quick. Settings are in `apical.config`, errors in `apical.errors`.

Research software, not a medical device.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apical.catalogue import limit_labels, read_catalogue, split_patients, write_catalogue
    from apical.demo import run_demo
    from apical.deploy.exporting import export_bundle
    from apical.deploy.packing import make_bundle
    from apical.deploy.predict import predict
    from apical.ingest.deidentify import deidentify
    from apical.ingest.frames import build_frames
    from apical.ingest.inspect import inspect
    from apical.ingest.labels import import_labels
    from apical.ingest.scan import scan
    from apical.judge.compare import compare
    from apical.judge.evaluate import evaluate
    from apical.judge.protocol import run_study
    from apical.learn.next_labels import next_labels
    from apical.learn.pretrain import pretrain
    from apical.learn.suspects import check_labels
    from apical.learn.train import train
    from apical.phantom.study import write_phantom
    from apical.views import Vocabulary, standard_vocabulary

_HOME = {
    "Vocabulary": "views",
    "build_frames": "ingest.frames",
    "check_labels": "learn.suspects",
    "compare": "judge.compare",
    "deidentify": "ingest.deidentify",
    "evaluate": "judge.evaluate",
    "export_bundle": "deploy.exporting",
    "import_labels": "ingest.labels",
    "inspect": "ingest.inspect",
    "limit_labels": "catalogue",
    "make_bundle": "deploy.packing",
    "next_labels": "learn.next_labels",
    "predict": "deploy.predict",
    "pretrain": "learn.pretrain",
    "read_catalogue": "catalogue",
    "run_demo": "demo",
    "run_study": "judge.protocol",
    "scan": "ingest.scan",
    "split_patients": "catalogue",
    "standard_vocabulary": "views",
    "train": "learn.train",
    "write_catalogue": "catalogue",
    "write_phantom": "phantom.study",
}
__all__ = [
    "Vocabulary",
    "build_frames",
    "check_labels",
    "compare",
    "deidentify",
    "evaluate",
    "export_bundle",
    "import_labels",
    "inspect",
    "limit_labels",
    "make_bundle",
    "next_labels",
    "predict",
    "pretrain",
    "read_catalogue",
    "run_demo",
    "run_study",
    "scan",
    "split_patients",
    "standard_vocabulary",
    "train",
    "write_catalogue",
    "write_phantom",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'apical' has no attribute '{name}'")
    value = getattr(import_module(f"apical.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
