"""Every setting, one frozen and validated class per stage.

The defaults here are the defaults of the command line and of the Python API.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from apical.errors import WrongCall


class Settings(BaseModel):
    """Base of all settings: frozen, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


AnySettings = TypeVar("AnySettings", bound=Settings)


class PhantomSettings(Settings):
    """How many synthetic patients, and how hard they are."""

    patients: int = Field(20, ge=1, description="synthetic patients, one exam each")
    seed: int = Field(0, ge=0, lt=2**64)
    frames: int = Field(16, ge=1, description="frames a cine")
    image_rows: int = Field(300, ge=96, description="height of the screen in pixels")
    difficulty: float = Field(0.55, ge=0, le=2, description="probe error and anatomical spread; 0 = textbook")
    contrast: float = Field(
        0.15, ge=0, le=1, description="share of the exams that end with clips with contrast agent"
    )
    extra_views: int = Field(
        0, ge=0, le=200, description="further clips an exam of views beside the thirteen, some enlarged"
    )
    sweeps: int = Field(
        0, ge=0, le=200, description="further clips an exam on the way from one view to another"
    )
    organs: int = Field(0, ge=0, le=200, description="further clips an exam of lung, liver, vessels or air")
    other_modes: int = Field(
        0, ge=0, le=200, description="further clips an exam of other modes: Doppler, M-mode, reports …"
    )
    workers: int = Field(0, ge=0, description="processes; 0 = one per core; 1 = none but this, unbounded")
    device: str = Field(
        "cpu", description="where beams are computed, such as cuda; other pictures there, of the same kind"
    )

    @model_validator(mode="after")
    def _sweeps_move(self) -> PhantomSettings:
        if self.sweeps and self.frames < 2:
            raise ValueError("sweeps need at least 2 frames")
        return self


class ScanSettings(Settings):
    """How files become catalogue rows."""

    workers: int = Field(0, ge=0, description="processes; 0 = one per core; 1 = none but this, unbounded")
    seconds_per_file: float = Field(120, gt=0, description="a file that takes longer is a problem")
    memory_mb: int = Field(4096, ge=512, description="most memory that a process may ask for")


class DeidentifySettings(Settings):
    """What stays in clean copies of DICOM files, and how they are written."""

    dates: Literal["remove", "shift", "keep"] = Field(
        "remove", description="removed, moved back by weeks that are a patient's own, or kept"
    )
    keep_uids: bool = Field(False, description="UIDs stay, instead of being replaced")
    keep_patient: bool = Field(False, description="sex, age, size and weight stay")
    syntax: Literal["jpeg-ls", "rle", "uncompressed"] = Field("jpeg-ls", description="all are without loss")
    least_confidence: float = Field(
        0.5, ge=0, le=1, description="of the sector; a clip with less is not written"
    )
    workers: int = Field(0, ge=0, description="processes; 0 = one per core; 1 = none but this, unbounded")
    seconds_per_file: float = Field(600, gt=0)
    memory_mb: int = Field(4096, ge=512)

    def options(self) -> dict[str, Any]:
        """What stays beyond the basic profile, see `apical.ingest.profile.CleanOptions`."""
        return {"dates": self.dates, "keep_uids": self.keep_uids, "keep_patient": self.keep_patient}


class FrameSettings(Settings):
    """How clips become square grey frames. Stored in a bundle: prediction uses the same."""

    size: int = Field(128, ge=16, description="side of a stored frame in pixels")
    frames_per_clip: int = Field(8, ge=1, description="frames taken from each cine")
    sampling: Literal["uniform", "cycle"] = Field(
        "uniform", description="evenly over the cine, or over one heart cycle where tags tell of one"
    )


class AugmentSettings(Settings):
    """How two crops of a clip are made to differ. Strengths are half-ranges unless they say otherwise."""

    smallest_crop: float = Field(0.7, gt=0, le=1, description="smallest side of a crop, of the frame's side")
    rotation_degrees: float = Field(10.0, ge=0)
    gain: float = Field(0.15, ge=0, description="added brightness, of full scale")
    dynamic_range: float = Field(0.25, ge=0, lt=1, description="relative change of contrast")
    gamma: float = Field(0.3, ge=0, description="natural log of the exponent")
    depth_gain: float = Field(0.15, ge=0, description="brightness slope over depth (TGC), of full scale")
    speckle: float = Field(0.1, ge=0, description="standard deviation of multiplicative noise")
    blur: float = Field(0.3, ge=0, le=1, description="probability of a 3x3 blur")
    shadow: float = Field(0.2, ge=0, le=1, description="probability of one dark wedge from the probe")


