"""What stands in for the process that fine-tunes."""

import os
from pathlib import Path

from apical.label.lesson import Done, Network, Refusal, labels_of
from label.coach_stand_in import order


def run(line, asked):
    folder = Path(asked.school.folder)
    if order(folder, "tuning dies"):
        os._exit(1)
    if order(folder, "tuning refuses"):
        line.send(Refusal("only PLAX is labelled among the training patients", "label more"))
        return
    line.send(Done(asked.steps, asked.steps))
    version = asked.known.version
    line.send(Network(f"network {version}", folder / "none.npy", labels_of(asked.school.clips, asked.known)))
