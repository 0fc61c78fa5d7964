"""Settings of judging."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apical.config.base import Settings


class JudgeSettings(Settings):
    """How a classifier is judged."""

    resamples: int = Field(2000, ge=100, description="bootstrap resamples over patients")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    interval: Literal["expanded", "percentile", "bca"] = Field(
        "expanded", description="kind of interval; expanded ones also hold with few patients"
    )
    seed: int = Field(0, ge=0)
    costs: dict[str, dict[str, Annotated[float, Field(ge=0, le=1)]]] = Field(
        default_factory=dict, description="own costs of taking one view for another, {view: {other: cost}}"
    )
    by: tuple[str, ...] = Field((), description="further columns of the catalogue to judge slices by")
    risk: float = Field(0.02, gt=0, lt=1, description="share of wrong views wanted among answered clips")
