"""Figures equal naive loops, SciPy and closed forms; warnings come for what is wrong and nothing else."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from apical.learn.neighbours import shared_rates
from apical.learn.watch import (
    alignment,
    effective_rank,
    feature_std,
    look,
    similarity_histograms,
    uniformity,
    warnings,
)

ALL = torch.ones(64, 64, dtype=torch.bool)
PAIRED = torch.arange(64)[:, None] % 32 == torch.arange(64) % 32  # two crops of each of 32 clips


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def masks(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, n, generator=generator) < 0.3, torch.rand(n, n, generator=generator) < 0.5


def distances(embeddings, pairs):
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    return [float(((unit[i] - unit[j]) ** 2).sum()) for i, j in pairs]


@settings(max_examples=25)
@given(st.integers(2, 9), st.integers(0, 1000), st.floats(0.1, 50))
def test_alignment_and_uniformity_equal_naive_loops(n, seed, scale):
    embeddings = scale * randn(n, 4, seed=seed, dtype=torch.float64)
    positive, _ = masks(n, seed)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    expected = distances(embeddings, [(i, j) for i, j in pairs if positive[i, j]])
    if expected:
        assert alignment(embeddings, positive) == pytest.approx(np.mean(expected), rel=1e-9)
    else:
        assert math.isnan(alignment(embeddings, positive))
    potential = [math.exp(-2 * distance) for distance in distances(embeddings, pairs)]
    assert uniformity(embeddings) == pytest.approx(math.log(np.mean(potential)), rel=1e-9)


@pytest.mark.parametrize(
    ("points", "aligned", "uniform", "rank", "deviation"),
    [
        (torch.ones(64, 16), 0, 0, 1, 0),  # all the same
        (torch.eye(64), 2, -4, 64, 1),  # all at right angles: each pair 2 apart, squared
        (torch.cat([torch.eye(1, 32), -torch.eye(1, 32)]), 4, -8, 1, 2**0.5 * 32**-0.5),  # opposite
    ],
    ids=["identical", "orthonormal", "antipodal"],
)
def test_closed_forms(points, aligned, uniform, rank, deviation):
    assert alignment(points, ALL[: len(points), : len(points)]) == pytest.approx(aligned, abs=1e-5)
    assert uniformity(points) == pytest.approx(uniform, abs=1e-5)
    assert effective_rank(points) == pytest.approx(rank, rel=1e-4)
    assert feature_std(points) == pytest.approx(deviation, abs=1e-5)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (1, 5)])
def test_the_rank_is_the_exponent_of_scipys_entropy(shape):
    features = randn(*shape) @ torch.diag(torch.logspace(0, -2, shape[1]))
    values = np.linalg.svd(features.numpy(), compute_uv=False)
    assert effective_rank(features) == pytest.approx(math.exp(entropy(values)), rel=1e-4)


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_the_rank_lies_between_one_and_the_smaller_side_and_knows_no_scale(n, d, seed):
    features = randn(n, d, seed=seed)
    rank = effective_rank(features)
    assert 1 - 1e-5 <= rank <= min(n, d) + 1e-3
    assert effective_rank(100 * features) == pytest.approx(rank, rel=1e-3)


@pytest.mark.parametrize("features", [torch.zeros(4, 3), torch.full((4, 3), torch.inf)])
def test_no_rank_without_numbers(features):
    assert math.isnan(effective_rank(features))


def test_the_deviation_of_even_directions_is_one():
    assert feature_std(randn(20_000, 32)) == pytest.approx(1, abs=0.01)
    assert feature_std(randn(20_000, 32) + 3) < 0.5


def test_histograms_equal_numpys():
    embeddings = randn(30, 5, dtype=torch.float64)
    positive, negative = masks(30, 1)
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    similarity, others = (unit @ unit.T).numpy(), ~np.eye(30, dtype=bool)
    pairs = {
        "positive_similarities": positive.numpy() & others,
        "negative_similarities": negative.numpy() & ~positive.numpy() & others,
    }
    found = similarity_histograms(embeddings, positive, negative, bins=17)
    assert set(found) == set(pairs)
    for name, (counts, edges) in found.items():
        expected, expected_edges = np.histogram(similarity[pairs[name]], bins=17, range=(-1, 1))
        assert counts.tolist() == expected.tolist()
        assert edges == pytest.approx(expected_edges)


def test_the_ends_of_the_scale_belong_to_the_outer_bins():
    """Similarities of 1 and -1, which rounding may push outside."""
    embeddings = torch.tensor([[0.1, 0.3, 0.7]] * 3 + [[-0.1, -0.3, -0.7]] * 3)
    counts, _ = similarity_histograms(embeddings, ALL[:6, :6], ~ALL[:6, :6])["positive_similarities"]
    assert counts.tolist() == [18, *[0] * 38, 12]


def test_an_inner_edge_belongs_to_the_bin_above():
    counts, _ = similarity_histograms(torch.eye(6), ALL[:6, :6], ~ALL[:6, :6])["positive_similarities"]
    assert counts.tolist() == [*[0] * 20, 30, *[0] * 19]


def test_half_precision_is_measured_in_single():
    half = randn(64, 16).bfloat16()
    assert uniformity(half) == uniformity(half.float())
    assert effective_rank(half) == effective_rank(half.float())


def clips(views=12, patients=20, d=64, *, by, seed=0, noise=0.3):
    """Features of an exam with each view of each patient, near others of the same code `by`, and the codes.

    A machine serves five patients.
    """
    generator = np.random.default_rng(seed)
    label, patient = np.tile(np.arange(views), patients), np.repeat(np.arange(patients), views)
    codes = {"label": label, "patient": patient, "machine": patient % (patients // 5)}
    code = codes[by] if by else np.arange(len(label))
    features = generator.normal(size=(code.max() + 1, d))[code] + noise * generator.normal(
        size=(len(code), d)
    )
    return torch.from_numpy(features.astype(np.float32)), codes


def figures(features, codes, embeddings=None):
    embeddings = randn(64, 32) if embeddings is None else embeddings
    return look(features, embeddings, PAIRED, ~PAIRED, **codes)


def test_a_look_gives_every_figure():
    features, codes = clips(by="label")
    found = figures(features, codes)
    shared = {
        f"same_{what}_{figure}"
        for what in ("patient", "machine", "view")
        for figure in ("neighbours", "by_chance", "factor", "error")
    }
    assert set(found) == shared | {
        "feature_std",
        "alignment",
        "uniformity",
        "effective_rank",
        "positive_similarity",
        "negative_similarity",
        "knn_view_accuracy",
        "knn_view_accuracy_balanced",
    }
    assert all(type(value) is float for value in found.values())
    histograms = similarity_histograms(randn(64, 32), PAIRED, ~PAIRED)
    assert not set(histograms) & set(found)  # trackers know a name as one or the other
    rates = shared_rates(features, codes["patient"], codes["machine"], codes["label"])
    assert found["same_machine_neighbours"] == rates["same_machine"].rate
    assert found["same_view_factor"] == rates["same_view"].factor
    assert found["alignment"] == pytest.approx(2 - 2 * found["positive_similarity"])
    assert found["knn_view_accuracy"] > 0.95


def test_what_cannot_be_computed_is_left_out():
    features, codes = clips(by="label")
    nobody = np.full(len(features), -1)
    found = figures(features, {**codes, "label": nobody, "machine": nobody})
    assert not any("view" in name or "machine" in name for name in found)
    found = look(features[:9], randn(4, 8), ~ALL[:4, :4], ALL[:4, :4], **{n: c[:9] for n, c in codes.items()})
    assert not {"effective_rank", "alignment", "positive_similarity"} & set(found)
    assert {"uniformity", "negative_similarity"} < set(found)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("size", [(3, 12), (12, 20)])
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("by", [None, "label"])
def test_no_alarm_about_healthy_features(seed, size, labelled, by):
    """Random features know nothing, clustered ones the view; small data sets are as quiet as large ones."""
    features, codes = clips(*size, by=by, seed=seed)
    if not labelled:
        codes["label"] = np.full(len(features), -1)
    assert warnings(figures(features, codes)) == []


def test_no_alarm_where_few_views_are_told_apart_perfectly():
    """Three views, three directions."""
    features, codes = clips(3, 20, by="label", noise=0.001)
    found = figures(features, codes)
    assert found["effective_rank"] < 3.1
    assert warnings(found) == []


def test_no_alarm_where_a_patients_clips_are_near_because_they_are_of_one_view():
    """Each clip of a view has three twins in its own exam, and many cousins elsewhere."""
    features, codes = clips(by="label")
    again = torch.cat([features + 0.05 * randn(*features.shape, seed=seed) for seed in range(4)])
    found = figures(again, {name: np.tile(code, 4) for name, code in codes.items()})
    assert found["same_patient_neighbours"] > 0.9
    assert warnings(found) == []


COLLAPSED = {
    "identical": torch.ones(240, 64),
    "one direction": randn(240, 1) @ randn(1, 64),
    "two directions": randn(240, 2) @ randn(2, 64),
    "two directions, by patient": clips(by="patient", d=2)[0] @ randn(2, 64),
    "nearly identical": torch.ones(240, 64) + 1e-3 * randn(240, 64),
}


@pytest.mark.parametrize("kind", COLLAPSED)
def test_collapsed_features_are_told_and_nothing_is_made_of_their_neighbours(kind):
    _, codes = clips(by="label")
    (warning,) = warnings(figures(COLLAPSED[kind], codes))
    assert "features collapse" in warning


@pytest.mark.parametrize("kind", ["identical", "nearly identical"])
def test_collapsed_embeddings_are_told(kind):
    features, codes = clips(by="label")
    (warning,) = warnings(figures(features, codes, COLLAPSED[kind][:64]))
    assert "embeddings collapse" in warning


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("what", ["patient", "machine"])
def test_shortcuts_are_told(what, labelled, seed):
    features, codes = clips(by=what, seed=seed)
    if not labelled:
        codes["label"] = np.full(len(features), -1)
    said = warnings(figures(features, codes))
    assert any(f"same {what} rather" in warning for warning in said)


def test_a_slight_shortcut_is_told_where_views_are_known():
    """As networks do that were taught to tell patients apart: far from always, but more than views."""
    features, codes = clips(by="patient", noise=2.5)
    found = figures(features, codes)
    assert 0.2 < found["same_patient_neighbours"] < 0.5
    assert any("same patient rather" in warning for warning in warnings(found))


def test_no_shortcut_where_the_view_is_followed_more():
    found = {
        f"same_{what}_{figure}": value
        for what, rate in (("patient", 0.4), ("view", 0.6))
        for figure, value in (("neighbours", rate), ("by_chance", 0.05), ("error", 0.01))
    }
    assert warnings(found) == []
    (warning,) = warnings(found | {"same_patient_neighbours": 0.65})
    assert "same patient rather" in warning


@pytest.mark.parametrize(
    ("figure", "fine", "wrong", "words"),
    [
        ("loss", 4.0, 4.79, "nothing is learned"),
        ("loss", 4.0, 4.86, "nothing is learned"),
        ("waited", 0.2, 0.5, "waits for data"),
    ],
)
def test_a_loss_at_its_collapse_and_a_long_wait_are_told(figure, fine, wrong, words):
    found = {"collapsed_loss": math.log(127), "loss": 3.0}
    assert warnings(found | {figure: fine}) == []
    (warning,) = warnings(found | {figure: wrong})
    assert words in warning


def test_nothing_known_nothing_said():
    assert warnings({}) == []


def test_the_same_finding_has_the_same_words():
    """Whoever shows warnings can leave out what was said before."""
    features, codes = clips(by="patient")
    later, _ = clips(by="patient", seed=1)
    assert warnings(figures(features, codes)) == warnings(figures(later, codes)) != []
