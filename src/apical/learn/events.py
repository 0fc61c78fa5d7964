"""TensorBoard's event files, without the names of host and user that its own writers put into them.

A file is a row of records; each is a length, a checksum of the length, an ``Event`` message and a checksum of
that (TensorFlow's TFRecord). Messages and checksums are those of tensorboardX.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import HistogramProto, Summary
from tensorboardX.record_writer import masked_crc32c

from apical.learn.growing import Growing

VERSION = "brain.Event:2"  # readers that know it heed what is said of a restart


class EventFile:
    """The next event file of a folder; TensorBoard reads them in the order of their names.

    Args:
        folder: made if need be.
        resume_after: figures of later steps in earlier files no longer count; with 0 those files are deleted.

    Raises:
        CannotDo: it cannot be written; also by the methods.
    """

    def __init__(self, folder: Path, *, resume_after: int = 0) -> None:
        earlier = sorted(folder.glob("events.out.tfevents.*.apical"))
        if resume_after == 0:
            for path in earlier:
                path.unlink()
            earlier = []
        number = int(earlier[-1].name.split(".")[3]) + 1 if earlier else 0
        self._file = Growing(folder / f"events.out.tfevents.{number:06d}.apical")
        self._write(Event(wall_time=time.time(), file_version=VERSION))
        # In the first file as well: some readers take the first for the start and only others for restarts.
        start = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time.time(), step=resume_after + 1, session_log=start))

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        """Add the figures of a step."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def histogram(self, step: int, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> None:
        """Add counts (bins,) of values between edges (bins + 1,), which are taken to lie in the middle."""
        middle = (edges[1:] + edges[:-1]) / 2
        told = HistogramProto(
            min=edges[0],
            max=edges[-1],
            num=counts.sum(),
            sum=counts @ middle,
            sum_squares=counts @ middle**2,
            bucket_limit=edges[1:],
            bucket=counts,
        )
        summary = Summary(value=[Summary.Value(tag=name, histo=told)])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Event) -> None:
        message = event.SerializeToString()
        length = struct.pack("<Q", len(message))
        sums = (struct.pack("<I", masked_crc32c(part)) for part in (length, message))
        self._file.add(b"".join([length, next(sums), message, next(sums)]))

    def close(self) -> None:
        """Nothing more will come."""
        self._file.close()
