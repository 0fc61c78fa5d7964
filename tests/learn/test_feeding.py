"""Batches are functions of their place: whoever makes them, from wherever the run goes on."""

import itertools
import multiprocessing
import os
import signal
import time
from contextlib import closing

import numpy as np
import pytest
import torch

from apical.config import ClipEncoderSettings, ObjectiveSettings
from apical.errors import CannotDo
from apical.learn import render_torch
from apical.learn.augment import DEVIATION, MEAN
from apical.learn.clips import load_clips
from apical.learn.distributed import shares
from apical.learn.feeding import Feeder, Place, received
from apical.learn.loop import translated
from apical.learn.reading import FrameFile
from apical.views import standard_vocabulary

CPU = torch.device("cpu")


@pytest.fixture
def clips(exams):
    return load_clips(exams / "frames", exams / "catalogue.parquet", standard_vocabulary())


def feeder(clips, settings, frames=1, rank=0, processes=1):
    return Feeder(clips, settings, frames, CPU, rank, processes)


def take(batches, count):
    found = list(itertools.islice(batches, count))
    batches.close()
    return found


def test_places_count_on_through_the_epochs(clips, few_steps):
    places = [place for place, _ in feeder(clips, few_steps).jobs(Place())]
    assert [place.step for place in places] == list(range(len(places)))
    assert {place.epoch for place in places} == set(range(few_steps.epochs))
    assert all(place.batches == len(places) / few_steps.epochs for place in places)
    assert places[0].share(few_steps.epochs) == 0
    assert places[-1].share(few_steps.epochs) == pytest.approx(1 - 1 / len(places))


@pytest.mark.parametrize("begin", [0, 2, 5, 7])
def test_going_on_from_a_place_gives_what_was_left(clips, few_steps, begin):
    everything = list(feeder(clips, few_steps).batches(Place()))
    place = everything[begin].place
    rest = list(feeder(clips, few_steps).batches(place))
    assert len(rest) == len(everything) - begin
    for one, other in zip(rest, everything[begin:], strict=True):
        assert one.place == other.place
        assert torch.equal(one.crops, other.crops)
        assert torch.equal(one.members.table(), other.members.table())


def test_behind_the_last_batch_of_an_epoch_the_next_begins(clips, few_steps):
    places = [place for place, _ in feeder(clips, few_steps).jobs(Place())]
    last = [place for place in places if place.epoch == 0][-1]
    behind = Place(0, last.batch + 1, last.step + 1, last.batches)
    following, _ = next(feeder(clips, few_steps).jobs(behind))
    assert (following.epoch, following.batch, following.step) == (1, 0, last.step + 1)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_make_the_parts_of_one_batch(clips, few_steps, processes):
    (whole,) = take(feeder(clips, few_steps).batches(Place()), 1)
    parts = [
        take(feeder(clips, few_steps, rank=rank, processes=processes).batches(Place()), 1)[0]
        for rank in range(processes)
    ]
    assert torch.equal(torch.cat([part.crops for part in parts], dim=1), whole.crops)
    for rank, part in enumerate(parts):
        assert torch.equal(part.members.table(), whole.members.table())
        assert part.lengths == [len(share) for share in shares(whole.crops.shape[1], processes)]
        assert part.crops.shape[1] == part.lengths[rank]


def test_members_are_those_of_the_crops(clips, few_steps):
    (batch,) = take(feeder(clips, few_steps).batches(Place()), 1)
    _, chosen = next(feeder(clips, few_steps).jobs(Place()))
    n = len(chosen)
    assert batch.crops.shape == (2, n, 1, few_steps.input_size, few_steps.input_size)
    assert batch.members.crop.tolist() == list(range(2 * n))
    clip = batch.members.clip.numpy()
    assert sorted(clip[:n]) == sorted(chosen)
    assert clip[:n].tolist() == clip[n:].tolist() != chosen.tolist()  # patients are mixed
    assert batch.members.patient.tolist() == clips.patient_code[clip].tolist()
    assert batch.members.label.tolist() == clips.label[clip].tolist()
    first, count = clips.first[batch.members.clip], clips.count[batch.members.clip]
    frame = batch.members.frame.numpy()
    assert ((frame >= first) & (frame < first + count)).all()
    assert (frame[:n] != frame[n:]).all()  # three frames a clip: the two crops differ
    assert batch.members.study.tolist() == clips.study_code[clip].tolist()


def test_one_frame_for_all_crops_where_the_relation_says_so(clips, few_steps):
    settings = few_steps.model_copy(update={"objective": ObjectiveSettings(relation="same-frame")})
    (batch,) = take(feeder(clips, settings).batches(Place()), 1)
    one, other = batch.members.frame.view(2, -1)
    assert torch.equal(one, other)
    assert not torch.equal(*batch.crops)


