"""The bank of the default preset."""

from __future__ import annotations

import numpy as np

from tracker.tracking.bank import TrackBank, column


class OverlapBank(TrackBank):
    """The columns of the default preset.

    Attributes
    ----------
    means, covariances : ndarray
        (T,2,8) and (T,2,4,3), of the filter that finds a track again, and of the display filter.
    observed : (T,4) ndarray
        Corners of the detection last matched.
    speed : (T,) ndarray
        At the first miss: box widths per second, twice that for heights.
    stationary : (T,) ndarray of bool
        Lost for longer than others may be, and kept because the track stood still.
    coasting : (T,) ndarray of bool
        Missed, and written all the same where it is predicted.
    side : (T,) ndarray
        Sign of what the prediction of x was wrong by at the last match; 0 where it was not seen in the frame before.
    rides : (T,) ndarray of int64
        Frames in which the detection matched was that of a person on a two-wheeler.
    ridden : (T,) ndarray of bool
        A two-wheeler's track that has taken its rider's detection, and may again.
    feature, feature_count : (T,D) ndarray of float32
        Unit vectors, mean of a track's features, and how many it has had.
    """

    means = column(2, 8)
    covariances = column(2, 4, 3)
    observed = column(4)
    speed = column()
    stationary = column(dtype=bool)
    coasting = column(dtype=bool)
    side = column()
    rides = column(dtype=np.int64)
    ridden = column(dtype=bool)
    feature_count = column(dtype=np.int64)
    feature: np.ndarray

    def __init__(self) -> None:
        super().__init__()
        self.feature = np.zeros((0, 0), np.float32)

    @property
    def mean(self) -> np.ndarray:
        """Of the filter that finds a track again, (T,8)."""
        return self.means[:, 0]

    @property
    def covariance(self) -> np.ndarray:
        """Of the filter that finds a track again, (T,4,3)."""
        return self.covariances[:, 0]

    def add(self, class_id: np.ndarray, **columns: np.ndarray) -> np.ndarray:
        """As of every bank; new tracks have no feature."""
        self.feature = np.concatenate([self.feature, np.zeros((len(class_id), self.feature.shape[1]), np.float32)])
        return super().add(class_id, **columns)

    def keep(self, alive: np.ndarray) -> None:
        """As of every bank."""
        if not alive.all():
            self.feature = self.feature[alive]
        super().keep(alive)

    def widen(self, dimension: int) -> None:
        """Makes room for features of this length, once known."""
        if self.feature.shape[1] != dimension:
            self.feature = np.zeros((len(self), dimension), np.float32)
