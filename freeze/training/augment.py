"""Augmentation of crops for training: what a detector and a camera do to an object. uint8 in, uint8 out."""

from __future__ import annotations

import cv2
import numpy as np

JITTER_SHIFT, JITTER_SCALE = 0.08, 0.12
"""Standard deviations of a detector's box, as a share of its size."""


def jitter(crop: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """The crop of a box that is off, mirrored half the time; what lies outside repeats the border."""
    height, width = crop.shape[:2]
    zoom = np.exp(rng.normal(0, JITTER_SCALE * strength) + rng.normal(0, JITTER_SCALE / 2 * strength, 2))
    shift = rng.normal(0, JITTER_SHIFT * strength, 2) * (width, height)
    mirror = -1 if rng.random() < 0.5 else 1
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    affine = np.zeros((2, 3))
    affine[0, 0], affine[1, 1] = mirror * zoom[0], zoom[1]
    affine[:, 2] = centre + shift - affine[:, :2] @ centre
    return cv2.warpAffine(crop, affine, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def low_resolution(crop: np.ndarray, rng: np.random.Generator, smallest: float = 0.2) -> np.ndarray:
    """The crop of an object far away: shrunk to a share of its size in [smallest, 0.9], then enlarged."""
    height, width = crop.shape[:2]
    share = np.exp(rng.uniform(np.log(smallest), np.log(0.9)))
    size = max(3, round(width * share)), max(6, round(height * share))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def blur(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, or moving sideways."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.5, 2.0))
    return cv2.blur(crop, (int(rng.integers(3, 8)), 1))


def colour(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure, contrast, saturation and white balance."""
    gain = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.1, 3))
    contrast, bias = np.exp(rng.normal(0, 0.25)), rng.normal(0, 20)
    table = np.clip((np.arange(256)[:, None] - 127.5) * contrast * gain + 127.5 + bias, 0, 255).astype(np.uint8)
    crop = cv2.LUT(crop, table[:, None, :])
    if rng.random() < 0.5:
        grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
        keep = rng.uniform(0.3, 1.3)
        crop = cv2.addWeighted(crop, keep, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), 1 - keep, 0)
    return crop


def noise(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compression, as in streamed video."""
    _, code = cv2.imencode(".jpg", crop, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))))
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))


def occlude(crop: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Something in front: part of another crop from a side or below, or a rectangle (Zhong et al., 1708.04896)."""
    height, width = crop.shape[:2]
    crop = crop.copy()
    if rng.random() < 0.5:
        area, aspect = rng.uniform(0.03, 0.3) * height * width, np.exp(rng.uniform(-1, 1))
        h, w = int(min(height, np.sqrt(area * aspect))), int(min(width, np.sqrt(area / aspect)))
        y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        crop[y : y + h, x : x + w] = rng.integers(0, 256, 3)
        return crop
    side, share = rng.integers(3), rng.uniform(0.1, 0.5)
    if side == 2:
        rows = int(height * share)
        crop[height - rows :] = other[:rows]
    else:
        columns = max(1, int(width * share))
        target, source = (slice(0, columns), slice(width - columns, width))[:: 1 if side == 0 else -1]
        crop[:, target] = other[:, source]
    return crop


def augment(crop: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop as another frame might have shown it.

    Parameters
    ----------
    crop, other : (H,W,3) ndarray of uint8
        BGR; `other` shows something that may stand in front.
    """
    crop = jitter(crop, rng)
    draw = rng.random(5)
    if draw[0] < 0.7:
        crop = colour(crop, rng)
    if draw[1] < 0.35:
        crop = occlude(crop, other, rng)
    if draw[2] < 0.3:
        crop = low_resolution(crop, rng)
    if draw[3] < 0.15:
        crop = blur(crop, rng)
    if draw[4] < 0.15:
        crop = noise(crop, rng)
    return crop
