"""So many connections at a time, in all and from one address, and files enough for them and all else.

Whoever connects holds one of this process's files (descriptors) before a token is asked for. When they are
used up nothing can be opened any more: no upload, no process that answers. So connections are counted as they
come, and those beyond a limit are closed, which leaves a reserve.

An address is all that is known of a client then: behind a proxy all clients have the proxy's. pynetdicom's
receiver knows no file above 1023 (``select``), another reason to stay well below.
"""

from __future__ import annotations

import resource
from collections import Counter

from apical.config import ListenSettings

BACKLOG = 128  # connections that the system takes before we do, all at once
RESERVE = 128 + BACKLOG  # files for the queue, DICOM and whatever libraries open
FEWEST = 16  # connections, however few files there may be
MOST_FILES = 65_536  # more are not asked for


class Connections:
    """How many there are, in all and by address; for one thread.

    Args:
        most: in all.
        most_of_one: from one address.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._by_address: Counter[str] = Counter()
        self._all = 0

    def enter(self, address: str) -> bool:
        """Whether one more may come from an address; it counts from now on, if so."""
        if self._all >= self._most or self._by_address[address] >= self._most_of_one:
            return False
        self._all += 1
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One that had entered is gone."""
        self._all -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def raise_file_limit() -> int:
    """Let this process open as many files as it may allow itself; how many these are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def connections_for(settings: ListenSettings, files: int, others: int = 0) -> Connections:
    """As many connections as the settings want and so many files leave room for, `others` being in use."""
    most = min(settings.connections, max(FEWEST, files - RESERVE - others))
    return Connections(most, settings.connections_per_client)
