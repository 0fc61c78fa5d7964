"""Labels from structured reports in files, folders and archives.

Of several reports of the same people on a clip the latest counts, and an adjudication counts before all
others. What is left may contradict itself; `apical.ingest.labels` lists it then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from apical.errors import CannotDo, ClipProblem
from apical.ingest.label_report import LabelReport, count
from apical.ingest.labels import apply_rows
from apical.ingest.places import as_place
from apical.ingest.tables import Row
from apical.ingest.walk import walk
from apical.label.opinions import CANNOT_TELL
from apical.label.report_content import NoReport, Reported, read_report
from apical.views import Vocabulary


@dataclass(frozen=True)
class ReportsRead:
    """What a number of files told.

    Attributes:
        labels: of people, or also of programs where these were asked for.
        reports: files that are structured reports.
        verified: labels that were verified.
        programs: labels of programs, which were passed over unless asked for.
        passed_over: files that are none.
        problems: a line for each file or label that cannot be used; no name and no path is in it.
    """

    labels: tuple[Reported, ...]
    reports: int
    programs: int
    passed_over: int
    problems: tuple[str, ...]

    @property
    def verified(self) -> int:
        """Labels that were verified."""
        return sum(one.verified for one in self.labels)

    @property
    def cannot_tell(self) -> int:
        """Labels that say that the view cannot be told."""
        return sum(one.label.said.view == CANNOT_TELL for one in self.labels)


def read_reports(roots: Iterable[str], vocabulary: Vocabulary, *, programs: bool = False) -> ReportsRead:
    """The labels of structured reports.

    Args:
        roots: files, folders or archives; files in them that are no structured reports are passed over.
        vocabulary: what the labels may be.
        programs: take labels of programs, too, of clips of which no person says anything.
    """
    found: list[Reported] = []
    problems: list[str] = []
    reports = passed_over = 0
    places = (one for root in roots for one in walk(as_place(root)))
    for number, place in enumerate(places, start=1):
        try:
            if place.problem is not None:
                raise ClipProblem(place.problem)
            labels, wrong = read_report(place.place, vocabulary)
        except NoReport:
            passed_over += 1
        except ClipProblem as problem:
            problems.append(f"file {number}: {problem}")
        else:
            reports += 1
            found += labels
            problems += [f"file {number}: {line}" for line in wrong]
    kept = _latest([one for one in found if not one.program])
    of_programs = [one for one in found if one.program]
    if programs:
        told = {one.clip for one in kept}
        kept += _latest([one for one in of_programs if one.clip not in told])
    return ReportsRead(tuple(kept), reports, len(of_programs), passed_over, tuple(problems))


def import_reports(
    table: pl.DataFrame, roots: Iterable[str], vocabulary: Vocabulary, *, programs: bool = False
) -> tuple[pl.DataFrame, ReportsRead, LabelReport]:
    """Take the labels of structured reports into a catalogue; see `read_reports` for the arguments.

    Returns:
        the catalogue, what was read, and what became of it. A clip keeps what it had where one report names
        a view and another says that it cannot be told.

    Raises:
        CannotDo: there is no structured report, or none tells a label of a clip of the catalogue.
    """
    read = read_reports(roots, vocabulary, programs=programs)
    if not read.reports:
        raise CannotDo("there is no DICOM SR among the files", "give structured reports, or a folder of them")
    known = [one for one in read.labels if one.clip in set(table["clip"])]
    if not known:
        raise CannotDo(
            "no report tells the view of a clip of the catalogue",
            "scan the images that the reports refer to; --programs takes what programs say",
        )
    unsure = {one.clip for one in known if one.label.said.view == CANNOT_TELL}
    torn = unsure & {one.clip for one in known if one.label.said.view != CANNOT_TELL}
    rows = rows_of(one for one in known if one.clip not in torn)
    labelled, report = table, LabelReport(0, 0)
    if rows:
        columns = {name for row in rows for name in row}
        labelled, report = apply_rows(table, rows, columns, vocabulary, "/", None)
    notes = []
    if len(read.labels) > len(known):
        others = count(len(read.labels) - len(known), "label")
        notes.append(f"{others} of images that the catalogue does not have")
    if torn:
        clips = count(len(torn), "clip")
        notes.append(
            f"{clips} of which one report tells the view and one that it cannot be told, left as before"
        )
    return labelled, read, replace(report, notes=(*read.problems, *notes, *report.notes))


def rows_of(labels: Iterable[Reported]) -> list[Row]:
    """Labels as rows of a table that `apical.ingest.labels.apply_rows` takes into a catalogue."""
    rows = []
    for one in labels:
        said = one.label.said
        row = {"clip": one.clip}
        if said.view != CANNOT_TELL:
            row["view"] = str(said.view)
        if said.contrast_agent is not None:
            row["contrast_agent"] = "true" if said.contrast_agent else "false"
        if one.label.by:
            row["labelled_by"] = ", ".join(one.label.by)
        rows.append(row)
    return rows


def _latest(labels: Sequence[Reported]) -> list[Reported]:
    """Of each clip its adjudications, if it has any, and of the same people what they said last; once."""
    adjudicated = {one.clip for one in labels if one.label.adjudicated}
    last: dict[tuple[str, tuple[str, ...]], list[Reported]] = {}
    for one in labels:
        if one.clip in adjudicated and not one.label.adjudicated:
            continue
        by = () if one.label.adjudicated else tuple(sorted(one.label.by))
        same = last.setdefault((one.clip, by), [])
        if not same or one.at > same[0].at:
            same[:] = [one]
        elif one.at == same[0].at and one not in same:
            same.append(one)
    return [one for same in last.values() for one in same]
