"""The detections of a frame as association sees them: checked, with measurements, unit features and class groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.core.classes import ALIKE, TWO_WHEELERS
from tracker.core.types import Detections
from tracker.errors import DetectionsError
from tracker.tracking.gallery import normalise
from tracker.tracking.kalman import KalmanXYAH


@dataclass(frozen=True, slots=True)
class Observation:
    """N boxes, measurements and features, row by row.

    Attributes
    ----------
    index : (N,) ndarray of int64
        Row in the caller's `Detections`.
    xyxy, score, class_id : ndarray
        As in `Detections`; xyxy float64.
    measurement : (N,4) ndarray of float64
        See `KalmanXYAH.measure`.
    feature : (N,D) ndarray of float32
        Unit vectors; zero where there is none.
    embedded : (N,) ndarray of bool
        Which rows have a feature.
    """

    index: np.ndarray
    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    measurement: np.ndarray
    feature: np.ndarray
    embedded: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


def observe(
    detections: Detections,
    feature: np.ndarray,
    embedded: np.ndarray,
    kalman: KalmanXYAH,
    index: np.ndarray | None = None,
) -> Observation:
    """The rows `index` (default: all) of detections, with what `check_features` made of their features."""
    if index is None:
        index = np.arange(len(detections))
    else:
        detections, feature, embedded = detections[index], feature[index], embedded[index]
    xyxy = detections.xyxy.astype(np.float64, order="F")  # corner by corner, as arithmetic takes them
    measurement = kalman.measure(xyxy)
    return Observation(index, xyxy, detections.score, detections.class_id, measurement, feature, embedded)


def check_features(
    n: int, features: np.ndarray | None, embedded: np.ndarray | None, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Unit features (N,D) float32 of N detections and which rows (N,) have one.

    Parameters
    ----------
    features, embedded : ndarray or None
        As in `DeepSort.update`.
    dimension : int
        D of earlier frames, 0 if there was none.

    Raises
    ------
    DetectionsError
        The arrays do not fit the detections, D is not that of earlier frames, or a row has no direction.
    """
    if features is None or (n == 0 and np.size(features) == 0):
        return np.zeros((n, dimension), np.float32), np.zeros(n, bool)
    features = np.asarray(features)
    if features.dtype.kind not in "fiub":
        raise DetectionsError(f"features are {features.dtype}; expected numbers, ({n}, D)")
    if features.ndim != 2 or len(features) != n or features.shape[1] == 0:
        raise DetectionsError(
            f"features have shape {features.shape} for {n} detections; expected ({n}, D), a row for each"
        )
    if dimension and features.shape[1] != dimension:
        raise DetectionsError(
            f"features have length {features.shape[1]}, those of earlier frames {dimension}; expected one encoder a run"
        )
    asked = np.ones(n, bool) if embedded is None else np.asarray(embedded)
    if asked.dtype != bool or asked.shape != (n,):
        raise DetectionsError(f"embedded is {asked.dtype} {asked.shape}; expected bool ({n},), one for each detection")
    if asked.all():
        unit, good = normalise(features)
    else:
        unit, good = np.zeros(features.shape, np.float32), np.zeros(n, bool)
        unit[asked], good[asked] = normalise(features[asked])
    if (bad := np.flatnonzero(asked & ~good)).size:
        met = "all zero" if np.isfinite(features[bad[0]]).all() else "not finite"
        raise DetectionsError(
            f"{bad.size} of {n} features have no direction: that of detection {bad[0]} is {met}; expected finite "
            "vectors that are not all zero, or embedded=False for detections without one"
        )
    return unit, asked


def check_detections(detections: object) -> None:
    """Refuses what is neither Detections nor None.

    Raises
    ------
    DetectionsError
        It is something else, such as a bare array.
    """
    if detections is not None and not isinstance(detections, Detections):
        raise DetectionsError(
            f"detections are {type(detections).__name__}; expected Detections(xyxy, score, class_id), or None"
        )


def check_warp(warp: np.ndarray | None) -> None:
    """Refuses what is no affine map of pixels.

    Raises
    ------
    DetectionsError
        Not a finite (2,3) array.
    """
    if warp is not None and (np.shape(warp) != (2, 3) or not np.isfinite(warp).all()):
        raise DetectionsError(f"warp has shape {np.shape(warp)}; expected a finite (2, 3) affine matrix, or None")


def inside_frame(xyxy: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    """Which boxes (N,4) reach into a frame of (width, height) pixels, (N,) bool."""
    reaches = (xyxy[:, :2] < frame_size) & (xyxy[:, 2:] > 0)
    return np.logical_and(reaches[:, 0], reaches[:, 1])


class ClassGroups:
    """Which classes one object may be given from frame to frame, by the names of the detector's classes.

    Parameters
    ----------
    class_names : Sequence[str]
        Names by class id.
    strict : bool
        False: any.
    """

    def __init__(self, class_names: Sequence[str] = (), *, strict: bool = True) -> None:
        self._strict = strict
        self._group = np.arange(len(class_names))
        for alike in ALIKE:
            members = [i for i, name in enumerate(class_names) if name in alike]
            self._group[members] = min(members, default=0)
        self._people = np.array([i for i, name in enumerate(class_names) if name == "person"], int)
        self._two_wheelers = np.array([i for i, name in enumerate(class_names) if name in TWO_WHEELERS], int)

    def compatible(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Which pairs of class ids (P,) and (P,) may be one object's, (P,) bool."""
        if not self._strict:
            return np.ones(len(a), bool)
        same: np.ndarray = self._of(a) == self._of(b)
        return same

    def people(self, class_id: np.ndarray) -> np.ndarray:
        """Which class ids (N,) are a person's, (N,) bool."""
        return _any_of(class_id, self._people)

    def two_wheelers(self, class_id: np.ndarray) -> np.ndarray:
        """Which class ids (N,) are those of a bicycle or a motorcycle, (N,) bool."""
        return _any_of(class_id, self._two_wheelers)

    def _of(self, class_id: np.ndarray) -> np.ndarray:
        """Class ids (N,) to groups (N,) int64; an id without a name is a group of its own."""
        if len(self._group) == 0:
            return class_id
        group = class_id.astype(np.int64)
        named = (group >= 0) & (group < len(self._group))
        group[named] = self._group[group[named]]
        return group


def _any_of(class_id: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Which class ids (N,) are among a few classes (C,), (N,) bool."""
    among: np.ndarray = (class_id[:, None] == classes).any(axis=1)
    return among
