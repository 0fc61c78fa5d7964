"""Every setting, one frozen and validated class per stage.

The defaults here are the defaults of the command line and of the Python API.
"""

from apical.config.base import Settings, read_settings, worker_count
from apical.config.ingest import DeidentifySettings, FrameSettings, PhantomSettings, ScanSettings
from apical.config.judging import JudgeSettings
from apical.config.labelling import LabelSettings
from apical.config.learning import AugmentSettings, ObjectiveSettings, PretrainSettings
from apical.config.networks import (
    ClipEncoderSettings,
    EncoderSettings,
    FrameEncoderSettings,
    ResNetSettings,
    TimmSettings,
    ViTSettings,
    encoder_settings,
)
from apical.config.predicting import PredictSettings
from apical.config.serving import ListenSettings, PacsSettings, ReceiverSettings, ReplySettings, ServeSettings
from apical.config.study import MethodSettings, StudySettings
from apical.config.training import (
    EITHER,
    FROZEN,
    NEEDS_ENCODER,
    ContrastSettings,
    ExamSettings,
    GraphSettings,
    ImbalanceSettings,
    PseudoSettings,
    TrainSettings,
)

__all__ = [
    "EITHER",
    "FROZEN",
    "NEEDS_ENCODER",
    "AugmentSettings",
    "ClipEncoderSettings",
    "ContrastSettings",
    "DeidentifySettings",
    "EncoderSettings",
    "ExamSettings",
    "FrameEncoderSettings",
    "FrameSettings",
    "GraphSettings",
    "ImbalanceSettings",
    "JudgeSettings",
    "LabelSettings",
    "ListenSettings",
    "MethodSettings",
    "ObjectiveSettings",
    "PacsSettings",
    "PhantomSettings",
    "PredictSettings",
    "PretrainSettings",
    "PseudoSettings",
    "ReceiverSettings",
    "ReplySettings",
    "ResNetSettings",
    "ScanSettings",
    "ServeSettings",
    "Settings",
    "StudySettings",
    "TimmSettings",
    "TrainSettings",
    "ViTSettings",
    "encoder_settings",
    "read_settings",
    "worker_count",
]
