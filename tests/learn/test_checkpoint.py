"""Weights and training state survive the disk unchanged; damage is one clear line."""

import pytest
import torch

from apical.config import ResNetSettings
from apical.errors import CannotDo
from apical.learn.backbones import build_encoder, channels_last
from apical.learn.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights


def test_state_round_trip(tmp_path):
    state = {"a": torch.arange(3), "deep": [{"b": 1.5, "c": "x"}], "step": 7}
    save_checkpoint(tmp_path / "c.pt", state)
    read = load_checkpoint(tmp_path / "c.pt")
    assert torch.equal(read.pop("a"), state.pop("a"))
    assert read == state


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not really", b"x" * 100])
def test_a_damaged_checkpoint_is_one_line(tmp_path, damage):
    (tmp_path / "c.pt").write_bytes(damage)
    with pytest.raises(CannotDo, match=r"checkpoint 'c\.pt' cannot be read"):
        load_checkpoint(tmp_path / "c.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"a": Trap()}, tmp_path / "c.pt")
    with pytest.raises(CannotDo):
        load_checkpoint(tmp_path / "c.pt")
    assert not (tmp_path / "sprung").exists()


def test_weights_round_trip_whatever_their_layout(tmp_path):
    torch.manual_seed(0)
    encoder = channels_last(build_encoder(ResNetSettings(width=4)))
    save_weights(tmp_path / "w.safetensors", encoder)
    other = build_encoder(ResNetSettings(width=4))
    load_weights(tmp_path / "w.safetensors", other)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_weights_of_another_network_are_refused(tmp_path):
    save_weights(tmp_path / "w.safetensors", build_encoder(ResNetSettings(width=4)))
    with pytest.raises(CannotDo, match=r"'w\.safetensors' do not fit"):
        load_weights(tmp_path / "w.safetensors", build_encoder(ResNetSettings(width=8)))
    (tmp_path / "w.safetensors").write_bytes(b"12345678{}")
    with pytest.raises(CannotDo, match="do not fit"):
        load_weights(tmp_path / "w.safetensors", build_encoder(ResNetSettings(width=4)))
