"""The first part of a multipart message (RFC 2046 5.1.1), as it comes, holding no more than a line of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

MOST_HEAD = 1 << 20  # bytes before the body of the part must have begun


def first_part(blocks: Iterable[bytes], boundary: bytes, write: Callable[[bytes], object]) -> None:
    """Pass on the body of the first part.

    Args:
        blocks: the message, cut anywhere.
        boundary: as its Content-Type says.
        write: takes the body in pieces.

    Raises:
        ValueError: the part does not begin, or does not end; what was written until then is not whole.
    """
    mark = b"\r\n--" + boundary
    held, in_body = b"\r\n", False  # the first mark may stand at the very beginning
    for block in blocks:
        held += block
        if not in_body:
            begins = held.find(mark)
            ends = held.find(b"\r\n\r\n", begins + 1) if begins >= 0 else -1
            if ends < 0:
                if len(held) > MOST_HEAD:
                    break
                continue
            held, in_body = held[ends + 4 :], True
        end = held.find(mark)
        if end >= 0:
            write(held[:end])
            return
        safe = max(0, len(held) - len(mark) + 1)
        if safe:
            write(held[:safe])
            held = held[safe:]
    raise ValueError("the message has no whole part")
