"""Settings of crops and of pre-training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from apical.config.base import Settings
from apical.config.networks import EncoderSettings, ResNetSettings, check_patches


class AugmentSettings(Settings):
    """How two crops of a clip are made to differ. Strengths are half-ranges unless they say otherwise."""

    smallest_crop: float = Field(0.7, gt=0, le=1, description="smallest side of a crop, of the frame's side")
    rotation_degrees: float = Field(10.0, ge=0)
    shear: float = Field(0.0, ge=0, lt=1, description="columns a row is shifted by, a row")
    depth: float = Field(0.2, ge=0, description="natural log of a zoom about the probe, inside the sector")
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
    dropout: float = Field(0.3, ge=0, le=1, description="probability of one spot where echoes are lost")


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
        check_patches(self.encoder, self.input_size)
        return self
