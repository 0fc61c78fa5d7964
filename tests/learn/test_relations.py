"""Each relation says of a small, hand-checked batch who is positive, who is negative and who is ignored."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from apical.config import ObjectiveSettings
from apical.learn.relations import (
    NEGATIVES,
    POSITIVES,
    Members,
    all_others,
    other_patients,
    pairs,
    same_clip,
    same_frame,
    same_patient_other_clips,
    same_view,
    study_view_or_clip,
    view_or_clip,
)

# rows:                     0  1  2  3  4  5  6
BATCH = Members(
    crop=torch.arange(7),
    frame=torch.tensor([10, 10, 11, 20, 30, 40, 50]),
    clip=torch.tensor([1, 1, 1, 2, 3, 4, 5]),
    study=torch.tensor([3, 3, 3, 3, 4, -1, 3]),
    patient=torch.tensor([7, 7, 7, 7, 8, 8, 7]),
    label=torch.tensor([5, 5, 5, -1, 5, -1, 5]),
)


def partners(mask, row):
    return {j for j in range(mask.shape[1]) if mask[row, j]}


def test_positives():
    assert partners(same_frame(BATCH, BATCH), 0) == {1}
    assert partners(same_clip(BATCH, BATCH), 0) == {1, 2}
    assert partners(same_view(BATCH, BATCH), 0) == {1, 2, 4, 6}


def test_unknown_labels_are_not_a_view_of_their_own():
    assert partners(same_view(BATCH, BATCH), 3) == set()
    assert not same_view(BATCH, BATCH)[3, 5]


def test_view_or_clip_uses_the_clip_where_the_view_is_unknown():
    assert partners(view_or_clip(BATCH, BATCH), 3) == set()
    assert partners(view_or_clip(BATCH, BATCH), 4) == {0, 1, 2, 6}


def test_clips_of_one_study_are_positive_if_their_labels_are_one():
    """Row 4 has the label but another study, row 3 the study but no label, row 5 no study."""
    assert partners(study_view_or_clip(BATCH, BATCH), 0) == {1, 2, 6}
    assert partners(study_view_or_clip(BATCH, BATCH), 6) == {0, 1, 2}
    assert partners(study_view_or_clip(BATCH, BATCH), 5) == set()


def test_negatives():
    assert partners(all_others(BATCH, BATCH), 0) == {1, 2, 3, 4, 5, 6}
    assert partners(other_patients(BATCH, BATCH), 0) == {4, 5}
    assert partners(same_patient_other_clips(BATCH, BATCH), 0) == {3, 6}


def sets_of(**settings):
    return pairs(BATCH, BATCH, ObjectiveSettings(**settings))


def test_positives_are_no_negatives_whatever_the_relation():
    for relation in POSITIVES:
        for negatives in NEGATIVES:
            positive, sets = sets_of(relation=relation, negatives=negatives, same_patient_share=0.25)
            assert [share for share, _ in sets] == [0.75, 0.25]
            assert not any((positive & negative).any() for _, negative in sets)


def test_a_share_of_nothing_is_left_out():
    (share, negative), *rest = sets_of(same_patient_share=0)[1]
    assert (share, rest) == (1, [])
    assert partners(negative, 0) == {3, 4, 5, 6}


def test_another_frame_of_the_clip_is_ignored_where_it_is_no_positive():
    positive, sets = sets_of(relation="same-frame", same_patient_share=0)
    assert partners(positive, 0) == {1}
    assert partners(sets[0][1], 0) == {3, 4, 5, 6}  # 2 is of the clip, but of another frame


def test_the_share_of_the_same_patient_alone():
    (share, negative), *rest = sets_of(same_patient_share=1)[1]
    assert (share, rest) == (1, [])
    assert partners(negative, 0) == {3, 6}


def test_clips_known_to_be_of_one_view_can_be_ignored():
    """Rows 4 and 6 are of the view of row 0: with the setting they are in neither mask."""
    positive, sets = sets_of(ignore_same_view=True)
    assert partners(positive, 0) == {1, 2}
    assert partners(sets[0][1], 0) == {3, 5}
    assert partners(sets[1][1], 0) == {3}


def test_what_an_earlier_batch_left_is_never_positive_and_ignored_if_related():
    """In a queue: the anchor's own clip from before is neither, another patient's is negative."""
    table = BATCH.table()
    table[:, 0] = -1
    old = Members.from_table(table)
    positive, sets = pairs(BATCH, old, ObjectiveSettings(same_patient_share=0))
    assert not positive.any()
    assert partners(sets[0][1], 0) == {3, 4, 5, 6}


@given(st.integers(0, 1000))
def test_every_relation_is_symmetric_and_leaves_out_the_crop_itself(seed):
    generator = torch.Generator().manual_seed(seed)
    columns = [torch.randint(-1, 3, (9,), generator=generator) for _ in range(5)]
    members = Members(torch.arange(9), *columns)
    for relation in (*POSITIVES.values(), *NEGATIVES.values()):
        mask = relation(members, members)
        assert torch.equal(mask, mask.T)
    for relation in POSITIVES.values():
        assert not relation(members, members).diagonal().any()


def test_a_table_and_back():
    again = Members.from_table(BATCH.table())
    assert all(torch.equal(getattr(again, name), getattr(BATCH, name)) for name in vars(BATCH))


@pytest.mark.parametrize("relation", [same_clip, all_others, same_patient_other_clips])
def test_anchors_and_candidates_may_differ(relation):
    some = Members.from_table(BATCH.table()[2:5])
    assert torch.equal(relation(some, BATCH), relation(BATCH, BATCH)[2:5])
