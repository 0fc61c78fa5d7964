"""The model card: what a bundle is, how it was made and how good it is, from the bundle's facts alone.

What the facts do not have is said to be not recorded. The sections follow Mitchell et al., "Model cards for
model reporting" (FAT* 2019, arXiv 1810.03993); the block at the beginning is for model hubs.

Limits: a card cannot know who the training patients were or who may use the model; it says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from apical.judge.report.cards import front_matter, licence_fields, markdown_table

Facts = Mapping[str, Any]

NOT_RECORDED = "not recorded"
_SCALINGS = {
    "none": "as the network gives them; cross-validation found no better scaling",
    "temperature": "scaled by one temperature",
    "vector": "scaled by a weight and a bias for each view",
}


def model_card(facts: Facts) -> str:
    """Markdown, in the form model hubs accept.

    Args:
        facts: of ``bundle.json``. Needed are ``version`` and ``taught``; of the others these are read:

            - ``apical``, ``intended_use``, ``licence``, ``encoder``, ``parameters`` (number of weights),
              ``input_size``, ``frames``;
            - ``training``: ``method``, ``seed``, ``patients`` and ``clips`` (numbers), ``label_budget``,
              ``environment``;
            - ``metrics``, as `apical.deploy.packing.make_bundle` takes them from an evaluation;
            - ``calibration`` (fields of `apical.judge.calibration.Scaling`), ``temperature``,
              ``temperature_at_bound``;
            - ``conformal`` (fields of `apical.judge.conformal.Conformal`, and ``error_rate``; ``enough`` may
              be called ``enough_patients``);
            - ``operating_point`` (fields of `apical.judge.selective.OperatingPoint`);
            - ``unknown``: ``refused``, ``score`` (its name), ``caught`` (share of unknown clips that are
              found out, by what they show).
    """
    parts = [
        f"# Echocardiographic view classifier {facts['version']}",
        "**Research software, not a medical device.** Not for diagnosis or for any decision about a patient.",
        "## What it does",
        _what_it_does(facts),
        "## Intended use",
        _intended_use(facts),
        "## How it was made",
        _how_it_was_made(facts),
        "## How good it is",
        _how_good(facts.get("metrics")),
        "## Calibration",
        _calibration(facts),
        "## Sets of views",
        _sets(facts),
        "## Answering only when sure",
        _operating_point(facts.get("operating_point")),
        "## Unknown clips",
        _unknown(facts.get("unknown") or {}),
        "## Limits",
        _LIMITS,
        "## Environment",
        _environment(facts),
    ]
    return front_matter(_fields(facts)) + "\n" + "\n\n".join(parts) + "\n"


_LIMITS = """\
- The figures hold for patients and machines like those it was judged on, and for nothing else.
- Its views are the only ones that it can name; another view is at best called unknown.
- It looks at one clip at a time, and says nothing of its quality, of function or of disease.
- Contrast agent is reported as file tags tell. What it says of that from pixels, if it was taught to, was not
  judged."""


def _fields(facts: Facts) -> dict[str, Any]:
    """For hubs; see `apical.judge.report.cards`."""
    many = (facts.get("frames") or {}).get("frames_per_clip", 1) > 1
    task = "video-classification" if many else "image-classification"
    licence = facts.get("licence")
    fields = {
        **licence_fields(licence or "not stated"),
        "library_name": "apical",
        "pipeline_tag": task,
        "tags": ["echocardiography", "ultrasound", "medical", "view-classification", "contrastive-learning"],
    }
    metrics = facts.get("metrics")
    if metrics is None:
        return fields
    found = [
        {"type": _metric_type(name), "name": name, "value": figure["value"]}
        for name, figure in metrics["means"].items()
        if _is_number(figure["value"])
    ]
    result = {
        "task": {"type": task, "name": "naming echocardiographic views"},
        "dataset": {"type": "not-named", "name": "not named", "split": metrics["split"]},
        "metrics": found,
    }
    name = f"echocardiographic view classifier {facts['version']}"
    return fields | {"model-index": [{"name": name, "results": [result] if found else []}]}


def _metric_type(name: str) -> str:
    """The hub's identifier of a figure: ``f1`` and ``accuracy`` are its own; others are named as here."""
    return "f1" if name.endswith("F1") else name.lower().replace(" ", "-")


