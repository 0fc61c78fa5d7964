"""Files in, answers out, through the same preparation as in training."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from apical.deploy.answers import Answer
from apical.deploy.bundle import Bundle, open_bundle
from apical.errors import ClipProblem, OtherMode, WrongCall
from apical.ingest.clip import open_clip
from apical.ingest.places import as_place
from apical.ingest.prepare import prepare
from apical.ingest.walk import Found, walk
from apical.learn.backbones import channels_last
from apical.learn.classifier import classify_clip


def predict(
    files: Sequence[Path], bundle: Path | Bundle, *, progress: Callable[[int, int], None] | None = None
) -> list[Answer]:
    """Name the view of each clip.

    Args:
        files: files, and folders and zip archives to walk as `scan` does.
        bundle: a bundle or its folder.
        progress: called after each file with files done and in all.

    Returns:
        one answer a file, in order. A file that cannot be used has a `problem`, never an exception;
        one that shows no 2-D image (Doppler, M-mode) has its `mode` and no view.

    Raises:
        WrongCall: a file does not exist, or there is nothing to answer.
        CannotDo: the bundle cannot be used.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    found: list[Found] = []
    for number, path in enumerate(files, start=1):
        if not os.path.exists(path):
            raise WrongCall(f"there is no file at argument {number}", "check its path")
        found += walk(as_place(path)) if path.is_dir() or path.suffix == ".zip" else [Found(str(path))]
    if not found:
        raise WrongCall(
            "there is no file to answer in what was given", "give files, or a folder that holds some"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    channels_last(opened.classifier).to(device)
    answers = []
    for number, one in enumerate(found, start=1):
        answers.append(_answer(number, one, opened, device))
        if progress is not None:
            progress(number, len(found))
    return answers


def _answer(number: int, found: Found, bundle: Bundle, device: torch.device) -> Answer:
    """The answer for one file; see `Answer` for the meaning of its fields."""
    answer = Answer(number, found.place, model=bundle.model_version)
    if found.problem is not None:
        return replace(answer, problem=found.problem)
    try:
        clip = open_clip(found.place)
        answer = replace(answer, clip=clip.facts.clip, contrast_agent=clip.facts.contrast_agent)
        prepared = prepare(clip, bundle.frames)
    except OtherMode as other:
        return replace(answer, mode=other.mode)
    except ClipProblem as problem:
        return replace(answer, problem=str(problem))
    said = classify_clip(bundle.classifier, prepared.frames, bundle.input_size, device)
    probability = bundle.probabilities(said.log_probabilities)
    order = probability[0].argsort()[::-1]
    names = np.array(bundle.vocabulary.names)
    credible = bundle.conformal.sets(probability)[0]
    sure = bundle.doubtful_below is not None and probability[0, order[0]] >= bundle.doubtful_below
    agent = bundle.classifier.agent_probability(said.features)[0]
    unknown = bool(bundle.unknown.unknown(said.features)[0])
    return replace(
        answer,
        view=None if unknown else str(names[order[0]]),
        probability=float(probability[0, order[0]]),
        likeliest=str(names[order[0]]),
        views=tuple(str(name) for name in names[order][credible[order]]),
        unknown=unknown,
        doubtful=not sure,
        contrast_agent_probability=None if np.isnan(agent) else float(agent),
        unknown_score=float(bundle.unknown.score(said.features)[0]),
        mode=prepared.mode,
        frames_used=tuple(int(n) for n in prepared.numbers),
    )
