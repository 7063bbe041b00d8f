"""Tracks as arrays: the immutable snapshot that sinks and library users see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Tracks:
    """Snapshot of the live tracks after one frame, T of them; arrays share axis 0.

    Attributes
    ----------
    id : (T,) int64, positive, never reused in a run.
    xyxy : (T,4) float64, corners in pixels (the filter's posterior in the `paper` preset).
    score : (T,) float32, of the detection matched in this frame, else of the last one.
    class_id : (T,) int32, by votes.
    detection_index : (T,) int64, row of the detection matched in this frame, -1 if none.
    confirmed : (T,) bool.
    time_since_update : (T,) int64, frames since the last match.
    """

    id: np.ndarray
    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    detection_index: np.ndarray
    confirmed: np.ndarray
    time_since_update: np.ndarray

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, rows: np.ndarray | slice) -> Tracks:
        """Rows by mask, integer array or slice: every field at once."""
        return Tracks(*(getattr(self, name)[rows] for name in self.__slots__))

    @property
    def seen(self) -> Tracks:
        """Confirmed tracks matched in this frame: the rows that are written and drawn."""
        return self[self.confirmed & (self.detection_index >= 0)]

    @classmethod
    def empty(cls) -> Tracks:
        return cls(
            np.zeros(0, np.int64),
            np.zeros((0, 4)),
            np.zeros(0, np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, np.int64),
            np.zeros(0, bool),
            np.zeros(0, np.int64),
        )
