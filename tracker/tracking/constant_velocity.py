"""Constant-velocity models of one number, as filterpy builds them.

The filters of all tracks (`kalman`, `kalman_xywh`) are closed forms of four of these side by side and take their
variances from them; `smooth` runs one. filterpy is imported on first use, without what takes most of its time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

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
    model = _filterpy().kinematic_kf(dim=1, order=1, dt=1.0)
    model.Q, model.R, model.P = process, np.array([[measurement]]), initial
    return model


def white_acceleration(variance: float) -> np.ndarray:
    """Covariance (2,2) that a velocity adds whose change per frame, held through it, has `variance`."""
    noise: np.ndarray = _filterpy().Q_discrete_white_noise(dim=2, dt=1.0, var=variance)
    return noise


class _Later(ModuleType):
    """Stands for a module while those load that use its functions: each loads the module when it is called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **options: Any) -> Any:
            return getattr(import_module(self.__name__), name)(*args, **options)

        return call


@cache
def _filterpy() -> Any:
    """The module `filterpy.common`, with the packages put off that bring all of SciPy's statistics and image filters.

    No linear filter calls them. They are found as ever by who imports them afterwards.
    """
    later = [name for name in ("filterpy.stats", "filterpy.discrete_bayes") if name not in sys.modules]
    sys.modules.update({name: _Later(name) for name in later})
    try:
        return import_module("filterpy.common")
    finally:
        for name in later:
            del sys.modules[name]
