"""Which frames of a clip an encoder looks at together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def windows(
    first: NDArray[np.int64], count: NDArray[np.int64], frames: int, *, all_of_clip: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Windows of `frames` frames of clips, each spread evenly over its whole clip.

    Args:
        first: (n,) row of the first frame of each clip.
        count: (n,) its number of frames.
        frames: T; a clip that has fewer repeats some.
        all_of_clip: as many windows as the clip's frames fill; otherwise one, from the middle.

    Returns:
        clip (w,) and rows (w, T), int64. Windows of a clip stand together.
    """
    each = np.maximum(count // frames, 1)
    if all_of_clip:
        clip = np.repeat(np.arange(len(count)), each)
        number = np.arange(len(clip)) - np.repeat(np.cumsum(each) - each, each)
    else:
        clip, number = np.arange(len(count)), each // 2
    of_clip, windows_of_clip = count[clip], each[clip]
    start = np.where(of_clip < frames, 0, number * of_clip // windows_of_clip)
    place = (np.arange(frames) * of_clip[:, None] + start[:, None]) // frames
    return clip, first[clip, None] + place
