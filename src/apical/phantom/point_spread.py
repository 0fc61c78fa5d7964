"""The point spread of a beam: what is seen of a single scatterer, Gaussian along and across."""

import math

import torch
from torch import Tensor

from apical.phantom.conditions import Conditions, Probe
from apical.phantom.device import floats
from apical.phantom.shapes import PolarGrid


def spread(field: Tensor, axial: Tensor, lateral: Tensor) -> Tensor:
    """Blur a complex field ([2, frames, beams, samples]) by the point spread of `axial` and `lateral`."""
    *others, beams, samples = field.shape
    along = axial @ field.view(-1, samples).T
    across = torch.bmm(along.view(samples, -1, beams), lateral.mT)
    return across.view(samples, *others, beams).permute(1, 2, 3, 0).contiguous()


def axial_spread(grid: PolarGrid, probe: Probe) -> Tensor:
    """Give each sample as a sum of those of its beam: float32 [samples, samples], keeping speckle power."""
    index = torch.arange(len(grid.ranges), dtype=torch.float32)
    return _keeping_power(_bells(index, probe.axial_mm / grid.sample_mm))


def lateral_spread(grid: PolarGrid, probe: Probe, conditions: Conditions) -> Tensor:
    """Give each beam as a sum of all, at each depth: float32 [samples, beams, beams], keeping speckle power.

    The beam is narrowest at the focus, wider where it is steered aside (the aperture looks narrower by the
    cosine), and has side lobes.
    """
    ranges = floats(grid.ranges)
    width = math.radians(probe.lateral_degrees) * conditions.widening / grid.beam_radians
    depths = ranges - grid.face_mm
    defocus = 1 + 0.55 * (depths - probe.focus_mm).abs() / probe.focus_mm
    aperture = 1.5 / (ranges * grid.beam_radians + 3.0)
    steered = 1 / torch.cos(floats(grid.angles))
    sigma = (width * defocus + aperture)[:, None] * steered
    index = torch.arange(len(grid.angles), dtype=torch.float32)
    lobes = _bells(index, math.radians(probe.side_lobes_degrees) / grid.beam_radians)
    return _keeping_power(_bells(index, sigma[..., None]).add_(conditions.side_lobes * lobes))


def _bells(index: Tensor, sigma: Tensor | float) -> Tensor:
    """Gaussians of all pairs of `index` ([size]), `sigma` wide ([..., size, 1]): [..., size, size]."""
    squared = ((index[:, None] - index) / sigma).square_()
    return squared.clamp_(max=50).mul_(-0.5).exp_()  # denormal numbers would be slow


def _keeping_power(rows: Tensor) -> Tensor:
    """Scale rows (in place) so that white noise keeps its power."""
    return rows.div_(rows.square().sum(dim=-1, keepdim=True).sqrt_())
