"""What became of a table of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_NAMED = 12  # rows or clips that a line names


@dataclass(frozen=True)
class LabelReport:
    """What became of a table of labels.

    Attributes:
        matched: clips of the catalogue that the table names.
        labelled: those of them that now have a view from it.
        unknown_clips: rows that name no clip of the catalogue, or several; counted from 1 below the header.
        unknown_labels: label texts that the vocabulary does not know, with their rows. Where a column is
            shifted they may be names: show them only to whoever may see the table.
        conflicts: clips that the table gives two views; they have none now.
        contradictions: column → clips for which the table says two things; they keep what they had.
        notes: further lines.
    """

    matched: int
    labelled: int
    unknown_clips: tuple[int, ...] = ()
    unknown_labels: dict[str, tuple[int, ...]] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()
    contradictions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        """A line for each kind of thing that could not be used; no text of the table is in it."""
        return self.problem_lines()

    def problem_lines(self, show_text: bool = False) -> list[str]:
        """The problems as lines.

        Args:
            show_text: a line for each unknown label, with its text, instead of one for all.
        """
        lines = list(self.notes)
        if self.unknown_clips:
            rows = count(len(self.unknown_clips), "row")
            lines.append(f"{rows} of no clip of the catalogue ({some(self.unknown_clips)})")
        if show_text:
            lines += [
                f"'{text}' is no label of the vocabulary ({count(len(rows), 'row')}: {some(rows)})"
                for text, rows in self.unknown_labels.items()
            ]
        elif self.unknown_labels:
            rows_of_all = sorted({row for rows in self.unknown_labels.values() for row in rows})
            lines.append(
                f"{count(len(rows_of_all), 'row')} with {count(len(self.unknown_labels), 'label')}"
                f" that the vocabulary does not know ({some(rows_of_all)})"
            )
        if self.conflicts:
            clips = count(len(self.conflicts), "clip")
            lines.append(f"{clips} with two different labels, which got none ({some(self.conflicts)})")
        for column, named in self.contradictions.items():
            clips = count(len(named), "clip")
            lines.append(f"{clips} with two different values of '{column}', left as before ({some(named)})")
        return lines

    def lines(self) -> list[str]:
        """What was done, then the problems."""
        return [f"{self.matched} clips matched, {self.labelled} labelled", *self.problems]


def count(number: int, noun: str) -> str:
    """A number and what it counts, such as ``2 rows``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def some(names: Sequence[object]) -> str:
    """The first `MOST_NAMED` of them as a list."""
    shown = ", ".join(str(name) for name in names[:MOST_NAMED])
    return f"{shown}, ..." if len(names) > MOST_NAMED else shown
