"""The public API: a dozen names, all there, typed and documented, quick to import."""

import inspect
import subprocess
import sys
import typing

import pytest

import apical


@pytest.mark.parametrize("name", apical.__all__)
def test_every_name_is_there_documented_and_typed(name):
    thing = getattr(apical, name)
    assert (thing.__doc__ or "").strip()
    if inspect.isfunction(thing):
        hints = typing.get_type_hints(thing)
        assert set(hints) == {*inspect.signature(thing).parameters, "return"}


def test_nothing_else():
    assert set(apical.__all__) == set(apical._HOME)
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        apical.magic  # noqa: B018


def test_importing_is_light():
    """Neither torch nor the DICOM stack is loaded before it is needed."""
    code = "import apical, sys; print([m for m in ('torch', 'pydicom', 'polars', 'cv2') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
