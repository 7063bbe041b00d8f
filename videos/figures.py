"""Draws cars and pedestrians of a road scene with their exact silhouettes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Look:
    """What one actor looks like: its kind and colours (BGR)."""

    kind: str
    main: Colour
    second: Colour
    skin: Colour = (150, 180, 220)


def draw_actor(look: Look, height: float, phase: float, heading: int) -> tuple[np.ndarray, np.ndarray]:
    """An actor standing on the bottom edge of a patch, centred.

    Parameters
    ----------
    height : float
        Pixels, of the whole figure.
    phase : float
        Of the stride or the wheels, radians.
    heading : int
        1 to the right, -1 to the left.

    Returns
    -------
    image : (H,W,3) ndarray of uint8
        BGR; the figure ends on the last row.
    silhouette : (H,W) ndarray of uint8
        0..255.
    """
    paint = _car if look.kind == "car" else _pedestrian
    # Drawn at four times the size and averaged down: smooth edges, and the silhouette is their coverage.
    scale = 4
    h, w = max(1, round(height)), max(1, round(height * (2.7 if look.kind == "car" else 0.7)))
    image, mask = np.zeros((h * scale, w * scale, 3), np.uint8), np.zeros((h * scale, w * scale), np.uint8)
    paint(image, mask, look, phase)
    small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    cover = cv2.resize(mask, (w, h), interpolation=cv2.INTER_AREA)
    return (small, cover) if heading > 0 else (small[:, ::-1], cover[:, ::-1])


def _fill(image: np.ndarray, mask: np.ndarray, points: list[tuple[float, float]], colour: Colour) -> None:
    """A polygon whose points are shares of the patch."""
    h, w = mask.shape
    polygon = np.array([[round(x * (w - 1)), round(y * (h - 1))] for x, y in points], np.int32)
    cv2.fillPoly(image, [polygon], colour)
    cv2.fillPoly(mask, [polygon], (255,))


def _disc(image: np.ndarray, mask: np.ndarray, x: float, y: float, radius: float, colour: Colour) -> None:
    """A circle; `radius` as a share of the patch's height."""
    h, w = mask.shape
    centre, r = (round(x * (w - 1)), round(y * (h - 1))), max(1, round(radius * h))
    cv2.circle(image, centre, r, colour, -1)
    cv2.circle(mask, centre, r, (255,), -1)


def _car(image: np.ndarray, mask: np.ndarray, look: Look, phase: float) -> None:
    dark = tuple(int(c * 0.6) for c in look.main)
    body = [(0.01, 0.50), (0.20, 0.42), (0.99, 0.42), (0.99, 0.82), (0.01, 0.82)]
    roof = [(0.20, 0.44), (0.32, 0.02), (0.74, 0.02), (0.90, 0.44)]
    _fill(image, mask, body, look.main)
    _fill(image, mask, roof, look.main)
    _fill(image, mask, [(0.25, 0.42), (0.34, 0.09), (0.51, 0.09), (0.51, 0.42)], look.second)
    _fill(image, mask, [(0.54, 0.42), (0.54, 0.09), (0.72, 0.09), (0.84, 0.42)], look.second)
    _fill(image, mask, [(0.01, 0.70), (0.99, 0.70), (0.99, 0.84), (0.01, 0.84)], dark)  # type: ignore[arg-type]
    _fill(image, mask, [(0.01, 0.52), (0.05, 0.52), (0.05, 0.62), (0.01, 0.62)], (60, 60, 230))
    _fill(image, mask, [(0.94, 0.50), (0.99, 0.50), (0.99, 0.60), (0.94, 0.60)], (210, 250, 250))
    for x in (0.22, 0.78):
        _disc(image, mask, x, 0.81, 0.185, (25, 25, 25))
        _disc(image, mask, x, 0.81, 0.10, (150, 150, 150))
        _disc(image, mask, x + 0.022 * np.cos(phase), 0.81 + 0.06 * np.sin(phase), 0.025, (60, 60, 60))


def _pedestrian(image: np.ndarray, mask: np.ndarray, look: Look, phase: float) -> None:
    swing = np.sin(phase)
    back = tuple(int(c * 0.75) for c in look.second)
    for side, colour in ((-1, back), (1, look.second)):
        foot = 0.5 + side * 0.26 * swing
        lift = 0.985 - 0.05 * max(0.0, side * np.cos(phase))
        leg = [(0.40, 0.50), (0.60, 0.50), (foot + 0.09, lift), (foot - 0.09, lift)]
        _fill(image, mask, leg, colour)  # type: ignore[arg-type]
        _fill(image, mask, [(foot - 0.09, lift - 0.03), (foot + 0.16, lift), (foot - 0.09, lift)], (30, 30, 35))
    arm = 0.5 - 0.24 * swing
    _fill(image, mask, [(0.33, 0.17), (0.67, 0.17), (0.71, 0.36), (0.64, 0.56), (0.36, 0.56), (0.29, 0.36)], look.main)
    sleeve = tuple(int(c * 0.82) for c in look.main)
    _fill(image, mask, [(0.44, 0.20), (0.56, 0.20), (arm + 0.06, 0.48), (arm - 0.06, 0.48)], sleeve)  # type: ignore[arg-type]
    _disc(image, mask, arm, 0.49, 0.025, look.skin)
    _disc(image, mask, 0.5, 0.085, 0.075, look.skin)
    _fill(image, mask, [(0.39, 0.08), (0.42, 0.0), (0.58, 0.0), (0.61, 0.08), (0.5, 0.055)], (35, 40, 50))
