"""Pictures of what happened: where objects were for how long, which ways they took, and where they flow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tracker.answers.flows import Flows
from tracker.answers.ground import GroundPlane
from tracker.answers.overlay import Overlay
from tracker.answers.scene import Size
from tracker.answers.ways import Way

FONT = cv2.FONT_HERSHEY_SIMPLEX
GATE = 13
"""Radius of a gate's circle, pixels."""
BIRDS_EYE = 1000
"""Pixels of the longer side of the ground seen from above."""
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


def drawn_scene(background: np.ndarray | None, overlay: Overlay, size: Size) -> np.ndarray:
    """The place with its lines, zones and counts."""
    image = np.full((size[1], size[0], 3), 60, np.uint8) if background is None else cv2.resize(background, size)
    overlay.draw(image)
    scale = min(1.0, WIDEST / size[0])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


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


def duration(seconds: float) -> str:
    """Two digits that tell something, whatever the length: `140 s`, `2.5 s`, `180 ms`, `0.6 ms`."""
    number, unit = (seconds, "s") if seconds >= 1 else (1e3 * seconds, "ms")
    rounded = float(f"{number:.2g}")
    return (
        f"{rounded:.0f} {unit}" if rounded >= 10 else f"{rounded:.1g} {unit}" if rounded < 1 else f"{rounded:g} {unit}"
    )


def _scale_bar(image: np.ndarray, most: float, least: float) -> None:
    """Colours and their seconds a cell, in the lower left corner."""
    high = image.shape[0]
    if high < 80 or image.shape[1] < 80:
        return  # no room
    tall, left, bottom = high // 4, 14, high - 14
    ramp = cv2.applyColorMap(np.linspace(255, 0, tall).astype(np.uint8)[:, None], cv2.COLORMAP_TURBO)
    told = {share: duration(least * (most / least) ** share) for share in (0.0, 0.5, 1.0)}
    wide = max(cv2.getTextSize(text, FONT, 0.45, 1)[0][0] for text in told.values())
    image[bottom - tall - 6 : bottom + 6, left - 6 : left + 26 + wide] //= 4  # apart from what lies behind
    image[bottom - tall : bottom, left : left + 14] = ramp
    for share, text in told.items():
        _text(image, text, left + 20, int(bottom - share * (tall - 10)), 0.45)


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


