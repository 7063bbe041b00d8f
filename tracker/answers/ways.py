"""Where objects went: their ways as polylines, and how long they were where; both in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.answers.events import ObjectRow
from tracker.answers.memory import Columns, Memory
from tracker.answers.scene import Size

STEP = 0.25
"""A way gets a point where its object has gone this share of its height, and at least `LEAST_STEP` pixels."""
LEAST_STEP = 3.0
RECENT_S = 0.3
"""Seconds over which a track's present velocity is told."""
MOST_POINTS = 128
MOST_WAYS = 3000
"""The latest ways are kept: enough for a picture and for finding flows."""
CELLS = 180
"""Cells of the heat map along the frame's shorter side."""


Point = tuple[float, float, float]
"""x and y in pixels, and the second."""


@dataclass(frozen=True, slots=True)
class Way:
    """The foot points of an object, (N,3) float32: x, y in pixels and the second; `height` of its boxes, their mean."""

    id: int
    class_name: str
    points: np.ndarray
    height: float


class Ways:
    """Ways of the objects that count.

    Parameters
    ----------
    size : Size
        (width, height) of the frames, pixels.
    lowest : float
        Pixels from the frame's upper border below which a box counts as cut off.

    Attributes
    ----------
    done : deque[Way]
        Of objects that are over, the latest.
    heat : (H,W) ndarray of float64
        Seconds that objects spent in each cell of `cell` pixels.
    """

    def __init__(self, size: Size, lowest: float) -> None:
        self.cell = max(1, round(min(size) / CELLS))
        self.heat = np.zeros((size[1] // self.cell + 1, size[0] // self.cell + 1))
        self.done: deque[Way] = deque(maxlen=MOST_WAYS)
        self._lowest = lowest
        self._open: dict[int, list[Point]] = {}

    def columns(self) -> Columns:
        """Where the way of each track got its last point."""
        return {"way": ((2,), np.inf)}

    def update(self, memory: Memory, rows: np.ndarray, foot: np.ndarray, height: np.ndarray, time_s: float) -> None:
        """Add the foot points (N,2) of tracks that have gone far enough."""
        step = np.abs(foot - memory["way"].take(rows, axis=0))
        gone = np.maximum(step[:, 0], step[:, 1]) >= np.maximum(STEP * height, LEAST_STEP)
        memory["way"][rows[gone]] = foot[gone]
        for track, (x, y) in zip(memory.id[rows[gone]].tolist(), foot[gone].tolist(), strict=True):
            points = self._open.setdefault(track, [])
            points.append((x, y, time_s))
            if len(points) > MOST_POINTS:
                points[1:-1] = points[2:-1:2]

    def follow(self, old: int, new: int) -> None:
        """A track (its id) goes on for another: their ways are one."""
        if old in self._open:
            self._open[new] = self._open.pop(old)

    def velocity(self, track: int, foot: Sequence[float], time_s: float) -> tuple[float, float]:
        """Pixels a second of a track that is at `foot` at a moment, over the last `RECENT_S`; 0 without a way."""
        points = self._open.get(track)
        if not points:
            return 0.0, 0.0
        x, y, since_s = next((p for p in reversed(points) if p[2] <= time_s - RECENT_S), points[0])
        took = time_s - since_s
        return ((foot[0] - x) / took, (foot[1] - y) / took) if took > 0 else (0.0, 0.0)

    def end(self, row: ObjectRow, height: float) -> None:
        """An object is over: its way is kept where it counts."""
        points = self._open.pop(row.id, [])
        if not row.counted or not points:
            return
        points = self._standing_in_picture([*points, (*row.end, row.last_s)])
        way = Way(row.id, row.class_name, np.array(points, np.float32), height)
        self.done.append(way)
        self._warm(way.points)

    def _standing_in_picture(self, points: list[Point]) -> list[Point]:
        """A way without its beginning and end where the lower border of the picture cuts boxes off.

        There the middle of a box's lower side is not where the object stands. One that is always cut off is left as it
        is.
        """
        whole = [n for n, (_, y, _) in enumerate(points) if y < self._lowest]
        return points[whole[0] : whole[-1] + 1] if len(whole) > 1 else points

    def _warm(self, points: np.ndarray) -> None:
        """Add the seconds between points to the cells along the way from one to the next."""
        for (x0, y0, t0), (x1, y1, t1) in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
            count = int(max(abs(x1 - x0), abs(y1 - y0)) / self.cell) + 1
            share = (np.arange(count) + 0.5) / count
            column = np.clip((x0 + share * (x1 - x0)) / self.cell, 0, self.heat.shape[1] - 1).astype(int)
            row = np.clip((y0 + share * (y1 - y0)) / self.cell, 0, self.heat.shape[0] - 1).astype(int)
            np.add.at(self.heat, (row, column), (t1 - t0) / count)
