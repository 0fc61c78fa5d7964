"""The ribs between which the probe looks at the heart."""

import numpy as np

from apical.phantom.anatomy import Patient
from apical.phantom.axes import body, unit
from apical.phantom.heart import Tissue, Tube
from apical.phantom.planes import WITHOUT_RIBS, Plane

RIB_RADIUS_MM = 5.5
RIB_DEPTH_MM = 9.0  # of the middle of a rib below the skin
RIB_LENGTH_MM = 120.0
_ALONG_RIBS = body(0.86, 0.15, -0.48)  # on the left of the breastbone, outwards and down


def ribs(patient: Patient, ideal: Plane, view: str) -> tuple[Tube, ...]:
    """The two ribs beside the place where `view` is ideally taken; none below or above the rib cage.

    A probe that slides from that place comes nearer to one of them and loses beams to its shadow.
    """
    if view in WITHOUT_RIBS:
        return ()
    along = unit(_ALONG_RIBS - (_ALONG_RIBS @ ideal.beam) * ideal.beam)
    aside = np.cross(ideal.beam, along)
    middle = ideal.probe + ideal.beam * min(RIB_DEPTH_MM, 0.6 * patient.chest_wall)
    half = along * RIB_LENGTH_MM / 2
    centres = (middle + side * (patient.rib_gap / 2 + RIB_RADIUS_MM) * aside for side in (1, -1))
    return tuple(
        Tube(centre - half, centre + half, RIB_RADIUS_MM, RIB_RADIUS_MM, 0.0, Tissue.RIB)
        for centre in centres
    )
