"""The process that advises: reads all clips once, then thinks anew whenever labels have changed.

The map is made meanwhile, in a thread. What takes long is kept in a folder (`apical.label.cache`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from apical.errors import ApicalError
from apical.label.advice import Advice, Layout
from apical.label.advising import Ground, judged, offered_rows, suggest, with_figures_of
from apical.label.cache import kept, key_of, path_of
from apical.label.layout import layout, vectors_of
from apical.label.lesson import Done, Lesson, Refusal, School, Vectors, Waiting
from apical.learn.next_labels import CENTRE, likeness_of_nearest
from apical.learn.start import describe, settings_of
from apical.learn.suspects import embed_clips

AT_ONCE = 256  # clips read between two words of progress


def run(line: Connection, school: School) -> None:
    """Advise over a line until it is closed."""
    torch.set_num_threads(school.threads)
    with threadpool_limits(school.threads):
        Coaching(line, school).go()


class Coaching:
    """See the module.

    Args:
        line: to `apical.label.coach.Coach`.
        school: what there is to learn.
    """

    def __init__(self, line: Connection, school: School) -> None:
        self._line, self._school = line, school
        self._talking = threading.Lock()

    def go(self) -> None:
        """Say progress, `Vectors` and `Layout`; then, for each `Lesson` there is, two `Advice`.

        The first is quick, and has the figures of the lesson before.
        """
        try:
            ground = self._ground()
        except ApicalError as error:
            self._say(Refusal(error.what, error.do))
            return
        before: Advice | None = None
        while True:
            self._say(Waiting())
            try:
                lesson: Lesson = self._line.recv()
            except EOFError:
                return
            quick = suggest(ground, lesson.known, network=_said(lesson))
            self._say(quick if before is None else with_figures_of(before, quick))
            before = judged(ground, lesson.known, quick)
            self._say(before)

    def _ground(self) -> Ground:
        """Read or find the features and what follows from them; starts the map."""
        school, clips = self._school, self._school.clips
        key = key_of(
            clips, describe(school.encoder)["weights"], settings_of(school.encoder).model_dump_json()
        )
        features = kept(school.folder, "features", key, len(clips), self._features)
        patient = clips.patient_code
        kept(school.folder, "vectors", key, len(clips), lambda: vectors_of(features, patient))
        self._say(Vectors(path_of(school.folder, "vectors", key)))
        threading.Thread(target=self._lay_out, args=(features, key), daemon=True).start()
        offered = offered_rows(clips, school.splits)
        return Ground.of(
            np.asarray(features),
            clips,
            school.vocabulary.names,
            splits=school.splits,
            seed=school.seed,
            likeness=kept(
                school.folder,
                "likeness",
                key_of(clips.select(np.isin(np.arange(len(clips)), offered)), key),
                len(offered),
                lambda: likeness_of_nearest(features[offered], patient[offered], centre=CENTRE),
            ),
        )

    def _features(self) -> NDArray[np.float32]:
        return read_features(self._school, lambda done, total: self._say(Done(done, total)))

    def _lay_out(self, features: NDArray[np.float32], key: str) -> None:
        school = self._school

        def make() -> NDArray[np.float32]:
            found = layout(features, school.clips.patient_code, school.seed)
            return np.stack([found.x, found.y, found.group.astype(np.float32)], axis=1)

        made = kept(school.folder, "map", f"{key}-{school.seed}", len(school.clips), make)
        group = made[:, 2].astype(np.int32)
        self._say(Layout(made[:, 0].copy(), made[:, 1].copy(), group, int(group.max(initial=-1)) + 1))

    def _say(self, message: object) -> None:
        with self._talking:
            self._line.send(message)


def read_features(school: School, progress: Callable[[int, int], None]) -> NDArray[np.float32]:
    """Features (n, d) of all clips by the encoder.

    Args:
        school: with clips and encoder.
        progress: called with clips done and in all.

    Raises:
        CannotDo: the encoder or the frames cannot be read.
    """
    clips, rows = school.clips, np.arange(len(school.clips))
    parts = []
    progress(0, len(clips))
    for start in range(0, len(clips), AT_ONCE):
        parts.append(embed_clips(school.encoder, clips.select((start <= rows) & (rows < start + AT_ONCE))))
        progress(min(start + AT_ONCE, len(clips)), len(clips))
    return np.concatenate(parts)


def _said(lesson: Lesson) -> tuple[str, NDArray[np.float64]] | None:
    if lesson.network is None:
        return None
    return lesson.network.name, np.load(lesson.network.file, allow_pickle=False).astype(np.float64)
