"""Every setting, one frozen and validated class per stage.

The defaults here are the defaults of the command line and of the Python API.
"""

from apical.config.base import Settings, read_settings, worker_count
from apical.config.ingest import DeidentifySettings, FrameSettings, PhantomSettings, ScanSettings
from apical.config.judging import JudgeSettings
from apical.config.learning import (
    NEEDS_ENCODER,
    AugmentSettings,
    ObjectiveSettings,
    PretrainSettings,
    TrainSettings,
)
from apical.config.networks import (
    ClipEncoderSettings,
    EncoderSettings,
    FrameEncoderSettings,
    ResNetSettings,
    TimmSettings,
    ViTSettings,
    encoder_settings,
)

__all__ = [
    "NEEDS_ENCODER",
    "AugmentSettings",
    "ClipEncoderSettings",
    "DeidentifySettings",
    "EncoderSettings",
    "FrameEncoderSettings",
    "FrameSettings",
    "JudgeSettings",
    "ObjectiveSettings",
    "PhantomSettings",
    "PretrainSettings",
    "ResNetSettings",
    "ScanSettings",
    "Settings",
    "TimmSettings",
    "TrainSettings",
    "ViTSettings",
    "encoder_settings",
    "read_settings",
    "worker_count",
]
