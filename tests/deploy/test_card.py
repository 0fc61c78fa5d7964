"""The model card: in the hub's form, true to the facts, silent of nothing that is missing."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from apical.deploy.card import model_card
from apical.judge.calibration import fit_scaling
from apical.judge.selective import operating_point

FIGURE = {"value": 0.7126, "low": 0.65, "high": 0.771, "resamples": 2000}
FACTS = {
    "schema": 2,
    "version": "342a2f9f52ca",
    "apical": "0.1.0",
    "taught": ["PLAX", "A4C", "IVC"],
    "encoder": {"kind": "resnet", "depth": 10, "width": 32},
    "input_size": 112,
    "frames": {"size": 128, "frames_per_clip": 6, "sampling": "uniform"},
    "temperature": 1.4321,
    "temperature_at_bound": False,
    "conformal": {"error_rate": 0.1, "threshold": 0.8, "patients": 40, "enough_patients": True},
    "unknown": {"threshold": 29.4, "refused": 0.05},
    "training": {
        "method": "probe",
        "seed": 7,
        "label_budget": {"PLAX": 10, "A4C": 9, "IVC": 2},
        "environment": {
            "python": "3.11.7",
            "system": "Linux",
            "gpu": None,
            "packages": {"apical": "0.1.0", "torch": "2.13.0"},
            "git": {"commit": "2d52edf413", "changed_files": 3},
        },
    },
    "metrics": {
        "split": "test",
        "patients": 24,
        "clips": 260,
        "confidence": 0.9,
        "method": "probe",
        "seeds": [7, 8],
        "means": {
            "macro F1": FIGURE,
            "accuracy": {"value": 0.8, "low": None, "high": None},
            "balanced accuracy": {"value": 0.75, "low": 0.7, "high": 0.8},
            "macro AUROC": {"value": None, "low": None, "high": None},
        },
    },
    "licence": None,
    "intended_use": "research only; not a medical device",
}


def without(*names, facts=FACTS):
    return {name: value for name, value in facts.items() if name not in names}


def section(text, title):
    return text.split(f"## {title}\n\n")[1].split("\n\n## ")[0]


def fields(facts):
    return yaml.safe_load(model_card(facts).split("---\n")[1])


def test_the_hub_reads_its_block_and_its_results():
    card = ModelCard(model_card(FACTS))
    assert (card.data.license, card.data.license_name) == ("other", "not-stated")
    assert (card.data.library_name, card.data.pipeline_tag) == ("apical", "video-classification")
    assert "echocardiography" in card.data.tags
    found = {one.metric_name: (one.metric_type, one.metric_value) for one in card.data.eval_results}
    assert found == {
        "macro F1": ("f1", 0.7126),
        "accuracy": ("accuracy", 0.8),
        "balanced accuracy": ("balanced-accuracy", 0.75),
    }
    one = card.data.eval_results[0]
    assert (one.dataset_name, one.dataset_split, one.task_type) == (
        "not named",
        "test",
        "video-classification",
    )


def test_what_the_hub_writes_of_its_block_says_the_same():
    card = ModelCard(model_card(FACTS))
    again = ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict()
    assert again.data.eval_results == card.data.eval_results


def test_a_model_that_was_not_judged_has_no_results():
    for metrics in (
        None,
        FACTS["metrics"] | {"means": {"accuracy": {"value": None, "low": None, "high": None}}},
    ):
        assert not ModelCard(model_card(FACTS | {"metrics": metrics})).data.eval_results
    assert "model-index" not in fields(FACTS | {"metrics": None})
    assert "Not judged" in section(model_card(FACTS | {"metrics": None}), "How good it is")


def test_a_single_frame_is_an_image():
    one = FACTS["frames"] | {"frames_per_clip": 1}
    assert fields(FACTS | {"frames": one})["pipeline_tag"] == "image-classification"


def test_a_licence_that_was_stated():
    assert fields(FACTS | {"licence": "CC-BY-4.0"})["license"] == "cc-by-4.0"
    text = model_card(FACTS | {"licence": "CC-BY-4.0"})
    assert "Licence: CC-BY-4.0." in section(text, "Intended use")
    assert "Licence: not recorded" in section(model_card(FACTS), "Intended use")


def test_figures_stand_with_their_intervals():
    text = section(model_card(FACTS), "How good it is")
    assert "On 260 labelled clips of 24 test patients, mean of the seeds 7, 8" in text
    assert "| figure | value | 90 % interval |" in text
    assert "| macro F1 | 0.713 | 0.650 to 0.771 |" in text
    assert "| accuracy | 0.800 | – to – |" in text
    assert "| macro AUROC | – | – to – |" in text
    of_views = {"IVC": {"value": 0.5, "low": 0.4, "high": 0.6}}
    text = model_card(FACTS | {"metrics": FACTS["metrics"] | {"view_f1": of_views}})
    assert "| IVC | 0.500 | 0.400 to 0.600 |" in section(text, "How good it is")


def test_how_it_was_made():
    text = section(model_card(FACTS), "How it was made")
    assert "| method | probe |\n| seed | 7 |\n| network | resnet (depth 10, width 32) |" in text
    assert "| weights | not recorded |\n| training patients | not recorded |" in text
    assert "| IVC | 2 |" in text
    training = FACTS["training"] | {"patients": 110, "clips": 2105}
    text = section(model_card(FACTS | {"parameters": 1234567, "training": training}), "How it was made")
    assert "| weights | 1,234,567 |\n| training patients | 110 |\n| training clips | 2105 |" in text


def test_the_network_of_a_network():
    encoder = {"kind": "clip", "frame": {"kind": "vit", "depth": 12}, "heads": 4}
    text = model_card(FACTS | {"encoder": encoder})
    assert "| network | clip (frame vit (depth 12), heads 4) |" in text


def test_calibration():
    text = section(model_card(FACTS), "Calibration")
    assert "Calibrated on 40 validation patients" in text
    assert "scaled by one temperature (best temperature 1.43)." in text
    text = section(model_card(FACTS | {"temperature_at_bound": True}), "Calibration")
    assert "1.43, at the end of the allowed range: do not trust it)" in text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("none", "as the network gives them"),
        ("temperature", "one temperature"),
        ("vector", "a weight and a bias for each view"),
    ],
)
def test_every_kind_of_scaling_is_named(kind, words):
    random = np.random.default_rng(0)
    scaling = fit_scaling(kind, random.normal(size=(60, 3)), random.integers(3, size=60))
    facts = without("temperature", "temperature_at_bound") | {"calibration": asdict(scaling)}
    text = section(model_card(json.loads(json.dumps(facts))), "Calibration")
    assert words in text
    assert "best temperature" not in text


def test_sets_promise_what_they_can():
    text = section(model_card(FACTS), "Sets of views")
    assert "in 90 % of the clips" in text
    assert "too few" not in text
    for few in ({"enough_patients": False}, {"enough": False}):
        conformal = without("enough_patients", facts=FACTS["conformal"]) | {"patients": 2} | few
        text = section(model_card(FACTS | {"conformal": conformal}), "Sets of views")
        assert (
            "The 2 validation patients are too few for the promised coverage, so every set holds every view"
            in text
        )
    conformal = FACTS["conformal"] | {"promised": [True, False, True]}
    assert "For 2 of 3 views" in section(model_card(FACTS | {"conformal": conformal}), "Sets of views")


def test_the_operating_point_is_told_with_its_promise():
    patient = np.repeat(np.arange(200), 5)
    for wrong, words in (
        (np.zeros(1000, bool), "named with a probability of at least 0.000 may be answered: at most 2 % of"),
        (np.ones(1000, bool), "On 200 validation patients no threshold on the probability was found"),
    ):
        point = operating_point(np.full(1000, 0.99), wrong, patient)
        facts = json.loads(json.dumps(FACTS | {"operating_point": asdict(point)}))
        text = section(model_card(facts), "Answering only when sure")
        assert words in text
        assert "but for a chance of 10 %" in text


def test_unknown_clips():
    text = section(model_card(FACTS), "Unknown clips")
    assert "lets 95 % of held-out clips of taught views pass." in text
    assert "was not measured" in text
    unknown = FACTS["unknown"] | {"score": "energy", "caught": {"lung": 0.913, "colour": 0.2}}
    text = section(model_card(FACTS | {"unknown": unknown}), "Unknown clips")
    assert "Its score is *energy*." in text
    assert "| lung | 91 % |\n| colour | 20 % |" in text
    assert "not measured" not in text


def test_environment():
    text = section(model_card(FACTS), "Environment")
    assert "| git commit | 2d52edf413 |\n| files changed since | 3 |\n| torch | 2.13.0 |" in text
    assert "| GPU | none |" in text
    assert text.count("| apical |") == 1


def test_of_what_is_missing_it_says_so_in_every_section():
    text = model_card({"version": "0", "taught": ["PLAX"]})
    ModelCard(text)
    assert "**Research software, not a medical device.**" in text
    for title in (
        "What it does",
        "Intended use",
        "How it was made",
        "Calibration",
        "Sets of views",
        "Environment",
    ):
        assert "not recorded" in section(text, title), title
    for title in ("Answering only when sure", "Unknown clips"):
        assert "not recorded" in section(text, title), title
    assert "Not judged" in section(text, "How good it is")
    assert "None" not in text


@pytest.mark.parametrize("name", [name for name in FACTS if name not in ("version", "taught")])
def test_no_other_fact_is_needed(name):
    ModelCard(model_card(without(name)))
