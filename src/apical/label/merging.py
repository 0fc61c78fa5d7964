"""Labels into a catalogue's file, without undoing what another command writes there meanwhile."""

from __future__ import annotations

from pathlib import Path

from apical.catalogue import read_catalogue, write_catalogue
from apical.errors import CannotDo
from apical.label.records import Records
from apical.label.settle import MergeReport, merge
from apical.views import Vocabulary

TIMES = 5


def merge_into(
    catalogue: Path, records: Records, vocabulary: Vocabulary, out: Path | None = None
) -> MergeReport:
    """Write a catalogue with what is settled; see `apical.label.settle.merge`.

    Args:
        catalogue: is read.
        records: what was said.
        vocabulary: the views.
        out: is written; the same by default. If that changes while labels are taken, it is read again.

    Raises:
        CannotDo: it cannot be read or written, or changes again and again.
        WrongCall: it is a CSV.
    """
    for _ in range(TIMES):
        before = _state(catalogue)
        table, report = merge(read_catalogue(catalogue), records, vocabulary)
        if out is not None or _state(catalogue) == before:
            write_catalogue(table, out or catalogue)
            return report
    raise CannotDo("another command keeps writing the catalogue", "wait until it is done, and merge again")


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
