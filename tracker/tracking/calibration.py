"""A detector's scores as probabilities of being an object, so that thresholds mean the same for all detectors."""

from __future__ import annotations

import numpy as np

_MEMORY = 2000
"""Latest margins that ranks are taken among."""
_UNBOUNDED = 1.001
"""A score above is no probability."""
_RANK_POWER = 0.25
"""What the share of margins below is raised to: two fifths of them become 0.88 or more."""


class ScoreScale:
    """Maps a detector's scores to probabilities.

    A score within 0..1 is the detector's own estimate of that probability, and is taken at its word: no correction
    that a run can measure without ground truth was better (benchmarks/NOTES.md). Scores that leave 0..1 are margins:
    the best are far above what is surely right, and only their order among those met so far tells.
    """

    def __init__(self) -> None:
        self._met = np.zeros(0)
        self._margins = False

    def __call__(self, score: np.ndarray, *, remember: bool = True) -> np.ndarray:
        """Scores (N,) of a frame to probabilities (N,) float64; remembers margins unless told otherwise."""
        score = score.astype(np.float64)
        if len(score) == 0:
            return score
        margins = self._margins or bool(score.min() < 0 or score.max() > _UNBOUNDED)
        met = np.concatenate([self._met, score])[-_MEMORY:]
        if remember:
            self._margins, self._met = margins, met
        if not margins:
            within: np.ndarray = np.minimum(score, 1.0)
            return within
        below: np.ndarray = np.searchsorted(np.sort(met), score, side="right") / len(met)
        return below**_RANK_POWER
