"""Scores on a common scale, so that thresholds mean the same for detectors that are bold, shy or unbounded."""

from __future__ import annotations

import numpy as np

_MEMORY = 2000
"""Latest scores that the scale is taken from."""
_BEST = 0.9
"""The quantile of scores that becomes 1."""
_SHYNESS = 1.0
"""How much further scores are raised where that quantile is below 1: by its inverse to this power."""


class ScoreScale:
    """Maps a detector's scores by what it has given so far.

    Zero stays zero where scores are not negative; else the lowest score met becomes 0. The quantile 0.9 of the latest
    scores becomes 1. A detector that seldom gives high scores spreads what is right over a wider range than one whose
    scores saturate, so that its scores are raised further.
    """

    def __init__(self) -> None:
        self._seen = np.zeros(0)
        self._lowest = 0.0

    def __call__(self, score: np.ndarray, *, remember: bool = True) -> np.ndarray:
        """Scores (N,) of a frame to confidences (N,) float64 in 0..1; remembers them unless told otherwise."""
        if len(score) == 0:
            return np.zeros(0)
        score = score.astype(np.float64)
        seen = np.concatenate([self._seen, score])[-_MEMORY:]
        lowest = min(self._lowest, float(score.min()))
        if remember:
            self._seen, self._lowest = seen, lowest
        rank = int(_BEST * (len(seen) - 1))
        best = float(np.partition(seen, rank)[rank]) - lowest
        if best <= 0:
            return np.ones(len(score))
        return np.clip((score - lowest) / (best * min(best, 1.0) ** _SHYNESS), 0, 1)
