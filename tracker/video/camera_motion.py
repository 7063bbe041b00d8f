"""Camera motion between two frames: sparse optical flow and a robust affine map; hardly any work where it stands still.

As in BoT-SORT (arXiv 2206.14651, section 3.2) with OpenCV's tools: corners of the background are followed by the
pyramidal Lucas-Kanade method, and RANSAC fits rotation, scale and shift. A still camera is told by comparing small
pictures first: where most of them stayed as it was, nothing else is computed. While it stands still even those are made
now and then only, and in between a few thousand pixels tell whether it has begun to move.
"""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import Detections, Frame

_WIDTH = 320
"""Frames are reduced to about this width before corners are followed."""
_STILL_SIZE = (64, 48)
_REST = 8
"""Frames of a camera that stands still between two looks, unless its pixels change before."""
_STILL_LEVEL = 6
"""Levels of grey, of 256, by which a pixel of the small picture may change while the camera stands still."""
_STILL_SHARE = 0.75
"""Share of pixels that must have stayed."""
_CORNERS = 200
_FEWEST = 12
"""Corners that must agree on the map."""
_AGREE = 0.4
"""Share of followed corners that must agree."""
_SMALLEST = 0.3
"""Pixels of the reduced frame: shifts below are the flow's own noise."""


class CameraMotion:
    """Estimates the (2,3) affine map from the previous frame's pixels to this one's; None for a camera at rest."""

    def __init__(self) -> None:
        self._grey: np.ndarray | None = None
        self._small: np.ndarray | None = None
        self._pixels: np.ndarray | None = None
        self._boxes = np.zeros((0, 4))
        self._resting = 0

    def __call__(self, frame: Frame, detections: Detections | None) -> np.ndarray | None:
        """The map (2,3) float64, or None: no pixels, first frame, camera at rest, or too little to go by.

        Parameters
        ----------
        detections : Detections or None
            Boxes of this frame; corners on what moves by itself are left out.
        """
        if frame.image is None:
            self._grey, self._resting = None, 0
            return None
        pixels = _some(frame.image)
        if self._resting and self._pixels is not None and _still(self._pixels, pixels):
            self._resting -= 1
            return None
        self._pixels = pixels
        scale = min(1.0, _WIDTH / frame.image.shape[1])
        return self._look(frame.image, scale, None if detections is None else detections.xyxy * scale)

    def _look(self, image: np.ndarray, scale: float, boxes: np.ndarray | None) -> np.ndarray | None:
        """The map since the camera was last seen to move; `boxes` (N,4) in pixels of the reduced picture."""
        reduced = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        grey = cv2.cvtColor(reduced, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(grey, _STILL_SIZE, interpolation=cv2.INTER_AREA)
        before, before_small, left_out = self._grey, self._small, self._boxes
        if before is not None and before_small is not None and _still(before_small, small):
            self._resting = _REST  # what is compared with stays, so that a slow pan adds up until it is noticed
            return None
        self._grey, self._small, self._resting = grey, small, 0
        self._boxes = self._boxes if boxes is None else boxes
        affine = None if before is None or before.shape != grey.shape else _between(before, grey, left_out)
        if affine is None:
            return None
        affine[:, 2] /= scale
        return affine


def _some(image: np.ndarray) -> np.ndarray:
    """Green of single pixels on a grid of about _STILL_SIZE, uint8."""
    step_y, step_x = (max(1, n // m) for n, m in zip(image.shape, _STILL_SIZE[::-1], strict=False))
    return np.ascontiguousarray(image[step_y // 2 :: step_y, step_x // 2 :: step_x, 1])


def _still(a: np.ndarray, b: np.ndarray) -> bool:
    """Most pixels of two small pictures are as they were, where there is anything to see at all."""
    if a.shape != b.shape:
        return False
    changed = cv2.absdiff(a, b) > _STILL_LEVEL
    edges = np.abs(cv2.Laplacian(a, cv2.CV_16S)) > 2 * _STILL_LEVEL
    looked_at = edges if edges.sum() >= 50 else np.ones_like(edges)
    return bool(changed[looked_at].mean() < 1 - _STILL_SHARE)


def _between(before: np.ndarray, after: np.ndarray, boxes: np.ndarray) -> np.ndarray | None:
    """Rotation, scale and shift (2,3) float64 from picture to picture, boxes (N,4) of the first left out."""
    background = np.full(before.shape, 255, np.uint8)
    for x1, y1, x2, y2 in np.clip(boxes, 0, None).astype(int):
        background[y1:y2, x1:x2] = 0
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, 5, mask=background)
    if corners is None or len(corners) < _FEWEST:
        return None
    followed, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)  # type: ignore[call-overload]
    good = found.ravel() == 1
    if good.sum() < _FEWEST:
        return None
    cv2.setRNGSeed(0)
    affine, agree = cv2.estimateAffinePartial2D(
        corners[good], followed[good], method=cv2.RANSAC, ransacReprojThreshold=1.5
    )
    if affine is None or agree.sum() < max(_FEWEST, _AGREE * good.sum()):
        return None
    size = before.shape[::-1]
    middle = np.array([size[0] / 2, size[1] / 2, 1])
    moved = np.abs(affine @ middle - middle[:2]).max() + np.abs(affine[:, :2] - np.eye(2)).max() * max(size) / 2
    return affine.astype(np.float64) if moved >= _SMALLEST else None
