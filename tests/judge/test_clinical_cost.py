"""Costs of taking one view for another: in steps, both ways, and changed where a user says so."""

import numpy as np
import pytest

from apical.errors import WrongCall
from apical.judge.clinical_cost import WINDOWS, clinical_cost
from apical.views import standard_vocabulary

VIEWS = standard_vocabulary().names


def of(cost, one, other, views=VIEWS):
    return cost[views.index(one), views.index(other)]


def test_every_standard_view_stands_in_one_window():
    assert sorted(view for window in WINDOWS for view in window) == sorted(VIEWS)


def test_steps():
    cost = clinical_cost(VIEWS)
    assert (cost == cost.T).all()
    assert (np.diag(cost) == 0).all()
    assert set(np.unique(cost).tolist()) == {0, 0.25, 0.5, 1}
    assert of(cost, "A4C", "A5C") == of(cost, "PSAX-MV", "PSAX-PM") == 0.25
    assert of(cost, "PSAX-AV", "PSAX-PM") == of(cost, "A4C", "A2C") == of(cost, "PLAX", "PSAX-AV") == 0.5
    assert of(cost, "PLAX", "A4C") == of(cost, "IVC", "suprasternal") == 1


def test_other_vocabularies_cost_all_until_said():
    views = ("mine", "A5C", "A4C")
    assert of(clinical_cost(views), "mine", "A4C", views) == 1
    assert of(clinical_cost(views), "A5C", "A4C", views) == 0.25
    changed = clinical_cost(views, {"A4C": {"mine": 0.1}})
    assert of(changed, "mine", "A4C", views) == of(changed, "A4C", "mine", views) == 0.1


@pytest.mark.parametrize("wrong", [{"A4C": {"Doppler": 1}}, {"A4C": {"A4C": 0.5}}, {"x": {"A4C": 0.5}}])
def test_costs_of_what_is_no_pair_are_refused(wrong):
    with pytest.raises(WrongCall, match="no cost of taking"):
        clinical_cost(VIEWS, wrong)
