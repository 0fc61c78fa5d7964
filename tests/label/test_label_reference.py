"""The shipped pictures of the standard views."""

import itertools

import numpy as np
import pytest
import simplejpeg

import reference_pictures
from apical.label.reference import FOLDER, reference
from apical.views import standard_vocabulary

VIEWS = standard_vocabulary().names


def pixels(view):
    return simplejpeg.decode_jpeg(reference(view), colorspace="GRAY")[..., 0].astype(float)


def test_every_standard_view_has_a_small_grey_picture_without_metadata():
    assert {file.stem for file in FOLDER.iterdir()} == set(VIEWS)
    for view in VIEWS:
        data = reference(view)
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        assert len(data) <= 6 << 10
        assert (width, space) == (160, "Gray")
        assert 80 <= height <= 160
        assert not {b"\xff\xfe", b"\xff\xe1", b"\xff\xed"} & {data[at : at + 2] for at in range(2, 40)}


def test_no_two_views_look_alike():
    for one, other in itertools.combinations(VIEWS, 2):
        pair = [pixels(view)[:100].ravel() for view in (one, other)]  # of one height
        assert np.corrcoef(*pair)[0, 1] < 0.9


@pytest.mark.parametrize("view", ["", "a4c", "my-view", "../views/A4C", "A4C.jpg", "/etc/passwd", "none"])
def test_what_is_no_standard_view_has_none(view):
    assert reference(view) is None


@pytest.mark.parametrize("view", ["A4C", "PSAX-MV"])
def test_the_script_makes_what_is_shipped(view):
    made = reference_pictures.as_jpeg(reference_pictures.draw(view))
    again = simplejpeg.decode_jpeg(made, colorspace="GRAY")[..., 0].astype(float)
    assert np.abs(again - pixels(view)).mean() < 2  # other processors round otherwise
