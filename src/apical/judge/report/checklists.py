"""Which items of two reporting checklists an evaluation answers, and which are left for the authors.

- TRIPOD+AI: Collins et al., BMJ 2024;385:e078378, 27 items with letters, 52 in all;
- CLAIM, 2024 update: Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300, 44 items.

The lists stand in ``checklists.yaml``: the items' numbers, and topics in words of our own. Read an item where
it was published before answering it.

Limits: both papers were out of reach, so numbers and topics were compared with public lists that other
authors had filled in, two or more of each, which agree. That a sentence is there does not mean that it is
enough: items ask for more than one sentence can say. A high count is no quality of a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

KEYS = (
    # What an evaluation, its runs and its catalogue may know.
    "acquisition",  # machines, frame rates and sizes; who filmed, by which protocol
    "annotators",  # how many people labelled, and their training; never their names
    "calibration",  # what the output is: probabilities, how calibrated and on whom; sets; thresholds
    "class_imbalance",  # which views are rare, and what training does about it
    "code",  # which version of the code, and where it is
    "counts",  # clips and patients that each figure was computed on, by view
    "data_sources",  # where clips come from: hospital, public data set, synthetic
    "deidentification",  # what was removed from files and pixels, and how that was checked
    "disjointness",  # what no two splits share: patients, studies
    "eligibility",  # which clips could enter, and which were left out
    "ensembling",  # whether several models answer together
    "explainability",  # pictures of what speaks for a view, nearest labelled clips, and their checks
    "external_testing",  # whether patients of another place were judged, and which
    "failure_analysis",  # which views are taken for which, and the surest wrong answers
    "fairness",  # which groups of patients were compared, or that none could be
    "flow",  # clips and patients found, left out (with the problem), used
    "heterogeneity",  # whether figures differ between centres or machines, and how that was looked at
    "inference",  # how the answer to a clip is made from its frames
    "initialisation",  # weights the training began with
    "inputs",  # what the network sees: which frames of which clips, nothing else
    "internal_testing",  # that judged patients come from the same source as training patients
    "limitations",  # for whom the figures do not hold
    "metrics",  # which figures, and why these
    "missing_data",  # clips without label, tag or readable pixels, and what became of them
    "model",  # kind and size of the network, what it was taught with, how it was tuned
    "model_selection",  # how the final weights were chosen, and on whom
    "partitions",  # how patients were divided, and what each part served for
    "preprocessing",  # from a file to the network's input: sector, crop, size
    "reference_standard",  # what counts as the true view, and how it was found out
    "robustness",  # figures under changes of the picture
    "sample_size",  # how many patients, and whether that was planned
    "settings",  # where every setting and seed is written down
    "shift",  # how judged patients differ from training ones: source, views, machines
    "software",  # packages and their versions
    "test_performance",  # main figures on test patients, with intervals
    "training",  # loss, optimiser, steps, crops, label budget
    "uncertainty",  # kind of interval and of test, over what it is, corrections
    "unusable_input",  # what is answered to clips that cannot be read or show no taught view
    "updating",  # whether anything was changed after judging, and what that did
    "view_performance",  # recall, precision and their intervals for each view
    # What only authors know.
    "availability",  # where model, software and data can be had, or that they cannot
    "blinding",  # what labellers knew of the model's answers
    "centres",  # how many hospitals, of what kind, where
    "conflicts",  # conflicts of interest
    "data_sharing",  # whether and how others get the data
    "dates",  # first and last exam
    "demographics",  # age, sex, disease of the patients, by split
    "design",  # retrospective or prospective; to make, explore or compare
    "ethics",  # committee, approval, consent
    "funding",  # who paid, and what part they had
    "intended_use",  # for whom, in which place of care, and what it is not for
    "objectives",  # what was to be found out
    "patient_involvement",  # part that patients and public had in the study
    "protocol",  # where the protocol is, or that there is none
    "rater_agreement",  # how far labellers agree with each other and themselves
    "reference_rationale",  # why this reference standard
    "registration",  # registry and number, or that there is none
    "test_annotation",  # who labelled the test clips, whether in another way than the rest
    "title",  # the title
    "users",  # what users must do and know
)


@dataclass(frozen=True)
class Row:
    """One item; `answer` is None where it is left for the authors."""

    number: str
    topic: str
    answer: str | None


@dataclass(frozen=True)
class Checklist:
    """A list with its answers.

    Attributes:
        title: its short name.
        citation: where it was published.
        rows: its items, in order.
    """

    title: str
    citation: str
    rows: tuple[Row, ...]

    @property
    def filled(self) -> int:
        """How many items have an answer, of ``len(rows)``."""
        return len(self.rows) - len(self.missing)

    @property
    def missing(self) -> tuple[Row, ...]:
        """Items that the authors must answer."""
        return tuple(row for row in self.rows if row.answer is None)


def fill(known: Mapping[str, str]) -> list[Checklist]:
    """Both lists, answered with what is known.

    Args:
        known: sentences by their keys in `KEYS`, where it says what each should tell.

    Raises:
        ValueError: a key is not in `KEYS`, or its sentence is empty.
    """
    strange = sorted(set(known) - set(KEYS))
    if strange:
        raise ValueError(f"no item of a checklist is answered by {', '.join(strange)}; see KEYS")
    empty = sorted(key for key, sentence in known.items() if not sentence.strip())
    if empty:
        raise ValueError(f"nothing is said of {', '.join(empty)}; leave out what is not known")
    lists = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return [
        Checklist(
            title=one["title"],
            citation=one["citation"],
            rows=tuple(Row(i["number"], i["topic"], known.get(i["known_by"])) for i in one["items"]),
        )
        for one in lists
    ]
