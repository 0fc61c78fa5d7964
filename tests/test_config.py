"""Settings: defaults, YAML, options that win, and one clear line for what is not allowed."""

import pytest
from pydantic import ValidationError

from apical.config import (
    ClipEncoderSettings,
    FrameSettings,
    ObjectiveSettings,
    PretrainSettings,
    TrainSettings,
    ViTSettings,
    read_settings,
    worker_count,
)
from apical.errors import WrongCall


def test_yaml_then_options_then_defaults(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("epochs: 3\nencoder: {width: 8}\nobjective: {temperature: 0.5, method: moco}\nseed: 4\n")
    settings = read_settings(PretrainSettings, file, objective__temperature=0.1, seed=None, epochs=5)
    assert (settings.epochs, settings.encoder.width, settings.seed) == (5, 8, 4)
    assert (settings.objective.temperature, settings.objective.method) == (0.1, "moco")
    assert settings.objective.relation == "same-clip"


def test_networks_are_told_apart_by_their_kind(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("encoder: {kind: clip, frames: 3, of_frame: {kind: vit, width: 96}}\n")
    encoder = read_settings(PretrainSettings, file).encoder
    assert (encoder.frames, encoder.of_frame.width, encoder.of_frame.kind) == (3, 96, "vit")
    assert (
        PretrainSettings.model_validate_json(PretrainSettings(encoder=encoder).model_dump_json()).encoder
        == encoder
    )
    file.write_text("encoder: {kind: transformer}\n")
    with pytest.raises(WrongCall, match=r"PretrainSettings encoder: .*'transformer'"):
        read_settings(PretrainSettings, file)
    file.write_text("encoder: {patch: 4}\n")
    with pytest.raises(WrongCall, match=r"PretrainSettings encoder\.resnet\.patch: Extra"):
        read_settings(PretrainSettings, file)
    file.write_text("objective: 3\n")
    with pytest.raises(WrongCall, match="PretrainSettings objective: "):
        read_settings(PretrainSettings, file, objective__method="byol")


@pytest.mark.parametrize("kind", [PretrainSettings, TrainSettings])
def test_patches_must_divide_the_input(kind):
    vit = ViTSettings(patch=10)
    assert kind(encoder=vit, input_size=110).encoder == vit
    for encoder in (vit, ClipEncoderSettings(of_frame=vit)):
        with pytest.raises(ValidationError, match="112 is no multiple of the patch of 10"):
            kind(encoder=encoder, input_size=112)


def test_balanced_patients_need_a_number_of_clips():
    with pytest.raises(ValidationError, match="needs exam_clips"):
        PretrainSettings(balance="patients", exam_clips=None)


def test_settings_that_a_method_does_not_look_at_are_refused():
    """Their defaults may stand there, as they do in a file of all settings."""
    for values, message in (
        ({"method": "vicreg", "temperature": 0.1}, "temperature means nothing for the method 'vicreg'"),
        ({"method": "byol", "hardness": 1}, "hardness means nothing"),
        ({"method": "contrastive", "queue": 9}, "queue means nothing"),
        ({"method": "barlow-twins", "relation": "same-view"}, "same-frame and same-clip only"),
    ):
        with pytest.raises(ValidationError, match=message):
            ObjectiveSettings(**values)
    for method in ("contrastive", "moco", "byol", "barlow-twins", "vicreg"):
        settings = ObjectiveSettings(method=method)
        assert ObjectiveSettings(**settings.model_dump()) == settings


def test_lars_needs_a_learning_rate_of_its_own():
    with pytest.raises(ValidationError, match="needs its own learning_rate"):
        PretrainSettings(optimizer="lars")
    assert PretrainSettings(optimizer="lars", learning_rate=1.0).learning_rate == 1


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        FrameSettings().size = 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size: tiny", r"FrameSettings size: .*integer"),
        ("size: 1", r"FrameSettings size: .*greater"),
        ("colour: 1", r"FrameSettings colour: Extra"),
        ("[", r"'s\.yaml' cannot be read"),
    ],
)
def test_what_is_not_allowed_is_one_line(tmp_path, text, message):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(WrongCall, match=message) as caught:
        read_settings(FrameSettings, file)
    assert "\n" not in str(caught.value)


def test_a_list_is_no_settings_file(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("- 1\n")
    with pytest.raises(WrongCall):
        read_settings(FrameSettings, file)


def test_workers():
    assert worker_count(3) == 3
    assert worker_count(0) >= 1
