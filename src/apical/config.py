"""Every setting, one frozen and validated class per stage.

The defaults here are the defaults of the command line and of the Python API.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

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
    shear: float = Field(0.0, ge=0, lt=1, description="columns a row is shifted by, a row")
    depth: float = Field(0.0, ge=0, description="natural log of a zoom about the probe, inside the sector")
    narrow: float = Field(0.0, ge=0, lt=1, description="largest share of the sector's angle cut off, a side")
    flip: float = Field(0.0, ge=0, le=1, description="probability of mirroring; which side is which is lost")
    gain: float = Field(0.15, ge=0, description="added brightness, of full scale")
    dynamic_range: float = Field(0.25, ge=0, lt=1, description="relative change of contrast")
    gamma: float = Field(0.3, ge=0, description="natural log of the exponent")
    depth_gain: float = Field(0.15, ge=0, description="brightness slope over depth (TGC), of full scale")
    polarity: float = Field(
        0.0, ge=0, le=1, description="probability of dark for bright, as contrast agent makes it"
    )
    speckle: float = Field(0.1, ge=0, description="standard deviation of multiplied speckle")
    redraw: float = Field(0.0, ge=0, le=1, description="largest share of the fine texture drawn anew")
    blur: float = Field(0.3, ge=0, le=1, description="probability of a 3x3 blur")
    haze: float = Field(0.0, ge=0, le=1, description="largest brightness of a veil near the probe")
    shadow: float = Field(0.2, ge=0, le=1, description="probability of one dark wedge from the probe")
    dropout: float = Field(0.0, ge=0, le=1, description="probability of one spot where echoes are lost")


class ResNetSettings(Settings):
    """A residual network for one grey frame."""

    kind: Literal["resnet"] = "resnet"
    depth: Literal[10, 18, 34, 50] = 10
    width: int = Field(32, ge=4, description="channels of the first stage; 64 is the published one")
    stem_stride: Literal[2, 4] = Field(4, description="2 for inputs of 64 pixels, 4 for larger")
    norm: Literal["batch", "group"] = Field("batch", description="group: a crop's output is its own alone")


class ViTSettings(Settings):
    """A vision transformer for one grey frame; as it stands, ViT-tiny."""

    kind: Literal["vit"] = "vit"
    patch: int = Field(8, ge=2, description="side of a patch in pixels; it must divide the input size")
    width: int = Field(192, ge=8, description="of a token; a multiple of heads")
    layers: int = Field(12, ge=1)
    heads: int = Field(3, ge=1)


class TimmSettings(Settings):
    """A network of the timm library (apical[timm]), its first layer made for one grey channel."""

    kind: Literal["timm"] = "timm"
    name: str = Field(description="as timm knows it, such as resnet18 or convnext_tiny")


FrameEncoderSettings = Annotated[
    Annotated[ResNetSettings, Tag("resnet")]
    | Annotated[ViTSettings, Tag("vit")]
    | Annotated[TimmSettings, Tag("timm")],
    Discriminator(lambda value: _kind(value)),
]


class ClipEncoderSettings(Settings):
    """Frames of a clip together: a frame encoder, and attention over its features in time."""

    kind: Literal["clip"] = "clip"
    of_frame: FrameEncoderSettings = ResNetSettings()
    frames: int = Field(4, ge=2, description="frames it looks at together")
    layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)


EncoderSettings = Annotated[
    Annotated[ResNetSettings, Tag("resnet")]
    | Annotated[ViTSettings, Tag("vit")]
    | Annotated[TimmSettings, Tag("timm")]
    | Annotated[ClipEncoderSettings, Tag("clip")],
    Discriminator(lambda value: _kind(value)),
]


def _kind(value: Any) -> str | None:
    """What kind of network settings are of; a residual one where they do not say."""
    kind = value.get("kind", "resnet") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


class ObjectiveSettings(Settings):
    """What pre-training minimises."""

    method: Literal["contrastive", "moco", "byol", "barlow-twins", "vicreg"] = "contrastive"
    relation: Literal["same-frame", "same-clip", "same-view", "view-or-clip", "study-view-or-clip"] = Field(
        "same-clip", description="which pairs are positive"
    )
    negatives: Literal["all", "other-patients"] = Field(
        "all", description="contrastive, moco: which of the other pairs are negative"
    )
    same_patient_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="contrastive, moco: share of the loss whose negatives are the same patient's other clips",
    )
    temperature: float = Field(0.2, gt=0, description="contrastive, moco")
    ignore_same_view: bool = Field(
        False, description="contrastive, moco: clips that labels say are of one view are no negatives"
    )
    ignore_nearest: int = Field(
        0, ge=0, description="contrastive, moco: so many likeliest false negatives of each crop are left out"
    )
    positive_prior: float = Field(
        0.0, ge=0, lt=1, description="contrastive, moco: share of false negatives that the loss corrects for"
    )
    hardness: float = Field(0.0, ge=0, description="contrastive, moco: weight of hard negatives")
    queue: int = Field(4096, ge=1, description="moco: keys kept")
    redundancy: float = Field(5e-3, ge=0, description="barlow-twins: weight of what lies off the diagonal")
    invariance_weight: float = Field(25.0, ge=0, description="vicreg")
    variance_weight: float = Field(25.0, ge=0, description="vicreg")
    covariance_weight: float = Field(1.0, ge=0, description="vicreg")

    @model_validator(mode="after")
    def _settings_are_used(self) -> ObjectiveSettings:
        """A setting that the method does not look at must be as it is."""
        for names, methods in USED_BY.items():
            for name in names:
                if (
                    self.method not in methods
                    and getattr(self, name) != type(self).model_fields[name].default
                ):
                    raise ValueError(f"{name} means nothing for the method '{self.method}'")
        if self.method in ("barlow-twins", "vicreg") and "view" in self.relation:
            raise ValueError(f"the method '{self.method}' takes the relations same-frame and same-clip only")
        return self


CONTRASTING = ("contrastive", "moco")
USED_BY: dict[tuple[str, ...], tuple[str, ...]] = {
    ("negatives", "same_patient_share", "temperature", "positive_prior", "hardness"): CONTRASTING,
    ("ignore_same_view", "ignore_nearest"): CONTRASTING,
    ("queue",): ("moco",),
    ("redundancy",): ("barlow-twins",),
    ("invariance_weight", "variance_weight", "covariance_weight"): ("vicreg",),
}


class PretrainSettings(Settings):
    """Pre-training without labels."""

    encoder: EncoderSettings = ResNetSettings()
    augment: AugmentSettings = AugmentSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    input_size: int = Field(112, ge=16, description="side of a training crop in pixels")
    batch_clips: int = Field(64, ge=2, description="clips a batch; whole exams are kept together")
    crops_per_clip: int = Field(2, ge=2, description="crops of each clip of a batch")
    exam_clips: int | None = Field(
        16, ge=2, description="most clips of one exam in a batch; a larger exam is dealt out"
    )
    balance: Literal["clips", "patients", "views"] = Field(
        "clips",
        description="clips: each once an epoch; patients: exam_clips of each patient at most; views: clips "
        "whose label is rare come more often",
    )
    chunk_crops: int | None = Field(
        None,
        ge=4,
        description="crops that go through the network at once; a larger batch goes through it twice, in "
        "less memory, for the same gradient (batch norms aside, which see a chunk at a time)",
    )
    epochs: int = Field(300, ge=1)
    optimizer: Literal["adamw", "lars"] = "adamw"
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup_share: float = Field(0.05, ge=0, lt=1)
    projection_width: int = Field(128, ge=2)
    average_decay: float = Field(
        0.99, ge=0, lt=1, description="of the moving average of the network: a target, or what is kept"
    )
    keep: Literal["last", "average"] = Field("last", description="whose encoder is the result")
    max_minutes: float | None = Field(
        None,
        gt=0,
        description="time budget; the schedule then anneals by the clock, so results depend on speed",
    )
    checkpoint_minutes: float = Field(2.0, ge=0)
    feeders: int | None = Field(
        None, ge=0, description="processes that make crops; by default one for each free core, 4 at most"
    )
    watch: int = Field(20, ge=0, description="looks at the features in a run; fewer in a short one")
    trackers: tuple[Literal["mlflow", "wandb"], ...] = Field(
        (), description="where figures go beside the run folder; each needs its library"
    )
    precision: Annotated[Literal["32", "bf16", "16"], BeforeValidator(str)] = "32"  # YAML reads 32 as number
    compile: bool = Field(False, description="by torch.compile")
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(0, ge=0, lt=2**64)

    @model_validator(mode="after")
    def _settings_fit(self) -> PretrainSettings:
        if self.balance == "patients" and self.exam_clips is None:
            raise ValueError("balance 'patients' needs exam_clips")
        if self.optimizer == "lars" and "learning_rate" not in self.model_fields_set:
            raise ValueError("optimizer 'lars' needs its own learning_rate, such as 1.0")
        _check_patches(self.encoder, self.input_size)
        return self


def _check_patches(encoder: EncoderSettings, size: int) -> None:
    of_frame = encoder.of_frame if isinstance(encoder, ClipEncoderSettings) else encoder
    if isinstance(of_frame, ViTSettings) and size % of_frame.patch:
        raise ValueError(f"input_size {size} is no multiple of the patch of {of_frame.patch}")


def encoder_settings(values: dict[str, Any]) -> EncoderSettings:
    """Settings of a network from what `model_dump` made of them; raises pydantic's ValidationError."""
    settings: EncoderSettings = TypeAdapter(EncoderSettings).validate_python(values)
    return settings


