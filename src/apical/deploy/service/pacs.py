"""New ultrasound in a PACS: looked for every so often or upon a notice, fetched, and queued once.

Looking is in two steps. A round of polling asks for the studies of the last days, and notes those that have
another number of instances than before; a notice notes one too. What is noted is durable (`wanted`), and
comes off when all its instances of ultrasound are queued. An instance that was queued before, for this model,
is known by a hash of its UID. Nothing in the PACS is ever changed.

A study that has an instance which cannot be fetched is put off, for up to ten minutes at a time, and holds up
neither the others nor polling. Only a PACS that gives no lists is left in peace as a whole.

Orthanc can give notice by a script in Lua, its option ``LuaScripts``, without any plugin::

    function OnStoredInstance(id, tags, metadata)
      HttpPost('http://127.0.0.1:8080/v1/notify', '{"study": "' .. tags['StudyInstanceUID'] ..
        '", "series": "' .. tags['SeriesInstanceUID'] .. '", "instance": "' .. tags['SOPInstanceUID'] .. '"}',
        {['Content-Type'] = 'application/json', ['Authorization'] = 'Bearer ...'})
    end

Limits: polling finds studies by Study Date, so one that has none, or an older one, only if all days are
looked at or a notice comes; and one where an instance took another's place only at the next full look. An
instance is asked for once, whatever its answer: if a damaged one was mended under its old UID, it has to be
sent by C-STORE or uploaded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from apical.deploy.service.dicomweb import DicomWeb, Hopeless, Instance, Unreachable
from apical.deploy.service.instances import CLASSES, identity, instance_key, is_uid
from apical.deploy.service.queue import Queue, Refused, TooBusy
from apical.deploy.service.rounds import Rounds, backoff
from apical.deploy.service.spool import Spool, TooLarge
from apical.deploy.service.wanted import Wanted, WantedList
from apical.errors import CannotDo, ClipProblem, WrongCall

FULL_LOOK = 100  # rounds of polling, after which every study is looked at anew
DOWN = 5  # instances in a row that fail, after which the rest of a study is not tried for now
BUSY = 30.0  # seconds, the longest wait where the queue is full
_log = logging.getLogger(__name__)


class Pacs:
    """What looks for new instances, in a thread of its own, until stopped.

    Args:
        client: for this thread alone.
        queue: where instances are queued, with source ``pacs``.
        spool: where they are kept; ``pacs.sqlite`` is made in its folder.
        model: version of the bundle; instances are queued again for another model.
        every: seconds between two rounds of polling; None polls never, and notices alone count.
        days: studies of today and so many days before are looked at; None: all studies.
        most_bytes: of an instance; a larger one has a problem as its answer.
        today: the day of today, by the clock of this machine.

    Attributes:
        problem: why the PACS was not to be talked to, or a study not to be fetched whole; None where all is
            well.

    Raises:
        CannotDo: the folder cannot be written.
    """

    def __init__(
        self,
        client: DicomWeb,
        queue: Queue,
        spool: Spool,
        model: str,
        *,
        every: float | None = 30.0,
        days: int | None = 2,
        most_bytes: int = 2 << 30,
        today: Callable[[], date] = date.today,
    ) -> None:
        self._client, self._queue, self._spool, self._model = client, queue, spool, model
        self._every, self._days, self._most_bytes, self._today = every, days, most_bytes, today
        self._wanted = WantedList(spool.incoming.parent / "pacs.sqlite")
        self._counts: dict[str, int] = {}  # instances of each study when it was last noted
        self._polls, self._next_poll, self._failures = 0, 0.0, 0
        self._poll_now = False
        self.problem: str | None = None
        self._rounds = Rounds("pacs", self._round)
        self._rounds.start()

    def notify(self, study: str = "", series: str = "", instance: str = "") -> None:
        """Look at a study, a series or an instance now; it is on the list, durably, when this returns.

        Without a study, poll now.

        Raises:
            WrongCall: one of the UIDs is none.
            CannotDo: the list cannot be written.
        """
        if not all(is_uid(uid) for uid in (study, series, instance) if uid):
            raise WrongCall("a UID is none", "give the UIDs of a study and, if known, of series and instance")
        if study:
            self._wanted.add(study, series, instance)
        else:
            self._poll_now = True
        self._rounds.wake()

    @property
    def waiting(self) -> int:
        """How many studies are still to be looked at."""
        return len(self._wanted)

    def stop(self, seconds: float = 30.0) -> None:
        """Begin nothing new, and wait so long for what is being fetched; the rest is found again later."""
        self._rounds.stop(seconds)
        self._wanted.close()

    def _round(self) -> float:
        """Look at all that is wanted, then poll if it is time; seconds until the next round."""
        try:
            pause = self._look_at_wanted()
            if self._poll_now or (self._every is not None and time.monotonic() >= self._next_poll):
                self._poll_now = False  # before, for who asks meanwhile means what is there by then
                self._poll()
                self._next_poll = time.monotonic() + (self._every or 0.0)
                self._failures = 0
            if self._wanted.failing == 0:
                self.problem = None
            return self._until_next(pause)
        except TooBusy:
            self._failures += 1
            return backoff(self._failures, longest=BUSY)
        except CannotDo as error:
            self._failures += 1
            self._tell(error)
            return max(backoff(self._failures), error.after if isinstance(error, Unreachable) else 0.0)

    def _look_at_wanted(self) -> float:
        """Look at all that is due, and put off what fails; seconds to wait before more is looked at."""
        pause = 0.0
        while not (self._rounds.stopped or pause) and (one := self._wanted.due(time.time())):
            pause = self._look_at(one)
        return pause

    def _look_at(self, one: Wanted) -> float:
        pause = 0.0
        try:
            failed = self._look(one)
            self._failures = 0
        except Unreachable as error:  # it gives no list
            self._failures += 1
            failed, pause = error, max(backoff(self._failures), error.after)
        if self._rounds.stopped:  # in the midst of it, perhaps
            return 0.0
        if failed is None:
            self._wanted.done(one)
        else:
            self._tell(failed)
            self._wanted.put_off(one, time.time() + max(backoff(one.failures + 1), failed.after))
        return pause

    def _tell(self, error: CannotDo) -> None:
        if str(error) != self.problem:
            _log.warning("%s", error)
        self.problem = str(error)

    def _until_next(self, pause: float) -> float:
        """Seconds until the next poll, or until the next look, which is not before the pause is over."""
        ahead = [3600.0]
        if self._every is not None:
            ahead.append(self._next_poll - time.monotonic())
        if (due := self._wanted.next_due()) is not None:
            ahead.append(max(pause, due - time.time()))
        return max(0.0, min(ahead))

    def _poll(self) -> None:
        """Note the studies that are not as they were."""
        if self._polls % FULL_LOOK == 0:
            self._counts.clear()
        since = None if self._days is None else self._today() - timedelta(days=self._days)
        for found in self._client.studies(since):
            if found.instances is None or self._counts.get(found.study) != found.instances:
                self._wanted.add(found.study)
                if found.instances is not None:
                    self._counts[found.study] = found.instances
        self._polls += 1

    def _look(self, one: Wanted) -> Unreachable | None:
        """Queue what is new in a study, also where something fails; what failed. Raises if no list comes."""
        failed: Unreachable | None = None
        in_a_row = 0
        for found in self._client.instances(one.study, one.series, one.instance):
            if self._rounds.stopped:
                break
            if found.sop_class not in CLASSES:
                continue
            try:
                self._fetch(found)
                in_a_row = 0
            except Unreachable as error:
                failed, in_a_row = error, in_a_row + 1
                if in_a_row == DOWN or error.after:
                    break
        return failed

    def _fetch(self, found: Instance) -> None:
        key = instance_key(found.instance, self._model)
        if self._queue.knows(key):
            return
        try:
            with self._spool.write(self._most_bytes) as incoming:
                self._client.retrieve(found, self._unless_stopped(incoming.write))
                kept = incoming.keep()
        except TooLarge as error:
            self._queue.accept("pacs", [Refused(error.what)], key=key)
            return
        except Hopeless as error:  # deleted meanwhile, or never to be had
            _log.warning("an instance cannot be fetched: %s", error)
            return
        try:
            if _uid_of(kept) != found.instance:
                raise Unreachable("the PACS gives another object than it was asked for")
            self._queue.accept("pacs", [kept], key=key)
        except CannotDo:
            self._spool.remove(kept)
            raise

    def _unless_stopped(self, write: Callable[[bytes], object]) -> Callable[[bytes], object]:
        def write_on(data: bytes) -> None:
            if self._rounds.stopped:
                raise Unreachable("the service stops")
            write(data)

        return write_on


def _uid_of(file: Path) -> str | None:
    try:
        return identity(file)[1]
    except ClipProblem:
        return None
