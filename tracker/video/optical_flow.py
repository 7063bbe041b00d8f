"""Boxes carried to frames that the detector left out: optical flow of points inside them.

A grid of points in the middle of each box is followed by the pyramidal Lucas-Kanade method and back again; points that
do not return are left out, and the box moves by the median of the rest (as in Median Flow, Kalal et al., ICPR 2010). A
box whose points disagree or get lost is given up until the detector sees it again; where none is left, as on footage
without any texture, the filter has to do.
"""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.boxes import clip
from tracker.core.types import Detections, Frame

_WIDTH = 480
"""Frames are reduced to about this width before points are followed."""
_COLUMNS, _ROWS = np.linspace(0.25, 0.75, 4), np.linspace(0.15, 0.7, 6)
"""Where points lie in a box, as shares of its width and height: on the upper body rather than the ground."""
_WINDOW, _LEVELS = (11, 11), 2
_RETURN = 0.7
"""Pixels of the reduced frame from a point to where it comes from when followed back."""
_FEWEST = 5
"""Points that must return."""
_SPREAD = 1.5
"""Pixels of the reduced frame by which most points of a box may differ from their median."""


class OpticalFlow:
    """Remembers the boxes of the last frame and carries them on."""

    def __init__(self) -> None:
        self._grey: np.ndarray | None = None
        self._boxes = Detections.empty()

    def __call__(self, frame: Frame, found: Detections | None) -> Detections | None:
        """`found` where the detector ran; else the boxes of the frame before, moved, or None where none can be."""
        if frame.image is None:
            return found
        factor = max(1, round(frame.image.shape[1] / _WIDTH))
        before, self._grey = self._grey, _reduced(frame.image, factor)
        if found is None and before is not None and before.shape == self._grey.shape and len(self._boxes):
            found = self._carried(before, self._grey, factor, frame.size)
        self._boxes = Detections.empty() if found is None else found
        return found

    def forget(self) -> None:
        """Frames will follow that it is not shown."""
        self._grey, self._boxes = None, Detections.empty()

    def _carried(self, before: np.ndarray, after: np.ndarray, factor: int, size: tuple[int, int]) -> Detections | None:
        boxes = self._boxes
        start = _points(boxes.xyxy / factor)
        shift, good = _followed(before, after, start.reshape(-1, 1, 2))
        shift, good = shift.reshape(*start.shape), good.reshape(start.shape[:2])
        shift[~good] = np.nan
        enough = np.flatnonzero(good.sum(axis=1) >= _FEWEST)
        moved = np.nanmedian(shift[enough], axis=1)
        spread = np.nanmedian(np.abs(shift[enough] - moved[:, None]).max(axis=2), axis=1)
        kept, moved = enough[spread <= _SPREAD], moved[spread <= _SPREAD]
        xyxy = clip(boxes.xyxy[kept] + np.tile(moved * factor, 2), *size)
        return Detections.clean(xyxy, boxes.score[kept], boxes.class_id[kept])[0] if len(kept) else None


def _reduced(image: np.ndarray, factor: int) -> np.ndarray:
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2GRAY)


def _points(boxes: np.ndarray) -> np.ndarray:
    """A grid of points (N,P,2) float32 in boxes (N,4)."""
    share = np.stack(np.meshgrid(_COLUMNS, _ROWS), axis=-1).reshape(1, -1, 2)
    points: np.ndarray = (boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])).astype(np.float32)
    return points


def _followed(before: np.ndarray, after: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far points (P,1,2) move, (P,2), and which of them (P,) come back when followed back."""
    given = {"winSize": _WINDOW, "maxLevel": _LEVELS}
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None, **given)  # type: ignore[call-overload]
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **given)  # type: ignore[call-overload]
    near = np.abs(back - start).reshape(-1, 2).max(axis=1) < _RETURN
    return (there - start).reshape(-1, 2), near & (found.ravel() == 1) & (found_back.ravel() == 1)
