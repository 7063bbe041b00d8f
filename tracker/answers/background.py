"""The picture of a place without those who pass: the median of frames spread over the video."""

from __future__ import annotations

import cv2
import numpy as np

MOST = 25
WIDEST = 1280
FIRST_S = 0.4
"""Seconds between the first frames that are kept; doubled whenever there are enough of them."""


class Background:
    """Keeps up to 25 frames spread evenly over however long a video is."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []
        self._every_s, self._next_s = FIRST_S, -np.inf

    def add(self, image: np.ndarray, time_s: float) -> None:
        """Look at a frame uint8 (H,W,3) before anything is drawn on it; it is copied where it is kept."""
        if time_s < self._next_s:
            return
        scale = min(1.0, WIDEST / image.shape[1])
        self._kept.append(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image.copy()
        )
        if len(self._kept) >= MOST:
            self._kept, self._every_s = self._kept[::2], 2 * self._every_s
        self._next_s = time_s + self._every_s

    def picture(self) -> np.ndarray | None:
        """uint8 (H,W,3) BGR, at most 1280 wide; None before the first frame."""
        if not self._kept:
            return None
        rows = [np.median([k[y : y + 64] for k in self._kept], axis=0) for y in range(0, len(self._kept[0]), 64)]
        return np.concatenate(rows).astype(np.uint8)