def _what_it_does(facts: Facts) -> str:
    frames = facts.get("frames") or {}
    return (
        f"Names the view of an echocardiogram clip as one of {len(facts['taught'])} views, gives a "
        "calibrated probability and a set of views, or says that the clip is unknown.\n\n"
        f"Views it was taught: {', '.join(facts['taught'])}.\n\n"
        f"It looks at {frames.get('frames_per_clip', NOT_RECORDED)} frames of a clip (sampling: "
        f"{frames.get('sampling', NOT_RECORDED)}), made {frames.get('size', NOT_RECORDED)} pixels wide and "
        f"high and cropped to {facts.get('input_size', NOT_RECORDED)}."
    )


def _intended_use(facts: Facts) -> str:
    return (
        f"{facts.get('intended_use') or NOT_RECORDED}.\n\n"
        "For sorting clips by view in research, with a person looking at what matters. Out of scope: "
        "diagnosis, measurement, choosing a treatment, use without people who look, patients and machines "
        "unlike those it was judged on.\n\n"
        f"Licence: {facts.get('licence') or NOT_RECORDED + ', so ask before you use it'}."
    )


def _how_it_was_made(facts: Facts) -> str:
    training = facts.get("training") or {}
    weights = facts.get("parameters")
    rows = [
        ("method", training.get("method", NOT_RECORDED)),
        ("seed", training.get("seed", NOT_RECORDED)),
        ("network", _network(facts["encoder"]) if facts.get("encoder") else NOT_RECORDED),
        ("weights", NOT_RECORDED if weights is None else f"{weights:,}"),
        ("training patients", training.get("patients", NOT_RECORDED)),
        ("training clips", training.get("clips", NOT_RECORDED)),
    ]
    budget = training.get("label_budget")
    labels = (
        f"Label budget: {NOT_RECORDED}."
        if not budget
        else "Labelled training patients a view:\n\n" + markdown_table(["view", "patients"], budget.items())
    )
    return (
        "Which data it learned from, who the patients were, and who labelled their clips is not recorded "
        f"here: say so before you share it.\n\n{markdown_table(['what', 'value'], rows)}\n\n{labels}"
    )


def _network(settings: Mapping[str, Any]) -> str:
    """Its kind, and its other settings in brackets."""
    others = [
        f"{name} {_network(value) if isinstance(value, Mapping) else value}"
        for name, value in settings.items()
        if name != "kind"
    ]
    kind = settings.get("kind", "")
    return f"{kind} ({', '.join(others)})".strip() if others else str(kind)


def _how_good(metrics: Facts | None) -> str:
    if metrics is None:
        return "Not judged: no evaluation was given when this bundle was made."
    seeds = ", ".join(map(str, metrics["seeds"]))
    text = (
        f"On {metrics['clips']} labelled clips of {metrics['patients']} {metrics['split']} patients, mean of "
        f"the seeds {seeds} of this method; intervals over patients:\n\n"
        f"{_figures('figure', metrics['means'], metrics['confidence'])}"
    )
    of_views = metrics.get("view_f1")
    return text + (f"\n\n{_figures('F1 of', of_views, metrics['confidence'])}" if of_views else "")


def _figures(head: str, figures: Mapping[str, Facts], confidence: float) -> str:
    rows = [
        (name, _shown(one["value"]), f"{_shown(one['low'])} to {_shown(one['high'])}")
        for name, one in figures.items()
    ]
    return markdown_table([head, "value", f"{100 * confidence:g} % interval"], rows)


