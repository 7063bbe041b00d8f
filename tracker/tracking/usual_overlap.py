"""The least overlap of a match, measured on the run by how much the boxes of its tracks overlap from frame to frame.

Where detections lie close to where they are predicted, one that a track barely meets is another object's, and its own
was missed. Where a camera swings or looks a few times a second, such a match is as likely right as any other.
"""

from __future__ import annotations

import numpy as np

_MEMORY, _FEW = 1000, 100
"""Latest matches that count, and how many new ones make a measurement."""
_RARE = 0.9
"""The quantile of shortfalls that tells how far they spread beyond their median."""
_SPREADS = 5
"""So many spreads beyond the median no match is the track's own."""
_ENOUGH = 0.8
"""An overlap that always suffices: boxes that hardly tremble still may."""


class UsualOverlap:
    """What the overlaps of matches fall short of 1 by, per square root of a frame since the track's last match."""

    def __init__(self) -> None:
        self._shortfalls, self._new = np.zeros(0), 0
        self._allowed = np.inf

    def learn(self, overlap: np.ndarray, frames: np.ndarray) -> None:
        """Overlaps (K,) of tracks that were seen at the last look, too, and the frames (K,) since then."""
        self._shortfalls = np.concatenate([self._shortfalls, (1 - overlap) / np.sqrt(frames)])[-_MEMORY:]
        self._new += len(overlap)
        if self._new >= _FEW:
            self._new, count = 0, len(self._shortfalls)
            ranks = (count // 2, int(_RARE * count))
            usual, large = np.partition(self._shortfalls, ranks)[list(ranks)]
            self._allowed = float(usual + _SPREADS * (large - usual))

    def least(self, frames: np.ndarray, speed: np.ndarray) -> np.ndarray:
        """Least overlap (T,) of a match, none until enough is known.

        Where nearly all stand still, what moves may stop or turn: it is allowed twice the way that it goes.

        Parameters
        ----------
        frames : (T,) ndarray
            Since the track's last match.
        speed : (T,) ndarray
            Box widths and heights per frame.
        """
        least: np.ndarray = np.minimum(1 - np.sqrt(frames) * self._allowed - 2 * frames * speed, _ENOUGH)
        return least
