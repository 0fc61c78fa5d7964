"""Whole exams: labels stay, clips without an exam stay, and only training tells what exams are like."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from apical.catalogue import read_catalogue, write_catalogue
from apical.config import ExamSettings, TrainSettings
from apical.learn.clips import load_clips
from apical.learn.exams import (
    ADDED_SHARE,
    FEWEST_EXAMS,
    exam_code,
    exam_targets,
    has_exams,
    name_exams,
    softened,
)
from apical.learn.predictions import Predictions
from apical.learn.train import answers_in_exams, train
from apical.views import standard_vocabulary

VIEWS = standard_vocabulary()


@pytest.fixture
def clips(exams):
    return load_clips(exams / "frames", exams / "catalogue.parquet", VIEWS).in_split("train")


def nobody(clips):
    """No clip with contrast agent."""
    return np.zeros(len(clips), bool)


def unsure(clips, seed=0, right=2):
    """Log-probabilities that are right more often than not."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(len(clips), len(VIEWS))) + right * np.eye(len(VIEWS))[clips.label]
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def test_targets_are_labels_where_there_are_any_and_shares_elsewhere(clips):
    said = unsure(clips)
    few = replace(clips, label=np.where(np.arange(len(clips)) % 3 == 0, clips.label, -1))
    target = exam_targets(said, few, ExamSettings(doubt=False), with_agent=nobody(few))
    known = few.label >= 0
    np.testing.assert_array_equal(target[known], np.eye(len(VIEWS))[few.label[known]])
    np.testing.assert_allclose(target.sum(axis=1), 1)
    alone = exam_targets(said, few, ExamSettings(teach=False, doubt=False), with_agent=nobody(few))
    np.testing.assert_allclose(alone[~known], np.exp(said[~known]), rtol=1e-5)
    assert np.abs(target - alone)[~known].max() > 0.05


def test_labels_that_exams_contradict_are_doubted(clips):
    """A quarter of them wrong: what is learned instead is their view more often than the label is."""
    said = unsure(clips, right=10)
    wrong = np.arange(len(clips)) % 4 == 0
    noisy = replace(clips, label=np.where(wrong, (clips.label + 5) % len(VIEWS), clips.label))
    target = exam_targets(said, noisy, ExamSettings(), with_agent=nobody(noisy))
    np.testing.assert_allclose(target.sum(axis=1), 1)
    assert target[wrong, noisy.label[wrong]].mean() < 0.5 < target[wrong, clips.label[wrong]].mean()
    assert target[~wrong, clips.label[~wrong]].mean() > 0.95
    believed = exam_targets(said, clips, ExamSettings(), with_agent=nobody(clips))
    assert believed[np.arange(len(clips)), clips.label].mean() > 0.98


