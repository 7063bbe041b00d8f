"""A detector's scores as probabilities of being an object, so that thresholds mean the same for all detectors."""

from __future__ import annotations

import numpy as np

_MEMORY = 2000
"""Latest scores that count."""
_BEST, _LEAST_BEST, _PRIOR = 0.9, 0.7, 20
"""The quantile 0.9 of a run's scores, its least probability, and how many scores of that are met before the first."""
_UNBOUNDED = 1.001
"""A score above is no probability."""
_RANK_POWER = 0.25
"""What the share of margins below is raised to: two fifths of them become 0.88 or more."""


class ScoreScale:
    """Maps a detector's scores to probabilities.

    A score within 0..1 is the detector's own estimate of that probability, and is taken at its word, unless the
    detector is shy: where even the best tenth of the latest scores lies below 0.7, all are raised, by the square of
    what is missing, since a shy detector spreads what is right over a wider range.

    Scores that leave 0..1 are margins: the best are far above what is surely right, and only their order tells.

    Parameters
    ----------
    even_score : float or None
        Where a box is as likely an object as not, of a detector that knows: the odds of all its scores are brought to
        that, from the first frame on. None: as above.
    """

    def __init__(self, even_score: float | None = None) -> None:
        self._even = even_score
        self._met = np.zeros(0)
        self._margins = False

    def __call__(self, score: np.ndarray, *, remember: bool = True) -> np.ndarray:
        """Scores (N,) of a frame to probabilities (N,) float64; remembers them unless told otherwise."""
        score = score.astype(np.float64)
        if len(score) == 0:
            return score
        margins = self._margins or bool(score.min() < 0 or score.max() > _UNBOUNDED)
        met = np.concatenate([self._met, score])[-_MEMORY:]
        if remember:
            self._margins, self._met = margins, met
        if margins:
            below: np.ndarray = np.searchsorted(np.sort(met), score, side="right") / len(met)
            return below**_RANK_POWER
        if self._even is not None:
            for_it, against = score * (1 - self._even), (1 - np.minimum(score, 1)) * self._even
            even: np.ndarray = for_it / (for_it + against)
            return even
        if len(met) < _MEMORY:
            met = np.concatenate([np.full(_PRIOR, _LEAST_BEST), met])
        rank = int(_BEST * (len(met) - 1))
        best = float(np.partition(met, rank)[rank])
        probability: np.ndarray = np.minimum(score * max(1.0, _LEAST_BEST / max(best, 0.1)) ** 2, 1.0)
        return probability
