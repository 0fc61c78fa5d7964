"""Each relation says of a small, hand-checked batch who is positive and who is negative."""

import torch

from apical.learn.relations import (
    Members,
    all_others,
    same_clip,
    same_frame,
    same_patient_other_clips,
    same_view,
    view_or_clip,
)

# rows:                     0  1  2  3  4  5
BATCH = Members(
    frame=torch.tensor([10, 10, 11, 20, 30, 40]),
    clip=torch.tensor([1, 1, 1, 2, 3, 4]),
    patient=torch.tensor([7, 7, 7, 7, 8, 8]),
    label=torch.tensor([5, 5, 5, -1, 5, -1]),
)


def partners(mask, row):
    return {j for j in range(mask.shape[1]) if mask[row, j] and j != row}


def test_positives():
    assert partners(same_frame(BATCH), 0) == {1}
    assert partners(same_clip(BATCH), 0) == {1, 2}
    assert partners(same_view(BATCH), 0) == {1, 2, 4}


def test_unknown_labels_are_not_a_view_of_their_own():
    assert partners(same_view(BATCH), 3) == set()
    assert not same_view(BATCH)[3, 5]


def test_view_or_clip_uses_the_clip_where_the_view_is_unknown():
    assert partners(view_or_clip(BATCH), 3) == set()
    assert partners(view_or_clip(BATCH), 4) == {0, 1, 2}


def test_negatives():
    positive = same_clip(BATCH)
    assert partners(all_others(BATCH, positive), 0) == {3, 4, 5}
    assert partners(same_patient_other_clips(BATCH, positive), 0) == {3}
    assert partners(same_patient_other_clips(BATCH, same_view(BATCH)), 4) == {5}


def test_every_relation_is_symmetric():
    for relation in (same_frame, same_clip, same_view, view_or_clip):
        mask = relation(BATCH)
        assert torch.equal(mask, mask.T)
