"""Pictures that show again what the last one looked at showed: files of 30 frames a second often hold fewer."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import Frame

WIDTH, PATCH = 320, 4
"""Pixels across at which pictures are compared, and sides of the patches whose changes are looked at."""
LEAST = 10
"""Grey levels by which a patch must differ: what is encoded twice differs by 2 to 9, the slowest scene by 15."""
LONGEST_S = 0.5
"""Seconds after a look from which a picture is new whatever it shows."""


class Repeats:
    """Tells frames that repeat the last one looked at, with which they are compared: slow changes add up."""

    def __init__(self) -> None:
        self._now: np.ndarray | None = None
        self._seen: np.ndarray | None = None
        self._seen_s = 0.0

    def __call__(self, frame: Frame) -> bool:
        """Whether a frame shows what the last look did; call once a frame, in order, and `note` where not."""
        self._now = None if frame.image is None else _small(frame.image)
        if self._seen is None or self._now is None or self._seen.shape != self._now.shape:
            return False
        if frame.time_s - self._seen_s >= LONGEST_S:
            return False
        return bool(cv2.blur(cv2.absdiff(self._now, self._seen), (PATCH, PATCH)).max() < LEAST)

    def note(self, looked_at: Frame | None) -> None:
        """A frame that repeats nothing, for later ones to repeat; None where it is not looked at either."""
        self._seen = None if looked_at is None else self._now
        self._seen_s = 0.0 if looked_at is None else looked_at.time_s


def _small(image: np.ndarray) -> np.ndarray:
    """Every n-th pixel of a picture (H,W,3)."""
    step = max(1, image.shape[1] // WIDTH)
    return np.ascontiguousarray(image[::step, ::step])
