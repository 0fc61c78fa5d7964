"""Transport equals POT, a general solver and closed forms; exams are decoded as their clips say."""

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from apical.errors import CannotDo
from apical.learn.decoding import (
    LEAST_SHARE,
    ExamPrior,
    decode,
    decode_exam,
    expected_counts,
    fit_prior,
    strength_in_part,
    transport,
    with_labels,
)
from apical.learn.ordering import Order, fit_order, normalised, posteriors


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def an_exam(n, k, seed=0, spread=2.0):
    return normalised(np.random.default_rng(seed).normal(0, spread, (n, k)))


def counts_of(k, seed=0):
    return np.random.default_rng(seed + 100).dirichlet(np.full(k, 2.0)) * 10


def divergence(columns, expected):
    expected = expected / expected.sum() * columns.sum()
    return float((columns * np.log(columns / expected) - columns + expected).sum())


def cost(coupling, scores, expected, strength, entropy):
    return (
        -(coupling * scores).sum()
        + entropy * (coupling * np.log(coupling)).sum()
        + strength * divergence(coupling.sum(axis=0), expected)
    )


FIVE = np.array([[-0.2, -2, -3], [-1, -0.7, -2], [-0.4, -1.5, -2.5], [-2, -1, -0.9], [-0.3, -1.4, -4]])

# Of POT 0.9.7, with L = FIVE and m = (1, 1.5, 2.5): ot.sinkhorn for the last, for the others
# ot.unbalanced.sinkhorn_unbalanced(ones, m, -L, entropy, (inf, strength), reg_type="entropy").
POT = [
    (
        2.0,
        1.0,
        [
            [0.56722815, 0.21726642, 0.21550542],
            [0.15560985, 0.48673247, 0.35765768],
            [0.39425790, 0.30410347, 0.30163863],
            [0.03836098, 0.24162899, 0.72001004],
            [0.51926520, 0.40052552, 0.08020928],
        ],
    ),
    (
        0.5,
        0.3,
        [
            [0.98186444, 0.01572869, 0.00240687],
            [0.05113486, 0.89829598, 0.05056916],
            [0.84000228, 0.13876351, 0.02123421],
            [0.00078948, 0.14301994, 0.85619058],
            [0.85813615, 0.14175912, 0.00010473],
        ],
    ),
    (
        np.inf,
        1.0,
        [
            [0.34770521, 0.22585676, 0.42643804],
            [0.07286531, 0.38651033, 0.54062436],
            [0.20930139, 0.27377901, 0.51691960],
            [0.01383685, 0.14780317, 0.83835997],
            [0.35629124, 0.46605072, 0.17765804],
        ],
    ),
]


@pytest.mark.parametrize(("strength", "entropy", "expected"), POT)
def test_transport_equals_pot(strength, entropy, expected):
    found = transport(FIVE, np.array([1, 1.5, 2.5]), strength=strength, entropy=entropy)
    assert np.exp(found) == pytest.approx(np.array(expected), abs=2e-8)


