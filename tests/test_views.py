"""The vocabulary: names, aliases, codes, contrast agent, and a user's own YAML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

from apical.errors import CannotDo
from apical.views import NO_VIEW, Code, Label, View, Vocabulary, standard_vocabulary

STANDARD = standard_vocabulary()


def test_thirteen_standard_views_in_order():
    assert STANDARD.names == (
        "PLAX", "RV-inflow", "PSAX-AV", "PSAX-MV", "PSAX-PM", "PSAX-apex", "A4C", "A2C", "A3C", "A5C",
        "subcostal-4C", "IVC", "suprasternal",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("AP4", "A4C"),
        ("apical 4 chamber", "A4C"),
        ("4CH", "A4C"),
        ("Apical Two-Chamber", "A2C"),
        ("APLAX", "A3C"),
        ("a5c", "A5C"),
        ("PSAX (papillary muscle)", "PSAX-PM"),
        ("SSN", "suprasternal"),
        ("sub-xiphoid", "subcostal-4C"),
    ],
)
def test_aliases_as_sites_write_them(text, view):
    assert STANDARD.find(text) == Label(view)


@pytest.mark.parametrize("text", ["PSAX", "LAX", "apical", "", "A6C", "spectral"])
def test_ambiguous_or_unknown_text_is_not_guessed(text):
    assert STANDARD.find(text) is None


@pytest.mark.parametrize("text", ["none", "Other", "no view", "not-a-view", "other view"])
def test_clips_that_show_no_view_have_a_label_of_their_own(text):
    assert STANDARD.find(text) == Label(NO_VIEW)
    of_site = Vocabulary((View("A4C", "four-chamber"), View("rest", "all else", aliases=(text,))))
    assert of_site.find(text) == Label("rest")  # a site's own word comes first


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A4C with contrast", Label("A4C", True)),
        ("AP2_LVO", Label("A2C", True)),
        ("apical 3 chamber (contrast agent)", Label("A3C", True)),
        ("contrast A4C", Label("A4C", True)),
        ("A4C without contrast", Label("A4C", False)),
        ("A4C non-contrast", Label("A4C", False)),
        ("contrast", None),
    ],
)
def test_contrast_agent_is_an_attribute_not_a_view(text, expected):
    assert STANDARD.find(text) == expected


def test_codes_are_those_of_cid_12226():
    """pydicom carries the context group: value, scheme and meaning must be the same concept."""
    group = codes.CID12226
    known = {}
    for name in dir(group):
        concept = getattr(group, name)
        if hasattr(concept, "meaning"):
            known[concept.value] = (concept.scheme_designator, concept.meaning.casefold())
    coded = [view.code for view in STANDARD if view.code]
    assert len(coded) == 9
    for code in coded:
        assert known[code.value] == (code.scheme, code.meaning.casefold())


def test_views_without_a_standard_code_have_a_local_one():
    local = {view.name for view in STANDARD if view.code is None}
    assert local == {"A5C", "subcostal-4C", "IVC", "PSAX-apex"}
    assert all(view.local_code for view in STANDARD if view.code is None)


@given(st.sampled_from([text for v in STANDARD for text in (v.name, v.title, *v.aliases)]), st.randoms())
def test_case_and_punctuation_do_not_matter(text, random):
    mangled = "".join(
        random.choice([c.upper(), c.lower()]) + random.choice(["", " ", "-", "."]) for c in text
    )
    assert STANDARD.find(mangled) == STANDARD.find(text)


def test_records_round_trip():
    assert Vocabulary.from_records(STANDARD.to_records()) == STANDARD


def test_a_users_own_vocabulary(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "views:\n"
        "  - {name: TEE-ME4C, title: mid-oesophageal four-chamber, aliases: [ME 4C]}\n"
        "  - name: lung\n"
        "    code: {value: '1', scheme: 99MINE, meaning: Lung}\n"
    )
    mine = Vocabulary.from_yaml(file)
    assert mine.names == ("TEE-ME4C", "lung")
    assert mine.find("me4c") == Label("TEE-ME4C")
    assert mine.views[1].code == Code("1", "99MINE", "Lung")


@pytest.mark.parametrize(
    "text",
    ["", "views: 3", "views: [a, b]", "views: [{name: a}]", "- name: x", "{",
     "views: [{name: a, x: 1}, {name: b}]",
     "views: [{name: a, aliases: [z]}, {name: b, aliases: [Z]}]", "views: [{title: a}, {title: b}]"],
)  # fmt: skip
def test_a_bad_vocabulary_is_one_clear_error(tmp_path, text):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(CannotDo) as caught:
        Vocabulary.from_yaml(file)
    assert "\n" not in str(caught.value)


def test_a_missing_vocabulary_file(tmp_path):
    with pytest.raises(CannotDo, match=r"'none\.yaml' is no view vocabulary \(FileNotFoundError\)"):
        Vocabulary.from_yaml(tmp_path / "none.yaml")


def test_an_alias_may_not_mean_two_views():
    with pytest.raises(CannotDo, match="gives 'x' to both a and b"):
        Vocabulary((View("a", "a", aliases=("X",)), View("b", "b", aliases=("x",))))


def test_names_of_any_script():
    """Two Chinese names are two; case, width, accents' composition and signs between do not matter."""
    mine = Vocabulary(
        (
            View("心尖四腔", "心尖四腔心切面", aliases=("верхушечная 4-камерная",)),
            View("心尖两腔", "心尖两腔心切面", aliases=("Cœur: 2 cavités",)),
            View("की", "की"),
            View("का", "का"),
        )
    )
    assert mine.find("心尖・四腔") == Label("心尖四腔")
    assert mine.find("心尖两腔") == Label("心尖两腔")
    assert mine.find("ВЕРХУШЕЧНАЯ ４ камерная") == Label("心尖四腔")
    assert mine.find("cœur 2 cavite\u0301s") == Label("心尖两腔")
    assert mine.find("का") == Label("का")
    assert mine.find("心尖") is None
    assert mine.find("---") is None


@pytest.mark.parametrize(
    "text",
    ["[{name: a}, {name: '--'}]", "[{name: a}, {name: }]", "[{name: a}, {name: b, aliases: ['']}]",
     "[{name: a}, {name: b, aliases: [~]}]", "[{name: a}, {name: b, aliases: '?'}]"],
)  # fmt: skip
def test_empty_names_are_refused(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(f"views: {text}")
    with pytest.raises(CannotDo, match="name, title or alias without letters or digits"):
        Vocabulary.from_yaml(file)


def test_one_alias_need_not_be_a_list(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("views: [{name: A4C, aliases: AP4}, {name: A2C, aliases: 2}]")
    mine = Vocabulary.from_yaml(file)
    assert [view.aliases for view in mine] == [("AP4",), ("2",)]


@pytest.mark.parametrize("text", ["views: 'DOE", "views: 2020-13-45", "[" * 5000])
def test_no_cause_quotes_the_file(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(CannotDo, match="is no view vocabulary") as caught:
        Vocabulary.from_yaml(file)
    assert caught.value.__suppress_context__
