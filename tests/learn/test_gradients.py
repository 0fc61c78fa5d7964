"""Gradients of a whole batch: chunk by chunk, and by two real processes, equal to one pass of one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from apical.learn.gradients import backward, chunked, unmoved_statistics
from apical.learn.objective import WITH_TARGET, Objective
from learn.shared_batch import CLIPS, HARD, METHODS, batch, branch, cases, gradients, settings_of


@pytest.fixture(scope="module")
def alone():
    """One process in double precision; Fabric gives back what a network says in torch's default type."""
    torch.set_default_dtype(torch.float64)
    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    fabric.launch()
    yield fabric
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """What two gloo processes started by torchrun found, for all cases."""
    out = tmp_path_factory.mktemp("ranks") / "found.pt"
    script = Path(__file__).parent / "shared_batch.py"
    environment = os.environ | {"PYTHONPATH": str(script.parents[1]), "OMP_NUM_THREADS": "1"}
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), str(out)]
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in WITH_TARGET])
def test_one_pass_is_plain_autograd(alone, method):
    """Without cutting the graph at the embeddings: the same loss, differentiated through the network."""
    settings = settings_of(method)
    crops, members = batch()
    network = branch(settings)
    embeddings = network(crops.flatten(0, 1)).view(2, CLIPS, -1)
    loss = Objective(settings.objective, 6)(embeddings, members)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])
    found, loss_found = gradients(alone, settings)
    assert float(loss_found) == pytest.approx(float(loss.detach()), rel=1e-12)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rows", range(2, 40))
def test_no_chunk_is_of_a_single_crop(rows):
    """Which batch norms would refuse, at the same step after every resume."""
    for chunk in range(4, 20):
        sizes = [len(part) for part in chunked(torch.zeros(1, rows, 1), chunk)]
        assert sum(sizes) == rows
        assert 2 <= min(sizes) <= max(sizes) <= max(chunk, 2)


@pytest.mark.parametrize("chunk", [2, 3, 5, 13])
@pytest.mark.parametrize("method", METHODS)
def test_chunks_give_the_gradient_of_the_whole(alone, method, chunk):
    whole, loss = gradients(alone, settings_of(method))
    found, loss_found = gradients(alone, settings_of(method), chunk)
    assert float(loss_found) == pytest.approx(float(loss), rel=1e-12)
    torch.testing.assert_close(found, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, _, _ in cases()])
def test_two_processes_give_the_gradient_of_one(alone, of_two, name):
    """Uneven shares, four clips and three: nothing off by the number of processes, or by who has how many."""
    settings, chunk = {case: (settings, chunk) for case, settings, chunk in cases()}[name]
    found, loss_found = of_two[name]
    expected, loss = gradients(alone, settings, chunk)
    assert float(loss_found) == pytest.approx(float(loss), rel=1e-12)
    assert float(found.norm() / expected.norm()) == pytest.approx(1, rel=1e-9)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)


def test_the_batch_is_one_in_which_other_ways_of_gathering_would_fail(alone):
    """Gathering detached rows would leave out half of the gradient here: the comparison above can fail."""
    crops, members = batch()
    settings = settings_of("contrastive", **HARD)
    network = branch(settings)
    objective = Objective(settings.objective, 6)
    embeddings = network(crops.flatten(0, 1)).view(2, CLIPS, -1)
    own = torch.cat([embeddings[:, :4], embeddings[:, 4:].detach()], dim=1)
    grads = torch.autograd.grad(objective(own, members), list(network.parameters()))
    expected, _ = gradients(alone, settings)
    assert float(torch.cat([g.flatten() for g in grads]).norm() / expected.norm()) < 0.95


def test_what_processes_gather_and_agree_on(of_two):
    assert of_two["gathered"].tolist() == [[0, 1, 1]]
    assert of_two["agreed"] == 1.5


def test_randomness_inside_the_network_is_the_same_both_times(alone):
    """With dropout, the chunked gradient is that of one graph over the same chunks with the same seeds."""

    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(16 * 16, 6)

        def forward(self, x):
            return self.linear(nn.functional.dropout(x.flatten(1), 0.5, training=True))

    torch.manual_seed(1)
    network = Dropped().double()
    crops, _ = batch()

    def loss_of(z):
        return z.flatten(0, 1).square().mean() + z.sum(0).prod()

    rows = []
    for number, chunk in enumerate(chunked(crops, 5)):
        torch.manual_seed(11 + 7919 * number)
        rows.append(network(chunk))
    expected = torch.autograd.grad(loss_of(torch.cat(rows).view(2, CLIPS, -1)), network.linear.weight)[0]
    wrapped, _ = alone.setup(network, torch.optim.SGD(network.parameters(), lr=0.1))
    backward(alone, wrapped, crops, loss_of, [CLIPS], chunk_crops=5, seed=11)
    torch.testing.assert_close(network.linear.weight.grad, expected, rtol=1e-10, atol=1e-13)


def test_running_statistics_move_once(alone):
    """Two passes through batch norms, one move: that of the second pass, chunk after chunk."""
    settings = settings_of("contrastive", norm="batch")
    crops, members = batch()
    objective = Objective(settings.objective, 6)
    by_hand = branch(settings).train()
    for chunk in chunked(crops, 5):
        assert 4 <= len(chunk) <= 5
        by_hand(chunk)
    network = branch(settings).train()
    wrapped, _ = alone.setup(network, torch.optim.SGD(network.parameters(), lr=0.1))
    backward(alone, wrapped, crops, lambda z: objective(z, members), [CLIPS], chunk_crops=5)
    for (name, found), expected in zip(network.named_buffers(), by_hand.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, msg=name)


def test_unmoved_statistics_put_the_momentum_back_after_an_error():
    norm = nn.BatchNorm1d(3, momentum=0.3)

    def fails():
        with unmoved_statistics(norm):
            assert norm.momentum == 0
            norm(torch.zeros(1, 2))

    with pytest.raises(ValueError, match="more than 1 value"):
        fails()
    assert norm.momentum == 0.3