def _calibration(facts: Facts) -> str:
    temperature = facts.get("temperature")
    kind = (facts.get("calibration") or {}).get("kind") or (None if temperature is None else "temperature")
    if kind is None:
        return f"How probabilities were calibrated is {NOT_RECORDED}."
    patients = (facts.get("conformal") or {}).get("patients")
    who = f"{patients} validation patients"
    if patients is None:
        who = f"validation patients (how many is {NOT_RECORDED})"
    text = f"Calibrated on {who}, whom training did not see: probabilities are "
    text += _SCALINGS[kind]
    text += "" if temperature is None else f" (best temperature {temperature:.2f}{_at_bound(facts)})"
    return text + ". They hold for clips of the views that it was taught."


def _at_bound(facts: Facts) -> str:
    at_bound = facts.get("temperature_at_bound")
    return ", at the end of the allowed range: do not trust it" if at_bound else ""


def _sets(facts: Facts) -> str:
    conformal = facts.get("conformal")
    if not conformal:
        return f"What sets of views promise is {NOT_RECORDED}."
    text = (
        f"The set holds the true view in {100 * (1 - conformal['error_rate']):.0f} % of the clips that show "
        "a view it was taught, of patients like the validation patients, each patient weighing the same."
    )
    if not conformal.get("enough_patients", conformal.get("enough")):
        text += (
            f" The {conformal['patients']} validation patients are too few for the promised coverage, so "
            "every set holds every view."
        )
    promised = sum(conformal.get("promised") or ())
    if promised:
        text += f" For {promised} of {len(facts['taught'])} views this is promised of their own clips, too."
    return text


def _operating_point(point: Facts | None) -> str:
    if not point:
        return f"From which probability on an answer may be trusted is {NOT_RECORDED}."
    promise = (
        f"at most {100 * point['risk']:g} % of the answered clips of new patients like them are wrong, each "
        f"patient weighing the same, but for a chance of {100 * point['failure']:g} %"
    )
    if point["threshold"] is None:
        return (
            f"On {point['patients']} validation patients no threshold on the probability was found with "
            f"which {promise}. This takes {point['needed']} patients at least, even if all answers are right."
            + _seen(point)
        )
    return (
        f"Clips named with a probability of at least {point['threshold']:.3f} may be answered: {promise}. "
        f"Found on {point['patients']} validation patients, of whose clips {100 * point['answered']:.0f} % "
        "are answered."
    )


def _seen(point: Facts) -> str:
    if point.get("seen") is None:
        return ""
    return (
        f" Clips named with a probability below {point['seen']:.3f} are called doubtful: of the validation "
        "clips above it no more were wrong, which promises nothing."
    )


def _unknown(unknown: Facts) -> str:
    score = f" Its score is *{unknown['score']}*." if unknown.get("score") else ""
    if "refused" not in unknown:
        return f"How many clips of taught views are called unknown is {NOT_RECORDED}.{score}"
    text = (
        f"The threshold of the detector lets {100 * (1 - unknown['refused']):.0f} % of held-out clips of "
        f"taught views pass.{score}"
    )
    caught = unknown.get("caught")
    if not caught:
        return text + " How many clips of other kinds it catches was not measured."
    rows = [(what, f"{100 * share:.0f} %") for what, share in caught.items()]
    return f"{text} It catches of other clips:\n\n{markdown_table(['they show', 'caught'], rows)}"


def _environment(facts: Facts) -> str:
    found = (facts.get("training") or {}).get("environment") or {}
    git = found.get("git")
    rows = [
        ("apical", facts.get("apical", NOT_RECORDED)),
        ("python", found.get("python", NOT_RECORDED)),
        ("system", found.get("system", NOT_RECORDED)),
        ("GPU", (found["gpu"] or "none") if "gpu" in found else NOT_RECORDED),
        ("git commit", git["commit"] if git else NOT_RECORDED),
        ("files changed since", git["changed_files"] if git and "changed_files" in git else NOT_RECORDED),
        *((name, number) for name, number in (found.get("packages") or {}).items() if name != "apical"),
    ]
    return markdown_table(["what", "version"], rows)


def _shown(value: float | None) -> str:
    return f"{value:.3f}" if value is not None and _is_number(value) else "–"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
