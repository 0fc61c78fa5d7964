"""A view classifier from few labels: the naive baseline, its honest correction, probe and fine-tuning."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from sklearn.metrics import f1_score

from apical.config import NEEDS_ENCODER, TrainSettings
from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.learn.augment import augment
from apical.learn.backbones import build_encoder, channels_last
from apical.learn.batches import draw_frames
from apical.learn.checkpoint import load_weights, save_weights
from apical.learn.classifier import Classifier, classify_clips
from apical.learn.clips import Clips, load_clips
from apical.learn.device import fabric_on
from apical.learn.imbalance import adjusted, log_prior
from apical.learn.optimise import parameter_groups, set_rate, warmup_cosine
from apical.learn.predictions import Predictions
from apical.learn.probe import fit_probe
from apical.learn.run import RunFolder
from apical.learn.start import SHIPPED, describe, load_encoder, patients_seen
from apical.learn.tracking import Tracker
from apical.views import Vocabulary, standard_vocabulary

WARMUP = 0.05
CHECKS = 10  # how often a training run looks at the validation patients


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
    have no part in training; they are looked at for the curve only.

    Args:
        store: folder of a frame store.
        catalogue: with splits and labels; only clips of split ``train`` teach.
        out: the run folder to make.
        settings: method, budget, seed.
        encoder: for the methods `probe` and `fine-tune`, the run folder of a pre-training; by default
            ``shipped``, the one that comes with the package.
        vocabulary: the views; the standard ones by default.
        progress: called after each step with the steps done and in all.

    Returns:
        `out`, with ``classifier.safetensors`` and ``predictions.parquet`` (every clip, all splits).

    Raises:
        WrongCall: the method takes no encoder and one was given.
        PatientOverlap: the encoder was pre-trained on a validation or test patient.
        CannotDo: no labels, one view only, unreadable inputs, no such device, or a full disk.
    """
    if settings.method in NEEDS_ENCODER:
        encoder = encoder or SHIPPED
    elif encoder is not None:
        raise WrongCall(
            f"the method '{settings.method}' takes no pre-trained encoder",
            "leave out --encoder, or use --method fine-tune",
        )
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
    fabric = fabric_on(settings.accelerator)
    backbone = None
    if encoder is not None:
        backbone, pretrained = load_encoder(encoder)
        check_unseen(encoder, clips.in_split("validation", "test"))
        settings = settings.model_copy(
            update={"encoder": pretrained.encoder, "input_size": pretrained.input_size}
        )
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
    backbone = backbone or build_encoder(settings.encoder)
    classifier = Classifier(backbone, len(vocabulary))
    classifier.taught[:] = torch.from_numpy(np.isin(np.arange(len(vocabulary)), taught))
    channels_last(classifier).to(fabric.device)
    report = progress or (lambda done, total: None)
    if settings.method == "probe":
        fit_probe(classifier, teaching, settings, fabric.device)
        report(1, 1)
    else:
        validation = clips.in_split("validation").labelled()
        with closing(Tracker(out)) as tracker:
            fit(classifier, teaching, validation, settings, fabric, tracker, report)
    outputs = classify_clips(classifier, clips, settings.input_size, fabric.device)
    Predictions(
        method=settings.method,
        seed=settings.seed,
        views=vocabulary.names,
        clip=clips.clip,
        patient=clips.patient,
        split=clips.split,
        label=clips.label,
        log_probabilities=outputs.log_probabilities,
        features=outputs.features,
    ).save(run.predictions)
    save_weights(run.classifier, classifier)
    return out


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
    classifier = Classifier.empty(settings.encoder, len(vocabulary))
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


def fit(
    classifier: Classifier,
    teaching: Clips,
    validation: Clips,
    settings: TrainSettings,
    fabric: Fabric,
    tracker: Tracker,
    progress: Callable[[int, int], None],
) -> None:
    """Cross-entropy on random frames of random labelled clips, every method in the same budget."""
    rate_of_encoder = settings.encoder_rate if settings.method == "fine-tune" else 1.0
    groups = parameter_groups(classifier.encoder, settings.weight_decay, rate_of_encoder)
    groups += parameter_groups(classifier.head, settings.weight_decay)
    wrapped, optimizer = fabric.setup(classifier, torch.optim.AdamW(groups, lr=settings.learning_rate))
    strength = 0.0 if settings.method == "naive" else settings.adjustment
    prior = log_prior(teaching.label, len(classifier.taught)).to(fabric.device)
    generator = np.random.default_rng([settings.seed, 2])
    began = time.monotonic()
    for step in range(1, settings.steps + 1):
        rate = settings.learning_rate * warmup_cosine((step - 1) / settings.steps, WARMUP)
        set_rate(optimizer.param_groups, rate)
        chosen = generator.integers(len(teaching), size=settings.batch_frames)
        rows = draw_frames(
            teaching.first[chosen],
            teaching.count[chosen],
            crops=1,
            frames=classifier.encoder.frames,
            generator=generator,
        )[0]
        crops = augment(teaching.read(rows), settings.input_size, settings.augment, generator, fabric.device)
        label = torch.from_numpy(teaching.label[chosen]).to(fabric.device)
        classifier.train()
        _, logits = wrapped(crops.to(memory_format=torch.channels_last))
        loss = F.cross_entropy(adjusted(logits, prior, strength), label)
        if not torch.isfinite(loss):
            raise CannotDo(f"the loss is not finite at step {step}", "lower the learning rate")
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        figures = {"loss": loss.item(), "learning_rate": rate}
        if len(validation) and step % max(1, settings.steps // CHECKS) == 0:
            figures["validation_macro_f1"] = macro_f1(classifier, validation, settings, fabric.device)
        tracker.log(step, seconds=round(time.monotonic() - began, 3), **figures)
        progress(step, settings.steps)


def macro_f1(classifier: Classifier, clips: Clips, settings: TrainSettings, device: torch.device) -> float:
    """Mean F1 over the views present among labelled clips."""
    said = classify_clips(classifier, clips, settings.input_size, device).log_probabilities.argmax(axis=1)
    present = np.unique(clips.label)
    return float(f1_score(clips.label, said, labels=present, average="macro", zero_division=0))
