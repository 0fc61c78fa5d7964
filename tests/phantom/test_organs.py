"""What is not a heart: other transducers, other tissue, and files like any others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from test_modes import shot
from test_screen import polygon_mask
from test_study import truth_rows

from apical.config import PhantomSettings
from apical.phantom.ecg import ecg_strip
from apical.phantom.organs import CURVED, ORGANS, STRAIGHT, organ_clip, place
from apical.phantom.screen import lay_out
from apical.phantom.study import write_phantom


@pytest.fixture(params=sorted(ORGANS))
def organ(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each organ in turn, as the only one."""
    name = str(request.param)
    monkeypatch.setattr("apical.phantom.organs.ORGANS", {name: ORGANS[name]})
    return name


@pytest.mark.parametrize("number", [0, 5, 14])
def test_clip_fills_its_sector_and_nothing_else(organ: str, number: int) -> None:
    one = shot(number, rows=160)
    clip = organ_clip(one)
    assert clip.screen is not None
    assert clip.sight is None
    assert clip.frames.shape == (2, 160, one.columns, 3)
    inside = polygon_mask(clip.screen)
    frames = clip.frames[:, : ecg_strip(clip.screen)[0]]
    inside = inside[: frames.shape[1]]
    moving = np.any(frames[0] != frames[1], axis=-1)
    assert moving[inside].mean() > 0.3
    assert not moving[~inside].any()
    assert frames[:, inside].max() > 60


def test_same_seed_gives_the_same_clip(organ: str) -> None:
    first, second = organ_clip(shot(3)), organ_clip(shot(3))
    assert (first.frames == second.frames).all()


@pytest.mark.parametrize(("transducer", "depth"), [(CURVED, 150.0), (STRAIGHT, 40.0)])
def test_field_lies_on_the_screen_with_its_true_size(transducer: object, depth: float) -> None:
    """As wide at the skin as the transducer, as deep as asked for, and round or straight."""
    screen = place(lay_out(shot(4).machine, 300, 100.0), transducer, depth)
    x0, y0, x1, y1 = screen.region()
    assert 0 <= x0 < x1 < screen.columns
    assert 0 <= y0 < y1 < 300
    outline = screen.polygon() * screen.mm_per_pixel
    face = outline[:25]
    width = np.ptp(face[:, 0])
    assert width == pytest.approx(transducer.width_mm, rel=0.06)
    assert np.ptp(outline[:, 1]) == pytest.approx(depth, rel=0.12)
    sagitta = np.ptp(face[:, 1])
    assert sagitta < 0.2 if transducer is STRAIGHT else sagitta > 5


def test_study_holds_them_without_a_view(tmp_path: Path) -> None:
    write_phantom(tmp_path / "out", PhantomSettings(patients=1, frames=2, image_rows=120, organs=3))
    rows = [row for row in truth_rows(tmp_path / "out") if row["mode"] == "organ"]
    assert len(rows) == 3
    for row in rows:
        header = pydicom.dcmread(tmp_path / "out" / row["file"], stop_before_pixels=True)
        assert header.TransducerType in ("LINEAR", "CURVED LINEAR")
        assert header.BodyPartExamined != "HEART"
        assert (row["view"], row["quality"], row["plane_error_deg"]) == ("", "", "")
        assert row["sector"]


def test_finer_waves_give_finer_speckle() -> None:
    """Neighbouring millimetres of a vessel's surroundings are less alike than those of a liver."""

    def alike() -> float:
        one = replace(shot(2, frames=1, rows=300), frames=1)
        clip = organ_clip(one)
        assert clip.screen is not None
        gray = clip.frames[0, ..., 1].astype(float)
        x0, y0, x1, y1 = clip.screen.region()
        part = gray[(y0 + y1) // 2 : y1 - 20, (x0 + x1) // 2 - 25 : (x0 + x1) // 2 + 25]
        step = max(1, round(1.0 / clip.screen.mm_per_pixel))
        return float(np.corrcoef(part[:-step].ravel(), part[step:].ravel())[0, 1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apical.phantom.organs.ORGANS", {"vessel": ORGANS["vessel"]})
        vessel = alike()
        patch.setattr("apical.phantom.organs.ORGANS", {"liver": ORGANS["liver"]})
        assert vessel < alike()