def test_crops_of_several_frames(clips, few_steps):
    network = ClipEncoderSettings(of_frame=few_steps.encoder, frames=3)
    settings = few_steps.model_copy(update={"encoder": network})
    (batch,) = take(feeder(clips, settings, frames=3).batches(Place()), 1)
    assert batch.crops.shape[2] == 3


def test_other_seeds_other_crops(clips, few_steps):
    (one,) = take(feeder(clips, few_steps).batches(Place()), 1)
    (other,) = take(feeder(clips, few_steps.model_copy(update={"seed": 1})).batches(Place()), 1)
    assert not torch.equal(one.crops, other.crops)


@pytest.mark.parametrize("feeders", [0, 1])
def test_an_error_in_a_process_is_the_callers_and_no_process_stays(clips, few_steps, feeders, tmp_path):
    np.save(tmp_path / "frames.npy", clips.frames[:])
    broken = clips.select(np.ones(len(clips), bool))
    object.__setattr__(broken, "frames", FrameFile.of(np.load(tmp_path / "frames.npy", mmap_mode="r")))
    os.truncate(tmp_path / "frames.npy", 2000)
    settings = few_steps.model_copy(update={"feeders": feeders})
    with pytest.raises(CannotDo, match="the frame store cannot be read any more"):
        next(feeder(broken, settings).batches(Place()))
    take(feeder(clips, settings).batches(Place()), 1)  # given up half-way; see also `no_process_stays`


@pytest.mark.parametrize("while_learning", [lambda: None, lambda: time.sleep(3)])
def test_a_process_that_is_killed_is_one_line(clips, few_steps, while_learning):
    """Whether the next batch is waited for, or torch's handler raises in the midst of something else."""
    settings = few_steps.model_copy(update={"feeders": 1, "epochs": 100})
    before = set(multiprocessing.active_children())
    batches = feeder(clips, settings).batches(Place())
    next(batches)
    (child,) = set(multiprocessing.active_children()) - before

    def go_on():
        with translated(), closing(batches):
            os.kill(child.pid, signal.SIGKILL)  # in here: torch's handler may raise at any moment from now on
            while_learning()
            list(batches)

    with pytest.raises(CannotDo, match="a process that makes crops has ended"):
        go_on()


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), ConnectionRefusedError(), EOFError()])
def test_a_process_that_is_killed_while_its_batch_is_fetched_is_the_same_line(error):
    """Torch lets the fetch's own error through where the process is not yet seen to be dead."""

    def made():
        yield 1
        raise error

    got = received(made())
    assert next(got) == 1
    with pytest.raises(CannotDo, match="a process that makes crops has ended") as told:
        next(got)
    assert told.value.__cause__ is error


def test_an_error_of_ours_in_a_process_is_not_taken_for_a_lost_one(clips, few_steps):
    """A bug is shown as what it is, with the other process's trace."""
    settings = few_steps.model_copy(update={"feeders": 1, "input_size": "no number"})
    with pytest.raises(TypeError, match="Caught TypeError in DataLoader worker"), translated():
        next(feeder(clips, settings).batches(Place()))


@pytest.mark.parametrize("feeders", [1, 2])
def test_other_processes_make_the_same_batches_in_the_same_order(clips, few_steps, feeders):
    here = list(feeder(clips, few_steps).batches(Place()))
    settings = few_steps.model_copy(update={"feeders": feeders})
    there = list(feeder(clips, settings).batches(Place()))
    assert len(here) == len(there)
    for one, other in zip(here, there, strict=True):
        assert one.place == other.place
        assert one.lengths == other.lengths
        assert torch.equal(one.crops, other.crops)
        assert torch.equal(one.members.table(), other.members.table())


def test_for_a_gpu_frames_are_sent_and_rendered_there(clips, few_steps):
    """Without one: what is sent, rendered by torch on the CPU, is the crops to within a grey level or so."""
    few = feeder(clips, few_steps)
    job = next(few.jobs(Place()))
    expected = few.on_device(few.prepare(*job)).crops
    few.device = torch.device("cuda")
    sent = few.prepare(*job)
    assert sent.pictures.dtype == torch.uint8
    assert sent.pictures.shape[2:] == clips.frames.shape[1:]
    made = render_torch.render(sent.pictures, sent.draws, sent.lie, few_steps.input_size)
    made = made.sub(MEAN).div(DEVIATION)
    off = (made.view_as(expected) - expected).abs() * DEVIATION * 255
    assert (off > 1.5).float().mean() < 0.005
