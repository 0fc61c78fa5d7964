"""Settings of a study: methods × label budgets × label draws × pre-training seeds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from apical.config.base import Settings
from apical.config.judging import JudgeSettings
from apical.config.learning import PretrainSettings
from apical.config.training import EITHER, NEEDS_ENCODER, TrainSettings

Budget = Annotated[int, Field(ge=1, strict=True)] | Literal["all"]
"""Labelled patients a view, or all there are."""


class MethodSettings(Settings):
    """One method of a study: how it starts, and its training settings beside those of all methods.

    In YAML they stand side by side: whatever is not named here goes to `TrainSettings`.
    """

    start: Literal["pretrained", "shipped", "random"] | None = Field(
        None, description="the study's pre-training, the encoder that comes with Apical, or random weights"
    )
    labels: Literal["budget", "all"] = Field("budget", description="all: every label, whatever the budgets")
    budgets: tuple[Budget, ...] | None = Field(None, min_length=1, description="of the study's; these only")
    train: dict[str, Any] = Field({}, description="what differs from the train of the study")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        own = {name: value for name, value in values.items() if name in cls.model_fields}
        rest = {name: value for name, value in values.items() if name not in cls.model_fields}
        return own | ({"train": {**(own.get("train") or {}), **rest}} if rest else {})


class StudySettings(Settings):
    """The paper's protocol: labels of rare views are made few, and methods compared at each budget."""

    rare: tuple[str, ...] = Field(min_length=1, description="views whose labels are few")
    budgets: tuple[Budget, ...] = Field(min_length=1, description="labelled patients a rare view")
    common: Budget = Field("all", description="labelled patients a common view")
    draws: int = Field(5, ge=1, description="draws of the labelled patients")
    pretraining_seeds: tuple[Annotated[int, Field(ge=0, lt=2**64)], ...] = Field((0,), min_length=1)
    pretrain: PretrainSettings | None = Field(None, description="one pre-training a seed, without any label")
    pretraining_start: Literal["random", "shipped"] = Field("random", description="of the encoder")
    encoders: tuple[Path, ...] = Field((), description="finished pre-trainings instead; numbered from 0")
    train: dict[str, Any] = Field({}, description="TrainSettings of all methods")
    methods: dict[str, MethodSettings] = Field(min_length=1)
    baseline: str = "naive"
    comparisons: tuple[tuple[str, str], ...] = Field((), description="beside each against the baseline")
    judge: JudgeSettings = Field(
        JudgeSettings(resamples=10_000),
        description="Holm's correction of many comparisons wants many resamples",
    )
    split: Literal["test", "validation"] = Field("test", description="whose clips are judged")

    @property
    def pretrainings(self) -> tuple[int, ...]:
        """What tells pre-trainings apart: their seeds, or the numbers of `encoders`."""
        return tuple(range(len(self.encoders))) if self.encoders else self.pretraining_seeds

    def budgets_of(self, method: str) -> tuple[Budget, ...]:
        """The budgets a method is trained at, in the order of the study's; () where it has all labels."""
        settings = self.methods[method]
        if settings.labels == "all":
            return ()
        return tuple(b for b in self.budgets if settings.budgets is None or b in settings.budgets)

    def training(self, method: str, seed: int = 0) -> TrainSettings:
        """The settings a method is trained with: `train`, changed by its own.

        Raises:
            ValueError: they do not fit `TrainSettings`.
        """
        values = _merged(self.train, self.methods[method].train)
        try:
            return TrainSettings.model_validate(values | {"name": method, "seed": seed})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "values"
            raise ValueError(f"method '{method}', {place}: {first['msg']}") from None

    def pretraining(self, seed: int) -> PretrainSettings:
        """The settings of the pre-training with this seed; `pretrain` must be given."""
        assert self.pretrain is not None
        return self.pretrain.model_copy(update={"seed": seed})

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Which methods are compared: each with the baseline, then `comparisons`; none twice."""
        others = [
            (name, self.baseline)
            for name, method in self.methods.items()
            if name != self.baseline and method.labels == "budget"
        ]
        return tuple(dict.fromkeys([*others, *self.comparisons]))

    @model_validator(mode="after")
    def _lists_have_each_once(self) -> StudySettings:
        for name in ("rare", "budgets", "pretraining_seeds", "encoders"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} holds a value twice")
        return self

    @model_validator(mode="after")
    def _pretraining_fits(self) -> StudySettings:
        wanted = any(method.start == "pretrained" for method in self.methods.values())
        given = (self.pretrain is not None) + bool(self.encoders)
        if wanted and given != 1:
            raise ValueError("a method starts pretrained: give either pretrain or encoders")
        if not wanted and given:
            raise ValueError("no method starts pretrained: leave out pretrain and encoders")
        if self.encoders and "pretraining_seeds" in self.model_fields_set:
            raise ValueError("pretraining_seeds belong to pretrain; encoders are numbered from 0")
        if self.pretrain is None:
            return self
        if "seed" in self.pretrain.model_fields_set:
            raise ValueError("pretrain.seed: give pretraining_seeds instead")
        objective = self.pretrain.objective
        if "view" in objective.relation or objective.ignore_same_view or self.pretrain.balance == "views":
            raise ValueError("pretrain looks at labels, and would see more of them than the budgets allow")
        return self

    @model_validator(mode="after")
    def _methods_fit(self) -> StudySettings:
        slugs = [slug(name) for name in self.methods]
        if "" in slugs or len(set(slugs)) < len(slugs):
            raise ValueError("two methods have names that are alike but for signs, or one has no letter")
        for name, method in self.methods.items():
            values = _merged(self.train, method.train)
            for taken, by in (("seed", "the study"), ("name", "its place under methods")):
                if taken in values:
                    raise ValueError(f"method '{name}': {taken} is given by {by}")
            if "method" not in values:
                raise ValueError(f"method '{name}': say which, as method: …")
            which = self.training(name).method
            if which in NEEDS_ENCODER and method.start not in ("pretrained", "shipped"):
                raise ValueError(f"method '{name}': say how it starts: pretrained or shipped")
            if which in EITHER and method.start is None:
                raise ValueError(f"method '{name}': say how it starts: pretrained, shipped or random")
            if which not in (*NEEDS_ENCODER, *EITHER) and method.start is not None:
                raise ValueError(f"method '{name}' has no encoder to start with: leave out start")
            if method.budgets is not None and (
                method.labels == "all" or not set(method.budgets) <= set(self.budgets)
            ):
                raise ValueError(f"method '{name}': budgets must be some of the study's")
        return self

    @model_validator(mode="after")
    def _comparisons_fit(self) -> StudySettings:
        for name in (self.baseline, *(name for pair in self.comparisons for name in pair)):
            if name not in self.methods:
                raise ValueError(f"'{name}' is compared, but is not among methods")
            if self.methods[name].labels == "all":
                raise ValueError(f"'{name}' has all labels: the distance to it is given anyway")
        if any(one == other for one, other in self.comparisons):
            raise ValueError("a method is compared with itself")
        return self


def slug(name: str) -> str:
    """A name as that of a folder: lower case, letters and digits joined by dashes."""
    return re.sub(r"[\W_]+", "-", name.lower()).strip("-")


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`other` laid over `one`, group by group."""
    merged = dict(one)
    for name, value in other.items():
        before = merged.get(name)
        merged[name] = (
            _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return merged
