"""The Kalman filter of DeepSORT (arXiv 1703.07402, section 2.1) for all tracks at once, in closed form.

The state is (x, y, a, h) and its velocities: the centre, the aspect ratio w/h and the height of a box, in pixels and
pixels per frame. Every noise of the model is diagonal and the velocity of one component drives that component only, so
that the 8x8 covariance is exactly four 2x2 blocks for ever: it is stored and stepped as `covariance (T,4,3)`, of each
component its variance, its covariance with its velocity, and that velocity's variance. Only numbers are inverted.
The variances are those of four models that filterpy builds (`constant_velocity`), of a box of unit size.
Results lie in memory as the arguments do (see `bank.TrackBank`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tracker.core import boxes
from tracker.tracking.constant_velocity import constant_velocity

if TYPE_CHECKING:
    from filterpy.kalman import KalmanFilter

GATE = 9.4877
"""The 0.95 quantile of chi-squared at 4 degrees of freedom: bounds squared Mahalanobis distances."""


class Noise(NamedTuple):
    """Variances (4,) of the components over `KalmanXYAH._squares`; of several filters side by side (F,4)."""

    process: np.ndarray
    velocity: np.ndarray
    measurement: np.ndarray
    initial: np.ndarray
    initial_velocity: np.ndarray


@dataclass(frozen=True)
class KalmanXYAH:
    """The model's noise; all methods take T = 0 and leave their arguments as they are.

    Standard deviations scale with the height of the box, except those of the aspect ratio, which are absolute.
    """

    position_weight: float = 1 / 20
    """Standard deviation of a position, of process and of measurement, over the height."""
    velocity_weight: float = 1 / 160
    """Standard deviation of a velocity over the height, per frame."""
    aspect: tuple[float, float, float] = (1e-2, 1e-5, 1e-1)
    """Standard deviations of the aspect ratio, of its velocity, and of its measurement."""

    def measure(self, xyxy: np.ndarray) -> np.ndarray:
        """Corners (N,4) to measurements (N,4) float64."""
        return boxes.xyxy_to_xyah(xyxy)

    def box(self, mean: np.ndarray) -> np.ndarray:
        """Means (T,8) to corners (T,4) float64, pixels."""
        return boxes.xyah_to_xyxy(mean[:, :4])

    @cached_property
    def noises(self) -> Noise:
        """Per frame, of one measurement, and of a new track; read with the first track, as filterpy loads slowly."""
        return self._noises()

    def _noises(self) -> Noise:
        models = self.models()
        process, velocity = np.stack([m.Q.diagonal() for m in models], axis=1)
        initial, initial_velocity = np.stack([m.P.diagonal() for m in models], axis=1)
        return Noise(process, velocity, np.array([m.R.item() for m in models]), initial, initial_velocity)

    def models(self) -> list[KalmanFilter]:
        """filterpy's model of each component, of a box of unit size."""
        variances = np.square(self._deviations())
        return [constant_velocity(np.diag(v[:2]), v[2], np.diag(v[3:])) for v in variances]

    def _deviations(self) -> np.ndarray:
        """Standard deviations (4,5) of x, y, a, h over `_squares`' roots, in the order of `Noise`."""
        p, v, (a, drift, measured) = self.position_weight, self.velocity_weight, self.aspect
        scaled = [p, v, p, 2 * p, 10 * v]
        return np.array([scaled, scaled, [a, drift, measured, a, drift], scaled])

    def initiate(self, measurement: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (N,8) and covariance (N,4,3) of new tracks, at rest where they were measured (N,4)."""
        mean = np.hstack([measurement, np.zeros_like(measurement)])
        covariance = np.zeros((len(mean), 4, 3))
        squares = self._squares(measurement)
        covariance[..., 0] = squares * self.noises.initial
        covariance[..., 2] = squares * self.noises.initial_velocity
        return mean, covariance

    def predict(self, mean: np.ndarray, covariance: np.ndarray, dt: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Means (T,8) and covariances (T,4,3) `dt` frames later: x = F x, P = F P F' + Q dt."""
        squares = self._squares(mean)
        moved = mean.copy(order="K")
        moved[..., :4] += dt * mean[..., 4:]
        p, q, r = _parts(covariance)
        spread = np.empty_like(covariance)
        grown = dt * r
        spread[..., 0] = p + dt * (2 * q + grown + squares * self.noises.process)
        spread[..., 1] = q + grown
        spread[..., 2] = r + squares * (dt * self.noises.velocity)
        return moved, spread

    def innovation(self, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Diagonal (T,4) of the innovation covariance S = H P H' + R; the rest of it is zero."""
        diagonal: np.ndarray = covariance[..., 0] + self._squares(mean) * self.noises.measurement
        return diagonal

    def update(
        self, mean: np.ndarray, covariance: np.ndarray, measurement: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Posterior of means (T,8) and covariances (T,4,3) given one measurement (T,4) each: P = P - K S K'."""
        return correct(mean, covariance, measurement, self.innovation(mean, covariance))

    def _squares(self, mean: np.ndarray) -> np.ndarray:
        """What variances of x, y, a, h scale with, (T,4): the height squared, and 1 for the ratio."""
        squares = np.empty_like(mean[:, :4])
        squares[:] = mean[:, 3:4] * mean[:, 3:4]
        squares[:, 2] = 1
        return squares


def correct(
    mean: np.ndarray, covariance: np.ndarray, measurement: np.ndarray, innovation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of means (T,8) and covariances (T,4,3) given measurements (T,4) and the diagonal (T,4) of S."""
    p, q, r = _parts(covariance)
    gain, drift = p / innovation, q / innovation
    residual = measurement - mean[..., :4]
    posterior = mean.copy(order="K")
    posterior[..., :4] += gain * residual
    posterior[..., 4:] += drift * residual
    narrowed = np.empty_like(covariance)
    narrowed[..., 0] = p - gain * p
    narrowed[..., 1] = q - gain * q
    narrowed[..., 2] = r - drift * q
    return posterior, narrowed


def _parts(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances of the components, their covariances with their velocities, variances of these, (T,4) each."""
    return covariance[..., 0], covariance[..., 1], covariance[..., 2]


def squared_mahalanobis(residual: np.ndarray, innovation: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances (P,) of residuals (P,4) under diagonal covariances (P,4) (DeepSORT, equation 1)."""
    distance: np.ndarray = (residual * residual / innovation).sum(axis=1)
    return distance
