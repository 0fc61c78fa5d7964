"""Barlow Twins and VICReg against naive loops, closed forms, another library and their own gradients."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import VICRegLoss

from apical.learn.redundancy import barlow_twins, over_pairs, vicreg

WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}


def two(n, d, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(n, d, generator=generator, dtype=dtype)
    return one, one + 0.5 * torch.randn(n, d, generator=generator, dtype=dtype)


def mean(values):
    return sum(values) / len(values)


def column(z, k):
    return [float(row[k]) for row in z]


def standardised(values):
    centre = mean(values)
    spread = math.sqrt(mean([(v - centre) ** 2 for v in values]) + 1e-5)
    return [(v - centre) / spread for v in values]


@pytest.mark.parametrize("redundancy", [0.005, 1.0])
def test_barlow_twins_equals_naive_loops(redundancy):
    one, other = two(7, 3)
    expected = 0.0
    for k in range(3):
        for m in range(3):
            a, b = standardised(column(one, k)), standardised(column(other, m))
            c = mean([x * y for x, y in zip(a, b, strict=True)])
            expected += (1 - c) ** 2 if k == m else redundancy * c**2
    assert float(barlow_twins(one, other, redundancy=redundancy)) == pytest.approx(expected, rel=1e-10)


def test_barlow_twins_is_zero_for_equal_crops_with_features_that_are_not_correlated():
    hadamard = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    assert float(barlow_twins(hadamard, hadamard, redundancy=1.0)) == pytest.approx(0, abs=1e-9)


def test_barlow_twins_of_one_feature_repeated():
    """All correlations are 1: nothing on the diagonal, λ for each of d(d − 1) pairs beside it."""
    z = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=torch.float64).repeat(1, 5)
    assert float(barlow_twins(z, z, redundancy=0.1)) == pytest.approx(0.1 * 20, rel=1e-4)


def test_vicreg_equals_naive_loops():
    one, other = two(6, 4)

    def of_one(z):
        hinges, covariances = 0.0, 0.0
        centred = [[v - mean(column(z, k)) for v in column(z, k)] for k in range(4)]
        for k in range(4):
            variance = sum(v * v for v in centred[k]) / 5
            hinges += max(0.0, 1 - math.sqrt(variance + 1e-4)) / 4
            for m in range(4):
                if m != k:
                    c = sum(x * y for x, y in zip(centred[k], centred[m], strict=True)) / 5
                    covariances += c**2 / 4
        return hinges, covariances

    (v1, c1), (v2, c2) = of_one(one), of_one(other)
    apart = mean([(float(x) - float(y)) ** 2 for x, y in zip(one.flatten(), other.flatten(), strict=True)])
    expected = 25 * apart + 25 * (v1 + v2) / 2 + (c1 + c2)
    assert float(vicreg(one, other, **WEIGHTS)) == pytest.approx(expected, rel=1e-10)


def test_vicreg_equals_pytorch_metric_learning():
    one, other = two(16, 8, dtype=torch.float32)
    one, other = 0.3 * one, 0.3 * other  # so that the hinge of the variance has a part
    theirs = VICRegLoss(invariance_lambda=25, variance_mu=25, covariance_v=1, eps=1e-4)(one, ref_emb=other)
    assert float(vicreg(one, other, **WEIGHTS)) == pytest.approx(float(theirs), rel=1e-5)


def test_vicreg_of_identical_embeddings_is_the_variance_hinge():
    z = torch.ones(5, 4, dtype=torch.float64)
    assert float(vicreg(z, z, **WEIGHTS)) == pytest.approx(25 * (1 - 0.01), rel=1e-10)


@pytest.mark.parametrize("name", ["barlow_twins", "vicreg"])
def test_gradient_equals_finite_differences(name):
    one, other = (z.requires_grad_() for z in two(5, 3))
    one, other = (0.5 * one).detach().requires_grad_(), (0.5 * other).detach().requires_grad_()
    objective = {
        "barlow_twins": lambda a, b: barlow_twins(a, b, redundancy=0.1),
        "vicreg": lambda a, b: vicreg(a, b, **WEIGHTS),
    }[name]
    assert torch.autograd.gradcheck(objective, (one, other))


@pytest.mark.parametrize("name", ["barlow_twins", "vicreg"])
def test_order_of_the_clips_and_of_the_crops_does_not_matter(name):
    one, other = two(8, 3)
    turn = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    objective = {
        "barlow_twins": lambda a, b: barlow_twins(a, b, redundancy=0.1),
        "vicreg": lambda a, b: vicreg(a, b, **WEIGHTS),
    }[name]
    expected = float(objective(one, other))
    assert float(objective(one[turn], other[turn])) == pytest.approx(expected, rel=1e-10)
    assert float(objective(other, one)) == pytest.approx(expected, rel=1e-10)


def test_more_than_two_crops_are_taken_in_pairs():
    z = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    found = over_pairs(lambda a, b: (a * b).sum(), z)
    expected = mean([float((z[i] * z[j]).sum()) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_half_precision_is_raised():
    one, other = two(16, 8, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for objective in (
            lambda a, b: barlow_twins(a, b, redundancy=0.1),
            lambda a, b: vicreg(a, b, **WEIGHTS),
        ):
            half = objective(one.bfloat16(), other.bfloat16())
            full = objective(one.bfloat16().float(), other.bfloat16().float())
            assert half.dtype == torch.float32
            assert float(half) == pytest.approx(float(full), rel=1e-6)
