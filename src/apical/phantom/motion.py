"""How the beating heart moves: from a point in space back to where its tissue was at end-diastole.

The heart is described once, at end-diastole (`heart`). At any other moment a point of space is first brought
back to there, and what lies there is what is seen: walls thicken, chambers empty, the base comes down, the
apex turns, and the speckle, which belongs to the tissue, goes along.

Heart coordinates, mm: the long axis of the left ventricle is z, from the base (0) to the apex (positive).
Tensors are float32 [frames, beams, samples].
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from apical.phantom.anatomy import Floats, Patient
from apical.phantom.cycle import CardiacState
from apical.phantom.device import floats

WIDEST = 0.28  # where the left ventricle is widest, of the way from base to apex
ATRIA_MM = 62.0  # above the base, where its descent is no longer felt
ANNULUS_MM = (15.0, 20.0)  # above and below the base, between which the narrowing of the ventricle fades
AROUND = (1.0, 1.6)  # of the heart's own outline, between which its movement fades


@dataclass(frozen=True, slots=True)
class Motion:
    """How far the heart of `patient` is from end-diastole; arrays are float64 [frames]."""

    patient: Patient
    descent: Floats  # of the mitral ring towards the apex, mm
    tricuspid_descent: Floats  # mm
    narrowing: Floats  # share of the left ventricle's inner radius that is lost
    rv_inward: Floats  # of the free wall of the right ventricle towards the septum, mm
    apex_turn: Floats  # radians
    base_turn: Floats

    def undo(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bring points of space back to where their tissue is at end-diastole."""
        patient = self.patient
        length, epicardium = patient.lv_length, patient.lv_radius + patient.lv_wall
        facing_rv = math.radians(patient.rv_azimuth)
        towards, across = math.cos(facing_rv), math.sin(facing_rv)
        u = (x * towards).add_(y, alpha=across)  # towards the right ventricle
        v = (y * towards).sub_(x, alpha=across)

        # How much a point follows the heart: 1 in it, 0 far beside it.
        middle, half = patient.rv_radius / 2, epicardium + patient.rv_radius / 2 + 4
        squared = (u - middle).div_(half).square_().add_((v / (epicardium + 6)).square_())
        near = _fall(squared.sqrt_().sub_(AROUND[0]).div_(AROUND[1] - AROUND[0]))
        in_rv = (u - epicardium).div_(patient.rv_radius).clamp_(0, 1)

        # The base comes down, the apex stays.
        descent = in_rv.mul_(_column(self.tricuspid_descent - self.descent)).add_(_column(self.descent))
        descent = descent.mul_(near)
        below = (z - descent).clamp_(min=0).div_(length - descent)  # 0 at the base, 1 at the apex
        above = _fall((descent - z).div_(ATRIA_MM))
        z = z - (1 - below).clamp_(min=0).mul_(descent).mul_(above)

        # The left ventricle turns and narrows; its wall keeps its volume, and so thickens.
        height = (z / length).clamp_(0, 1)
        turn = height.mul_(_column(self.apex_turn - self.base_turn)).add_(_column(self.base_turn))
        turn = turn.mul_(near).mul_(above)
        shortened = _column(self.descent) / length
        strength = (z + ANNULUS_MM[0]).div_(sum(ANNULUS_MM)).clamp_(0, 1)
        strength = strength.mul_((z - length).div_(-15).add_(1).clamp_(0, 1))
        squared = (u * u).addcmul_(v, v).add_(1e-6)
        inner = inner_radius_squared(length, patient.lv_radius, z)
        kept = (strength * -_column(self.narrowing)).add_(1).square_()
        in_blood = squared / kept
        slower = strength.mul_(-shortened).add_(1)
        in_wall = (squared - inner * kept).mul_(slower).add_(inner)
        widened = torch.minimum(in_blood, torch.maximum(in_wall, squared))  # they meet at the inner surface
        scale = widened.div_(squared).div_((turn * turn).add_(1)).sqrt_()
        u, v = (turn * v).add_(u).mul_(scale), v.sub(turn.mul_(u)).mul_(scale)

        # The free wall of the right ventricle comes inwards, the septum stays.
        inward = _fall(z.abs().sub_(0.35 * length).div_(0.5 * length)).mul_(_column(self.rv_inward))
        inward = inward.mul_(_fall(v.abs().div_(patient.rv_breadth).sub_(0.6)))
        reach = patient.rv_radius - inward
        share = (u - epicardium).div_(reach)
        beyond = _fall((share - 1).mul_(reach).div_(25))
        u = u.add_(inward.mul_(share.clamp_(0, 1)).mul_(beyond))
        return (u * towards).sub_(v, alpha=across), (v * towards).add_(u, alpha=across), z


def motion_of(patient: Patient, state: CardiacState) -> Motion:
    """Move the heart of `patient` as `state` says; its ejection fraction is met exactly."""
    descent = patient.mitral_descent * state.descent
    return Motion(
        patient=patient,
        descent=descent,
        tricuspid_descent=patient.tricuspid_descent * state.descent,
        narrowing=_narrowing(patient, patient.ejection_fraction * state.contraction, descent),
        rv_inward=patient.rv_radius * patient.rv_shrinks * state.contraction,
        apex_turn=np.radians(patient.apex_turns) * state.twist,
        base_turn=np.radians(patient.base_turns) * state.twist,
    )


def inner_radius_squared(lv_length: float, lv_radius: float, z: Tensor) -> Tensor:
    """Square of the left ventricle's inner radius at end-diastole at heights `z`; 0 beyond the apex."""
    widest = WIDEST * lv_length
    share = z.clamp(min=0).sub_(widest).div_(lv_length - widest)
    return share.square_().neg_().add_(1).clamp_(min=0).mul_(lv_radius**2)


def _narrowing(patient: Patient, ejected: Floats, descent: Floats) -> Floats:
    """How much the radius must shrink for a share `ejected` of the volume to leave (float64 [frames]).

    With the narrowing n fading as f(z) towards the base, the volume is the integral of r2 (1 - n f)2 over
    the length that is left: a quadratic in n.
    """
    whole, once, twice = _moments(patient.lv_length, patient.lv_radius)
    wanted = whole * (1 - ejected) / (1 - descent / patient.lv_length)
    rest = np.maximum(once**2 - twice * (whole - wanted), 0)
    return (once - np.sqrt(rest)) / twice


@lru_cache(256)
def _moments(lv_length: float, lv_radius: float) -> tuple[float, float, float]:
    """Integrals of r2, r2 f and r2 f2 along a left ventricle at end-diastole."""
    z = np.linspace(0, lv_length, 400)
    area = inner_radius_squared(lv_length, lv_radius, torch.from_numpy(z)).numpy()
    fades = np.clip((z + ANNULUS_MM[0]) / sum(ANNULUS_MM), 0, 1)
    whole, once, twice = (float(np.trapezoid(area * fades**power, z)) for power in (0, 1, 2))
    return whole, once, twice


def _column(values: Floats) -> Tensor:
    """One value a frame, ready to broadcast: float32 [frames, 1, 1]."""
    return floats(values)[:, None, None]


def _fall(t: Tensor) -> Tensor:
    """A smooth fall from 1 (t <= 0) to 0 (t >= 1); `t` is used up."""
    t = t.clamp_(0, 1)
    return (2 * t).sub_(3).mul_(t).mul_(t).add_(1)
