"""`motion`: what moves before a static camera, by background subtraction; needs no weights and knows no classes.

The background is a mixture of Gaussians per pixel (Zivkovic, ICPR 2004, OpenCV's MOG2), which also marks shadows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from tracker.core.boxes import intersection
from tracker.core.classes import wanted_classes
from tracker.core.types import Detections, Frame
from tracker.errors import DetectorError

WIDTH = 640
"""Frames are shrunk to this width at most, pixels, where nobody says otherwise."""
HISTORY = 400
"""Frames over which the background forgets."""
VARIANCE, SHADOW = 40, 0.45
"""MOG2: squared distance in standard deviations that makes foreground; the least brightness of a shadow, as a share."""
SAMPLES = (6, 12, 25, 50, 100)
"""After so many frames a background without a primer is made anew from samples of them; no answer before the first."""
FLICKER = 0.2
"""A pixel that turns over in more than this share of the last frames is foliage or water."""
MIN_HEIGHT, MIN_AREA, MAX_AREA = 0.033, 0.0007, 0.5
"""Limits of an object's height and box area, shares of the frame's."""
SHARE_OF_CHANGE = 0.6
"""More foreground and shadow than this share of the frame is a change of light or of view, not objects."""
SMALL, CONTRAST, FEWEST_PAIRS, GAINS = 0.05, 10, 100, (0.5, 2.0)
"""Logarithm of a change of exposure that is told by one ratio; grey levels between two pixels, and so many pairs, from
which contrast tells a larger one; the limits of a gain."""
PATIENCE = 10
"""Frames of such a change after which the background is learned anew: the view was cut."""


class MotionDetector:
    """One box per moving object of a static camera.

    Parameters
    ----------
    frames : Sequence[ndarray]
        Pictures spread over the first seconds, where the source can give them: their median is the first background, so
        that the very first frame has its objects and none leaves a ghost behind.
    confidence : float or None
        Boxes with a lower score are left out; the score is how solidly the object fills its box.
    width : int
        Frames are shrunk to this width at most, pixels.
    """

    name, path, runtime = "motion", "", "opencv"
    class_names: tuple[str, ...] = ("object",)
    concurrency, tiled = 1, False

    def __init__(
        self,
        *,
        confidence: float | None = None,
        classes: Sequence[str] | None = None,
        frames: Sequence[np.ndarray] = (),
        width: int = WIDTH,
    ) -> None:
        wanted_classes(classes, self.class_names, self.name)
        self.warnings: list[str] = []
        self.why = ""
        self.still = False
        """Whether nothing at all moved in the last frame, not even what is too small for an object."""
        self._confidence = 0.0 if confidence is None else confidence
        self._width = width
        self._size: tuple[int, int] | None = None
        self._primer = [(f.shape[1::-1], self._shrunk(f)) for f in frames]
        self._background: Any = None
        self._before: Any = None
        self._samples: list[np.ndarray] = []
        self._stride = 1
        self._seen, self._frames, self._changed, self._share = 0, 0, 0, 0.0

    def __call__(self, frame: Frame) -> Detections | None:
        """Boxes of what moves in the frame; nothing while the background is being learnt."""
        if frame.image is None:
            raise DetectorError(f"detector motion: frame {frame.index} has no pixels; give detections by file")
        if self._size != frame.size:
            self._start(frame.size)
        self.still = False
        image = self._shrunk(frame.image)
        if self._watch.moved(image):
            self._say_moved(frame)
            self._forget()
        image = cv2.GaussianBlur(image, (3, 3), 0)
        self._gather(image)
        if self._background is None:
            return None
        mask = self._foreground(image)
        if self._share > SHARE_OF_CHANGE:
            self._changed += 1
            if self._changed >= PATIENCE:
                self._forget()
            return None
        self._changed = 0
        self.still = not mask.any()
        return self._objects(mask, frame.size)

    def _gather(self, image: np.ndarray) -> None:
        """Without a primer, make the background from the frames seen so far, better and better."""
        if self._seen >= SAMPLES[-1]:
            self._samples.clear()
            return
        if self._seen % self._stride == 0:
            self._samples.append(image)
        if len(self._samples) > 20:
            self._samples, self._stride = self._samples[::2], 2 * self._stride
        self._seen += 1
        if self._seen in SAMPLES:
            self._prime(self._samples)

    def _prime(self, images: Sequence[np.ndarray]) -> None:
        """A background of the images' median; what else they show at a place becomes a rarer mode of it."""
        self._subtractor = cv2.createBackgroundSubtractorMOG2(HISTORY, VARIANCE, True)
        self._subtractor.setShadowThreshold(SHADOW)
        middle = np.median(np.stack(images), axis=0).astype(np.uint8)
        for _ in range(8):
            self._subtractor.apply(middle, learningRate=0.1)
        for image in images:
            self._subtractor.apply(image, learningRate=0.02)
        self._background = middle

    def _foreground(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H,W) mask of 255 where objects are, without their shadows; the background learns from the image."""
        # A camera's exposure follows what drives by: bring the picture to the background's brightness first.
        gain, offset = self._exposure(image)
        image = cv2.LUT(image, np.clip(gain * np.arange(256) + offset, 0, 255).round().astype(np.uint8))
        mask = self._subtractor.apply(image, learningRate=1 / HISTORY)
        self._share = np.count_nonzero(mask) / mask.size
        self._frames += 1
        if self._frames % 10 == 0:
            self._background = self._subtractor.getBackgroundImage()
        solid = np.where(mask == 255, np.uint8(255), np.uint8(0))
        # Leaves and water come and go from frame to frame, objects twice each: what flickers is no object.
        self._flicker += 0.05 * ((solid != self._before) - self._flicker)
        self._before = solid
        return cv2.medianBlur(np.where(self._flicker < FLICKER, solid, np.uint8(0)), 5)

    def _exposure(self, image: np.ndarray) -> tuple[float, float]:
        """Gain and offset from the image's brightness to the background's, over a grid of pixels.

        The median ratio tells a small change. A large one changes dark and bright by other shares: then the gain is
        that of contrasts, the median over pairs of pixels far from each other and unlike in the background.
        """
        step = np.s_[::4, ::4]
        now, then = (a[step].astype(np.float32).mean(axis=2) for a in (image, self._background))
        usable = (then > 20) & (then < 235)
        if not usable.any():
            return 1.0, 0.0
        now, then = now[usable], then[usable]
        ratio = float(np.median(then / np.maximum(now, 1)))
        by_ratio = float(np.clip(ratio, *GAINS)), 0.0
        if abs(np.log(ratio)) < SMALL:
            return by_ratio
        contrast, before = (a - np.roll(a, len(a) // 2) for a in (now, then))
        unlike = np.abs(before) > CONTRAST
        if np.count_nonzero(unlike) < FEWEST_PAIRS:
            return by_ratio
        gain = float(np.clip(1 / max(np.median(contrast[unlike] / before[unlike]), 0.01), *GAINS))
        return gain, float(np.median(then - gain * now))

    def settings(self, size: tuple[int, int]) -> dict[str, str]:
        """Nothing to repeat."""
        return {}

    def even_score(self, size: tuple[int, int]) -> float | None:
        """Not known."""

    def close(self) -> None:
        """Forget the background."""
        self._size = None

    def _shrunk(self, image: np.ndarray) -> np.ndarray:
        """A picture (H,W,3) of a frame as it is looked at."""
        height, width = image.shape[:2]
        return cv2.resize(image, self._small_size((width, height)), interpolation=cv2.INTER_AREA)

    def _small_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) at which frames of a size are looked at."""
        width = min(self._width, size[0])
        return width, max(1, round(size[1] * width / size[0]))

    def _start(self, size: tuple[int, int]) -> None:
        """Begin anew for frames of (width, height) pixels."""
        self._size, self._small = size, self._small_size(size)
        self._watch = _CameraWatch()
        self._forget()
        primer = [small for of, small in self._primer if of == size]
        if len(primer) >= 3:
            self._prime([cv2.GaussianBlur(small, (3, 3), 0) for small in primer])
            self._seen = SAMPLES[-1]
        self._primer = []

    def _forget(self) -> None:
        self._samples, self._stride = [], 1
        self._seen, self._frames, self._changed, self._share = 0, 0, 0, 0.0
        self._background = None
        self._flicker = np.zeros(self._small[::-1], np.float32)
        self._before = np.zeros(self._small[::-1], np.uint8)

    def _say_moved(self, frame: Frame) -> None:
        if not self.warnings:
            self.warnings.append(
                f"detector motion: the camera moves at frame {frame.index}, and the background is learned anew; "
                "it needs a static camera: use --detector coco or ssdlite for this one"
            )

    def _objects(self, mask: np.ndarray, size: tuple[int, int]) -> Detections:
        """Boxes of the objects in a mask."""
        height, width = mask.shape
        # Wider than high: the gaps inside a vehicle close, the road between two that follow each other stays.
        kernel = cv2.getStructuringElement(
            cv2.MORPH_ELLIPSE, (max(3, round(0.012 * width)) | 1, max(3, round(0.006 * width)) | 1)
        )
        solid = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
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
    xyxy, pixels : ndarray
        (N,4) boxes and (N,) foreground pixels of the pieces.
    least : float
        Pieces with fewer pixels are dust and dropped.

    Returns
    -------
    xyxy : (M,4) ndarray
        Corners of the objects, pixels.
    pixels : (M,) ndarray
        How many moving pixels each has.
    """
    keep = pixels >= least
    xyxy, pixels = xyxy[keep].copy(), pixels[keep].copy()
    order = np.argsort(-pixels, kind="stable")
    xyxy, pixels = xyxy[order], pixels[order]
    while len(xyxy) > 1:
        gap = np.where(np.triu(_belong(xyxy), 1), _gap(xyxy), np.inf)
        if not np.isfinite(gap).any():
            break
        i, j = np.unravel_index(np.argmin(gap), gap.shape)  # the nearest two first
        xyxy[i] = np.r_[np.minimum(xyxy[i, :2], xyxy[j, :2]), np.maximum(xyxy[i, 2:], xyxy[j, 2:])]
        pixels[i] += pixels[j]
        xyxy, pixels = np.delete(xyxy, j, 0), np.delete(pixels, j)
    return xyxy, pixels


def _gap(xyxy: np.ndarray) -> np.ndarray:
    """(N,N) pixels between boxes, along the axis where they are farther apart; negative where they overlap."""
    apart = np.maximum(xyxy[:, None, :2], xyxy[None, :, :2]) - np.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:])
    gap: np.ndarray = apart.max(axis=2)
    return gap


def _belong(xyxy: np.ndarray) -> np.ndarray:
    """(N,N) bool: pairs of boxes that are pieces of one object."""
    size = xyxy[:, 2:] - xyxy[:, :2]
    smaller = np.minimum(size.prod(axis=1)[:, None], size.prod(axis=1)[None])
    inside = intersection(xyxy, xyxy) > 0.4 * smaller
    low, high = np.maximum(xyxy[:, None, :2], xyxy[None, :, :2]), np.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:])
    shared = high - low  # negative: the gap
    narrower, wider = (f(size[:, None], size[None]) for f in (np.minimum, np.maximum))
    union = np.maximum(xyxy[:, None, 2:], xyxy[None, :, 2:]) - np.minimum(xyxy[:, None, :2], xyxy[None, :, :2])
    slimness = union[..., 1] / union[..., 0]
    # One vehicle is about as high as wide and one person much higher; between the two stand two vehicles in a row.
    stacked = (shared[..., 0] > 0.6 * narrower[..., 0]) & (-shared[..., 1] < 0.3 * wider[..., 1])
    stacked &= (slimness < 1.3) | (slimness > 2.2)
    beside = (shared[..., 1] > 0.6 * narrower[..., 1]) & (-shared[..., 0] < 0.1 * wider[..., 0]) & (slimness > 0.6)
    pairs: np.ndarray = inside | stacked | beside
    return pairs


class _CameraWatch:
    """Tells a moving camera from moving objects: most of the picture's corners follow one similarity that moves."""

    EVERY, SHIFT, CELLS = 4, 0.7, 9
    """Frames between looks; pixels of a picture 320 wide; cells of 16 that the corners must come from."""

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
        corners: Any = cv2.goodFeaturesToTrack(before, 200, 0.01, 8)
        if corners is None:
            return False
        there, found, _ = cv2.calcOpticalFlowPyrLK(before, grey, corners, np.zeros_like(corners), winSize=(11, 11))
        start, end = (a.reshape(-1, 2)[found.ravel() == 1] for a in (corners, there))
        if len(start) < 12:
            return False
        _, follows = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=1.0)
        held = follows.ravel() == 1
        size = np.array(grey.shape[::-1])
        cells = len(np.unique((start[held] / size * 4).astype(int) @ (1, 4)))
        shift = np.abs(end - start)[held].max(axis=1)
        return bool(held.mean() > 0.5 and cells >= self.CELLS and np.median(shift) > self.SHIFT)
