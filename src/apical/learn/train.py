"""A view classifier from few labels, by any of the methods."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apical.config import EITHER, NEEDS_ENCODER, ClipEncoderSettings, PretrainSettings, TrainSettings
from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.learn.backbones import build_encoder, channels_last
from apical.learn.checkpoint import load_weights, save_weights
from apical.learn.classifier import Classifier, classify_clips
from apical.learn.clips import SHOWS_NONE, Clips, load_clips
from apical.learn.device import fabric_on
from apical.learn.exams import has_exams, name_exams
from apical.learn.fitting import Trainer
from apical.learn.methods import cosine_of, learn, log_prior_of
from apical.learn.predictions import Predictions
from apical.learn.probe import fit_agent, told_agent
from apical.learn.run import RunFolder
from apical.learn.start import RANDOM, SHIPPED, begin_with, describe, patients_seen, settings_of
from apical.learn.tracking import Tracker
from apical.views import Vocabulary, standard_vocabulary

WHOLE_EXAM = ", whole exam"  # what is added to a method's name where answers had the whole exam


def train(
    store: Path,
    catalogue: Path,
    out: Path,
    settings: TrainSettings = TrainSettings(),
    *,
    encoder: Path | None = None,
    vocabulary: Vocabulary | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Learn a classifier from the labelled training clips, and let it answer all clips.

    The number of steps is fixed beforehand and the last weights are kept, so validation patients
    have no part in training; they are looked at for the curve only. Clips that are labelled to show none of
    the views have no part in it either.

    Args:
        store: folder of a frame store.
        catalogue: with splits and labels; only clips of split ``train`` teach.
        out: the run folder to make.
        settings: method, budget, seed.
        encoder: for methods that take one, the run folder of a pre-training; by default ``shipped``, the one
            that comes with the package; ``random`` for random weights.
        vocabulary: the views; the standard ones by default.
        progress: called after each step with the steps done and in all.

    Returns:
        `out`, with ``classifier.safetensors``, ``predictions.parquet`` (every clip, all splits, each for
        itself) and, where studies are known, ``exam-predictions.parquet`` (each given its whole exam).

    Raises:
        WrongCall: the method takes no encoder and one was given, or the reverse.
        PatientOverlap: the encoder was pre-trained on a validation or test patient.
        CannotDo: no labels, one view only, unreadable inputs, no such device, or a full disk.
    """
    encoder = choose_encoder(encoder, settings.method)
    vocabulary = vocabulary or standard_vocabulary()
    clips = load_clips(store, catalogue, vocabulary)
    teaching = clips.in_split("train").labelled()
    taught = np.unique(teaching.label)
    if len(taught) < 2:
        found = "no clip" if not len(taught) else f"only {vocabulary.names[taught[0]]}"
        raise CannotDo(
            f"{found} is labelled among the training patients",
            "import labels ('apical labels import') and give splits ('apical labels split')",
        )
    fabric = fabric_on(settings.accelerator, settings.precision)
    if encoder is not None:
        check_unseen(encoder, clips.in_split("validation", "test"))
        settings = fitted_to(settings, settings_of(encoder))
    run = RunFolder(out)
    run.start_over(
        {
            "kind": "train",
            "views": vocabulary.to_records(),
            "frames": clips.made.model_dump(),
            "start": describe(encoder) if encoder is not None else None,
            **settings.model_dump(mode="json"),
        }
    )
    run.write_json("budget.json", label_budget(teaching, vocabulary))
    torch.manual_seed(settings.seed)
    backbone = build_encoder(settings.encoder)
    if encoder is not None:
        begin_with(backbone, settings.encoder, encoder)
    begun = Classifier(backbone, len(vocabulary), cosine=cosine_of(settings))
    begun.taught[:] = torch.from_numpy(np.isin(np.arange(len(vocabulary)), taught))
    channels_last(begun).to(fabric.device)
    with closing(Tracker(out)) as tracker:
        trainer = Trainer(
            settings,
            fabric,
            tracker,
            clips.in_split("validation").labelled(),
            progress or (lambda done, total: None),
        )
        taught_from = clips.select((clips.split == "train") & (clips.label != SHOWS_NONE))
        classifier = learn(begun, taught_from, trainer, pretrained=encoder is not None)
    outputs = classify_clips(classifier, clips, settings.input_size, fabric.device)
    training = (clips.split == "train") & (clips.label != SHOWS_NONE)
    fit_agent(classifier, outputs.features[training], clips.agent[training], settings.probe_penalty)
    said = Predictions(
        method=settings.called,
        seed=settings.seed,
        views=vocabulary.names,
        clip=clips.clip,
        patient=clips.patient,
        split=clips.split,
        label=clips.label,
        log_probabilities=outputs.log_probabilities,
        features=outputs.features,
        agent=classifier.agent_probability(outputs.features),
    )
    said.save(run.predictions)
    if has_exams(clips.in_split("train")):
        in_exams = answers_in_exams(
            outputs.log_probabilities,
            clips,
            settings,
            with_agent=told_agent(outputs.features, np.where(training, clips.agent, -1), settings),
        )
        replace(said, method=settings.called + WHOLE_EXAM, log_probabilities=in_exams).save(
            run.exam_predictions
        )
    save_weights(run.classifier, classifier)
    return out


