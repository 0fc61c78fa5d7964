"""Settings of judging."""

from __future__ import annotations

from pydantic import Field

from apical.config.base import Settings


class JudgeSettings(Settings):
    """How a classifier is judged."""

    resamples: int = Field(2000, ge=100, description="bootstrap resamples over patients")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    seed: int = Field(0, ge=0)
