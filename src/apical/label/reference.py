"""What a view looks like: the shipped pictures of the standard views, made from the phantom.

`benchmarks/reference_pictures.py` makes them. They are synthetic; nobody's heart is in them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("page") / "views"


def reference(view: str) -> bytes | None:
    """The JPEG still of a view by its name; None for a view that has none, such as a user's own."""
    return _pictures().get(view)


@cache
def _pictures() -> dict[str, bytes]:
    """All pictures by the names of their views; a name that is asked for never becomes a path."""
    return {file.stem: file.read_bytes() for file in FOLDER.glob("*.jpg")}