NEEDS_ENCODER = ("probe", "fine-tune")  # methods that start from a pre-trained encoder


class TrainSettings(Settings):
    """A classifier from few labels."""

    method: Literal["naive", "logit-adjusted", "probe", "fine-tune"] = Field(
        "fine-tune",
        description="naive: cross-entropy from random weights; logit-adjusted: the same with the imbalance "
        "corrected; probe: linear on a frozen encoder; fine-tune: from an encoder, logit-adjusted",
    )
    encoder: EncoderSettings = Field(
        ResNetSettings(), description="used when there is no pre-trained encoder"
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
    seed: int = Field(0, ge=0, lt=2**64)

    @model_validator(mode="after")
    def _patches_fit(self) -> TrainSettings:
        _check_patches(self.encoder, self.input_size)
        return self


class JudgeSettings(Settings):
    """How a classifier is judged."""

    resamples: int = Field(2000, ge=100, description="bootstrap resamples over patients")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    seed: int = Field(0, ge=0)


def read_settings(kind: type[AnySettings], path: Path | None = None, **changes: Any) -> AnySettings:
    """Settings from a YAML file, changed by keyword arguments that are not None.

    An argument ``a__b`` changes the value b of the settings a.

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
    for name, value in changes.items():
        if value is not None:
            _put(values, name.split("__"), value)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise WrongCall(
            f"{kind.__name__} {name or 'values'}: {first['msg']}",
            f"see the fields of apical.config.{kind.__name__}",
        ) from None


def _put(values: dict[str, Any], place: list[str], value: Any) -> None:
    """Set a value in settings inside settings; what is no group is left for validation to refuse."""
    first, *rest = place
    if not rest:
        values[first] = value
    elif isinstance(inner := values.get(first) or {}, dict):
        values[first] = dict(inner)
        _put(values[first], rest, value)


def worker_count(workers: int) -> int:
    """Processes to start: `workers`, or one per core for 0, but two at least: one has no bounds."""
    return workers or max(2, os.cpu_count() or 1)
