"""The filter of the default preset: centre, width and height of a box, and their velocities, for all tracks at once.

As `kalman.KalmanXYAH`, with the state of BoT-SORT (arXiv 2206.14651, equations 1 to 4): a width of its own follows a
person who turns or opens the legs better than an aspect ratio that is nearly constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tracker.tracking.kalman import KalmanXYAH, Noise, correct


@dataclass(frozen=True)
class KalmanXYWH(KalmanXYAH):
    """Standard deviations of x and of the width scale with the width, those of y and of the height with the height."""

    position_weight: float = 0.05
    """Of a position and a size, per square root of a frame."""
    velocity_weight: float = 0.0071
    """Of a velocity, per frame."""
    aspect: tuple[float, float, float] = (1.0, 0.73, 1.0)
    """What the standard deviations of width and height are multiplied by: process, velocity, measurement."""
    measurement_weight: float = 0.035
    """Of a measurement."""

    def measure(self, xyxy: np.ndarray) -> np.ndarray:
        """Corners (N,4) to centre, width and height (N,4) float64."""
        xyxy = np.asarray(xyxy, np.float64).reshape(-1, 4)
        measured = np.empty_like(xyxy)
        measured[:, :2] = (xyxy[:, :2] + xyxy[:, 2:]) / 2
        measured[:, 2:] = xyxy[:, 2:] - xyxy[:, :2]
        return measured

    def box(self, mean: np.ndarray) -> np.ndarray:
        """Means (T,8) to corners (T,4) float64, at least a pixel wide and high."""
        half = np.maximum(mean[:, 2:4], 1) / 2
        xyxy = np.empty_like(mean[:, :4])
        xyxy[:, :2] = mean[:, :2] - half
        xyxy[:, 2:] = mean[:, :2] + half
        return xyxy

    def _deviations(self) -> np.ndarray:
        p, v, m = self.position_weight, self.velocity_weight, self.measurement_weight
        process, drift, measured = self.aspect
        position = np.array([p, v, m, 2 * m, 10 * v])
        size = position * [process, drift, measured, measured, drift]
        return np.stack([position, position, size, size])

    def predict(self, mean: np.ndarray, covariance: np.ndarray, dt: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """The state `dt` frames later; sizes stay at least a pixel."""
        moved, spread = super().predict(mean, covariance, dt)
        np.maximum(moved[..., 2:4], 1, out=moved[..., 2:4])
        return moved, spread

    def update(
        self, mean: np.ndarray, covariance: np.ndarray, measurement: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Posterior of means (T,8) and covariances (T,4,3) given measurements (T,4), noisy by their size."""
        noise = self._squares(measurement) * self.noises.measurement
        return correct(mean, covariance, measurement, covariance[..., 0] + noise)

    def _squares(self, mean: np.ndarray) -> np.ndarray:
        """What variances of x, y, w, h scale with, (T,4): width and height squared, of a pixel at least."""
        size = np.maximum(mean[..., 2:4], 1)
        squares = np.empty_like(mean[..., :4])
        np.multiply(size, size, out=squares[..., :2])
        squares[..., 2:] = squares[..., :2]
        return squares


@dataclass(frozen=True)
class PairedKalman(KalmanXYWH):
    """Two filters side by side on means (T,2,8) and covariances (T,2,4,3): this one, and `display`, which trusts less.

    Measurements are (T,1,4), the same for both.
    """

    display: KalmanXYWH = field(
        default_factory=lambda: KalmanXYWH(position_weight=0.0375, velocity_weight=0.00355, aspect=(1.0, 0.73, 2.0))
    )

    def _noises(self) -> Noise:
        """Of both, but for new tracks, which start alike in both."""
        own = super()._noises()
        both = Noise(*(np.stack(pair) for pair in zip(own, self.display.noises, strict=True)))
        return both._replace(initial=own.initial, initial_velocity=own.initial_velocity)
