"""What a stage hands to the next: `Frame`, the `Detections` seen in it, and the `Tracks` that come out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tracker.errors import BackendMissingError, DetectionsError


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a source.

    Attributes
    ----------
    index : int
        1-based number of the frame in its source, as in MOT files.
    time_s : float
        Seconds since the source's first frame, from the container's timestamps where it has them.
    image : (H,W,3) ndarray of uint8 or None
        BGR, or None where a sequence's pixels are missing.
    size : tuple[int, int]
        (width, height) in pixels.
    """

    index: int
    time_s: float
    image: np.ndarray | None
    size: tuple[int, int]


def _numbers(what: str, values: ArrayLike, kind: type[np.generic]) -> np.ndarray:
    """An array of a type; raises DetectionsError for what holds no numbers."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"they are {array.dtype}")
        with np.errstate(invalid="ignore", over="ignore"):
            return array.astype(kind, copy=False)
    except (ValueError, TypeError, OverflowError) as e:
        raise DetectionsError(f"{what} are no numbers ({e}); expected an array of {np.dtype(kind).name}") from None


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes of one frame, N of them: arrays that share axis 0 and are indexed as one thing.

    Attributes
    ----------
    xyxy : (N,4) ndarray of float32
        Corners in pixels; may reach over the frame's border. x2 > x1 and y2 > y1.
    score : (N,) ndarray of float32
        Confidence; public detectors may exceed 1, so only finiteness is asked.
    class_id : (N,) ndarray of int32
        Index into the detector's class names.

    Raises
    ------
    DetectionsError
        Lengths differ, a value is not finite, or a box is inverted or empty.
    """

    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray

    def __init__(self, xyxy: ArrayLike, score: ArrayLike | None = None, class_id: ArrayLike | None = None) -> None:
        boxes = _numbers("boxes", xyxy, np.float32)
        boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise DetectionsError(f"boxes have shape {boxes.shape}; expected (N, 4) corners x1, y1, x2, y2")
        n = len(boxes)
        scores = np.ones(n, np.float32) if score is None else _numbers("scores", score, np.float32).reshape(-1)
        classes = np.zeros(n, np.int32) if class_id is None else _numbers("class ids", class_id, np.int32).reshape(-1)
        if len(scores) != n or len(classes) != n:
            raise DetectionsError(f"{n} boxes, {len(scores)} scores, {len(classes)} class ids; expected {n} of each")
        bad = ~(np.isfinite(boxes).all(axis=1) & np.isfinite(scores))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DetectionsError(f"box {row} is {boxes[row].tolist()}, score {scores[row]}; expected finite numbers")
        inverted = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
        if inverted.any():
            row = int(np.flatnonzero(inverted)[0])
            raise DetectionsError(f"box {row} is {boxes[row].tolist()}; expected corners with x2 > x1 and y2 > y1")
        object.__setattr__(self, "xyxy", boxes)
        object.__setattr__(self, "score", scores)
        object.__setattr__(self, "class_id", classes)

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, rows: np.ndarray | slice) -> Detections:
        """Rows by mask, integer array or slice: every field at once."""
        return Detections(self.xyxy[rows], self.score[rows], self.class_id[rows])

    @classmethod
    def empty(cls) -> Detections:
        """No boxes at all: the detector ran and saw nothing."""
        return cls(np.zeros((0, 4), np.float32))

    @classmethod
    def concatenate(cls, parts: Iterable[Detections]) -> Detections:
        """The rows of several, in order."""
        parts = list(parts) or [cls.empty()]
        return cls(
            np.concatenate([p.xyxy for p in parts]),
            np.concatenate([p.score for p in parts]),
            np.concatenate([p.class_id for p in parts]),
        )

    @classmethod
    def clean(cls, xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray) -> tuple[Detections, int]:
        """Drop rows that are not finite, inverted or empty; returns the rest and how many were dropped."""
        xyxy = np.asarray(xyxy, np.float32).reshape(-1, 4)
        score, class_id = np.asarray(score, np.float32).reshape(-1), np.asarray(class_id).reshape(-1)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(xyxy).all(axis=1) & np.isfinite(score)
            good &= (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
        return cls(xyxy[good], score[good], class_id[good]), int((~good).sum())

    @classmethod
    def from_supervision(cls, detections: Any) -> Detections:
        """Detections of the package `supervision`.

        Parameters
        ----------
        detections : supervision.Detections
            Anything with `xyxy` (N,4) in pixels, and `confidence` and `class_id` of N each or None.

        Raises
        ------
        DetectionsError
            An attribute is missing, or boxes do not pass the constructor's checks.
        """
        try:
            return cls(detections.xyxy, detections.confidence, detections.class_id)
        except AttributeError:
            raise _unlike(detections, "supervision.Detections: xyxy, confidence and class_id") from None

    @classmethod
    def from_ultralytics(cls, results: Any) -> Detections:
        """Boxes of one picture as `ultralytics` returns them; tensors may live on a GPU.

        Parameters
        ----------
        results : ultralytics.engine.results.Results
            Anything whose `boxes` have `xyxy` (N,4) in pixels, `conf` and `cls` of N each.

        Raises
        ------
        DetectionsError
            An attribute is missing (a list of results: one per picture), or boxes do not pass the constructor's checks.
        """
        try:
            boxes = results.boxes
            return cls(*(_on_host(values) for values in (boxes.xyxy, boxes.conf, boxes.cls)))
        except AttributeError:
            raise _unlike(results, "the results of one picture: boxes with xyxy, conf and cls") from None


def _on_host(values: Any) -> np.ndarray:
    """A tensor of PyTorch, or an array, as an array in this process's memory."""
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


def _unlike(met: Any, expected: str) -> DetectionsError:
    return DetectionsError(f"{type(met).__module__}.{type(met).__name__} has no boxes; expected {expected}")


@dataclass(frozen=True, slots=True)
class Tracks:
    """Snapshot of the live tracks after one frame, T of them; arrays share axis 0.

    Attributes
    ----------
    id : (T,) ndarray of int64
        Positive, never reused in a run.
    xyxy : (T,4) ndarray of float64
        Corners in pixels (the filter's posterior in the `paper` preset).
    score : (T,) ndarray of float32
        Of the detection matched in this frame, else of the last one; 0 where `present` without one.
    class_id : (T,) ndarray of int32
        By votes.
    detection_index : (T,) ndarray of int64
        Row of the detection matched in this frame, -1 if none.
    confirmed : (T,) ndarray of bool
    time_since_update : (T,) ndarray of int64
        Frames since the last match, as of the last frame on which the detector ran.
    present : (T,) ndarray of bool
        Confirmed and matched when the detector last ran, or young or missed and likely there.
    """

    id: np.ndarray
    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    detection_index: np.ndarray
    confirmed: np.ndarray
    time_since_update: np.ndarray
    present: np.ndarray

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, rows: np.ndarray | slice) -> Tracks:
        """Rows by mask, integer array or slice: every field at once."""
        return Tracks(*(getattr(self, name)[rows] for name in self.__slots__))

    @property
    def seen(self) -> Tracks:
        """Confirmed tracks matched in this frame."""
        return self[self.confirmed & (self.detection_index >= 0)]

    @property
    def written(self) -> Tracks:
        """Tracks that are present: the rows that are written and drawn."""
        return self[self.present]

    def to_supervision(self) -> Any:
        """The tracks as `supervision.Detections`, for that package's annotators, zones and sinks.

        Returns
        -------
        supervision.Detections
            `xyxy` (T,4) float32, `confidence` (T,), `class_id` (T,) and `tracker_id` (T,).

        Raises
        ------
        BackendMissingError
            The package is not installed.
        """
        try:
            from supervision import Detections as Theirs
        except ImportError:
            raise BackendMissingError("supervision is not installed; pip install supervision") from None
        return Theirs(
            xyxy=self.xyxy.astype(np.float32), confidence=self.score, class_id=self.class_id.astype(int),
            tracker_id=self.id.astype(int),
        )  # fmt: skip

    @classmethod
    def concatenate(cls, parts: list[Tracks]) -> Tracks:
        """The rows of one or several snapshots, one after the other."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__slots__))

    @classmethod
    def empty(cls) -> Tracks:
        """No tracks."""
        return cls(
            np.zeros(0, np.int64),
            np.zeros((0, 4)),
            np.zeros(0, np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, np.int64),
            np.zeros(0, bool),
            np.zeros(0, np.int64),
            np.zeros(0, bool),
        )
