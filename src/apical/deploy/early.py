"""When enough frames of a clip were looked at: once the others could hardly change what is said.

A clip has a known number of frames, F, of which k were looked at. What is said of the clip follows from a few
means over its frames: how far the first view lies ahead of each other one, how far its log-odds lie from the
point below which it is doubtful, how far the score for *unknown* lies from its threshold. Each is the mean of
a finite population of which k were drawn, so its standard error is s / √k · √(1 - k / F) (Cochran, *Sampling
Techniques*, 1977, chapter 2), and looking may stop when each of these lies `ERRORS` of its standard errors
away from the point where the answer would change.

Limits: frames are taken at even distances, not by lot, and neighbours are alike; k is small, and the score
is that of each frame, where the answer takes that of their mean. So this is a rule and not a test at some
level: `ERRORS` and `FEWEST` were chosen on validation patients, and what it changes on others was measured
(docs/benchmarks.md). The mean of log-odds stands in for the log-odds of the mean, which the answer takes,
so doubt near its threshold may be settled the other way. The probability given is that of the frames seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST = 2  # windows of frames that are looked at anyhow
ERRORS = 3.0


def looking_order(count: int) -> list[int]:
    """All of `count` numbers, so that the first k lie evenly among them for any k, from the middle.

    The van der Corput sequence in base 2, ½ ¼ ¾ ⅛ ⅝ …, with repetitions left out.
    """
    order: dict[int, None] = {}
    for number in range(1, 2 * count + 1):
        value, place = 0.0, 0.5
        while number:
            value += place * (number & 1)
            number, place = number >> 1, place / 2
        order.setdefault(int(value * count))
    return [*order, *(set(range(count)) - set(order))]


def is_settled(
    log_probabilities: NDArray[np.float64],
    unknown_scores: NDArray[np.float64],
    windows: int,
    *,
    doubtful_below: float | None,
    threshold: float,
) -> bool:
    """Whether the view that is named, its being doubtful, and its being unknown would stand.

    Args:
        log_probabilities: (k, v) scaled, of the k windows that were seen; each row adds up to 1.
        unknown_scores: (k,) above 0, of each of them.
        windows: F, how many the clip has.
        doubtful_below: the probability below which a view is doubtful; None if all are.
        threshold: of the scores, above which a clip is unknown.
    """
    seen = len(log_probabilities)
    if seen >= windows:
        return True
    if seen < FEWEST:
        return False
    first = int(log_probabilities.mean(axis=0).argmax())
    ahead = log_probabilities[:, [first]] - np.delete(log_probabilities, first, axis=1)
    decisions = [*ahead.T, np.log(unknown_scores) - np.log(threshold)]
    if doubtful_below is not None and 0 < doubtful_below < 1:
        log_odds = log_probabilities[:, first] - np.logaddexp.reduce(
            np.delete(log_probabilities, first, axis=1), axis=1
        )
        decisions.append(log_odds - (np.log(doubtful_below) - np.log1p(-doubtful_below)))
    values = np.stack(decisions)
    error = values.std(axis=1, ddof=1) * np.sqrt((1 - seen / windows) / seen)
    return bool((np.abs(values.mean(axis=1)) > ERRORS * error).all())
