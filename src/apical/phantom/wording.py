"""What a machine writes beside the sector, in the words of its maker."""

from dataclasses import asdict, dataclass
from datetime import date

from apical.phantom.machine import Machine


@dataclass(frozen=True, slots=True)
class Facts:
    """What a screen tells of a clip; the patient is invented, and the settings are no more than numbers."""

    index: int  # of the patient
    day: date
    heart_rate: int  # beats per minute
    mi: float  # mechanical index
    tis: float  # thermal index of soft tissue
    compression: int
    frame_rate: int  # Hz
    gain: int


def worded(machine: Machine, facts: Facts) -> tuple[str, ...]:
    """Lines to burn into the screen; the first is the patient's name, and says that it is a phantom's."""
    values = asdict(facts) | {"model": machine.model}
    return tuple(line.format(**values) for line in machine.maker.lines)