@pytest.mark.parametrize(("strength", "entropy"), [(0.3, 1.0), (3.0, 1.0), (1.0, 0.5)])
def test_transport_is_where_a_general_solver_ends(strength, entropy):
    n, k = 4, 3
    scores, expected = an_exam(n, k), counts_of(k)
    solved = minimize(
        lambda values: cost(values.reshape(n, k), scores, expected, strength, entropy),
        np.full(n * k, 1 / k),
        method="SLSQP",
        bounds=[(1e-9, 1)] * (n * k),
        constraints={"type": "eq", "fun": lambda values: values.reshape(n, k).sum(axis=1) - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    found = np.exp(transport(scores, expected, strength=strength, entropy=entropy))
    assert found == pytest.approx(solved.x.reshape(n, k), abs=1e-4)
    assert cost(found, scores, expected, strength, entropy) <= solved.fun + 1e-9


@pytest.mark.parametrize(("n", "k"), [(1, 2), (8, 5), (60, 20)])
@pytest.mark.parametrize("strength", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("entropy", [0.2, 1.0])
def test_transport_meets_the_condition_of_the_one_optimum(n, k, strength, entropy):
    """The gradient in P, -L + entropy log P + strength log(c / m), is one number along each row."""
    scores, expected = an_exam(n, k, spread=4), counts_of(k)
    found = transport(scores, expected, strength=strength, entropy=entropy)
    columns = np.logaddexp.reduce(found, axis=0)
    gradient = -scores + entropy * found + strength * (columns - np.log(expected / expected.sum() * n))
    assert np.ptp(gradient, axis=1) == pytest.approx(np.zeros(n), abs=1e-6)
    assert np.exp(found).sum(axis=1) == pytest.approx(np.ones(n), abs=1e-12)


@pytest.mark.parametrize("entropy", [0.3, 1.0, 2.0])
def test_without_strength_clips_stand_alone(entropy):
    scores = np.random.default_rng(0).normal(size=(7, 4))
    scaled = np.exp(scores / entropy)
    found = transport(normalised(scores), counts_of(4), strength=0, entropy=entropy)
    assert np.exp(found) == pytest.approx(scaled / scaled.sum(axis=1, keepdims=True))


def test_with_infinite_strength_numbers_are_as_expected():
    scores, expected = an_exam(12, 5), counts_of(5)
    found = transport(scores, expected, strength=np.inf)
    assert np.exp(found).sum(axis=0) == pytest.approx(12 * expected / expected.sum(), abs=1e-7)
    ratio = found - scores  # a sum of one factor a row and one a column
    assert ratio - ratio[:1] - ratio[:, :1] + ratio[0, 0] == pytest.approx(np.zeros((12, 5)), abs=1e-7)


@pytest.mark.parametrize("strength", [0.5, 1.0, 4.0])
def test_equal_clips_are_a_weighted_mean_of_what_they_say_and_what_is_expected(strength):
    """n equal rows p: c = n p, so p^(1 + strength) ∝ softmax(L) m^strength."""
    one, expected = an_exam(1, 5), counts_of(5)
    found = transport(np.repeat(one, 9, axis=0), expected, strength=strength)
    mean = (one + strength * np.log(expected)) / (1 + strength)
    assert found == pytest.approx(np.repeat(normalised(mean), 9, axis=0))


@given(st.integers(1, 8), st.integers(2, 6), st.floats(0, 20), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_the_order_of_clips_and_views_does_not_matter(n, k, strength, seed):
    scores, expected = an_exam(n, k, seed, spread=5), counts_of(k, seed)
    generator = np.random.default_rng(seed)
    clips, views = generator.permutation(n), generator.permutation(k)
    found = transport(scores, expected, strength=strength)
    assert np.exp(found).sum(axis=1) == pytest.approx(np.ones(n))
    moved = transport(scores[np.ix_(clips, views)], expected[views] * 3, strength=strength)
    assert moved == pytest.approx(found[np.ix_(clips, views)], abs=1e-6)


@given(st.integers(1, 8), st.integers(2, 6), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_more_strength_brings_numbers_nearer_to_the_expected(n, k, seed):
    scores, expected = an_exam(n, k, seed, spread=3), counts_of(k, seed)
    far = [
        divergence(np.exp(transport(scores, expected, strength=strength)).sum(axis=0), expected)
        for strength in (0, 0.1, 0.5, 1, 3, 10, 50)
    ]
    assert (np.diff(far) <= 1e-9).all()
    assert far[-1] < 0.2 * far[0] + 1e-6


def test_what_is_impossible_stays_so_and_what_is_not_expected_does_not_become_so():
    scores = with_labels(an_exam(6, 4), np.array([2, -1, -1, 0, -1, -1]))
    scores[:, 3] = -np.inf
    for strength in (0, 1, 100, np.inf):
        found = transport(scores, np.array([2.0, 3, 0, 0]), strength=strength)
        assert (np.isinf(found) == np.isinf(scores)).all()
        assert found[0, 2] == found[3, 0] == 0
    sure = np.log([[1e-9, 1 - 1e-9]])
    found = transport(np.repeat(sure, 5, axis=0), np.array([5.0, 0]), strength=1)
    mean = (sure + np.log([1, LEAST_SHARE])) / 2
    assert found == pytest.approx(np.repeat(normalised(mean), 5, axis=0), abs=1e-5)
    assert found.argmax(axis=1).tolist() == [1] * 5


def test_a_view_that_was_not_taught_is_not_answered():
    scores = an_exam(10, 4)
    scores[:, 1] = -1e4
    found = transport(normalised(scores), np.array([1.0, 9, 1, 1]), strength=10)
    assert np.isfinite(found).all()
    assert found[:, 1].max() < -500


def test_an_exam_without_clips_and_single_precision_are_taken():
    assert transport(np.zeros((0, 3), np.float32), np.ones(3), strength=1).shape == (0, 3)
    scores = an_exam(5, 3).astype(np.float32)
    found = transport(scores, np.ones(3), strength=1)
    assert found.dtype == np.float64
    assert found == pytest.approx(transport(scores.astype(np.float64), np.ones(3), strength=1))


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (np.ones(2), {}),
        (np.zeros(3), {}),
        (np.array([1, 1, -1.0]), {}),
        (np.array([1, 1, np.nan]), {}),
        (np.ones(3), {"strength": -1}),
        (np.ones(3), {"strength": np.nan}),
        (np.ones(3), {"entropy": 0}),
    ],
)
def test_unfit_arguments_are_refused(expected, options):
    with pytest.raises(ValueError, match="must be"):
        transport(an_exam(4, 3), expected, **{"strength": 1, **options})


def test_expected_numbers_are_means_over_exams():
    exams = [np.exp(an_exam(n, 4, seed=n)) for n in (3, 8, 1)]
    exams.append(np.eye(4)[[2, 2, 3]])
    naive = [sum(row[view] for exam in exams for row in exam) / 4 for view in range(4)]
    assert expected_counts(exams, pseudo_count=0) == pytest.approx(np.array(naive))
    smoothed = expected_counts(exams, pseudo_count=2)
    even = np.full((1, 4), 15 / 4 / 4)  # an imaginary exam: the mean length, shared by all views
    assert smoothed == pytest.approx(expected_counts([*exams, even, even], pseudo_count=0))
    assert smoothed.sum() == pytest.approx(15 / 4)
    with pytest.raises(ValueError, match="no exam"):
        expected_counts([])


@pytest.mark.parametrize("usual", [2, 5, 20])
def test_the_strength_of_a_part_is_that_of_drawing_without_replacement(usual):
    """Exams of one clip a view, drawn from: the variance is hypergeometric, not binomial."""
    for clips in range(1, usual):
        share = clips / usual
        drawn = share * (1 - share)
        alone = clips * (1 / usual) * (1 - 1 / usual)
        assert 1 / (1 + strength_in_part(np.inf, clips, usual)) == pytest.approx(drawn / alone)
    assert strength_in_part(np.inf, usual, usual) == np.inf
    assert strength_in_part(1.5, usual, usual) == pytest.approx(1.5)
    assert strength_in_part(1.5, 3 * usual, usual) == pytest.approx(1.5)
    assert strength_in_part(0, usual, usual) == 0


def test_the_variance_of_drawn_parts_is_between_the_whole_and_independent_clips():
    """By simulation, with exams whose numbers vary as the strength says."""
    generator = np.random.default_rng(0)
    views, most, clips = 40, 8, 20  # a view's number is binomial(8, 1/4): 0.75 of the variance of a Poisson
    numbers = generator.binomial(most, 0.25, (4000, views))
    parts = np.array([generator.multivariate_hypergeometric(row, clips) for row in numbers])
    usual = most * views / 4
    ratio = parts.var(axis=0).mean() / (clips / views * (1 - 1 / views))
    assert ratio == pytest.approx(1 / (1 + strength_in_part(1 / 0.75 - 1, clips, usual)), abs=0.02)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("usual", [0.5, 1, 12])
def test_a_single_clip_is_answered_as_it_is(n, usual):
    prior = ExamPrior(np.array([0.7, 0.2, 0.1]) * usual, an_order(3))
    exam = an_exam(n, 3)
    for strength in (1, np.inf):
        found = decode_exam(exam, order=np.arange(n), prior=prior, strength=strength)
        assert found == pytest.approx(exam, abs=1e-12)


def an_order(k, seed=0):
    generator = np.random.default_rng(seed)
    return Order(generator.dirichlet(np.ones(k)), generator.dirichlet(np.ones(k), k))


def test_clips_are_put_in_order_and_those_without_a_place_left_out():
    exam, chain, log_prior = an_exam(7, 3), an_order(3), np.log([0.5, 0.3, 0.2])
    order = np.array([30, 4, -1, 17, 9, 9, 2])
    prior = ExamPrior(np.ones(3), chain, log_prior)
    found = decode_exam(exam, order=order, prior=prior, strength=0)
    filmed = [6, 1, 3, 0]
    assert found[filmed] == pytest.approx(posteriors(exam[filmed], chain, log_prior=log_prior))
    assert found[[2, 4, 5]] == pytest.approx(exam[[2, 4, 5]])
    assert np.abs(found[filmed] - exam[filmed]).max() > 0.1
    both = decode_exam(exam, order=order, prior=prior, strength=2)
    assert both == pytest.approx(transport(found, np.ones(3), strength=2))


@pytest.mark.parametrize("order", [np.full(5, -1), np.ones(5, np.int64), np.array([-1, -1, 3, -1, -1])])
def test_where_the_order_is_unknown_there_is_transport_alone(order):
    exam, expected = an_exam(5, 3), np.array([1.0, 2, 1])
    found = decode_exam(exam, order=order, prior=ExamPrior(expected, an_order(3)), strength=1)
    assert found == pytest.approx(transport(exam, expected, strength=1))
    unordered = decode_exam(exam, order=np.arange(5), prior=ExamPrior(expected), strength=1)
    assert found == pytest.approx(unordered)


def test_exams_are_decoded_each_for_itself_wherever_their_rows_are():
    generator = np.random.default_rng(0)
    scores = an_exam(40, 4).astype(np.float32)
    study, order = generator.integers(-1, 5, 40), generator.permutation(40)
    prior = ExamPrior(np.array([1.0, 2, 3, 2]), an_order(4))
    found = decode(scores, study, order, prior, strength=2)
    assert (found[study == -1] == scores[study == -1]).all()
    for one in range(5):
        rows = study == one
        assert found[rows] == pytest.approx(
            decode_exam(scores[rows], order=order[rows], prior=prior, strength=2)
        )
    nobody = decode(scores, np.full(40, -1), order, prior)
    assert (nobody == scores).all()


def test_a_prior_of_labelled_exams_is_their_counts():
    label = np.array([0, 1, 1, 2, 0, 1, 2])
    study, order = np.array([5, 5, 5, 5, 9, 9, 9]), np.array([1, 2, 3, 4, 1, 2, 3])
    shuffled = np.random.default_rng(0).permutation(7)
    prior = fit_prior(
        an_exam(7, 3), study[shuffled], order[shuffled], label=label[shuffled], pseudo_count=1e-9
    )
    assert prior.expected == pytest.approx(np.array([1, 1.5, 1]))
    assert prior.order is not None
    assert prior.order.initial == pytest.approx(np.array([1, 0, 0]), abs=1e-6)
    assert prior.order.transition[:2] == pytest.approx(np.array([[0, 1, 0], [0, 1 / 3, 2 / 3]]), abs=1e-6)


def test_a_prior_of_exams_without_an_order_has_no_chain():
    scores, study = an_exam(8, 3), np.array([0, 0, 0, 1, 1, 2, -1, -1])
    prior = fit_prior(scores, study, np.full(8, -1), log_prior=np.zeros(3))
    assert prior.order is None
    assert (prior.log_prior == np.zeros(3)).all()
    exams = [np.exp(scores[study == one]) for one in range(3)]
    assert prior.expected == pytest.approx(expected_counts(exams))


def test_a_prior_is_counts_and_how_likely_each_view_follows_each():
    """Counted in loops, for a classifier that believes in unequal shares."""
    scores, log_prior = an_exam(12, 3), np.log([0.6, 0.3, 0.1])
    study, order = np.repeat([0, 1, 2], [6, 5, 1]), np.arange(12)
    prior = fit_prior(scores, study, order, log_prior=log_prior, pseudo_count=0.5)
    exams = [scores[study == one] for one in range(3)]
    assert prior.expected == pytest.approx(
        expected_counts([np.exp(exam) for exam in exams], pseudo_count=0.5)
    )
    first, follows = np.full(3, 0.5 / 3), np.full((3, 3), 0.5 / 3)
    for exam in exams[:2]:
        alone = np.exp(normalised(exam - log_prior))
        first += alone[0]
        for earlier, later in pairwise(alone):
            follows += np.outer(earlier, later)
    assert prior.order is not None
    assert prior.order.initial == pytest.approx(first / first.sum())
    assert prior.order.transition == pytest.approx(follows / follows.sum(axis=1, keepdims=True))
    assert prior.log_prior is log_prior


def test_what_does_not_fit_is_refused():
    scores, prior = an_exam(4, 3), ExamPrior(np.ones(3))
    with pytest.raises(CannotDo, match="no clip has a study"):
        fit_prior(scores, np.full(4, -1), np.arange(4))
    with pytest.raises(ValueError, match="study is"):
        decode(scores, np.zeros(3, np.int64), np.arange(4), prior)
    with pytest.raises(ValueError, match="order is"):
        decode_exam(scores, order=np.arange(3), prior=prior)
    for label in (np.array([0, 1, 2]), np.array([0, 1, 2, 3])):
        with pytest.raises(ValueError, match="labels must be"):
            with_labels(scores, label)


def exams_of_a_protocol(exams, generator, patient):
    """Eight views, each filmed 0, 1 or 2 times, nearly in order; a classifier that is often wrong.

    `patient` is the standard deviation of what all clips of a patient have in common.
    """
    k = 8
    means = np.random.default_rng(1).normal(size=(k, 6))
    found = []
    for study in range(exams):
        view = np.repeat(np.arange(k), generator.choice(3, k, p=[0.2, 0.6, 0.2]))
        view = view[np.argsort(view + generator.normal(0, 0.7, len(view)))]
        features = means[view] + patient * generator.normal(size=6) + generator.normal(size=(len(view), 6))
        distance = ((features[:, None] - means) ** 2).sum(axis=2) / (1 + patient**2)
        found.append((normalised(-distance / 2), np.full(len(view), study), np.arange(len(view)), view))
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def figures(log_probabilities, view):
    """The share of right clips, and the mean log-probability of the true view."""
    right = (log_probabilities.argmax(axis=1) == view).mean()
    return right, log_probabilities[np.arange(len(view)), view].mean()


@pytest.mark.parametrize("patient", [0.0, 1.0])
def test_exams_are_named_better_with_a_prior_from_other_exams_without_labels(patient):
    generator = np.random.default_rng(0)
    prior = fit_prior(*exams_of_a_protocol(150, generator, patient)[:3])
    scores, study, order, view = exams_of_a_protocol(150, generator, patient)
    alone = figures(scores, view)
    unordered = figures(decode(scores, study, np.full(len(study), -1), prior), view)
    ordered = figures(decode(scores, study, order, prior), view)
    assert alone[0] < 0.7
    assert unordered[1] > alone[1] + 0.02
    assert ordered[0] > unordered[0] + 0.02
    assert ordered[1] > unordered[1] + 0.05


def test_a_chain_of_one_step_does_not_learn_the_errors_of_a_weak_classifier():
    """Who names the clips of a patient alike; a chain that is learnt to the end believes it."""
    generator = np.random.default_rng(0)
    evidence, study, order = exams_of_a_protocol(150, generator, patient=1.5)[:3]
    kept = fit_prior(evidence, study, order)
    fooled = replace(kept, order=fit_order([evidence[study == one] for one in np.unique(study)]))
    scores, study, order, view = exams_of_a_protocol(150, generator, patient=1.5)
    alone = figures(scores, view)
    assert figures(decode(scores, study, order, kept), view)[0] > alone[0] + 0.05
    assert figures(decode(scores, study, order, fooled), view)[0] < alone[0] - 0.05