def test_exams_of_one_of_each_view_are_named_better_together(clips):
    """Each exam shows the same three views once, in one order: what is known of all helps each."""
    ordered = replace(clips, order=np.tile(np.arange(3), len(clips) // 3))
    said = unsure(clips)
    together = name_exams(said, ordered, ExamSettings(), with_agent=nobody(clips))
    right, alone = ((answer.argmax(axis=1) == clips.label).mean() for answer in (together, said))
    assert right > alone + 0.1
    same = name_exams(said, ordered, ExamSettings(order=False), with_agent=nobody(clips))
    np.testing.assert_allclose(
        same, name_exams(said, clips, ExamSettings(), with_agent=nobody(clips)), atol=1e-9
    )


def with_agent_apart(clips):
    """The clips filmed in an order, and which have agent: the last two of each exam of three."""
    place = np.tile(np.arange(3), len(clips) // 3)
    return replace(clips, order=place), place > 0


def test_clips_with_agent_are_named_as_exams_of_their_own(clips):
    """As if the others were not there, but for the shares of views, which are those of their own answers."""
    ordered, agent = with_agent_apart(clips)
    said = unsure(clips)
    log_prior = np.log(np.linspace(0.1, 1.9, len(VIEWS)) / len(VIEWS))
    named = name_exams(said, ordered, ExamSettings(), with_agent=agent, log_prior=log_prior)
    assert np.abs(named - softened(said))[agent].max() > 0.1

    def alone(kind, prior):
        return name_exams(
            said[kind], ordered.select(kind), ExamSettings(), with_agent=agent[kind] & False, log_prior=prior
        )

    shares = np.log(np.exp(softened(said[agent])).mean(axis=0) + ADDED_SHARE)
    np.testing.assert_allclose(named[agent], alone(agent, shares), atol=1e-9)
    np.testing.assert_allclose(named[~agent], softened(said)[~agent])  # each the one clip of its exam
    assert np.abs(named[agent] - alone(agent, log_prior)).max() > 0.1
    code = exam_code(ordered, agent)
    assert len(np.unique(code)) == 2 * len(np.unique(ordered.study_code))
    assert (exam_code(replace(clips, study=np.full(len(clips), "")), agent) == -1).all()


def test_few_exams_with_agent_stay_among_the_others(clips):
    ordered, agent = with_agent_apart(clips)
    said = unsure(clips)
    few, enough = (agent & (ordered.study_code < count) for count in (FEWEST_EXAMS - 1, FEWEST_EXAMS))
    together = name_exams(said, ordered, ExamSettings(), with_agent=nobody(clips))
    np.testing.assert_array_equal(name_exams(said, ordered, ExamSettings(), with_agent=few), together)
    apart = name_exams(said, ordered, ExamSettings(), with_agent=enough)
    assert np.abs(apart - together)[enough].max() > 0.1


def test_only_teaching_clips_tell_what_exams_are_like(clips):
    """Labels and answers of another patient's clips scrambled: no other exam is named otherwise."""
    ordered, agent = with_agent_apart(clips)
    said = unsure(clips)
    teaching = ordered.study_code != ordered.study_code[0]
    scrambled = replace(ordered, label=np.where(teaching, ordered.label, 0))
    other_said = np.where(teaching[:, None], said, said[:, ::-1])
    for agents in (agent, nobody(clips)):
        one = name_exams(said, ordered, ExamSettings(), with_agent=agents, teaching=teaching)
        other = name_exams(other_said, scrambled, ExamSettings(), with_agent=agents, teaching=teaching)
        np.testing.assert_array_equal(one[teaching], other[teaching])
        everyone = name_exams(other_said, scrambled, ExamSettings(), with_agent=agents)
        assert np.abs(everyone - other)[teaching].max() > 1e-3


def test_clips_without_a_study_stay_as_they_are(clips):
    said = unsure(clips)
    none, some = (
        replace(clips, study=np.where(known, clips.study, ""), label=np.full(len(clips), -1))
        for known in (False, clips.patient_code > 0)
    )
    assert has_exams(clips)
    assert not has_exams(none)
    assert not has_exams(clips.select(np.arange(len(clips)) == 0))
    for which in (none, some):
        named = name_exams(said, which, ExamSettings(), with_agent=nobody(clips), temperature=0.5)
        alone = which.study == ""
        np.testing.assert_allclose(named[alone], softened(said)[alone])
    assert np.abs(named - softened(said, 0.5))[~alone].max() > 0.1
    np.testing.assert_allclose(
        exam_targets(said, none, ExamSettings(), with_agent=nobody(clips)),
        np.exp(said),
        rtol=1e-5,
    )


def test_softening_leaves_no_view_impossible_but_those_never_answered():
    logits = np.array([[0, -200, -1e4], [0, 0, -1e4]], np.float32)
    said = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    soft = softened(said)
    assert np.exp(soft).sum(axis=1).tolist() == pytest.approx([1, 1])
    assert np.exp(soft[0, 1]) == pytest.approx(1e-4, rel=1e-2)
    assert (soft[:, 2] < -9e3).all()


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_a_temperature_divides_and_changes_no_mind(clips, temperature):
    """The logarithms' ratios are divided by it; a view never answered stays so, whatever it is."""
    said = unsure(clips)
    found = softened(said, temperature)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    plain = said.astype(np.float64) / temperature
    plain -= np.log(np.exp(plain).sum(axis=1, keepdims=True))
    sure = plain > np.log(0.05)
    np.testing.assert_allclose(found[sure], plain[sure], atol=0.03)
    assert (found.argmax(axis=1) == said.argmax(axis=1)).all()
    never = np.insert(said, 3, -1e4, axis=1)
    assert (softened(never, temperature)[:, 3] < -3e3).all()


def test_exams_weigh_more_the_higher_the_temperature(clips):
    """Named by one prior, that of the labels: the more, the fewer clips are named as they were alone."""
    said = unsure(clips)
    alike = []
    for temperature in (0.05, 0.2, 0.5):
        together = name_exams(said, clips, ExamSettings(), with_agent=nobody(clips), temperature=temperature)
        alike.append((together.argmax(axis=1) == said.argmax(axis=1)).mean())
    assert alike[0] > alike[1] > alike[2]


def test_answers_are_sharpened_for_methods_that_exams_teach_and_for_no_other(clips):
    """Of the same answers for clips; what the temperature does is tested above."""
    said = unsure(clips)

    def answers(method, temperature):
        settings = TrainSettings(method=method, exams=ExamSettings(temperature=temperature))
        return answers_in_exams(said, clips, settings, with_agent=nobody(clips))

    np.testing.assert_array_equal(answers("class-balanced", 0.5), answers("class-balanced", 1))
    for method in ("label-propagation", "self-training"):
        assert np.abs(answers(method, 0.5) - answers(method, 1)).max() > 0.1
    untaught = TrainSettings(method="label-propagation", exams=ExamSettings(teach=False))
    assert (untaught.exam_temperature, TrainSettings().exam_temperature) == (1.0, 0.5)


def test_answers_with_the_whole_exam_lie_beside_the_others_and_are_named_so(exams, tmp_path, training):
    run = train(
        exams / "frames", exams / "catalogue.parquet", tmp_path / "run", training("naive", name="plain")
    )
    alone, together = (
        Predictions.load(run / name) for name in ("predictions.parquet", "exam-predictions.parquet")
    )
    assert (alone.method, together.method) == ("plain", "plain, whole exam")
    np.testing.assert_array_equal(alone.clip, together.clip)
    assert np.abs(alone.log_probabilities - together.log_probabilities).max() > 0.01


def test_other_patients_change_no_answer_with_the_whole_exam(exams, tmp_path, training):
    """Labels of the judged patients scrambled: what exams are like is learned from training alone."""
    table = read_catalogue(exams / "catalogue.parquet")
    wrong = pl.when(pl.col("split") == "train").then(pl.col("view")).otherwise(pl.lit("PLAX"))
    write_catalogue(table.with_columns(view=wrong), tmp_path / "wrong.parquet")
    one, other = (
        Predictions.load(
            train(exams / "frames", catalogue, tmp_path / name, training("naive", steps=5))
            / "exam-predictions.parquet"
        )
        for name, catalogue in (("a", exams / "catalogue.parquet"), ("b", tmp_path / "wrong.parquet"))
    )
    np.testing.assert_array_equal(one.log_probabilities, other.log_probabilities)


def test_without_studies_there_are_no_such_answers(exams, tmp_path, training):
    table = read_catalogue(exams / "catalogue.parquet").with_columns(study=pl.lit(None, pl.String))
    write_catalogue(table, tmp_path / "c.parquet")
    run = train(exams / "frames", tmp_path / "c.parquet", tmp_path / "run", training("naive", steps=2))
    assert not (run / "exam-predictions.parquet").exists()
