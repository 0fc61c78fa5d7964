"""What an evaluation and its runs tell of the model and the data, for a page, and for checklists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import polars as pl

from apical.config import JudgeSettings
from apical.judge.evaluation import Evaluation
from apical.judge.runs import Run, without_paths
from apical.judge.tellable import tellable_maker, tellable_mode
from apical.judge.wording import percent

Facts = list[tuple[str, str]]


def model_facts(run: Run, evaluation: Evaluation) -> Facts:
    """(name, value) of what is known of one run's model."""
    settings, environment = without_paths(run.settings), without_paths(run.environment)
    encoder = settings.get("encoder") or {}
    git = environment.get("git") or {}
    packages = environment.get("packages") or {}
    facts = [
        ("method", run.predictions.method),
        (
            "seeds",
            ", ".join(str(one.seed) for one in evaluation.runs if one.method == run.predictions.method),
        ),
        ("network", ", ".join(f"{name} {value}" for name, value in encoder.items()) or "not recorded"),
        ("input", f"{settings['input_size']} px" if "input_size" in settings else "not recorded"),
        ("begins with", start_of(run) or "not recorded"),
        ("steps", str(settings.get("steps", "not recorded"))),
        ("features", f"{run.predictions.features.shape[1]} a clip"),
        ("labelled training patients a view", _budget(run.budget)),
        ("software", ", ".join(f"{name} {value}" for name, value in packages.items()) or "not recorded"),
        ("commit", _commit(git)),
        ("licence of the weights", "not recorded: say so before you share them"),
    ]
    return facts


def start_of(run: Run) -> str | None:
    """What a run's encoder began with; None where its settings do not tell."""
    if "start" not in run.settings:
        return None
    return "a pre-trained encoder" if run.settings["start"] else "random weights"


def data_facts(evaluation: Evaluation) -> Facts:
    """(name, value) of the clips that the runs knew."""
    splits = [
        f"{name}: {size['patients']} patients, {size['clips']} clips, {size['labelled clips']} labelled"
        for name, size in evaluation.splits.items()
    ]
    return [
        ("splits, by patient", "; ".join(splits)),
        ("views", ", ".join(evaluation.views)),
        ("rare views", ", ".join(evaluation.rare) or "none"),
        ("views that no judged clip shows", ", ".join(evaluation.absent) or "none"),
    ]


def catalogue_facts(table: pl.DataFrame) -> Facts:
    """(name, value) of what a catalogue tells of its clips; no path, no person."""
    rate = table["heart_rate"].drop_nulls()
    problems = table["problem"].count()
    facts = [
        ("studies", str(table["study"].drop_nulls().n_unique())),
        ("modes", _counts(table["mode"], tellable_mode)),
        ("manufacturers", _counts(table["manufacturer"], tellable_maker)),
        ("contrast agent", _counts(table["contrast_agent"].cast(pl.String), str)),
        ("clips that cannot be used", f"{problems} of {table.height}"),
    ]
    if len(rate):
        low, middle, high = (rate.quantile(q, "linear") for q in (0.05, 0.5, 0.95))
        facts.append(
            ("heart rate", f"median {middle:.0f} a minute, nine of ten from {low:.0f} to {high:.0f}")
        )
    return facts


def known_items(
    evaluation: Evaluation, run: Run, settings: JudgeSettings, shown: Collection[str]
) -> dict[str, str]:
    """The items of reporting checklists that an evaluation answers, by their key; see `checklists.KEYS`."""
    main = evaluation.deep.method
    figures = next(method for method in evaluation.methods if method.method == main)
    trust = evaluation.probabilities.get(main)
    model = dict(model_facts(run, evaluation))
    splits = dict(data_facts(evaluation))["splits, by patient"]
    rare = ", ".join(evaluation.rare) or "none"
    known = {
        "partitions": f"By patient. {splits}.",
        "disjointness": "No patient stands in two splits; this was checked in the predictions.",
        "counts": "Clips and patients of each view stand in the table of views.",
        "reference_standard": "The label that the catalogue has of a clip; who gave it is not told here.",
        "class_imbalance": f"Rare, with at most half the largest label budget: {rare}.",
        "model": f"{model['network']}; input {model['input']}.",
        "initialisation": f"{model['begins with']}.",
        "training": f"{model['method']}, {model['steps']} steps; all settings under 'How it was made'.",
        "model_selection": "The number of steps is fixed beforehand and the last weights are kept.",
        "software": f"{model['software']}; commit {model['commit']}.",
        "settings": "Under 'How it was made'.",
        "metrics": ", ".join(figures.means) + ".",
        "uncertainty": (
            f"{100 * settings.confidence:g} % intervals ({settings.interval}) from {settings.resamples} "
            "draws of patients; permutation tests with Holm's correction for differences."
        ),
        "test_performance": f"Macro F1 {percent(figures.means['macro F1'])}, {evaluation.split} patients.",
        "view_performance": "F1, precision, recall, AUROC, average precision of each view, with intervals.",
        "failure_analysis": "The confusion matrices"
        + (" and the gallery of clips." if "gallery" in shown else "."),
        "limitations": "Under 'Intended use and limits'.",
        "inference": "A clip's log-probabilities are the mean of its frames' log-probabilities.",
        "inputs": "Grey frames of one clip, cut to the ultrasound sector; nothing else.",
        "internal_testing": f"On {evaluation.patients} {evaluation.split} patients of the same source.",
    }
    if trust:
        known["calibration"] = (
            f"On {trust.validation_patients} validation patients, by {trust.scalings[0]}; calibration error "
            f"{percent(trust.after.error)} points afterwards."
        )
    parts = {
        "robustness": ("robustness", "Figures on corrupted frames."),
        "explained": ("explainability", "Attribution maps with their check, and nearest labelled clips."),
        "slices": ("fairness", "Slices by machine, image and the columns that were named."),
        "unknown": (
            "unusable_input",
            "Clips of none of the views are told by a score; its figures are given.",
        ),
    }
    return known | {key: sentence for section, (key, sentence) in parts.items() if section in shown}


def _budget(budget: dict[str, int] | None) -> str:
    return ", ".join(f"{view} {n}" for view, n in budget.items()) if budget else "not recorded"


def _commit(git: dict[str, Any]) -> str:
    if "commit" not in git:
        return "not recorded"
    changed = git.get("changed_files")
    return f"{git['commit']}{f', {changed} files changed since' if changed else ''}"


def _counts(values: pl.Series, tellable: Callable[[str], str]) -> str:
    """What may be told of values, with how often they stand, the most frequent first."""
    counts = Counter("not known" if value is None else tellable(value) for value in values.to_list())
    return ", ".join(f"{value} {count}" for value, count in counts.most_common())
