"""A run asked again says what it said, frame by frame, and of changed frames what a plain loop says."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import f1_score

from apical.config import ClipEncoderSettings, JudgeSettings, ResNetSettings, TrainSettings
from apical.errors import CannotDo, WrongCall
from apical.judge.again import FrameAnswers, ask, call_witnesses
from apical.judge.levels import judge_clips
from apical.learn import classifier
from apical.learn.checkpoint import save_weights
from apical.learn.classifier import Classifier, classify_clip, classify_clips
from apical.learn.clips import load_clips
from apical.learn.predictions import Predictions
from apical.views import standard_vocabulary
from fake_stores import write_store

VIEWS = standard_vocabulary()
FRAME = ResNetSettings(depth=10, width=4, stem_stride=2)
TOGETHER = ClipEncoderSettings(of_frame=FRAME, frames=2, heads=2)
PHASES = 5


def a_run(folder, *, encoder=FRAME, seed=0, method="naive", phases=False):
    """A run of random weights over a store whose clips have 1 to 5 frames; the store is made once."""
    random = np.random.default_rng(7)
    clips = [f"{random.integers(2**32):08x}" for _ in range(24)]
    count = 1 + np.arange(24) % 5
    store, catalogue, run = folder / "frames", folder / "catalogue.csv", folder / f"{method}-{seed}"
    if not store.exists():
        write_store(
            store, np.repeat(clips, count), random.integers(0, 256, (count.sum(), 32, 32)).astype(np.uint8)
        )
        if phases:
            index = pl.read_parquet(store / "index.parquet")
            known = pl.when(pl.col("row") % 3 > 0).then(pl.col("frame") / PHASES)
            index.with_columns(known.alias("phase")).write_parquet(store / "index.parquet")
        split = np.repeat(["train", "validation", "test"], 8)
        view = [VIEWS.names[place % 3] if place % 7 else None for place in range(24)]
        patient = [f"p{place // 2}" for place in range(24)]
        pl.DataFrame(
            {"clip": clips, "path": clips, "patient": patient, "split": split, "view": view}
        ).write_csv(catalogue)
    run.mkdir()
    settings = TrainSettings(encoder=encoder, input_size=32, seed=seed)
    made = {"size": 32, "frames_per_clip": 5, "sampling": "uniform"}
    record = {"kind": "train", "views": VIEWS.to_records(), "frames": made, "start": None}
    (run / "settings.json").write_text(json.dumps(record | settings.model_dump(mode="json")))
    torch.manual_seed(seed)
    classifier = Classifier.empty(encoder, len(VIEWS))
    torch.nn.init.normal_(classifier.head.weight)
    classifier.taught[8:] = False
    save_weights(run / "classifier.safetensors", classifier)
    known = load_clips(store, catalogue, VIEWS)
    outputs = classify_clips(classifier, known, 32, torch.device("cpu"))
    Predictions(
        method=method,
        seed=seed,
        views=VIEWS.names,
        clip=known.clip,
        patient=known.patient,
        split=known.split,
        label=known.label,
        log_probabilities=outputs.log_probabilities,
        features=outputs.features,
    ).save(run / "predictions.parquet")
    return run, store


@pytest.mark.parametrize("encoder", [FRAME, TOGETHER], ids=["frames", "windows"])
@pytest.mark.parametrize("at_once", [4, 256])
def test_pooled_answers_are_those_that_the_run_keeps(tmp_path, monkeypatch, encoder, at_once):
    monkeypatch.setattr(classifier, "FRAMES_AT_ONCE", at_once)
    run, store = a_run(tmp_path, encoder=encoder)
    (witness,) = call_witnesses([run], store)
    answers = ask(witness)
    assert 0 < len(witness.judged) < 8  # test clips with a label
    np.testing.assert_allclose(answers.pooled(), witness.judged.log_probabilities, atol=1e-5)


def test_one_answer_a_frame_with_its_phase(tmp_path):
    run, store = a_run(tmp_path, phases=True)
    (witness,) = call_witnesses([run], store)
    answers = ask(witness)
    assert np.array_equal(np.bincount(answers.clip), witness.count)
    index = pl.read_parquet(store / "index.parquet")
    expected = [
        index.filter(pl.col("clip") == clip)["phase"].fill_null(np.nan).to_numpy()
        for clip in witness.judged.clip
    ]
    np.testing.assert_array_equal(answers.phase, np.concatenate(expected))
    assert 0 < np.isnan(answers.phase).sum() < len(answers.phase)


def test_windows_of_several_frames_have_no_phase(tmp_path):
    run, store = a_run(tmp_path, encoder=TOGETHER, phases=True)
    assert np.isnan(ask(call_witnesses([run], store)[0]).phase).all()


def test_changed_frames_are_those_the_network_sees(tmp_path):
    """The hook gets each clip's frames with the clip's number, and may change their size."""
    run, store = a_run(tmp_path)
    (witness,) = call_witnesses([run], store)

    def change(frames, number):
        return (255 - np.roll(frames, number, axis=2))[:, 4:28, 4:28]

    index, stored = pl.read_parquet(store / "index.parquet"), np.load(store / "frames.npy")
    said = ask(witness, change).pooled()
    for number, clip in enumerate(witness.judged.clip):
        rows = index.filter(pl.col("clip") == clip)["row"].to_numpy()
        alone = classify_clip(witness.classifier, change(stored[rows], number), 32, torch.device("cpu"))
        np.testing.assert_allclose(said[number], alone.log_probabilities[0], atol=1e-5)
    assert np.abs(said - witness.judged.log_probabilities).max() > 0.01


def test_pooling_of_chosen_frames_is_the_mean_of_their_log_probabilities(tmp_path):
    run, store = a_run(tmp_path)
    answers = ask(call_witnesses([run], store)[0])
    chosen = np.random.default_rng(0).random(len(answers.clip)) < 0.4
    pooled = answers.pooled(chosen)
    for number, found in enumerate(pooled):
        rows = np.flatnonzero(chosen & (answers.clip == number))
        if len(rows):
            expected = log_softmax(answers.log_probabilities[rows].mean(axis=0))
            np.testing.assert_allclose(found, expected, atol=1e-4)
        else:
            assert np.isnan(found).all()


def test_frames_can_be_taken_for_clips(tmp_path):
    run, store = a_run(tmp_path)
    answers = ask(call_witnesses([run], store)[0])
    frames, judged = answers.as_predictions(), answers.judged
    assert len(frames) == len(answers.clip)
    np.testing.assert_array_equal(frames.predicted, answers.log_probabilities.argmax(axis=1))
    for column in ("patient", "label", "split"):
        np.testing.assert_array_equal(getattr(frames, column), getattr(judged, column)[answers.clip])
    assert frames.clip[answers.clip == 1].tolist() == [
        f"{judged.clip[1]}:{place}" for place in range((answers.clip == 1).sum())
    ]


def test_frame_figures_are_those_of_frames_averaged_over_seeds(tmp_path):
    runs = [a_run(tmp_path, seed=seed)[0] for seed in (0, 1)]
    answers = [ask(witness) for witness in call_witnesses(runs, tmp_path / "frames")]
    figures = judge_clips(
        "frame", [each.as_predictions() for each in answers], (), JudgeSettings(resamples=100)
    )
    label = answers[0].judged.label[answers[0].clip]
    present = np.unique(label)
    by_seed = np.array(
        [
            f1_score(label, each.log_probabilities.argmax(1), labels=present, average=None, zero_division=0)
            for each in answers
        ]
    )
    assert figures.units == len(label)
    assert figures.macro_f1.value == pytest.approx(by_seed.mean())
    right = [(each.log_probabilities.argmax(1) == label).mean() for each in answers]
    assert figures.accuracy.value == pytest.approx(np.mean(right))


def test_frame_intervals_are_over_patients():
    """All frames of a patient are alike, so many frames make an interval no narrower."""
    random = np.random.default_rng(1)
    right = random.random(30) < 0.7
    judged = Predictions(
        method="naive",
        seed=0,
        views=("A4C", "A2C"),
        clip=np.array([f"{place:02d}" for place in range(30)]),
        patient=np.array([f"p{place:02d}" for place in range(30)]),
        split=np.full(30, "test"),
        label=np.zeros(30, np.int64),
        log_probabilities=np.log(np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])).astype(np.float32),
        features=np.zeros((30, 0), np.float32),
    )
    widths = []
    for each in (1, 50):
        clip = np.repeat(np.arange(30), each)
        said = FrameAnswers(judged, clip, judged.log_probabilities[clip], np.full(len(clip), np.nan))
        accuracy = judge_clips("frame", [said.as_predictions()], (), JudgeSettings()).accuracy
        widths.append((accuracy.low, accuracy.high))
    assert widths[0] == pytest.approx(widths[1])


def test_what_cannot_be_asked_is_refused(tmp_path):
    run, store = a_run(tmp_path)
    other = a_run(tmp_path, method="mixmatch")[0]
    with pytest.raises(WrongCall, match="several methods"):
        call_witnesses([run, other], store)
    with pytest.raises(WrongCall, match="no run"):
        call_witnesses([], store)

    whole = pl.read_parquet(store / "index.parquet")
    judged = call_witnesses([run], store)[0].judged.clip
    renamed = pl.col("clip").replace({judged[0]: "gone", judged[1]: "too"})
    whole.with_columns(renamed).write_parquet(store / "index.parquet")
    with pytest.raises(CannotDo, match=f"lacks 2 of the {len(judged)} judged clips"):
        call_witnesses([run], store)
    whole.write_parquet(store / "index.parquet")

    record = json.loads((store / "store.json").read_text())
    record["settings"]["sampling"] = "cycle"
    (store / "store.json").write_text(json.dumps(record))
    with pytest.raises(CannotDo, match="other settings"):
        call_witnesses([run], store)

    (run / "classifier.safetensors").unlink()
    with pytest.raises(CannotDo, match=r"classifier\.safetensors"):
        call_witnesses([run], store)


def test_a_run_with_predictions_of_other_views_is_refused(tmp_path):
    run, store = a_run(tmp_path)
    said = Predictions.load(run / "predictions.parquet")
    replace(said, views=(*said.views[1:], said.views[0])).save(run / "predictions.parquet")
    with pytest.raises(CannotDo, match="other views"):
        call_witnesses([run], store)