def answers_in_exams(
    log_probabilities: NDArray[np.float32],
    clips: Clips,
    settings: TrainSettings,
    *,
    with_agent: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Answers (n, k) for clips whose whole exam is there; what exams are like is learned from training.

    Methods taught by exams learn targets that are unsure, and are less sure than they may be: their answers
    are taken at a temperature below 1. Those that learn labels alone are not (docs/study.md).
    """
    count = np.bincount(clips.in_split("train").labelled().label, minlength=log_probabilities.shape[1])
    named = name_exams(
        log_probabilities,
        clips,
        settings.exams,
        with_agent=with_agent,
        teaching=clips.split == "train",
        log_prior=log_prior_of(settings, count),
        temperature=settings.exam_temperature,
    )
    return named.astype(np.float32)


def fitted_to(settings: TrainSettings, pretrained: PretrainSettings) -> TrainSettings:
    """The settings with the network and input size of a pre-training.

    A clip encoder (attention in time) over the pre-trained frame encoder stays: its frames' part begins
    pre-trained, and attention with nothing.

    Raises:
        WrongCall: it is over another frame encoder.
    """
    wanted, network = settings.encoder, pretrained.encoder
    if isinstance(wanted, ClipEncoderSettings) and network != wanted:
        if network != wanted.of_frame:
            raise WrongCall(
                "the frames' part of the clip encoder is not the pre-trained network",
                f"give its settings with --config: of_frame: {network.model_dump_json()}",
            )
        network = wanted
    return settings.model_copy(update={"encoder": network, "input_size": pretrained.input_size})


def choose_encoder(asked: Path | None, method: str) -> Path | None:
    """The encoder that a method begins with, or None for random weights.

    Raises:
        WrongCall: the method takes none and one was asked for, or it needs one and random weights were.
    """
    if method not in (*NEEDS_ENCODER, *EITHER):
        if asked not in (None, RANDOM):
            raise WrongCall(
                f"the method '{method}' takes no pre-trained encoder",
                "leave out --encoder, or use --method fine-tune",
            )
        return None
    if asked == RANDOM:
        if method in NEEDS_ENCODER:
            raise WrongCall(
                f"the method '{method}' is none without a pre-trained encoder",
                "leave out --encoder random, or use --method logit-adjusted",
            )
        return None
    return asked or SHIPPED


def load_classifier(run: Path) -> tuple[Classifier, TrainSettings, Vocabulary]:
    """The classifier of a finished training run.

    Raises:
        CannotDo: the folder is no such run, or it is not finished.
    """
    folder = RunFolder(run)
    values = folder.settings()
    if values.pop("kind", None) != "train":
        raise CannotDo(f"'{run.name}' is not a training run", "give a folder that 'apical train' made")
    vocabulary = Vocabulary.from_records(values.pop("views"))
    for name in ("frames", "start"):
        values.pop(name, None)
    settings = folder.settings_of(TrainSettings, values)
    classifier = Classifier.empty(settings.encoder, len(vocabulary), cosine=cosine_of(settings))
    load_weights(folder.classifier, classifier)
    return classifier, settings, vocabulary


def check_unseen(encoder: Path, judged: Clips) -> None:
    """Refuse an encoder that has seen patients on whom the classifier will be calibrated or judged.

    Raises:
        PatientOverlap
    """
    shared = int(np.isin(np.unique(judged.patient), patients_seen(encoder)).sum())
    if shared:
        raise PatientOverlap(
            f"the encoder was pre-trained on {shared} patient{'s' if shared > 1 else ''} "
            "of the validation or test split",
            "give splits first ('apical labels split'), then pre-train and train on the same catalogue",
        )


def label_budget(teaching: Clips, vocabulary: Vocabulary) -> dict[str, int]:
    """Labelled training *patients* a view; 0 for views without any."""
    return {
        view: len(np.unique(teaching.patient[teaching.label == index]))
        for index, view in enumerate(vocabulary.names)
    }
