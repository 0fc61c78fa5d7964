"""Names of makers and machines: one spelling of those that are known, and never a word of any other text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.ingest.machines import _FAMILIES, _MAKERS, known_maker, known_model


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("GE Vingmed Ultrasound", "GE"),
        ("GEMS Ultrasound", "GE"),
        ("G.E. Healthcare", "GE"),
        ("GE Healthcare Austria GmbH & Co OG", "GE"),
        ("Philips Medical Systems", "Philips"),
        ("ATL", "Philips"),
        ("HEWLETT-PACKARD", "Philips"),
        ("Agilent Technologies", "Philips"),
        ("SIEMENS", "Siemens"),
        ("ACUSON", "Siemens"),
        ("TOSHIBA_MEC_US", "Canon"),
        ("CANON_MEC", "Canon"),
        ("ALOKA CO., LTD.", "Fujifilm"),
        ("Hitachi Aloka Medical,Ltd.", "Fujifilm"),
        ("FUJIFILM SonoSite, Inc.", "Fujifilm"),
        ("SonoSite, Inc", "SonoSite"),
        ("Esaote", "Esaote"),
        ("SAMSUNG MEDISON CO., LTD.", "Samsung"),
        ("Mindray DS USA, Inc.", "Mindray"),
        ("Butterfly Network Inc", "Butterfly"),
        ("St. Mary's Hospital, DOE^JOHANNA", None),
        ("Heidelberg", None),
        ("Atlantic Cardiology", None),
        ("General Hospital", None),
        ("Geneva University Hospitals", None),
        ("", None),
    ],
)
def test_makers(text: str, maker: str | None) -> None:
    """As real headers write them; names of places that begin alike are none."""
    assert known_maker(text) == maker


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("Vivid E95", "Vivid E95"),
        ("VIVID E9", "Vivid E9"),
        ("vivid-7", "Vivid 7"),
        ("Vivid7", "Vivid 7"),
        ("Vivid S70N", "Vivid S70N"),
        ("  Vivid i  ", "Vivid I"),
        ("EPIQ 7C", "EPIQ 7C"),
        ("EPIQ CVx", "EPIQ CVX"),
        ("iE33", "iE 33"),
        ("CX50", "CX 50"),
        ("SONOS 5500", "Sonos 5500"),
        ("Lumify", "Lumify"),
        ("ACUSON SC2000", "ACUSON SC2000"),
        ("M-Turbo", "M-Turbo"),
        ("Vivid", "Vivid"),
        ("Vivid E95 of DOE^JOHANNA", None),
        ("DOE Vivid E95", None),
        ("Vivid E9500", None),
        ("Lumifying", None),
        ("Turbotop", None),
        ("M4711", None),
        ("Echo lab 3", None),
        ("", None),
    ],
)
def test_models(text: str, model: str | None) -> None:
    """The machine and nothing more, under one spelling."""
    assert known_model(text) == model


@given(text=st.text(max_size=60))
def test_any_text_gives_a_known_name_or_none(text: str) -> None:
    """What comes out is a name on the list, never a part of the text."""
    assert known_maker(text) in {None, *(name for name, _ in _MAKERS)}
    model = known_model(text)
    assert model is None or any(model == family or model.startswith(f"{family} ") for family, _ in _FAMILIES)


names = st.sampled_from(["DOE", "JOHANNA", "Muller", "4711", "Ward 3", "St. Mary", "19610403"])


@given(
    family=st.sampled_from([family for family, _ in _FAMILIES]),
    before=st.sampled_from(["", " ", "DOE "]),
    between=st.sampled_from(["", " ", "-", "_", " - "]),
    name=names,
)
def test_a_name_behind_or_before_a_machine_does_not_pass(
    family: str, before: str, between: str, name: str
) -> None:
    model = known_model(before + family + between + name)
    assert model is None or name.upper() not in model.upper()


@given(
    family=st.sampled_from(_FAMILIES),
    case=st.sampled_from([str, str.upper, str.lower, str.title]),
    between=st.sampled_from(["", " ", "-", "_"]),
)
def test_one_spelling(family: tuple[str, str | None], case: object, between: str) -> None:
    """Case and what stands between do not tell two machines apart; the name stays what it is."""
    assert callable(case)
    name, numbers = family
    number = "" if numbers is None else numbers.split("|")[0].rstrip("?")
    if any(sign in number for sign in "[]\\?"):
        return
    written = known_model(case(f"{name}{between}{number}" if number else name))
    assert written is not None
    assert known_model(written) == written
    assert written == known_model(f"{name} {number}".strip())
