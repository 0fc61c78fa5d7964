"""The model card, written from the facts of a bundle."""

from __future__ import annotations

from typing import Any

_TEMPLATE = """\
---
library_name: apical
tags: [echocardiography, ultrasound, view-classification, contrastive-learning]
---

# Echocardiographic view classifier {version}

**Research software, not a medical device.** Not for diagnosis or for any decision about a patient.

## What it does

Names the view of an echocardiogram clip as one of {count} views, gives a calibrated probability and
the set of views that holds the true one in {coverage:.0f} % of the clips that show a view it was taught,
or says that the clip is unknown.

Views it was taught: {taught}.

## How it was made

Which data it learned from is not recorded here: say so before you share it.

Method *{method}*, seed {seed}, apical {apical}. Labelled training patients a view:

| view | patients |
|---|---|
{budget}

## How good it is

{metrics}

Calibrated on {patients} validation patients (temperature {temperature:.2f}{at_bound}).{few}

## Limits

- The figures hold for patients and machines like those it was judged on, and for nothing else.
- The unknown detector's threshold lets {kept:.0f} % of held-out clips of taught views pass; how many clips
  of other kinds it catches was not measured.
- Contrast agent is reported from file tags only; it is not read from the image.
"""


def model_card(facts: dict[str, Any]) -> str:
    """Markdown, in the form model hubs accept."""
    conformal = facts["conformal"]
    budget = facts["training"]["label_budget"]
    few = (
        ""
        if conformal["enough_patients"]
        else " These are too few for the promised coverage, so every set holds every view."
    )
    return _TEMPLATE.format(
        version=facts["version"],
        count=len(facts["taught"]),
        coverage=100 * (1 - conformal["error_rate"]),
        taught=", ".join(facts["taught"]),
        method=facts["training"]["method"],
        seed=facts["training"]["seed"],
        apical=facts["apical"],
        budget="\n".join(f"| {view} | {patients} |" for view, patients in budget.items()),
        metrics=_metrics_text(facts["metrics"]),
        patients=conformal["patients"],
        temperature=facts["temperature"],
        at_bound=", at the end of the allowed range: do not trust it"
        if facts["temperature_at_bound"]
        else "",
        few=few,
        kept=100 * (1 - facts["unknown"]["refused"]),
    )


def _metrics_text(metrics: dict[str, Any] | None) -> str:
    if metrics is None:
        return "Not judged: no evaluation was given when this bundle was made."
    rows = [
        f"| {name} | {_shown(figure['value'])} | {_shown(figure['low'])} to {_shown(figure['high'])} |"
        for name, figure in metrics["means"].items()
    ]
    seeds = ", ".join(map(str, metrics["seeds"]))
    head = (
        f"On {metrics['clips']} labelled clips of {metrics['patients']} {metrics['split']} patients, mean of "
        f"the seeds {seeds} of this method; intervals over patients:\n\n"
        f"| figure | value | {100 * metrics['confidence']:g} % interval |\n|---|---|---|\n"
    )
    return head + "\n".join(rows)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
