"""What an encoder begins with, if not with random weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from apical.config import ClipEncoderSettings, PretrainSettings
from apical.errors import CannotDo, WrongCall
from apical.learn.backbones import Encoder, build_encoder
from apical.learn.checkpoint import load_weights
from apical.learn.clip_encoder import ClipEncoder
from apical.learn.run import RunFolder
from apical.learn.timm_encoder import TimmEncoder, load_imagenet

SHIPPED = "shipped"  # says where an encoder's folder is asked for: the one that comes with the package


def load_encoder(run: Path) -> tuple[Encoder, PretrainSettings]:
    """The encoder of a finished pre-training run, or the shipped one.

    Raises:
        CannotDo: the folder is no such run, or it is not finished.
    """
    folder = RunFolder(place_of(run))
    values = folder.settings()
    if values.pop("kind", None) != "pretrain":
        raise CannotDo(f"'{run.name}' is not a pre-training run", "give a folder that 'apical pretrain' made")
    if not folder.encoder.exists():
        raise CannotDo(f"the run '{run.name}' is not finished", "go on with it: apical pretrain --resume")
    for name in ("clips", "start"):
        values.pop(name, None)
    settings = folder.settings_of(PretrainSettings, values)
    encoder = build_encoder(settings.encoder)
    load_weights(folder.encoder, encoder)
    return encoder, settings


def patients_seen(run: Path) -> list[str]:
    """Pseudonyms of the patients that an encoder has learned from, also before this run."""
    seen: list[str] = RunFolder(place_of(run)).read_json("patients.json")["patients"]
    return seen


def place_of(run: Path) -> Path:
    """The folder of a run; of the shipped encoder's where its name is given.

    Raises:
        CannotDo: there is none in this version.
    """
    if str(run) != SHIPPED:
        return run
    folder = Path(__file__).parents[1] / "encoders" / "phantom"
    if not folder.is_dir():
        raise CannotDo("no encoder comes with this version yet", "give the folder of a pre-training run")
    return folder


def begin_with(encoder: Encoder, settings: PretrainSettings, start: Path) -> None:
    """Fill an encoder with what was learned before.

    Args:
        encoder: as `settings.encoder` says.
        settings: of the run that begins.
        start: a pre-training run of the same encoder, or of the frame encoder of a clip encoder; ``shipped``;
            or, for timm's networks, a file of ImageNet weights.

    Raises:
        CannotDo: it cannot be read, or is not finished.
        WrongCall: it is of another network.
    """
    wanted = settings.encoder
    inner = encoder.of_frame if isinstance(encoder, ClipEncoder) else encoder
    if isinstance(inner, TimmEncoder) and place_of(start).is_file():
        load_imagenet(inner, start)
        return
    before, pretrained = load_encoder(start)
    if pretrained.encoder == wanted:
        encoder.load_state_dict(before.state_dict())
    elif isinstance(wanted, ClipEncoderSettings) and pretrained.encoder == wanted.of_frame:
        inner.load_state_dict(before.state_dict())
    else:
        raise WrongCall(
            "the encoder to start from is another network",
            f"give its settings with --config: encoder: {pretrained.encoder.model_dump_json()}",
        )


def fingerprint(start: Path) -> str:
    """Short hash of the weights that a run begins with.

    Raises:
        CannotDo: there are none.
    """
    file = start if start.is_file() else RunFolder(place_of(start)).encoder
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        raise CannotDo(f"'{start.name}' has no weights", "give a finished pre-training run") from None
