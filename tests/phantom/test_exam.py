"""Exams: what is taken, in which order, and the truth about every frame."""

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest

from apical.config import PhantomSettings
from apical.phantom.clip import Clip
from apical.phantom.cycle import cardiac_state
from apical.phantom.exam import CONTRAST_PROTOCOL, NEIGHBOURS, Take, exam_of, takes
from apical.phantom.heart import heart_at
from apical.phantom.planes import APICAL, EXTRA_VIEWS, VIEWS, ideal_plane, plane_error
from apical.phantom.study import write_phantom

EVERYTHING = PhantomSettings(
    patients=2,
    frames=9,
    image_rows=112,
    seed=3,
    contrast=1.0,
    extra_views=2,
    sweeps=3,
    organs=1,
    other_modes=1,
    workers=1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exam") / "exams"
    write_phantom(out, EVERYTHING)
    return out


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_contrast_comes_last_in_its_own_views() -> None:
    taken = list(takes(exam_of(PhantomSettings(frames=1, image_rows=96, contrast=1.0, seed=8), 1)))
    with_agent = [take.contrast_agent for take in taken]
    assert any(with_agent)
    assert with_agent == sorted(with_agent)
    assert {take.view for take in taken if take.contrast_agent} <= {view for view, _ in CONTRAST_PROTOCOL}


def test_share_of_exams_with_contrast_is_as_set() -> None:
    settings = PhantomSettings(contrast=0.3)
    given = [bool(exam_of(settings, index).with_agent) for index in range(400)]
    assert np.mean(given) == pytest.approx(0.3, abs=0.06)
    assert not any(exam_of(PhantomSettings(contrast=0.0), index).with_agent for index in range(50))


def test_further_clips_change_no_ordinary_one() -> None:
    """Whatever else is asked for, the clips of the thirteen views stay the same, pixel by pixel."""
    few = PhantomSettings(frames=1, image_rows=96, contrast=0.0, seed=8)
    more = few.model_copy(update={"contrast": 1.0, "organs": 1, "extra_views": 1})
    plain = list(takes(exam_of(few, 0)))
    for alone, among in zip(plain, takes(exam_of(more, 0)), strict=False):
        assert (alone.view, alone.number) == (among.view, among.number)
        assert (alone.clip.frames == among.clip.frames).all()


def test_agent_makes_the_picture_of_the_same_view_another() -> None:
    """Cavities brighter than muscle instead of darker, by the labels of both."""
    settings = PhantomSettings(frames=1, image_rows=160, contrast=1.0, difficulty=0.2, seed=4)
    clips = [take for take in takes(exam_of(settings, 0)) if take.view == "A4C"]
    with_agent = [take.contrast_agent for take in clips]
    assert {True, False} <= set(with_agent)
    for take in clips:
        assert isinstance(take.clip, Clip)
        sight = take.clip.sight
        gray = sight.gray[0][sight.inside]
        sample, beam, _ = sight.screen.maps(sight.grid)
        inside = sight.inside
        label = sight.labels[0][
            np.clip(beam[inside].round().astype(int), 0, len(sight.grid.angles) - 1),
            np.clip(sample[inside].round().astype(int), 0, len(sight.grid.ranges) - 1),
        ]
        blood, muscle = gray[label == 0].mean(), gray[label == 1].mean()
        assert (blood > muscle) == take.contrast_agent


def test_truth_tells_what_each_clip_is(folder: Path) -> None:
    rows = table(folder / "truth.csv")
    by_mode = {mode: [row for row in rows if row["mode"] == mode] for mode in {row["mode"] for row in rows}}
    assert len(by_mode["sweep"]) == 3 * 2
    assert len(by_mode["organ"]) == 2
    assert {row["view"] for row in by_mode["sweep"] + by_mode["organ"]} == {""}
    shown = [row["view"] for row in by_mode["2d"]]
    assert len([view for view in shown if view in EXTRA_VIEWS]) == 2 * 2
    assert all(view in VIEWS + EXTRA_VIEWS for view in shown)
    assert {row["contrast_agent"] for row in rows} == {"true", "false"}
    for row in by_mode["2d"]:
        assert 0 <= float(row["quality"]) <= 1
        assert 0.1 < float(row["ejection_fraction"]) < 0.85
        assert row["atrial_fibrillation"] in ("true", "false")


def test_every_frame_knows_its_plane(folder: Path) -> None:
    """A row a frame of every clip that looks at a heart; the clip's own error is that of its first frame."""
    clips = {row["file"]: row for row in table(folder / "truth.csv")}
    frames: dict[str, list[dict[str, str]]] = {}
    for row in table(folder / "truth-frames.csv"):
        frames.setdefault(row["file"], []).append(row)
    assert set(frames) == {file for file, row in clips.items() if row["quality"]}
    for file, rows in frames.items():
        count = int(pydicom.dcmread(folder / file, stop_before_pixels=True).get("NumberOfFrames", 1))
        assert [int(row["frame"]) for row in rows] == list(range(count))
        for row in rows:
            beam, lateral = (np.array(row[part].split(","), float) for part in ("beam", "lateral"))
            assert np.linalg.norm(beam) == pytest.approx(1, abs=1e-3)
            assert beam @ lateral == pytest.approx(0, abs=1e-3)
            assert row["nearest_view"] in VIEWS
        clip = clips[file]
        if clip["view"] in VIEWS and rows[0]["nearest_view"] == clip["view"]:
            assert (rows[0]["degrees"], rows[0]["mm"]) == (clip["plane_error_deg"], clip["plane_error_mm"])
        assert float(rows[0]["phase"]) == float(clip["phase_first_frame"])
        assert bool(clip["foreshortened_mm"]) == (clip["view"] in APICAL)


def test_held_probe_is_nearest_to_its_own_view(folder: Path) -> None:
    """In nine of ten clips; the others missed it so far that another view is nearer."""
    clips = [row for row in table(folder / "truth.csv") if row["mode"] == "2d" and row["view"] in VIEWS]
    nearest = {
        row["file"]: row["nearest_view"] for row in table(folder / "truth-frames.csv") if row["frame"] == "0"
    }
    assert np.mean([nearest[row["file"]] == row["view"] for row in clips]) > 0.85


def test_sweep_begins_near_one_view_and_ends_near_another(folder: Path) -> None:
    """By the whole error of the first and the last frame; the truth names no view for it."""
    found = set()
    for index in range(EVERYTHING.patients):
        exam = exam_of(EVERYTHING, index)
        heart = heart_at(exam.patient, cardiac_state(np.zeros(1)))
        for take in takes(exam):
            if take.mode != "sweep":
                continue
            assert isinstance(take.clip, Clip)
            planes = take.clip.sight.planes
            ends = []
            for frame in (0, EVERYTHING.frames - 1):
                errors = {view: plane_error(planes.frame(frame), *ideal_plane(heart, view)) for view in VIEWS}
                ends.append(
                    {view for view, error in errors.items() if error.turned[0] < 40 and error.moved[0] < 40}
                )
            assert any(a in ends[0] and b in ends[1] for pair in NEIGHBOURS for a, b in (pair, pair[::-1]))
            first, last = planes.frame(0), planes.frame(EVERYTHING.frames - 1)
            assert (
                plane_error(last, first, first.probe).turned[0] + np.linalg.norm(last.probe - first.probe) > 8
            )
            found.add(take.number)
    assert found
    rows = [row for row in table(folder / "truth.csv") if row["mode"] == "sweep"]
    assert {row["plane_error_deg"] for row in rows} == {""}


def test_sweep_of_one_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 frames"):
        PhantomSettings(frames=1, sweeps=1)


def test_irregular_heart_is_irregular_on_its_electrocardiogram_and_in_its_frames() -> None:
    """What the truth calls fibrillation has beats of unequal length, and no contraction of the atria."""
    settings = PhantomSettings(frames=2, image_rows=96, contrast=0.0, seed=1)
    found = {True: 0, False: 0}
    for index in range(60):
        exam = exam_of(settings, index)
        if min(found.values()) >= 1:
            break
        take: Take = next(takes(exam))
        assert isinstance(take.clip, Clip)
        beats = np.diff(take.clip.sight.rhythm.onsets)
        assert (np.ptp(beats) > 0.02) == exam.patient.atrial_fibrillation
        assert take.clip.sight.rhythm.atria_contract != exam.patient.atrial_fibrillation
        found[exam.patient.atrial_fibrillation] += 1
    assert min(found.values()) >= 1
