"""One file in, one answer out: the bundle, a runtime for its network, and no more frames than are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.config import FrameSettings
from apical.deploy.answers import Answer
from apical.deploy.bundle import Bundle, open_bundle
from apical.deploy.early import FEWEST, is_settled, looking_order
from apical.deploy.runtime import NetworkOutputs, Runtime, choose_runtime
from apical.errors import ClipProblem, OtherMode
from apical.ingest.clip import Clip, open_clip, seeks_freely
from apical.ingest.prepare import chosen_frames, cut_frames, find_sector_of
from apical.ingest.sampling import spread
from apical.ingest.sector import Sector
from apical.learn.windows import windows

Values = NDArray[np.float64]

CINE_SIZE = 192  # pixels


@dataclass(frozen=True)
class Seen:
    """What an answer stands on.

    Attributes:
        frames: (F, S, S) uint8, the frames that were looked at: masked and cropped, so without writing.
        numbers: (F,) int64, which frames of the clip they are, from 0, rising.
        probabilities: (k,) float64, calibrated, of the clip.
        by_frame: (w, k) float64, calibrated, of each window of frames alone; mostly a window is a frame.
        starts: (w,) int64, the number of the first frame of each window.
        cine: (C, S', S') uint8, frames evenly over the clip, masked and cropped, for people to look at; None
            if they were not asked for.
    """

    frames: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    probabilities: Values
    by_frame: Values
    starts: NDArray[np.int64]
    cine: NDArray[np.uint8] | None = None


class Answerer:
    """Answers files one by one.

    Args:
        bundle: what it knows.
        runtime: what computes the bundle's network.
        early: stop looking at frames once the others could hardly change the answer; else look at all that
            training would.
        key: of the names that studies get in answers; equal for those whose answers shall be put together.
        cine: how many frames `look` gives for people.
    """

    def __init__(
        self, bundle: Bundle, runtime: Runtime, *, early: bool = True, key: bytes = b"", cine: int = 0
    ) -> None:
        self.bundle = bundle
        self.cine = cine
        self.runtime = runtime
        self.early = early
        self._key = key or os.urandom(16)
        self._names = np.array(bundle.vocabulary.names)

    @property
    def model(self) -> str:
        """The bundle's version; with the precision, where that is not 32 bits."""
        precision = self.runtime.precision
        return self.bundle.model_version + ("" if precision == "f32" else f"-{precision}")

    @classmethod
    def open(cls, path: Path, **options: Any) -> Answerer:
        """Open a bundle, folder or zip; for the rest see `of`."""
        return cls.of(open_bundle(path), **options)

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        *,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "f32",
        threads: int | None = None,
        early: bool = True,
        key: bytes = b"",
        cine: int = 0,
        tell: Callable[[str], None] = lambda line: None,
    ) -> Answerer:
        """With the best runtime for it; see `choose_runtime` for the arguments that are not `Answerer`'s own.

        Raises:
            CannotDo: the runtime cannot be used.
            WrongCall: there is no such device or runtime.
        """
        chosen = choose_runtime(
            onnx=bundle.onnx,
            classifier=lambda: bundle.classifier,
            input_size=bundle.input_size,
            frame_size=bundle.frames.size,
            device=device,
            runtime=runtime,
            precision=precision,
            threads=threads,
            tell=tell,
        )
        return cls(bundle, chosen, early=early, key=key, cine=cine)

    def answer(self, number: int, place: str, sector: Sector | None = None) -> Answer:
        """The answer for one file; one that cannot be used has a `problem`.

        Args:
            number: its place among the inputs.
            place: where it is, see `apical.ingest.places`.
            sector: where its image is, if that was found before.
        """
        return self.look(number, place, sector)[0]

    def look(self, number: int, place: str, sector: Sector | None = None) -> tuple[Answer, Seen | None]:
        """The answer for one file, and what it stands on; that is None where no view is told."""
        answer = Answer(number, place, model=self.model)
        try:
            clip = open_clip(place)
            facts = clip.facts
            study = None if facts.study_key is None else self._study(facts.study_key)
            answer = replace(answer, clip=facts.clip, study=study, contrast_agent=facts.contrast_agent)
            shown = find_sector_of(clip, sector)
            looking = _Looking(self.bundle.frames, self.bundle.window, clip, shown, seeks_freely(clip, place))
            outputs = self._look_at(looking)
            if not np.isfinite(outputs.logits).all() or not np.isfinite(outputs.features).all():
                raise ClipProblem("the network gives no numbers for it")
            cine = looking.cine(self.cine) if self.cine else None
        except OtherMode as other:
            return replace(answer, mode=other.mode), None
        except ClipProblem as problem:
            return replace(answer, problem=str(problem)), None
        said, seen = self._said(replace(answer, mode="2d"), looking, outputs)
        return said, replace(seen, cine=cine)

    def _study(self, key: str) -> str:
        return blake2b(key.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).hexdigest()

    def _look_at(self, looking: _Looking) -> NetworkOutputs:
        """What the network says of as many windows as are needed, in the order in which they were seen."""
        if not self.early:
            return self.runtime(looking.all())
        parts: list[NetworkOutputs] = []
        for crops in looking.in_turn():
            parts.append(self.runtime(crops))
            outputs = NetworkOutputs(*(np.concatenate(each) for each in zip(*parts, strict=True)))
            if is_settled(
                self.bundle.scaling(outputs.logits),
                self.bundle.unknown.score(outputs.features),
                looking.count,
                doubtful_below=self.bundle.doubtful_below,
                threshold=self.bundle.unknown.threshold,
            ):
                break
        return outputs

    def _said(self, answer: Answer, looking: _Looking, outputs: NetworkOutputs) -> tuple[Answer, Seen]:
        bundle = self.bundle
        pooled = log_softmax(outputs.logits).mean(axis=0, keepdims=True)
        probability = bundle.probabilities(pooled)
        features = outputs.features.mean(axis=0, keepdims=True)
        order = probability[0].argsort()[::-1]
        credible = bundle.conformal.sets(probability)[0]
        sure = bundle.doubtful_below is not None and probability[0, order[0]] >= bundle.doubtful_below
        agent = float(outputs.agent.mean())
        unknown = bool(bundle.unknown.unknown(features)[0])
        frames, numbers = looking.seen()
        said = replace(
            answer,
            view=None if unknown else str(self._names[order[0]]),
            probability=float(probability[0, order[0]]),
            likeliest=str(self._names[order[0]]),
            views=tuple(str(name) for name in self._names[order][credible[order]]),
            unknown=unknown,
            doubtful=not sure,
            contrast_agent_probability=None if np.isnan(agent) else float(1 / (1 + np.exp(-agent))),
            unknown_score=float(bundle.unknown.score(features)[0]),
            frames_used=tuple(numbers.tolist()),
        )
        by_frame = bundle.probabilities(outputs.logits)
        in_time = np.argsort(looking.starts, kind="stable")
        return said, Seen(frames, numbers, probability[0], by_frame[in_time], looking.starts[in_time])


