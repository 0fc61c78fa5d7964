"""Settings of everything up to the frame store."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from apical.config.base import Settings


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
