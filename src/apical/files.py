"""Writing files so that a crash, a full disk or a second process never leaves half of one."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from apical.errors import CannotDo

ROW_GROUP = 10_000  # rows; polars packs a whole group in memory before it writes it


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends without an error.

    Makes the folder if need be. Readers see the whole old file or the whole new one.

    Raises:
        CannotDo: the folder cannot be written, or the disk is full; the old file is untouched.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        temporary = Path(name)
        os.fchmod(handle, 0o666 & ~_umask())
        os.close(handle)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by `data` in one step; see `replacing` for the errors."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_table(path: Path, table: pl.DataFrame, **options: Any) -> None:
    """Write Parquet in one step; see `replacing` for the errors. `options` are those of polars."""
    buffer = io.BytesIO()  # so that a full disk is met by `replacing`, not inside polars
    table.write_parquet(buffer, row_group_size=ROW_GROUP, **options)
    write_atomically(path, buffer.getvalue())


def cannot_write(path: Path, error: OSError) -> CannotDo:
    """The one line for a full disk or a read-only folder."""
    return CannotDo(
        f"'{path.name}' cannot be written ({error.strerror or type(error).__name__})",
        "free some space, or choose another place with --out",
    )
