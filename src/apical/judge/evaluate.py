"""From runs to figures, a verdict and a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from apical.catalogue import read_catalogue
from apical.config import JudgeSettings
from apical.errors import CannotDo, WrongCall
from apical.files import write_atomically
from apical.judge.again import call_witnesses
from apical.judge.deep import Beside, judge_deep
from apical.judge.evaluation import Evaluation, JudgedRun
from apical.judge.figures import judge_methods, rare_among, sample_methods
from apical.judge.probabilities import ProbabilityFigures, judge_probabilities
from apical.judge.report.dataset_card import dataset_card
from apical.judge.report.explained import explain
from apical.judge.report.facts import catalogue_facts
from apical.judge.report.page import Extras, write_report
from apical.judge.report.pictures import store_thumbnails
from apical.judge.runs import Run, judged_runs, read_run, split_sizes, with_common_seeds
from apical.judge.verdict import verdict
from apical.learn.predictions import Predictions
from apical.learn.run import RunFolder


def evaluate(
    runs: Sequence[Path],
    out: Path,
    settings: JudgeSettings = JudgeSettings(),
    *,
    baseline: str | None = "naive",
    subject: str | None = None,
    split: Literal["validation", "test"] = "test",
    title: str = "Naming echocardiographic views from few labels",
    store: Path | None = None,
    catalogue: Path | None = None,
    truth: Path | None = None,
    study: Path | None = None,
    corruptions: bool = False,
    explanations: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Judge runs on the same labelled clips; write ``metrics.json`` and ``report.html`` into `out`.

    Runs of one method with different seeds are judged together; of several methods, only the runs with
    seeds that all of them have are judged, and the verdict says so. Every interval comes from drawing
    patients; see `apical.judge.intervals` for what it covers.

    Args:
        runs: run folders; see `apical.judge.runs.Run` for what is read.
        out: a folder, made if needed; files in it of the same names are replaced.
        settings: how to judge.
        baseline: the method to compare others with; nothing is compared if no run has this name.
        subject: the method that is looked at more closely; by default that of the last run that is not the
            baseline's. It is not chosen by how good it is.
        split: whose labelled clips to judge on.
        title: the headline of the report.
        store: frame store of the clips, for pictures, single frames and how images look.
        catalogue: of the clips, for studies, machines and patient groups, and a ``DATASET_CARD.md``; labels
            and splits are not taken from it.
        truth: the ``truth.csv`` of a phantom, for figures by how far the probe missed the view.
        study: folder of a finished study, whose label-efficiency curve is shown.
        corruptions: ask about corrupted frames too, which takes as long as some thirty predictions of all
            judged clips.
        explanations: how many decisions to explain by attribution maps and neighbours (needs captum).
        progress: called with steps done and in all while corrupted frames are asked about.

    Raises:
        WrongCall: no runs, two of the same method and seed, no run of the subject or baseline, or something
            was asked for that needs a store or a catalogue which is not given.
        PatientOverlap: a patient stands in more than one split.
        CannotDo: a run, the store or the catalogue cannot be read, no labelled clip in the split, or runs
            that cannot be compared (no training seed in common, other clips or views).
    """
    for wished, there, what, option in (
        (corruptions, store, "corrupted frames need a frame store", "--store"),
        (explanations, store, "explanations need a frame store", "--store"),
        (settings.by, catalogue, "slices by a column need a catalogue", "--catalogue"),
        (truth, catalogue, "plane errors need the catalogue of the phantom", "--catalogue"),
    ):
        if wished and there is None:
            raise WrongCall(what, f"give it with {option}")
    thumbnails = store_thumbnails(store) if store else None
    table = read_catalogue(catalogue) if catalogue else None
    read = [(Path(folder), read_run(Path(folder))) for folder in runs]
    loaded, left_out = with_common_seeds([run for _, run in read])
    judged = judged_runs(loaded, split)
    first = judged[0]
    budget = next((run.budget for run in loaded if run.budget is not None), None)
    rare = rare_among(first, budget)
    present = baseline if any(predictions.method == baseline for predictions in judged) else None
    if present is None and baseline not in (None, "naive"):
        raise WrongCall(f"there is no run of the baseline '{baseline}'", _one_of(judged))
    if table is not None and not np.isin(first.clip, table["clip"].to_numpy()).any():
        raise CannotDo(
            "the catalogue holds none of the judged clips", "give the catalogue that the runs were trained on"
        )
    chosen = _subject(judged, subject, present)
    methods = judge_methods(sample_methods(judged, settings, rare=rare), baseline=present)
    sentences = verdict(methods, baseline=present, rare=rare, confidence=settings.confidence)
    of_subject = [
        (folder, run)
        for folder, run in read
        if run.predictions.method == chosen and any(run is one for one in loaded)
    ]
    folders = [folder for folder, _ in of_subject]
    kept = all(RunFolder(folder).classifier.exists() for folder in folders)
    witnesses = call_witnesses(folders, store, split) if store and kept else []
    deep = judge_deep(
        folders,
        [run for _, run in of_subject],
        split,
        rare,
        Beside(store, witnesses, table, truth, corruptions, explanations),
        settings,
        progress or (lambda done, total: None),
    )
    probabilities = {} if split == "validation" else _probabilities(loaded, split, settings)
    if chosen not in probabilities:
        need = {"calibration and sets": "labelled validation patients, and test patients to judge"}
        deep = replace(deep, missing=deep.missing | need)
    support = _support(first)
    evaluation = Evaluation(
        split=split,
        runs=tuple(
            JudgedRun(run.predictions.method, run.predictions.seed, run.predictions_sha256) for run in loaded
        ),
        views=first.views,
        support=support,
        absent=tuple(view for view, (clips, _) in support.items() if not clips),
        patients=len(np.unique(first.patient)),
        clips=len(first),
        splits=split_sizes(loaded[0].predictions),
        budget=budget,
        rare=rare,
        baseline=present,
        methods=methods,
        probabilities=probabilities,
        deep=deep,
        verdict=sentences + ((left_out,) if left_out else ()),
        metrics_file=Path(out) / "metrics.json",
        report_file=Path(out) / "report.html",
    )
    explained = None
    if explanations and witnesses and thumbnails:
        explained = explain(witnesses[0], of_subject[0][1].predictions, thumbnails, explanations)
    figures = evaluation.facts() | {"settings": settings.model_dump(mode="json")}
    write_atomically(evaluation.metrics_file, json.dumps(figures, indent=1, ensure_ascii=False).encode())
    if table is not None:
        card = dataset_card(table, first.views, title="Echocardiogram clips")
        write_atomically(Path(out) / "DATASET_CARD.md", card.encode())
    extras = Extras(
        thumbnails=thumbnails,
        explained=explained,
        study=study,
        data_card=table is not None,
        catalogue_facts=() if table is None else tuple(catalogue_facts(table)),
    )
    write_report(evaluation, loaded, judged, settings, title=title, extras=extras)
    return evaluation


def _subject(judged: Sequence[Predictions], asked: str | None, baseline: str | None) -> str:
    """The method that is looked at more closely."""
    methods = list(dict.fromkeys(run.method for run in judged))
    if asked is None:
        return next((method for method in reversed(methods) if method != baseline), methods[0])
    if asked not in methods:
        raise WrongCall(f"there is no run of '{asked}'", _one_of(judged))
    return asked


def _one_of(judged: Sequence[Predictions]) -> str:
    return f"name one of {', '.join(dict.fromkeys(run.method for run in judged))}"


def _probabilities(runs: Sequence[Run], split: str, settings: JudgeSettings) -> dict[str, ProbabilityFigures]:
    """Of each method, but for those without clips to calibrate on."""
    answers = [run.predictions for run in runs]
    methods = dict.fromkeys(run.method for run in answers)
    figures = {
        method: judge_probabilities([run for run in answers if run.method == method], split, settings)
        for method in methods
    }
    return {method: figure for method, figure in figures.items() if figure is not None}


def _support(judged: Predictions) -> dict[str, tuple[int, int]]:
    return {
        view: (int((judged.label == i).sum()), len(np.unique(judged.patient[judged.label == i])))
        for i, view in enumerate(judged.views)
    }
