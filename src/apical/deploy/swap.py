"""A folder that takes another's place only when it is whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apical.files import cannot_write


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that takes its place when the block ends without an error.

    What `out` held is removed, but only after the new folder stands in its place. If anything fails
    before, `out` is as it was.

    Raises:
        CannotDo: the folder cannot be written, or the disk is full; `out` is untouched.
    """
    out = out.resolve()
    aside: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial"))
        new = aside / "new"
        new.mkdir()
        yield new
        _swap(out, new, aside / "old")
    except OSError as error:
        raise cannot_write(out, error) from None
    finally:
        if aside is not None and (out.exists() or not (aside / "old").exists()):
            shutil.rmtree(aside, ignore_errors=True)


def _swap(out: Path, new: Path, old: Path) -> None:
    try:
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
