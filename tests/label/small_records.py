"""Records in a quick folder, and saying something of a clip in one line."""

import secrets
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

from apical.label.opinions import Said
from apical.label.records import Records


def quick_folder():
    """A temporary folder in memory, where there is one: to wait for the disk proves nothing of logic."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


@contextmanager
def quick_records():
    with quick_folder() as folder, closing(Records(Path(folder) / "labels.sqlite")) as records:
        yield records


def key():
    return secrets.token_hex(16)


def say(records, annotator, clip, said, kind="single", guess=None, **more):
    """Offer a clip and answer; the event."""
    [task] = records.offer(annotator, [(clip, kind, guess)])
    said = said if isinstance(said, Said) else Said(said)
    given = {"key": key(), "shown": False, "seconds": None} | more
    return records.say(task, said, **given)[0]