def _direction_colour(vector: np.ndarray, value: int = 255) -> tuple[int, int, int]:
    hue = int(np.degrees(np.arctan2(vector[1], vector[0])) % 360 / 2)
    b, g, r = cv2.cvtColor(np.array([[[hue, 190, value]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def flow_picture(background: np.ndarray | None, flows: Flows, size: Size) -> np.ndarray:
    """Flows as arrows as wide as they are large, with their counts, and the gates they join.

    Where none was found the picture says so.
    """
    image, scale = canvas(background, size)
    if not flows.flows:
        text, high = "no flow found: too few objects took the same way", image.shape[0]
        factor = min(0.8, 0.9 * image.shape[1] / max(1, cv2.getTextSize(text, FONT, 1.0, 1)[0][0]))
        _text(image, text, round(0.04 * image.shape[1]), round(high / 2), factor)
        return image
    most = max(f.count for f in flows.flows)
    gates = {g.name: _kept_within(np.round(g.place * scale), image) for g in flows.gates}
    for number, flow in reversed(list(enumerate(flows.flows))):
        width = max(2, round(min(image.shape[:2]) / 60 * flow.count / most))
        points = _between(flow.middle * scale, gates[flow.destination], GATE + 2.5 * width)
        cv2.polylines(image, [np.round(points).astype(np.int32)], False, _palette(number), width, cv2.LINE_AA)
        _arrow_head(image, points, _palette(number), width)
    for x, y in gates.values():
        cv2.circle(image, (x, y), GATE, (255, 255, 255), -1, cv2.LINE_AA)
    for name, (x, y) in gates.items():
        cv2.putText(image, name, (x - 7, y + 7), FONT, 0.65, (0, 0, 0), 2, cv2.LINE_AA)
    for flow in flows.flows:
        x, y = np.round(flow.middle[len(flow.middle) // 2] * scale).astype(int).tolist()
        _badge(image, str(flow.count), x, y)
    return image


def _kept_within(place: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """The centre of a gate's circle that lies in the picture whole."""
    x, y = np.clip(place, GATE + 1, np.array(image.shape[1::-1]) - GATE - 1).astype(int).tolist()
    return x, y


def _between(middle: np.ndarray, end: tuple[int, int], away: float) -> np.ndarray:
    """A flow's middle line (N,2) up to a distance from its end's circle, so that the arrow's head is seen."""
    near = np.linalg.norm(middle - end, axis=1) < away
    kept = len(near) - int(np.argmin(near[::-1])) if near[-1] else len(near)
    return middle[: max(2, kept)]


def _badge(image: np.ndarray, text: str, x: int, y: int) -> None:
    """White text on a dark bar, centred at a place."""
    (w, h), _ = cv2.getTextSize(text, FONT, 0.6, 1)
    cv2.rectangle(image, (x - w // 2 - 6, y - h // 2 - 6), (x + w // 2 + 6, y + h // 2 + 6), (25, 25, 25), -1)
    cv2.putText(image, text, (x - w // 2, y + h // 2), FONT, 0.6, (255, 255, 255), 1, cv2.LINE_AA)


def _palette(number: int) -> tuple[int, int, int]:
    hue = int(number * 0.61803398875 % 1 * 180)
    b, g, r = cv2.cvtColor(np.array([[[hue, 150, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def _arrow_head(image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    tip, before = points[-1].astype(float), points[max(0, len(points) - 4)].astype(float)
    along = tip - before
    norm = float(np.linalg.norm(along))
    if norm < 1:
        return
    along /= norm
    across, reach = np.array([-along[1], along[0]]), 2.2 * width + 4
    corners = np.array([tip + 0.8 * reach * along, tip + 0.6 * reach * across, tip - 0.6 * reach * across])
    cv2.fillPoly(image, [np.round(corners).astype(np.int32)], colour, cv2.LINE_AA)


def birds_eye(plane: GroundPlane, ways: Sequence[Way]) -> np.ndarray:
    """The ways on the calibrated ground, seen from above, with a grid of metres.

    The longer side lies across, so that a long piece of road is no tower: then the first corner is at the lower left,
    else at the upper left.
    """
    width, length = plane.sides_m
    turned, margin = length > width, 44
    across, down = (length, width) if turned else (width, length)
    scale = BIRDS_EYE / across
    image = np.full((round(down * scale) + 2 * margin, round(across * scale) + 2 * margin, 3), 250, np.uint8)
    right, bottom = image.shape[1] - margin, image.shape[0] - margin
    step = _grid_step(across)
    for metres in np.arange(0, across + 1e-9, step):
        x = round(margin + metres * scale)
        cv2.line(image, (x, margin), (x, bottom), (222, 222, 222), 1)
        _text(image, f"{metres:g}", x - 6, bottom + 22, 0.5, (90, 90, 90), halo=False)
    for metres in np.arange(0, down + 1e-9, step):
        y = round(bottom - metres * scale if turned else margin + metres * scale)
        cv2.line(image, (margin, y), (right, y), (222, 222, 222), 1)
        _text(image, f"{metres:g}", 8, y + 5, 0.5, (90, 90, 90), halo=False)
    _text(image, "m", right + 14, bottom + 22, 0.5, (90, 90, 90), halo=False)
    for way in ways:
        points = way.points[:, :2].astype(np.float64)
        inside = np.flatnonzero(plane.contains(points))
        for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1):
            if len(run) > 1:
                places = plane.metres(points[run]) * scale
                places = np.column_stack([places[:, 1], bottom - margin - places[:, 0]]) if turned else places
                drawn, went = np.round(places + margin).astype(np.int32), places[-1] - places[0]
                cv2.polylines(image, [drawn], False, _direction_colour(went, 170), 2, cv2.LINE_AA)
    cv2.rectangle(image, (margin, margin), (right, bottom), (120, 120, 120), 1)
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
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)) if halo else ():  # thicker letters would be wider, too
        cv2.putText(image, text, (x + dx, y + dy), FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(image, text, (x, y), FONT, scale, colour, 1, cv2.LINE_AA)
