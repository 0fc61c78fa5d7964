"""The schedule's corners, what weight decay leaves alone, and LARS against its equations."""

import copy
import math

import pytest
import torch
from torch import nn

from apical.learn.optimise import LARS, optimizer_of, parameter_groups, set_rate, warmup_cosine


def test_schedule_rises_then_falls_to_nothing():
    shares = [i / 200 for i in range(201)]
    factors = [warmup_cosine(share, 0.1) for share in shares]
    top = factors.index(max(factors))
    assert shares[top] == pytest.approx(0.1)
    assert factors[top] == pytest.approx(1)
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert 0 < factors[0] < 0.02
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    assert warmup_cosine(0.55, 0.1) == pytest.approx(0.5)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 3)
        self.position = nn.Parameter(torch.zeros(1, 5, 4))
        self.scale = nn.Parameter(torch.ones(()))


def test_only_kernels_and_matrices_decay():
    network = Small()
    decayed, others = parameter_groups(network, 0.3)
    names = {id(p): name for name, p in network.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {"conv.weight", "linear.weight"}
    assert {names[id(p)] for p in others["params"]} == {
        "conv.bias", "norm.weight", "norm.bias", "linear.bias", "position", "scale",
    }  # fmt: skip
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0)
    assert (decayed["adapted"], others["adapted"]) == (True, False)


def test_each_group_keeps_its_own_factor():
    network = Small()
    groups = parameter_groups(network, 0.1, 0.5) + parameter_groups(nn.Linear(2, 2), 0.1)
    optimizer = optimizer_of(groups, "adamw", 1.0)
    set_rate(optimizer.param_groups, 0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1, 0.2, 0.2]


def test_lars_equals_its_equations():
    """Three steps on a matrix and a vector, written out with Python numbers."""
    torch.manual_seed(0)
    matrix = nn.Parameter(torch.randn(2, 2, dtype=torch.float64))
    vector = nn.Parameter(torch.randn(2, dtype=torch.float64))
    w = {"matrix": matrix.detach().flatten().tolist(), "vector": vector.detach().tolist()}
    v = {name: [0.0] * len(values) for name, values in w.items()}
    optimizer = LARS(
        [
            {"params": [matrix], "weight_decay": 0.1, "adapted": True},
            {"params": [vector], "weight_decay": 0.0, "adapted": False},
        ],
        lr=0.5,
        momentum=0.9,
        trust=0.02,
    )
    for step in range(3):
        optimizer.zero_grad()
        ((matrix @ vector).square().sum() + step * vector.sum()).backward()
        for name, parameter, decay in (("matrix", matrix, 0.1), ("vector", vector, 0.0)):
            g = [x + decay * y for x, y in zip(parameter.grad.flatten().tolist(), w[name], strict=True)]
            q = 1.0
            if name == "matrix":
                q = 0.02 * math.hypot(*w[name]) / math.hypot(*g)
            v[name] = [0.9 * a + q * b for a, b in zip(v[name], g, strict=True)]
        optimizer.step()
        for name in w:
            w[name] = [a - 0.5 * b for a, b in zip(w[name], v[name], strict=True)]
        assert matrix.detach().flatten().tolist() == pytest.approx(w["matrix"], rel=1e-12)
        assert vector.detach().tolist() == pytest.approx(w["vector"], rel=1e-12)


def test_lars_leaves_a_weight_of_zero_norm_a_way_out():
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = LARS([weight], lr=1.0)
    weight.sum().backward()
    optimizer.step()
    assert torch.equal(weight.detach(), -torch.ones(2, 2))


def test_lars_goes_on_from_its_state():
    torch.manual_seed(0)
    one = nn.Linear(3, 2)
    other = copy.deepcopy(one)
    first, second = LARS(one.parameters(), lr=0.1), LARS(other.parameters(), lr=0.1)
    x = torch.randn(4, 3)
    for network, optimizer in ((one, first), (other, second)):
        network(x).square().sum().backward()
        optimizer.step()
    third = LARS(other.parameters(), lr=0.1)
    third.load_state_dict(second.state_dict())
    for network, optimizer in ((one, first), (other, third)):
        optimizer.zero_grad()
        network(x).square().sum().backward()
        optimizer.step()
    assert torch.equal(one.weight, other.weight)
