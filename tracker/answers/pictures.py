"""Pictures of what happened: where objects were for how long, which ways they took, and where they flow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tracker.answers.flows import Flows
from tracker.answers.ground import GroundPlane
from tracker.answers.scene import Size
from tracker.answers.ways import Way

FONT = cv2.FONT_HERSHEY_SIMPLEX
WIDEST = 1280
"""Pixels of a picture's width; a larger frame is scaled down."""


def canvas(background: np.ndarray | None, size: Size, shade: float = 0.55) -> tuple[np.ndarray, float]:
    """A dark grey copy of the background to draw on, uint8 (H,W,3), and its scale to the frame's pixels."""
    scale = min(1.0, WIDEST / size[0])
    wide, high = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    if background is None:
        return np.full((high, wide, 3), 40, np.uint8), scale
    grey = cv2.cvtColor(cv2.resize(background, (wide, high), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return cv2.cvtColor(np.asarray(grey * shade, np.uint8), cv2.COLOR_GRAY2BGR), scale


def heatmap(background: np.ndarray | None, heat: np.ndarray, size: Size) -> np.ndarray:
    """How long objects were where, logarithmic, over the background; a scale of seconds stands at the side."""
    image, _ = canvas(background, size)
    high, wide = image.shape[:2]
    smooth = cv2.GaussianBlur(heat.astype(np.float32), (0, 0), 1.5)
    most = float(smooth.max())
    if most <= 0:
        return image
    least = most / 300
    level = np.clip(np.log(np.maximum(smooth, least) / least) / np.log(most / least), 0, 1)
    large = cv2.resize(level, (wide, high), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(np.asarray(large * 255, np.uint8), cv2.COLORMAP_TURBO).astype(np.float32)
    alpha = np.clip(1.6 * large, 0, 0.85)[..., None]
    mixed = np.asarray(image * (1 - alpha) + colours * alpha, np.uint8)
    _scale_bar(mixed, most, least)
    return mixed


def _scale_bar(image: np.ndarray, most: float, least: float) -> None:
    """Colours and their seconds a cell, in the lower left corner."""
    high = image.shape[0]
    if high < 80 or image.shape[1] < 80:
        return  # no room
    tall, left, bottom = high // 4, 14, high - 14
    ramp = cv2.applyColorMap(np.linspace(255, 0, tall).astype(np.uint8)[:, None], cv2.COLORMAP_TURBO)
    image[bottom - tall : bottom, left : left + 14] = ramp
    for share in (0.0, 0.5, 1.0):
        seconds = least * (most / least) ** share
        y = int(bottom - share * (tall - 10))
        _text(image, f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds:.2f} s", left + 20, y, 0.45)


def paths(background: np.ndarray | None, ways: Sequence[Way], size: Size) -> np.ndarray:
    """The ways of objects, coloured by the direction they went; a wheel in the corner tells which."""
    image, scale = canvas(background, size)
    layer = image.copy()
    for way in ways:
        points = np.round(way.points[:, :2] * scale).astype(np.int32)
        colour = _direction_colour(way.points[-1, :2] - way.points[0, :2])
        cv2.polylines(layer, [points], False, colour, 2, cv2.LINE_AA)
        cv2.circle(layer, tuple(points[-1].tolist()), 3, colour, -1, cv2.LINE_AA)
    image = cv2.addWeighted(layer, 0.75, image, 0.25, 0)
    radius = max(16, image.shape[0] // 22)
    centre = np.array([radius + 12, image.shape[0] - radius - 12])
    for angle in range(0, 360, 10):
        vector = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        end = tuple(np.round(centre + radius * vector).astype(int).tolist())
        cv2.line(image, tuple(centre.tolist()), end, _direction_colour(vector), 3, cv2.LINE_AA)
    return image


def _direction_colour(vector: np.ndarray) -> tuple[int, int, int]:
    hue = int(np.degrees(np.arctan2(vector[1], vector[0])) % 360 / 2)
    b, g, r = cv2.cvtColor(np.array([[[hue, 190, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def flow_picture(background: np.ndarray | None, flows: Flows, size: Size) -> np.ndarray:
    """Flows as arrows as wide as they are large, with their counts, and the gates they join."""
    image, scale = canvas(background, size)
    most = max((f.count for f in flows.flows), default=1)
    for number, flow in reversed(list(enumerate(flows.flows))):
        colour = _palette(number)
        points = np.round(flow.middle * scale).astype(np.int32)
        width = max(2, round(min(image.shape[:2]) / 40 * flow.count / most))
        cv2.polylines(image, [points], False, colour, width, cv2.LINE_AA)
        _arrow_head(image, points, colour, width)
    for number, flow in enumerate(flows.flows):
        x, y = np.round(flow.middle[len(flow.middle) * 3 // 5] * scale).astype(int).tolist()
        _text(image, str(flow.count), x, y, 0.7, _palette(number))
    for gate in flows.gates:
        x, y = np.round(gate.place * scale).astype(int).tolist()
        x, y = min(max(x, 14), image.shape[1] - 14), min(max(y, 14), image.shape[0] - 14)
        cv2.circle(image, (x, y), 13, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.putText(image, gate.name, (x - 7, y + 7), FONT, 0.65, (0, 0, 0), 2, cv2.LINE_AA)
    return image


def _palette(number: int) -> tuple[int, int, int]:
    hue = int(number * 0.61803398875 % 1 * 180)
    b, g, r = cv2.cvtColor(np.array([[[hue, 150, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def _arrow_head(image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    tip, before = points[-1].astype(float), points[-4].astype(float)
    along = tip - before
    norm = float(np.linalg.norm(along))
    if norm < 1:
        return
    along /= norm
    across, reach = np.array([-along[1], along[0]]), 2.2 * width + 4
    corners = np.array([tip + 0.8 * reach * along, tip + 0.6 * reach * across, tip - 0.6 * reach * across])
    cv2.fillPoly(image, [np.round(corners).astype(np.int32)], colour, cv2.LINE_AA)


def birds_eye(plane: GroundPlane, ways: Sequence[Way]) -> np.ndarray:
    """The ways on the calibrated ground, seen from above, with a grid of metres."""
    width, length = plane.sides_m
    margin = 40
    scale = min(900 / width, 900 / length)
    image = np.full((round(length * scale) + 2 * margin, round(width * scale) + 2 * margin, 3), 250, np.uint8)
    step = _grid_step(max(width, length))
    for metres in np.arange(0, width + 1e-9, step):
        x = round(margin + metres * scale)
        cv2.line(image, (x, margin), (x, image.shape[0] - margin), (222, 222, 222), 1)
        _text(image, f"{metres:g}", x - 6, image.shape[0] - margin + 18, 0.4, (90, 90, 90), halo=False)
    for metres in np.arange(0, length + 1e-9, step):
        y = round(margin + metres * scale)
        cv2.line(image, (margin, y), (image.shape[1] - margin, y), (222, 222, 222), 1)
        _text(image, f"{metres:g}", 4, y + 4, 0.4, (90, 90, 90), halo=False)
    for way in ways:
        points = way.points[:, :2].astype(np.float64)
        inside = plane.contains(points)
        for run in np.split(np.flatnonzero(inside), np.flatnonzero(np.diff(np.flatnonzero(inside)) > 1) + 1):
            if len(run) > 1:
                places = np.round(plane.metres(points[run]) * scale + margin).astype(np.int32)
                cv2.polylines(image, [places], False, _direction_colour(places[-1] - places[0]), 2, cv2.LINE_AA)
    corner = (image.shape[1] - margin, image.shape[0] - margin)
    cv2.rectangle(image, (margin, margin), corner, (120, 120, 120), 1)
    return image


def _grid_step(metres: float) -> float:
    """A round number of metres that divides a length into about eight."""
    rough = metres / 8
    power = 10.0 ** np.floor(np.log10(rough))
    return float(min((1, 2, 5, 10), key=lambda k: abs(k * power - rough)) * power)


def _text(
    image: np.ndarray, text: str, x: int, y: int, scale: float, colour: tuple[int, int, int] = (255, 255, 255),
    *, halo: bool = True,
) -> None:  # fmt: skip
    if halo:
        cv2.putText(image, text, (x, y), FONT, scale, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, (x, y), FONT, scale, colour, 1, cv2.LINE_AA)
