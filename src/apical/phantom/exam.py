"""The clips of one synthetic patient's exam, in the order a sonographer would take them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from apical.config import PhantomSettings
from apical.phantom.anatomy import Patient, sample_patient
from apical.phantom.clip import Clip, acquire
from apical.phantom.contrast import sample_agent
from apical.phantom.heart import Tissue
from apical.phantom.machine import MACHINES, Machine, machine
from apical.phantom.modes import MODES, SHOWS_ONE_VIEW, USUAL_VIEWS
from apical.phantom.organs import organ_clip
from apical.phantom.planes import EXTRA_VIEWS, VIEWS
from apical.phantom.shot import ModeClip, Shot
from apical.phantom.wording import Facts, worded

STILL_SHARE = 0.06  # of the clips; they have one frame
CHOICE = 1  # which of a clip's streams of random numbers chooses what it shows

# In the order of a usual transthoracic exam: the chance that a view is taken at all, and the mean number of
# further clips of it when it is. Together about eleven clips an exam.
PROTOCOL = (
    ("PLAX", 0.98, 0.40),
    ("RV-inflow", 0.54, 0.0),
    ("PSAX-AV", 0.80, 0.05),
    ("PSAX-MV", 0.74, 0.0),
    ("PSAX-PM", 0.94, 0.30),
    ("PSAX-apex", 0.60, 0.0),
    ("A4C", 0.98, 0.60),
    ("A5C", 0.55, 0.0),
    ("A2C", 0.94, 0.30),
    ("A3C", 0.80, 0.05),
    ("subcostal-4C", 0.64, 0.0),
    ("IVC", 0.55, 0.0),
    ("suprasternal", 0.54, 0.0),
)
DISORDER = 0.8  # standard deviation of a clip's place in the exam, in steps of the protocol

# What is repeated with contrast agent at the end of an exam that has it, and how often.
CONTRAST_PROTOCOL = (
    ("A4C", 0.95),
    ("A2C", 0.90),
    ("A3C", 0.75),
    ("A5C", 0.30),
    ("PLAX", 0.40),
    ("PSAX-PM", 0.45),
    ("PSAX-apex", 0.25),
)

# Views between which a probe is moved without losing the heart: by tilting, turning or sliding.
NEIGHBOURS = (
    ("PSAX-AV", "PSAX-MV"),
    ("PSAX-MV", "PSAX-PM"),
    ("PSAX-PM", "PSAX-apex"),
    ("PLAX", "RV-inflow"),
    ("PLAX", "PSAX-MV"),
    ("A4C", "A5C"),
    ("A4C", "A2C"),
    ("A2C", "A3C"),
)


@dataclass(frozen=True, slots=True)
class Exam:
    """What all clips of an exam have in common."""

    seed: int
    index: int  # of the patient
    patient: Patient
    scanner: Machine
    day: date
    settings: PhantomSettings
    views: tuple[str, ...]  # of the plain clips, in order
    with_agent: tuple[str, ...]  # and of those with contrast agent, after them

    @property
    def patient_id(self) -> str:
        """The made-up identifier."""
        return f"PHANTOM-{self.index:04d}"

    def rng(self, *number: int) -> np.random.Generator:
        """The random numbers of clip `number`: those of no other clip."""
        return np.random.default_rng([self.seed, self.index, *number])


@dataclass(frozen=True, slots=True)
class Take:
    """One clip of an exam, before it is written."""

    number: int  # from 1, in the order of acquisition
    mode: str  # "2d", "sweep" (2-D on the way between views), "organ" (2-D, not a heart) or one of MODES
    view: str  # empty where no one view is shown
    contrast_agent: bool
    heart_rate: int  # beats per minute
    clip: Clip | ModeClip


def exam_of(settings: PhantomSettings, index: int) -> Exam:
    """Decide on patient `index`, machine, day and views: the same however many patients there are."""
    rng = np.random.default_rng([settings.seed, index])
    patient = sample_patient(rng, settings.difficulty, len(Tissue))
    scanner = machine(int(rng.integers(MACHINES)))
    day = date(2019, 1, 1) + timedelta(days=int(rng.integers(2000)))
    views = views_taken(rng)
    given = rng.random() < settings.contrast
    with_agent = [view for view, chance in CONTRAST_PROTOCOL if rng.random() < chance and given]
    return Exam(settings.seed, index, patient, scanner, day, settings, tuple(views), tuple(with_agent))


def takes(exam: Exam) -> Iterator[Take]:
    """Take the clips of `exam` one after another."""
    number = 0
    for view in exam.views:
        number += 1
        yield _plain(exam, number, view)
    for view in exam.with_agent:
        number += 1
        yield _plain(exam, number, view, agent=True)
    settings = exam.settings
    for further, take in (
        (settings.extra_views, _extra_view),
        (settings.sweeps, _sweep),
        (settings.organs, _organ),
        (settings.other_modes, _other_mode),
    ):
        for _ in range(further):
            number += 1
            yield take(exam, number)


def views_taken(rng: np.random.Generator) -> list[str]:
    """Draw which views an exam holds, with repeats, in the order they are acquired."""
    clips: list[tuple[float, str]] = []
    for place, (view, chance, repeats) in enumerate(PROTOCOL):
        taken = rng.random() < chance
        count = (1 + int(rng.poisson(repeats))) if taken else 0
        clips += [(place + float(rng.normal(0, DISORDER)), view) for _ in range(count)]
    return [view for _, view in sorted(clips)]


def _plain(exam: Exam, number: int, view: str, agent: bool = False, towards: str | None = None) -> Take:
    rng, settings = exam.rng(number), exam.settings
    still = rng.random() < STILL_SHARE and towards is None
    heart_rate = _heart_rate(exam, rng)
    clip = acquire(
        exam.patient,
        view,
        exam.scanner,
        texts=_screen_texts(exam, heart_rate, rng, agent),
        heart_rate=heart_rate,
        frames=1 if still else settings.frames,
        rows=settings.image_rows,
        difficulty=settings.difficulty,
        rng=rng,
        agent=sample_agent(rng) if agent else None,
        towards=towards,
    )
    if towards is not None:
        return Take(number, "sweep", "", agent, heart_rate, clip)
    return Take(number, "2d", view, agent, heart_rate, clip)


def _extra_view(exam: Exam, number: int) -> Take:
    view = EXTRA_VIEWS[exam.rng(number, CHOICE).integers(len(EXTRA_VIEWS))]
    return _plain(exam, number, view)


def _sweep(exam: Exam, number: int) -> Take:
    choice = exam.rng(number, CHOICE)
    start, end = NEIGHBOURS[choice.integers(len(NEIGHBOURS))]
    if choice.random() < 0.5:
        start, end = end, start
    return _plain(exam, number, start, towards=end)


def _organ(exam: Exam, number: int) -> Take:
    rng = exam.rng(number)
    heart_rate = _heart_rate(exam, rng)
    return Take(number, "organ", "", False, heart_rate, organ_clip(_shot(exam, "", heart_rate, rng)))


def _other_mode(exam: Exam, number: int) -> Take:
    rng = exam.rng(number)
    mode = str(rng.choice(list(MODES)))
    view = str(rng.choice(USUAL_VIEWS.get(mode, VIEWS)))
    heart_rate = _heart_rate(exam, rng)
    clip = MODES[mode](_shot(exam, view, heart_rate, rng))
    return Take(number, mode, view if mode in SHOWS_ONE_VIEW else "", False, heart_rate, clip)


def _shot(exam: Exam, view: str, heart_rate: int, rng: np.random.Generator) -> Shot:
    settings = exam.settings
    return Shot(
        patient=exam.patient,
        view=view,
        machine=exam.scanner,
        texts=_screen_texts(exam, heart_rate, rng),
        heart_rate=heart_rate,
        frames=settings.frames,
        rows=settings.image_rows,
        difficulty=settings.difficulty,
        rng=rng,
    )


def _heart_rate(exam: Exam, rng: np.random.Generator) -> int:
    return round(exam.patient.heart_rate * float(rng.uniform(0.95, 1.05)))


def _screen_texts(
    exam: Exam, heart_rate: int, rng: np.random.Generator, agent: bool = False
) -> tuple[str, ...]:
    """Lines burnt into the screen; the first is the (invented) patient's name."""
    facts = Facts(
        index=exam.index,
        day=exam.day,
        heart_rate=heart_rate,
        mi=float(rng.uniform(0.1, 0.3) if agent else rng.uniform(0.7, 1.4)),
        tis=float(rng.uniform(0.1, 0.3) if agent else rng.uniform(0.4, 1.6)),
        compression=int(rng.integers(40, 70)),
        frame_rate=int(rng.integers(30, 80)),
        gain=int(rng.integers(35, 75)),
    )
    return worded(exam.scanner, facts)
