"""Places and speeds on the ground, from four points whose distances are known."""

from __future__ import annotations

import math

import numpy as np
import shapely

from tracker.answers.memory import Columns, Memory
from tracker.answers.scene import UNITS, Ground

WINDOW_S = 0.5
"""A speed is measured over this many seconds before a moment and as many after it, as far as they are known."""
SPACING_S = 0.03
"""Least seconds between two samples of a track's way."""
SAMPLES = 36
SHORTEST_S = 0.2
"""Least seconds between the first and the last sample of a measurement."""
SAME_SHAPE = 0.08
"""Largest relative difference of a box's width by height from the usual one of its track."""
STEP_M = 0.5
"""A way is measured in steps of at least this length, so that the trembling of boxes adds none."""
BORDER = 0.01
"""Share of the frame's shorter side from its border within which a box touches it: its foot point may lie outside.
Written boxes are smoothed and lag a little behind the border."""


class GroundPlane:
    """The map from pixels to metres on the ground, and what was measured on it of each track.

    Parameters
    ----------
    ground : Ground
        Four points and two sides.
    size : tuple[int, int]
        (width, height) of the frames, pixels.
    """

    def __init__(self, ground: Ground, size: tuple[int, int]) -> None:
        self.unit, self.sides_m, self._size = ground.unit, ground.sides_m, np.array(size, float)
        self.points = ground.points * self._size
        width, length = ground.sides_m
        self.corners_m = np.array([[0, 0], [width, 0], [width, length], [0, length]], float)
        self.map = homography(self.points, self.corners_m)
        # A line is often drawn along an edge: a foot point a pixel beyond still counts as inside.
        self._inside = shapely.Polygon(self.points).buffer(1.0)
        shapely.prepare(self._inside)

    def columns(self) -> Columns:
        """The latest samples of a track's way in metres, how many there were, and how far and how long it went."""
        return {
            "sample_s": ((SAMPLES,), -np.inf), "sample_m": ((SAMPLES, 2), 0.0), "shape": ((SAMPLES,), 1.0),
            "samples": ((), 0),
            "anchor_m": ((2,), np.nan), "metres": ((), 0.0), "measured_s": ((), 0.0), "anchor_s": ((), 0.0),
        }  # fmt: skip

    def follow(self, memory: Memory, old: int, new: int) -> None:
        """A track goes on for another: what is known of its way tells its speed."""
        memory.copy(("sample_s", "sample_m", "shape", "samples"), old, new)

    def metres(self, points: np.ndarray) -> np.ndarray:
        """Pixels (N,2) to metres (N,2)."""
        mapped: np.ndarray = np.column_stack([points, np.ones(len(points))]) @ self.map.T
        places: np.ndarray = mapped[:, :2] / mapped[:, 2:]
        return places

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool: pixels inside the quadrilateral."""
        inside: np.ndarray = shapely.contains_xy(self._inside, points[:, 0], points[:, 1])
        return inside

    def update(self, memory: Memory, rows: np.ndarray, foot: np.ndarray, xyxy: np.ndarray, time_s: float) -> None:
        """Take samples of the tracks that stand on the ground inside and whose boxes (N,4) are whole."""
        border = BORDER * self._size.min()
        whole = (xyxy[:, :2] > border).all(axis=1) & (xyxy[:, 2:] < self._size - border).all(axis=1)
        good = whole & self.contains(foot)
        memory["anchor_m"][rows[~good]] = np.nan
        rows = rows[good]
        if not len(rows):
            return
        places = self.metres(foot[good])
        count = memory["samples"][rows]
        due = time_s - memory["sample_s"][rows, (count - 1) % SAMPLES] >= SPACING_S
        at, slot = rows[due], count[due] % SAMPLES
        memory["sample_s"][at, slot], memory["sample_m"][at, slot] = time_s, places[due]
        memory["shape"][at, slot] = ((xyxy[:, 2] - xyxy[:, 0]) / (xyxy[:, 3] - xyxy[:, 1]))[good][due]
        memory["samples"][at] += 1
        self._walk(memory, rows, places, time_s)

    def _walk(self, memory: Memory, rows: np.ndarray, places: np.ndarray, time_s: float) -> None:
        anchor = memory["anchor_m"][rows]
        step = np.linalg.norm(places - anchor, axis=1)
        fresh = np.isnan(step)
        far = step >= STEP_M
        memory["metres"][rows[far]] += step[far]
        memory["measured_s"][rows[far]] += time_s - memory["anchor_s"][rows[far]]
        moved = fresh | far
        memory["anchor_m"][rows[moved]], memory["anchor_s"][rows[moved]] = places[moved], time_s

    def speed(self, memory: Memory, row: int, time_s: float, x: float, y: float) -> float | None:
        """Of a track at a moment and a place (pixels), in the ground's unit; None where it cannot be measured."""
        if not shapely.contains_xy(self._inside, x, y):
            return None
        times, places = memory["sample_s"][row], memory["sample_m"][row]
        near = np.abs(times - time_s) <= WINDOW_S
        # What hides a part of an object shifts its foot point: samples of another shape than most are left out.
        shapes = memory["shape"][row]
        known = np.sort(shapes[: memory["samples"][row]])
        usual = float(known[len(known) // 2]) if len(known) else 1.0
        whole = near & (np.abs(shapes / usual - 1) <= SAME_SHAPE)
        t, at = times[whole], places[whole]
        if not _enough(t):
            t, at = times[near], places[near]
            if not _enough(t):
                return None
        t = t - t.mean()
        vx, vy = (t @ at / (t @ t)).tolist()
        return math.hypot(vx, vy) * UNITS[self.unit]


def _enough(times: np.ndarray) -> bool:
    return len(times) >= 3 and float(times.max() - times.min()) >= SHORTEST_S


def homography(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The (3,3) map that takes four points (4,2) to four others, by its eight linear equations."""
    rows = []
    for (x, y), (u, v) in zip(points, targets, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), targets.reshape(-1)), 1.0).reshape(3, 3)
