"""Directions of the heart and of the body it lies in, in heart coordinates (see `motion`)."""

import math

import numpy as np

from apical.phantom.anatomy import Floats

AXIS = np.array([0.0, 0.0, 1.0])  # long axis of the left ventricle, base to apex


def unit(vector: Floats) -> Floats:
    """Scale vectors (float64 [..., 3]) to length one."""
    scaled: Floats = vector / np.linalg.norm(vector, axis=-1, keepdims=True)
    return scaled


def azimuth(degrees: float) -> Floats:
    """Give the unit vector of an azimuth, float64 [3]."""
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0])


# The long axis points to the left, forwards and down in the body (left, posterior, superior).
_AXIS_IN_BODY = unit(np.array([0.62, -0.48, -0.62]))
_ANTERIOR_IN_BODY = np.array([0.06, -0.75, 0.64])
_ANTERIOR_IN_BODY = unit(_ANTERIOR_IN_BODY - (_ANTERIOR_IN_BODY @ _AXIS_IN_BODY) * _AXIS_IN_BODY)
_BODY_TO_HEART = np.stack([np.cross(_ANTERIOR_IN_BODY, _AXIS_IN_BODY), _ANTERIOR_IN_BODY, _AXIS_IN_BODY])


def body(left: float, posterior: float, superior: float) -> Floats:
    """Turn a vector of body directions (mm) into heart coordinates, float64 [3]."""
    return np.asarray(_BODY_TO_HEART @ np.array([left, posterior, superior]), dtype=np.float64)
