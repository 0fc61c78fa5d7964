"""Settings of the labelling page: what is offered to whom, and how large pictures are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from apical.config.serving import ListenSettings


class LabelSettings(ListenSettings):
    """How clips are labelled. See docs/labelling.md."""

    port: int = Field(8090, ge=0, le=65535, description="0 = any that is free")
    splits: tuple[Literal["train", "validation", "test", ""], ...] = Field(
        ("train", ""), min_length=1, description="whose clips are offered; empty = clips without a split"
    )
    second_readings: float = Field(
        0.1, ge=0, le=1, description="share of labelled clips that another annotator is shown too"
    )
    repeats: float = Field(
        0.05, ge=0, le=1, description="share of clips that an annotator is shown once more, without a sign"
    )
    fine_tune_every: int = Field(
        0, ge=0, description="labels after which the network itself is fine-tuned; 0 = only when asked"
    )
    side: int = Field(448, ge=64, le=2048, description="of the picture in pixels")
    most_frames: int = Field(48, ge=1, le=400, description="of a clip that are shown")
    pictures_mb: int = Field(2048, ge=1, description="megabytes of pictures kept; the oldest go first")
    show_identifiers: bool = Field(False, description="pseudonyms of patients and names of files on the page")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="fixes groups, map, and who is shown what again")
