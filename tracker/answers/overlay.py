"""A scene drawn on frames, with what was counted so far; and objects made unrecognisable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from tracker.answers.counts import Counts
from tracker.answers.scene import Size
from tracker.core.types import Tracks

FONT = cv2.FONT_HERSHEY_SIMPLEX
LINE, ZONE, IGNORED, GROUND = (60, 220, 255), (255, 200, 80), (130, 130, 130), (120, 220, 120)
"""BGR colours of lines, zones, ignored areas and the calibrated ground."""
BLOCKS = 8
"""Pixels of a blurred box's shorter side: too few to know anyone by."""


class Overlay:
    """Draws lines with their counts, zones, ignored areas and the ground.

    Parameters
    ----------
    counts : Counts
        Of the scene to draw; read anew for every frame.
    size : Size
        (width, height) of the frames, pixels.
    """

    def __init__(self, counts: Counts, size: Size) -> None:
        self._counts, self._size = counts, size
        self._scale = max(0.4, min(size) / 1300)
        self._width = max(1, round(min(size) / 360))

    def draw(self, image: np.ndarray) -> None:
        """Draw on an image uint8 (H,W,3) BGR, in place."""
        scene = self._counts.scene
        for zone in scene.ignored:
            self._polygon(image, zone.points, IGNORED)
        if scene.ground is not None:
            self._polygon(image, scene.ground.points, GROUND)
        for zone in scene.zones:
            self._polygon(image, zone.points, ZONE)
        for line in scene.lines:
            start, end = (tuple(p) for p in self._pixels(line.points))
            cv2.line(image, start, end, LINE, self._width + 1, cv2.LINE_AA)
            cv2.circle(image, start, 2 * self._width + 1, LINE, -1, cv2.LINE_AA)
            self._arrow(image, line.points * self._size)
        self._names(image)

    def _names(self, image: np.ndarray) -> None:
        """What all is called, and the counts: over all shapes, so that none strikes a name out."""
        scene = self._counts.scene
        for zone in scene.ignored:
            self._label(image, f"ignored: {zone.name}", self._upper(zone.points), IGNORED)
        for zone in scene.zones:
            self._label(image, zone.name, self._upper(zone.points), ZONE)
        totals: Counter[tuple[str, str]] = Counter()
        for (line_name, direction, _), count in self._counts.crossings.items():
            totals[line_name, direction] += count
        for line in scene.lines:
            told = "   ".join(f"{d}: {totals[line.name, d]}" for d in line.directions)
            self._label(image, f"{line.name}   {told}", line.points[0], LINE, away_from=line.points[1])

    def _arrow(self, image: np.ndarray, points: np.ndarray) -> None:
        """At the middle of a line, towards the right hand of one who looks along it: the first of its directions."""
        along = points[1] - points[0]
        right = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-9)
        middle, reach = points.mean(axis=0), 14 * self._width
        start, tip = (tuple(np.round(p).astype(int).tolist()) for p in (middle, middle + reach * right))
        cv2.arrowedLine(image, start, tip, LINE, self._width + 1, cv2.LINE_AA, tipLength=0.45)

    def _upper(self, points: np.ndarray) -> np.ndarray:
        """The middle of an area's upper edge (shares): there its name hides least of what is inside."""
        top = points[:, 1].min()
        near = points[points[:, 1] <= top + 0.1 * np.ptp(points[:, 1])]
        return np.array([near[:, 0].mean(), top])

    def _pixels(self, points: np.ndarray) -> list[list[int]]:
        return np.round(points * self._size).astype(int).tolist()  # type: ignore[no-any-return]

    def _polygon(self, image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> None:
        corners = [np.array(self._pixels(points), np.int32)]
        cv2.polylines(image, corners, True, colour, self._width, cv2.LINE_AA)

    def _label(
        self,
        image: np.ndarray,
        text: str,
        place: np.ndarray,
        colour: tuple[int, int, int],
        away_from: np.ndarray | None = None,
    ) -> None:
        """Dark text on a bar of the shape's colour, centred at a place (shares) and kept within the frame.

        Where it shall keep `away_from` another place it stands on the far side of its own: nothing that crosses a line
        is hidden by what the line is called.
        """
        (w, h), below = cv2.getTextSize(text, FONT, self._scale, 1)
        pad = max(2, h // 3)
        x, y = (place * self._size).tolist()
        if away_from is not None:
            dx, dy = ((place - away_from) * self._size).tolist()
            reach = min((w / 2 + 3 * pad) / max(abs(dx), 1e-9), (h / 2 + 4 * pad) / max(abs(dy), 1e-9))
            x, y = x + reach * dx, y + reach * dy + h / 2
        left = int(np.clip(x - w / 2, pad, max(pad, self._size[0] - w - pad)))
        top = int(np.clip(y - h - 2 * pad, pad, max(pad, self._size[1] - h - below - pad)))
        cv2.rectangle(image, (left - pad, top - pad), (left + w + pad, top + h + below + pad), colour, -1)
        cv2.putText(image, text, (left, top + h), FONT, self._scale, (0, 0, 0), 1, cv2.LINE_AA)


def blur(image: np.ndarray, tracks: Tracks, which: Sequence[bool]) -> None:
    """Pixelate the boxes of tracks in a mask (T,), in place, with a margin: what a box cuts off is known by, too."""
    height, width = image.shape[:2]
    for x1, y1, x2, y2 in tracks.xyxy[np.asarray(which, bool)].tolist():
        margin = 0.08 * max(x2 - x1, y2 - y1) + 2
        left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
        right, bottom = min(width, int(x2 + margin) + 1), min(height, int(y2 + margin) + 1)
        if right <= left or bottom <= top:
            continue
        part = image[top:bottom, left:right]
        step = min(part.shape[:2]) / BLOCKS
        small = (max(1, round(part.shape[1] / max(step, 1))), max(1, round(part.shape[0] / max(step, 1))))
        coarse = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        image[top:bottom, left:right] = cv2.resize(coarse, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
