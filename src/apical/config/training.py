"""Settings of training: a classifier from few labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from apical.config.base import Settings
from apical.config.learning import AugmentSettings, ObjectiveSettings
from apical.config.networks import EncoderSettings, ResNetSettings, check_patches

FROZEN = ("probe", "prototype", "label-propagation")  # on an encoder that stays as it is
NEEDS_ENCODER = (*FROZEN, "fine-tune")
TAUGHT_BY_EXAMS = ("label-propagation", "self-training")
EITHER = ("supcon", "bcl", "joint", "self-training", "fixmatch", "mixmatch")  # encoder or random weights

Method = Literal[
    "naive",
    "class-balanced",
    "logit-adjusted",
    "focal",
    "ldam-drw",
    "crt",
    "probe",
    "prototype",
    "label-propagation",
    "fine-tune",
    "supcon",
    "bcl",
    "joint",
    "self-training",
    "fixmatch",
    "mixmatch",
]


class ImbalanceSettings(Settings):
    """How the loss is made fair to rare views."""

    adjustment: float = Field(1.0, ge=0, description="strength of logit adjustment, where a method has it")
    focusing: float = Field(2.0, ge=0, description="focal: exponent of what is left to learn")
    margin: float = Field(0.5, ge=0, description="ldam-drw: of the rarest view")
    scale: float = Field(30.0, gt=0, description="ldam-drw, prototype: of the cosine")
    plain_share: float = Field(
        0.8, ge=0, le=1, description="ldam-drw, crt: of the steps, before weights or the head come in"
    )


class ContrastSettings(Settings):
    """A contrastive loss beside the classifier's own (supcon, bcl, joint)."""

    weight: float = Field(1.0, ge=0)
    width: int = Field(128, ge=2, description="of the embeddings")
    objective: ObjectiveSettings = Field(
        ObjectiveSettings(), description="joint: whom it contrasts; supcon and bcl take the temperature alone"
    )

    @model_validator(mode="after")
    def _one_network(self) -> ContrastSettings:
        if self.objective.method != "contrastive":
            raise ValueError("beside a classifier the objective must be contrastive")
        return self


class PseudoSettings(Settings):
    """What is made of clips nobody labelled (self-training, fixmatch, mixmatch)."""

    share: float = Field(0.5, gt=0, lt=1, description="fixmatch, mixmatch: of the crops of a batch")
    weight: float = Field(1.0, ge=0, description="fixmatch, mixmatch: of their loss")
    confidence: float = Field(0.8, ge=0, lt=1, description="fixmatch: least, of a target")
    align: Literal["none", "uniform", "labels"] = Field(
        "uniform", description="fixmatch, mixmatch: how often views are expected among targets"
    )
    frames: int = Field(2, ge=1, description="fixmatch, mixmatch: frames a clip's target is the mean of")
    sharpening: float = Field(0.5, gt=0, le=1, description="mixmatch: temperature of targets")
    mixup: float = Field(0.75, gt=0, description="mixmatch: both parameters of the beta distribution")
    rounds: int = Field(1, ge=1, description="self-training: students, one after another")


class GraphSettings(Settings):
    """The graph of clips over which labels are propagated."""

    neighbours: int = Field(20, ge=1, description="of a clip, of other patients; a link is mutual")
    spread: float = Field(0.9, gt=0, lt=1, description="weight of neighbours against the clip's own label")
    centre: float = Field(0.7, ge=0, le=1, description="share of the exam's mean feature taken off")


class ExamSettings(Settings):
    """What the clips of an exam tell of each other."""

    teach: bool = Field(
        True, description="label-propagation, self-training: other clips are named exam by exam to learn from"
    )
    rounds: int = Field(4, ge=0, description="how often a linear layer learns from exams so named")
    temperature: float = Field(
        0.5,
        gt=0,
        le=10,
        description="label-propagation, self-training: of an answer for a clip, before its exam is looked at",
    )
    doubt: bool = Field(True, description="labels that exams contradict are believed less to learn from")
    agent_apart: bool = Field(True, description="clips with contrast agent are an exam of their own")
    order: bool = Field(True, description="the order of filming is used, where it is known")
    strength: float = Field(
        1.0, ge=0, le=100, description="of the expected number of clips a view in an exam"
    )


class TrainSettings(Settings):
    """A classifier from few labels."""

    method: Method = Field("self-training", description="see docs/few-labels.md")
    name: str | None = Field(None, description="what it is called in comparisons; the method by default")
    encoder: EncoderSettings = Field(
        ResNetSettings(),
        description="where there is no pre-trained one; or a clip encoder over a pre-trained frame encoder",
    )
    augment: AugmentSettings = AugmentSettings()
    imbalance: ImbalanceSettings = ImbalanceSettings()
    contrast: ContrastSettings = ContrastSettings()
    pseudo: PseudoSettings = PseudoSettings()
    graph: GraphSettings = GraphSettings()
    exams: ExamSettings = ExamSettings()
    input_size: int = Field(112, ge=16)
    steps: int = Field(600, ge=1)
    batch_frames: int = Field(64, ge=4, description="crops that a step learns from, labelled or not")
    learning_rate: float = Field(2e-3, gt=0)
    encoder_rate: float = Field(
        0.3, gt=0, le=1, description="a pre-trained encoder's share of the learning rate"
    )
    weight_decay: float = Field(1e-2, ge=0)
    probe_penalty: float = Field(1e-2, gt=0, description="of linear fits: weight of the squared norm")
    precision: Annotated[Literal["32", "bf16", "16"], BeforeValidator(str)] = "32"  # YAML reads 32 as number
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(0, ge=0, lt=2**64)

    @property
    def called(self) -> str:
        """The name in comparisons."""
        return self.name or self.method

    @property
    def exam_temperature(self) -> float:
        """Of an answer for a clip, before its exam is looked at."""
        taught = self.exams.teach and self.method in TAUGHT_BY_EXAMS
        return self.exams.temperature if taught else 1.0

    @model_validator(mode="after")
    def _patches_fit(self) -> TrainSettings:
        check_patches(self.encoder, self.input_size)
        return self
