"""Scores on a common scale, so that thresholds mean the same for detectors that are bold, shy or unbounded."""

from __future__ import annotations

import numpy as np

_MEMORY = 2000
"""Latest scores that the scale is taken from."""
_BEST = 0.9
"""The quantile of scores that becomes 1."""
_SHYNESS = 1.0
"""How much further scores are raised where that quantile is below 1: by its inverse to this power."""
_UNBOUNDED = 1.001
"""A score above is no probability."""
_RANK_POWER = 0.25
"""What the share of scores below is raised to where scores know no bounds: two fifths of them become 0.88 or more."""


class ScoreScale:
    """Maps a detector's scores by what it has given so far.

    Zero stays zero, and the quantile 0.9 of the latest scores becomes 1. A detector that seldom gives high scores
    spreads what is right over a wider range than one whose scores saturate, so that its scores are raised further.

    Scores that leave 0..1 are margins: the best are far above what is surely right, and only their order tells.
    """

    def __init__(self) -> None:
        self._seen = np.zeros(0)
        self._margins = False

    def __call__(self, score: np.ndarray, *, remember: bool = True) -> np.ndarray:
        """Scores (N,) of a frame to confidences (N,) float64 in 0..1; remembers them unless told otherwise."""
        if len(score) == 0:
            return np.zeros(0)
        score = score.astype(np.float64)
        seen = np.concatenate([self._seen, score])[-_MEMORY:]
        margins = self._margins or bool(score.min() < 0 or score.max() > _UNBOUNDED)
        if remember:
            self._seen, self._margins = seen, margins
        if margins:
            below = np.searchsorted(np.sort(seen), score, side="right") / len(seen)
            return below**_RANK_POWER
        rank = int(_BEST * (len(seen) - 1))
        best = float(np.partition(seen, rank)[rank])
        if best <= 0:
            return np.ones(len(score))
        scaled: np.ndarray = np.minimum(score / (best * min(best, 1.0) ** _SHYNESS), 1)
        return scaled
