"""The screens that an echo machine stores beside plain 2-D cines: Doppler, M-mode, volumes, reports."""

from apical.phantom.colour import colour_clip, tissue_clip
from apical.phantom.dual import dual_clip
from apical.phantom.m_mode import m_mode_clip
from apical.phantom.page import report_clip
from apical.phantom.rendering import volume_clip
from apical.phantom.spectral import spectral_clip

MODES = {
    "colour": colour_clip,
    "tissue-doppler": tissue_clip,
    "spectral": spectral_clip,
    "m-mode": m_mode_clip,
    "dual": dual_clip,
    "3d": volume_clip,
    "report": report_clip,
}
# Where each mode is usually applied; the others anywhere.
USUAL_VIEWS = {
    "spectral": ("A4C", "A5C", "A3C", "A2C", "PSAX-AV", "subcostal-4C", "suprasternal"),
    "m-mode": ("PLAX", "PLAX", "PSAX-AV", "PSAX-MV", "PSAX-PM", "A4C", "IVC"),
    "3d": ("A4C", "A4C", "A2C", "A3C", "PLAX", "PSAX-MV", "PSAX-AV"),
}
SHOWS_ONE_VIEW = ("colour", "tissue-doppler")  # the modes whose clips are still clips of a view
