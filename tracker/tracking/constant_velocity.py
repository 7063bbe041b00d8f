"""Constant-velocity models of one number, as filterpy builds them.

The filters of all tracks (`kalman`, `kalman_xywh`) are closed forms of four of these side by side and take their
variances from them; `smooth` runs one. filterpy brings the whole of SciPy's statistics and is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from filterpy.kalman import KalmanFilter


def constant_velocity(process: np.ndarray, measurement: float, initial: np.ndarray) -> KalmanFilter:
    """A filter of a number and its velocity per frame, of which the number is measured, one frame a step.

    Parameters
    ----------
    process : (2,2) ndarray
        Covariance Q of what a frame adds.
    measurement : float
        Variance R of a measurement.
    initial : (2,2) ndarray
        Covariance P at the first measurement.
    """
    from filterpy.common import kinematic_kf

    model = kinematic_kf(dim=1, order=1, dt=1.0)
    model.Q, model.R, model.P = process, np.array([[measurement]]), initial
    return model


def white_acceleration(variance: float) -> np.ndarray:
    """Covariance (2,2) that a velocity adds whose change per frame, held through it, has `variance`."""
    from filterpy.common import Q_discrete_white_noise

    noise: np.ndarray = Q_discrete_white_noise(dim=2, dt=1.0, var=variance)
    return noise
