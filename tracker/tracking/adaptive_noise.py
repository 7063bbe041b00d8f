"""The velocity noise of the filter that finds tracks again, measured on the run by the filter's own errors.

The errors of a filter whose gain fits are white: one tells nothing of the next (Mehra, "On the identification of
variances and adaptive Kalman filtering", 1970). Where the camera turns, or objects pass closely, a filter whose
velocities change too slowly is off to the same side frame after frame.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tracker.tracking.kalman_xywh import PairedKalman

_AGREEMENT = 0.25
"""Mean product of the signs of two errors in a row, 1 if always to the same side, that is left as it is."""
_LARGEST = 4.0
"""Factor of the noise."""
_FIRST, _PRIOR, _LEAST = 3.0, 10, 1 / 150
"""Two errors in a row move the logarithm of the factor by 3 / (10 + pairs so far), and by 1 / 150 at least."""
_STEPS = 10
"""Factors by which the noise grows from 1 to e: filters are made once for each."""


class VelocityNoise:
    """What the standard deviation of velocities is multiplied by, from errors along x: cameras turn, objects pass.

    Attributes
    ----------
    factor : float
        From 1, for all runs before something was learnt, to 4.
    """

    def __init__(self) -> None:
        self._log, self._pairs = 0.0, 0
        self.factor = 1.0

    def learn(self, before: np.ndarray, now: np.ndarray) -> None:
        """Signs (K,) of the errors of K tracks in two frames in a row."""
        self._pairs += len(now)
        rate = max(_LEAST, _FIRST / (_PRIOR + self._pairs))
        moved = self._log + rate * float((before * now - _AGREEMENT).sum())
        self._log = min(max(moved, 0.0), float(np.log(_LARGEST)))
        self.factor = float(np.exp(round(self._log * _STEPS) / _STEPS))


@lru_cache
def with_velocity_noise(factor: float) -> PairedKalman:
    """The default preset's filters, the velocity noise of the one that finds tracks again multiplied by `factor`."""
    return PairedKalman(velocity_weight=PairedKalman.velocity_weight * factor)
