"""Which cells a study has, what each is trained with, and which settings are refused."""

import pytest
from pydantic import ValidationError

from apical.judge.cells import Cell, plan_cells, training_seed
from fake_studies import PRETRAIN, PRETRAINED, study_settings, study_values


def test_every_combination_once_by_draw_first():
    settings = study_settings(
        pretrain=PRETRAIN,
        pretraining_seeds=[4, 9],
        methods=PRETRAINED | {"few": {"method": "naive", "budgets": ["all"]}},
    )
    cells = plan_cells(settings)
    assert len(set(cells)) == len(cells) == 2 * (2 + 2 * 2 + 1 + 1)
    assert [cell.draw for cell in cells] == sorted(cell.draw for cell in cells)
    assert {cell.pretraining for cell in cells if cell.method == "fine-tune"} == {4, 9}
    assert {cell.pretraining for cell in cells if cell.method != "fine-tune"} == {None}
    assert {cell.budget for cell in cells if cell.method == "few"} == {"all"}
    assert {cell.budget for cell in cells if cell.method == "everything"} == {"full"}
    assert len({cell.folder for cell in cells}) == len(cells)


def test_training_seeds_are_of_the_draw_and_the_pretraining():
    seeds = {training_seed(draw, number) for draw in range(50) for number in (None, 0, 1, 2)}
    assert len(seeds) == 200
    assert training_seed(0, None) == 4010992203  # it must never change: finished studies go on with it


def test_names_of_cells():
    cell = Cell("Self-training, from scratch", "all", 1, 2, 0)
    assert str(cell) == "Self-training, from scratch, budget all, draw 1, pre-training 2"
    assert cell.folder.as_posix() == "cells/self-training-from-scratch/budget-all-draw-1-pretraining-2"


FINE_TUNE = {"naive": {"method": "naive"}, "tuned": {"method": "fine-tune", "start": "pretrained"}}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"budget": [1]}, "budget"),
        ({"budgets": [0]}, "greater than or equal to 1"),
        ({"budgets": [1, 1]}, "budgets holds a value twice"),
        ({"budgets": []}, "at least 1 item"),
        ({"methods": {"naive": {"method": "naive", "step": 3}}}, "method 'naive', step: Extra inputs"),
        ({"methods": {"naive": {"method": "guess"}}}, "method 'naive', method: Input should be"),
        ({"methods": {"naive": {}}}, "say which"),
        ({"methods": {"naive": {"method": "naive", "seed": 3}}}, "seed is given by the study"),
        ({"methods": {"naive": {"method": "naive", "start": "random"}}}, "no encoder to start with"),
        ({"methods": {"naive": {"method": "probe"}}}, "pretrained or shipped"),
        ({"methods": {"naive": {"method": "probe", "start": "random"}}}, "pretrained or shipped"),
        ({"methods": {"naive": {"method": "fixmatch"}}}, "pretrained, shipped or random"),
        ({"methods": {"naive": {"method": "naive"}, "Naive!": {"method": "naive"}}}, "names that are alike"),
        ({"methods": {"naive": {"method": "naive", "budgets": [7]}}}, "some of the study's"),
        ({"baseline": "other"}, "'other' is compared, but is not among methods"),
        ({"comparisons": [["naive", "naive"]]}, "compared with itself"),
        ({"methods": FINE_TUNE}, "give either pretrain or encoders"),
        ({"methods": FINE_TUNE, "pretrain": {}, "encoders": ["a"]}, "give either pretrain or encoders"),
        ({"pretrain": {}}, "no method starts pretrained"),
        ({"methods": FINE_TUNE, "encoders": ["a"], "pretraining_seeds": [1]}, "belong to pretrain"),
        ({"methods": FINE_TUNE, "pretrain": {"seed": 1}}, "give pretraining_seeds"),
        (
            {"methods": FINE_TUNE, "pretrain": {"objective": {"relation": "same-view"}}},
            "would see more of them than the budgets allow",
        ),
        (
            {"methods": study_values()["methods"] | {"all": {"method": "naive", "labels": "all"}},
             "comparisons": [["all", "naive"]]},
            "'all' has all labels",
        ),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit(changes, what):
    with pytest.raises(ValidationError, match=what):
        study_settings(**changes)


def test_settings_of_a_method_are_laid_over_those_of_all():
    settings = study_settings(
        methods={"naive": {"method": "naive"}, "wide": {"method": "naive", "encoder": {"width": 8}}}
    )
    wide, naive = settings.training("wide", 7), settings.training("naive")
    assert (wide.encoder.width, wide.encoder.stem_stride, naive.encoder.width) == (8, 2, 4)
    assert (wide.seed, wide.called) == (7, "wide")
    assert settings.pairs() == (("wide", "naive"),)
