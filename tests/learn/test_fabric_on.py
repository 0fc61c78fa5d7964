"""Devices: one process unless the work is shared, and clear words for what is not there."""

import pytest
import torch

from apical.errors import CannotDo, WrongCall
from apical.learn.device import fabric_on


def test_one_process_on_the_cpu():
    fabric = fabric_on("cpu")
    assert (fabric.device.type, fabric.world_size) == ("cpu", 1)


def test_gpus_are_told_to_convolve_the_same_way_each_time(monkeypatch):
    """Seen on an H200: without it, weights of one seed differ from the first steps on."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    fabric_on("cpu")
    assert torch.backends.cudnn.deterministic


def test_a_verb_for_one_process_refuses_to_be_several(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(WrongCall, match="for one process"):
        fabric_on("cpu")


def test_a_device_that_is_not_there():
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(CannotDo, match="there is no 'cuda' device"):
        fabric_on("cuda")


def test_16_bits_need_a_gpu():
    with pytest.raises(CannotDo, match="--precision bf16"):
        fabric_on("cpu", "16")


@pytest.mark.parametrize(("precision", "dtype"), [("32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_that_of_the_products(precision, dtype):
    fabric = fabric_on("cpu", precision)
    with fabric.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_nothing_is_said_of_what_was_asked_for(capfd, caplog):
    fabric_on("cpu", "bf16")
    assert (capfd.readouterr(), caplog.text) == (("", ""), "")
