"""Settings of answers to files."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field

from apical.config.base import Settings

FEW = 32  # files; starting processes takes as long as answering about so many


class PredictSettings(Settings):
    """How files are answered."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    runtime: Literal["auto", "torch", "onnxruntime", "openvino"] = Field(
        "auto", description="what computes the network; auto: the fastest that answers rightly here"
    )
    precision: Literal["f32", "bf16"] = Field("f32", description="of torch and OpenVINO; bf16 is quicker")
    early: bool = Field(True, description="stop looking at frames once the others could hardly change it")
    workers: int = Field(
        0, ge=0, description="processes; 0 = one per core, if files are many; 1 = none but this, unbounded"
    )
    seconds_per_file: float = Field(120, gt=0, description="a file that takes longer is a problem")
    memory_mb: int = Field(4096, ge=512, description="most memory that a process may ask for, on a CPU")

    def processes(self, files: int) -> int:
        """How many processes are worth starting for so many files."""
        if self.workers:
            return self.workers
        return 1 if files <= FEW else max(2, os.cpu_count() or 1)  # with one there are no limits
