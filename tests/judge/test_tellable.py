"""Texts that a scan writes are shown; any other is not."""

import pytest

from apical.judge.tellable import (
    MODES,
    NOT_SHOWN,
    tellable_maker,
    tellable_mode,
    tellable_model,
    tellable_stage,
)


@pytest.mark.parametrize(
    ("tellable", "text"),
    [
        *((tellable_maker, text) for text in ("GE", "Philips", "unlisted-0123abcd")),
        *((tellable_model, text) for text in ("Vivid E95", "Lumify", "unlisted-0123abcd")),
        *((tellable_mode, text) for text in MODES),
        *((tellable_stage, text) for text in ("rest", "peak", "stage 3")),
    ],
)
def test_what_a_scan_writes_is_shown(tellable, text):
    assert tellable(text) == text


@pytest.mark.parametrize("tellable", [tellable_maker, tellable_model, tellable_mode, tellable_stage])
@pytest.mark.parametrize(
    "text",
    ["Dr Adams, St Mary's", "GE of St Mary's", "room 4", "unlisted-Smith", "unlisted-0123abcd Smith", ""],
)
def test_what_people_wrote_is_not(tellable, text):
    assert tellable(text) == NOT_SHOWN
