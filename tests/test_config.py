"""Settings: defaults, YAML, options that win, and one clear line for what is not allowed."""

import pytest
from pydantic import ValidationError

from apical.config import FrameSettings, PretrainSettings, read_settings, worker_count
from apical.errors import WrongCall


def test_yaml_then_options_then_defaults(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("epochs: 3\nencoder: {width: 8}\ntemperature: 0.5\n")
    settings = read_settings(PretrainSettings, file, temperature=0.1, seed=None)
    assert (settings.epochs, settings.encoder.width, settings.temperature, settings.seed) == (3, 8, 0.1, 0)


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