class EncoderSettings(Settings):
    """The network without heads."""

    depth: Literal[10, 18] = 10
    width: int = Field(32, ge=4, description="channels of the first stage")
    stem_stride: Literal[2, 4] = Field(4, description="2 for inputs of 64 pixels, 4 for larger")


class PretrainSettings(Settings):
    """Contrastive pre-training."""

    encoder: EncoderSettings = EncoderSettings()
    augment: AugmentSettings = AugmentSettings()
    input_size: int = Field(112, ge=16, description="side of a training crop in pixels")
    relation: Literal["same-frame", "same-clip", "same-view", "view-or-clip"] = Field(
        "same-clip", description="which pairs are positive"
    )
    same_patient_share: float = Field(
        0.5, ge=0, le=1, description="share of the loss whose negatives are the same patient's other clips"
    )
    temperature: float = Field(0.2, gt=0)
    batch_clips: int = Field(
        64, ge=2, description="clips a batch, two crops each; whole exams are kept together"
    )
    epochs: int = Field(300, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup_share: float = Field(0.05, ge=0, lt=1)
    projection_width: int = Field(128, ge=2)
    max_minutes: float | None = Field(
        None,
        gt=0,
        description="time budget; the schedule then anneals by the clock, so results depend on speed",
    )
    checkpoint_minutes: float = Field(2.0, ge=0)
    precision: Annotated[Literal["32", "bf16"], BeforeValidator(str)] = "32"  # YAML reads 32 as a number
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(0, ge=0)


NEEDS_ENCODER = ("probe", "fine-tune")  # methods that start from a pre-trained encoder


class TrainSettings(Settings):
    """A classifier from few labels."""

    method: Literal["naive", "logit-adjusted", "probe", "fine-tune"] = Field(
        "fine-tune",
        description="naive: cross-entropy from random weights; logit-adjusted: the same with the imbalance "
        "corrected; probe: linear on a frozen encoder; fine-tune: from an encoder, logit-adjusted",
    )
    encoder: EncoderSettings = Field(
        EncoderSettings(), description="used when there is no pre-trained encoder"
    )
    augment: AugmentSettings = AugmentSettings()
    input_size: int = Field(112, ge=16)
    steps: int = Field(600, ge=1)
    batch_frames: int = Field(64, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    encoder_rate: float = Field(
        0.3, gt=0, le=1, description="fine-tune: the encoder's share of the learning rate"
    )
    weight_decay: float = Field(1e-2, ge=0)
    adjustment: float = Field(1.0, ge=0, description="strength of logit adjustment")
    probe_penalty: float = Field(1e-2, gt=0, description="probe: weight of the squared norm")
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(0, ge=0)


class JudgeSettings(Settings):
    """How a classifier is judged."""

    resamples: int = Field(2000, ge=100, description="bootstrap resamples over patients")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    seed: int = Field(0, ge=0)


def read_settings(kind: type[AnySettings], path: Path | None = None, **changes: Any) -> AnySettings:
    """Settings from a YAML file, changed by keyword arguments that are not None.

    Raises:
        WrongCall: the file cannot be read, or a name or value is not allowed.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
            raise WrongCall(
                f"the settings file '{path.name}' cannot be read ({type(error).__name__})",
                "give a YAML file of 'name: value' lines",
            ) from None
    values |= {name: value for name, value in changes.items() if value is not None}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise WrongCall(
            f"{kind.__name__} {name or 'values'}: {first['msg']}",
            f"see the fields of apical.config.{kind.__name__}",
        ) from None


def worker_count(workers: int) -> int:
    """Processes to start: `workers`, or one per core for 0, but two at least: one has no bounds."""
    return workers or max(2, os.cpu_count() or 1)
