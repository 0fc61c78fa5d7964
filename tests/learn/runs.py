"""What tests of pre-training share: short runs, and ways to stop them."""

import torch
import torch._dynamo.utils
from safetensors.torch import load_file

from apical.config import ObjectiveSettings
from apical.learn.pretrain import pretrain


class Stopped(Exception):
    """Stands in for a power cut."""


def stop_after(step):
    """For `progress`: the power goes when so many steps are done."""

    def stop(done, total):
        if done == step:
            raise Stopped

    return stop


def same_weights(one, other):
    first, second = (load_file(run / "encoder.safetensors") for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def start(exams, out, settings, **options):
    return pretrain(exams / "frames", exams / "catalogue.parquet", out, settings, **options)


def method_settings(few_steps, method, **changes):
    objective = ObjectiveSettings(method=method, **({"queue": 16} if method == "moco" else {}))
    return few_steps.model_copy(update={"objective": objective, "checkpoint_minutes": 0, **changes})
