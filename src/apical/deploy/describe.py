"""What is in a bundle, in a few lines for people."""

from __future__ import annotations

from apical.deploy.bundle import ONNX, Bundle


def bundle_lines(bundle: Bundle) -> list[str]:
    """A line for each thing worth knowing; all of it is in ``bundle.json``."""
    facts = bundle.facts
    training, unknown = facts["training"], facts["unknown"]
    encoder = " ".join(f"{name} {value}" for name, value in facts["encoder"].items() if name != "kind")
    untaught = [name for name in bundle.vocabulary.names if name not in facts["taught"]]
    rows = {
        "bundle": f"{bundle.model_version} (schema {facts['schema']}, made by apical {facts['apical']})",
        "views": " ".join(facts["taught"]),
        "never taught": " ".join(untaught) or "none",
        "network": f"{facts['encoder']['kind']} ({encoder}), {facts['parameters']:,} weights, "
        f"input {bundle.input_size} pixels",
        "frames": f"{bundle.frames.frames_per_clip} a clip at most, {bundle.frames.sampling}, "
        f"{bundle.frames.size} pixels",
        "training": f"{training['method']}, seed {training['seed']}, {training['clips']} clips of "
        f"{training['patients']} patients",
        "calibration": f"{bundle.scaling.kind}; sets miss the view in {facts['conformal']['error_rate']:.0%} "
        f"of the clips, from {bundle.conformal.patients} validation patients",
        "doubtful": "every clip" if bundle.doubtful_below is None else f"below {bundle.doubtful_below:.2f}",
        "unknown": f"score above {unknown['threshold']:.4g} ({unknown['score']})",
        "figures": _figures(facts["metrics"]),
        "export": "network.onnx" if ONNX in facts.get("exports", {}) else "none ('apical export' adds one)",
        "licence": facts["licence"] or "not stated",
        "use": facts["intended_use"],
    }
    return [f"{name:14}{value}" for name, value in rows.items()]


def _figures(metrics: dict[str, object] | None) -> str:
    if metrics is None:
        return "not judged"
    means = metrics["means"]
    assert isinstance(means, dict)
    return "; ".join(
        f"{name} {figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"
        for name, figure in means.items()
        if figure["value"] is not None
    )
