"""`motion`: what moves before a static camera, by background subtraction; needs no weights and knows no classes.

The background is a mixture of Gaussians per pixel (Zivkovic, ICPR 2004, OpenCV's MOG2), which also marks shadows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from detectors.base import wanted_classes
from tracker.boxes import intersection
from tracker.detections import Detections, Frame
from tracker.errors import DetectorError

WIDTH = 640
"""Frames are shrunk to this width at most, pixels."""
HISTORY = 400
"""Frames over which the background forgets."""
WARM_UP = 8
"""Frames that a background without a primer learns from before the first answer."""
MIN_HEIGHT, MIN_AREA, MAX_AREA = 0.03, 0.0007, 0.5
"""Limits of an object's height and box area, shares of the frame's."""
SHARE_OF_CHANGE = 0.6
"""More foreground than this share of the frame is a change of light or of view, not objects."""


class MotionDetector:
    """One box per moving object of a static camera.

    Parameters
    ----------
    frames : pictures spread over the first seconds, where the source can give them: their median is the first
        background, so that the very first frame has its objects and none leaves a ghost behind.
    confidence : boxes with a lower score are left out; the score is how solidly the object fills its box.
    """

    name, path, runtime = "motion", "", "opencv"
    class_names: tuple[str, ...] = ("object",)

    def __init__(
        self,
        *,
        confidence: float | None = None,
        classes: Sequence[str] | None = None,
        frames: Sequence[np.ndarray] = (),
    ) -> None:
        wanted_classes(classes, self.class_names, self.name)
        self.warnings: list[str] = []
        self._confidence = 0.0 if confidence is None else confidence
        self._size: tuple[int, int] | None = None
        self._primer = list(frames)

    def __call__(self, frame: Frame) -> Detections | None:
        if frame.image is None:
            raise DetectorError(f"detector motion: frame {frame.index} has no pixels; give detections by file")
        if self._size != frame.size:
            self._start(frame.size)
        image = cv2.resize(frame.image, self._small, interpolation=cv2.INTER_AREA)
        if self._watch.moved(image):
            self._say_moved(frame)
            self._forget()
        mask = self._subtractor.apply(cv2.GaussianBlur(image, (3, 3), 0))
        self._seen += 1
        if self._seen <= WARM_UP or np.count_nonzero(mask == 255) > SHARE_OF_CHANGE * mask.size:
            return None
        return self._objects(mask, frame.size)

    def close(self) -> None:
        self._size = None

    def _start(self, size: tuple[int, int]) -> None:
        """Begin anew for frames of (width, height) pixels."""
        self._size = size
        width = min(WIDTH, size[0])
        self._small = width, max(1, round(size[1] * width / size[0]))
        self._watch = _CameraWatch()
        self._forget()
        primer = [f for f in self._primer if (f.shape[1], f.shape[0]) == size]
        if len(primer) >= 3:
            small = [cv2.resize(f, self._small, interpolation=cv2.INTER_AREA) for f in primer]
            middle = np.median(np.stack(small), axis=0).astype(np.uint8)
            for _ in range(WARM_UP):
                self._subtractor.apply(cv2.GaussianBlur(middle, (3, 3), 0), learningRate=0.1)
            self._seen = WARM_UP
        self._primer = []

    def _forget(self) -> None:
        self._subtractor = cv2.createBackgroundSubtractorMOG2(HISTORY, 25, True)
        self._subtractor.setShadowThreshold(0.4)
        self._seen = 0

    def _say_moved(self, frame: Frame) -> None:
        if not self.warnings:
            self.warnings.append(
                f"detector motion: the camera moves at frame {frame.index}, and the background is learned anew; "
                "it needs a static camera: use --detector coco or ssdlite for this one"
            )

    def _objects(self, mask: np.ndarray, size: tuple[int, int]) -> Detections:
        """Boxes of the foreground (255) in a mask that also marks shadows (127)."""
        height, width = mask.shape
        solid = cv2.medianBlur(np.where(mask == 255, np.uint8(255), np.uint8(0)), 5)
        reach = max(3, round(0.012 * width)) | 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, kernel)
        _, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
        stats = stats[1:]
        xyxy = np.hstack([stats[:, :2], stats[:, :2] + stats[:, 2:4]]).astype(np.float64)
        xyxy, pixels = merge_fragments(xyxy, stats[:, 4].astype(np.float64), 1e-4 * width * height)
        box = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
        tall = xyxy[:, 3] - xyxy[:, 1]
        score = np.clip(pixels / np.maximum(box, 1) / 0.6, 0, 1)
        good = (tall >= MIN_HEIGHT * height) & (box >= MIN_AREA * width * height) & (box <= MAX_AREA * width * height)
        good &= score >= max(self._confidence, 0.3)
        scale = np.tile(np.array(size) / (width, height), 2)
        return Detections(xyxy[good] * scale, score[good])


def merge_fragments(xyxy: np.ndarray, pixels: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Join pieces of one object: those that overlap, and those that stand over each other with a small gap.

    Parameters
    ----------
    xyxy, pixels : (N,4) boxes and (N,) foreground pixels of the pieces.
    least : pieces with fewer pixels are dust and dropped.

    Returns
    -------
    (M,4) and (M,) of the objects.
    """
    keep = pixels >= least
    xyxy, pixels = xyxy[keep].copy(), pixels[keep].copy()
    order = np.argsort(-pixels, kind="stable")
    xyxy, pixels = xyxy[order], pixels[order]
    while len(xyxy) > 1:
        pairs = np.argwhere(np.triu(_belong(xyxy), 1))
        if not len(pairs):
            break
        i, j = pairs[0]
        xyxy[i] = np.r_[np.minimum(xyxy[i, :2], xyxy[j, :2]), np.maximum(xyxy[i, 2:], xyxy[j, 2:])]
        pixels[i] += pixels[j]
        xyxy, pixels = np.delete(xyxy, j, 0), np.delete(pixels, j)
    return xyxy, pixels


