"""What an encoder begins with, if not with random weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from apical.config import ClipEncoderSettings, EncoderSettings, PretrainSettings
from apical.errors import CannotDo, WrongCall
from apical.learn.backbones import Encoder, build_encoder
from apical.learn.checkpoint import load_weights
from apical.learn.clip_encoder import ClipEncoder
from apical.learn.run import RunFolder
from apical.learn.timm_encoder import TimmEncoder, load_imagenet

SHIPPED = Path("shipped")  # says where a run's folder is asked for: the encoder that comes with the package
RANDOM = Path("random")  # says that no encoder is
FEW_CLIPS = 2000  # up to so many a run begins with the shipped encoder unless told otherwise


def load_encoder(run: Path) -> tuple[Encoder, PretrainSettings]:
    """The encoder of a finished pre-training run, or the shipped one.

    Raises:
        CannotDo: the folder is no such run, or it is not finished.
    """
    folder = RunFolder(place_of(run))
    settings = settings_of(run)
    if not folder.encoder.exists():
        raise CannotDo(f"the run '{run.name}' is not finished", "go on with it: apical pretrain --resume")
    encoder = build_encoder(settings.encoder)
    load_weights(folder.encoder, encoder)
    return encoder, settings


def settings_of(run: Path) -> PretrainSettings:
    """The settings of a pre-training run, or of the shipped encoder's.

    Raises:
        CannotDo: the folder is no such run.
    """
    folder = RunFolder(place_of(run))
    values = folder.settings()
    if values.pop("kind", None) != "pretrain":
        raise CannotDo(f"'{run.name}' is not a pre-training run", "give a folder that 'apical pretrain' made")
    for name in ("clips", "start"):
        values.pop(name, None)
    return folder.settings_of(PretrainSettings, values)


def patients_seen(run: Path) -> list[str]:
    """Pseudonyms of the patients that an encoder has learned from, also before this run."""
    seen: list[str] = RunFolder(place_of(run)).read_json("patients.json")["patients"]
    return seen


def place_of(run: Path) -> Path:
    """The folder of a run; of the shipped encoder where that is asked for."""
    return Path(__file__).parents[1] / "encoders" / "phantom" if run == SHIPPED else run


def choose_start(asked: Path | None, settings: PretrainSettings, clips: int) -> Path | None:
    """What a run of so many clips begins with, or None for random weights.

    That is what was asked for; where nothing was, the shipped encoder, if the clips are few and the network
    is its own.
    """
    if asked is not None:
        return None if asked == RANDOM else asked
    fits = clips <= FEW_CLIPS and settings_of(SHIPPED).encoder == settings.encoder
    return SHIPPED if fits else None


def begin_with(encoder: Encoder, wanted: EncoderSettings, start: Path) -> None:
    """Fill an encoder with what was learned before.

    Args:
        encoder: as `wanted` says.
        wanted: its settings.
        start: a pre-training run of the same encoder, or of the frame encoder of a clip encoder; ``shipped``;
            or, for timm's networks, a file of ImageNet weights.

    Raises:
        CannotDo: it cannot be read, or is not finished.
        WrongCall: it is of another network.
    """
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


def describe(start: Path) -> dict[str, str]:
    """What a run began with, for its settings: whether the shipped encoder, and a short hash of the weights.

    Raises:
        CannotDo: there are none.
    """
    file = start if start.is_file() else RunFolder(place_of(start)).encoder
    try:
        weights = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        raise CannotDo(f"'{start.name}' has no weights", "give a finished pre-training run") from None
    return {"from": SHIPPED.name if start == SHIPPED else "given", "weights": weights}