class _Looking:
    """The frames of a clip, decoded as they are asked for."""

    def __init__(self, settings: FrameSettings, window: int, clip: Clip, sector: Sector, free: bool) -> None:
        self._numbers = chosen_frames(clip, settings)
        self._rows = windows(np.zeros(1, np.int64), np.array([len(self._numbers)]), window, all_of_clip=True)[
            1
        ]
        self._clip, self._sector, self._size = clip, sector, settings.size
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._free = free
        self._used: list[int] = []

    @property
    def count(self) -> int:
        """How many windows there are."""
        return len(self._rows)

    @property
    def starts(self) -> NDArray[np.int64]:
        """(w,) the number of the first frame of each window that was seen, in the order of seeing."""
        return np.array([self._numbers[self._rows[window][0]] for window in self._used], np.int64)

    def all(self) -> NDArray[np.uint8]:
        """Every window, (w, t, s, s)."""
        return self._take(range(self.count))

    def in_turn(self) -> Iterator[NDArray[np.uint8]]:
        """The first few windows, then one after the other, each (w, t, s, s)."""
        if not self._free:
            self._decode(range(len(self._numbers)))
        order = looking_order(self.count)
        yield self._take(order[:FEWEST])
        for window in order[FEWEST:]:
            yield self._take([window])

    def seen(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The frames of the windows that were seen, and their numbers, in the order of the clip."""
        rows = np.unique(self._rows[self._used])
        numbers = np.array([self._numbers[row] for row in rows], np.int64)
        return np.stack([self._frames[int(row)] for row in rows]), numbers

    def cine(self, count: int) -> NDArray[np.uint8]:
        """At most so many frames, evenly over the clip, of `CINE_SIZE`."""
        return cut_frames(self._clip, spread(self._clip.facts.frames, count), self._sector, CINE_SIZE)[1]

    def _take(self, chosen: Sequence[int]) -> NDArray[np.uint8]:
        self._used += chosen
        rows = self._rows[list(chosen)]
        self._decode(np.unique(rows).tolist())
        return np.stack([np.stack([self._frames[int(row)] for row in one]) for one in rows])

    def _decode(self, rows: Sequence[int]) -> None:
        new = [row for row in rows if row not in self._frames]
        if new:
            numbers = [self._numbers[row] for row in new]
            frames = cut_frames(self._clip, numbers, self._sector, self._size)[1]
            self._frames.update(zip(new, frames, strict=True))


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, k) logarithms of probabilities, from logits (n, k)."""
    centred = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(centred - np.log(np.exp(centred).sum(axis=1, keepdims=True)), np.float32)