def _belong(xyxy: np.ndarray) -> np.ndarray:
    """(N,N) bool: pairs of boxes that are pieces of one object."""
    size = xyxy[:, 2:] - xyxy[:, :2]
    smaller = np.minimum(size.prod(axis=1)[:, None], size.prod(axis=1)[None])
    inside = intersection(xyxy, xyxy) > 0.4 * smaller
    low, high = np.maximum(xyxy[:, None, :2], xyxy[None, :, :2]), np.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:])
    shared = high - low  # negative: the gap
    width, height = (np.minimum(size[:, None, k], size[None, :, k]) for k in (0, 1))
    stacked = (shared[..., 0] > 0.6 * width) & (-shared[..., 1] < 0.25 * height)
    return inside | stacked


class _CameraWatch:
    """Tells a moving camera from moving objects: whether most of the picture's corners move together."""

    EVERY, SHIFT, SHARE = 4, 0.7, 0.6

    def __init__(self) -> None:
        self._count = 0
        self._reference: np.ndarray | None = None

    def moved(self, image: np.ndarray) -> bool:
        """Whether the picture (H,W,3) moved since the last look, some frames ago."""
        self._count += 1
        if self._count % self.EVERY != 1:
            return False
        scale = min(1.0, 320 / image.shape[1])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        before, self._reference = self._reference, grey
        if before is None or before.shape != grey.shape:
            return False
        corners: Any = cv2.goodFeaturesToTrack(before, 150, 0.02, 8)
        if corners is None or len(corners) < 20:
            return False
        there, found, _ = cv2.calcOpticalFlowPyrLK(before, grey, corners, np.zeros_like(corners), winSize=(11, 11))
        flow = (there - corners).reshape(-1, 2)[found.ravel() == 1]
        if len(flow) < 20:
            return True
        return float((np.abs(flow).max(axis=1) > self.SHIFT).mean()) > self.SHARE
