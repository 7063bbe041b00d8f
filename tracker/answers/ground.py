"""Places and speeds on the ground, from four points whose distances are known."""

from __future__ import annotations

import math

import numpy as np

from tracker.answers.memory import Columns, Memory
from tracker.answers.scene import UNITS, Ground

WINDOW_S = 0.5
"""A speed is measured over this many seconds before a moment and as many after it, as far as they are known."""
SAMPLES = 24
"""Latest samples of a track's way that are kept: a little more than two such windows hold."""
SHORTEST_S = 0.15
"""Least seconds between the first and the last sample of a measurement."""
SAME_SHAPE = 0.08
"""Largest relative difference of a box's width by height from the usual one of its track."""
STEP_M = 0.5
"""A way is measured in steps of at least this length, so that the trembling of boxes adds none."""
SLACK = 1.0
"""Pixels beyond a side of the ground that are still inside: a line is often drawn along an edge."""
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
        self._inward, self._least = _half_planes(self.points)
        self._sides = list(zip(self._inward.tolist(), self._least.tolist(), strict=True))
        border = BORDER * self._size.min()
        # A box is whole, and stands inside, where its corners keep eight inequalities.
        foot = np.array([[0.5, 0, 0.5, 0], [0, 0, 0, 1]])
        self._good = np.concatenate([self._inward @ foot, np.diag([1.0, 1, -1, -1])]).T
        self._limits = np.concatenate([self._least, [border, border], border - self._size])

    def columns(self) -> Columns:
        """The latest samples of a track's way in metres, how many there were, and how far and how long it went."""
        return {
            "sample_s": ((SAMPLES,), -np.inf), "sample_m": ((SAMPLES, 2), 0.0), "shape": ((SAMPLES,), 1.0),
            "samples": ((), 0),
            "anchor_m": ((2,), np.nan), "metres": ((), 0.0), "measured_s": ((), 0.0), "anchor_s": ((), 0.0),
        }  # fmt: skip

    def metres(self, points: np.ndarray) -> np.ndarray:
        """Pixels (N,2) to metres (N,2)."""
        mapped: np.ndarray = points @ self.map[:, :2].T + self.map[:, 2]
        places: np.ndarray = mapped[:, :2] / mapped[:, 2:]
        return places

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool: pixels inside the quadrilateral, or at most `SLACK` beyond a side."""
        inside: np.ndarray = (points @ self._inward.T >= self._least).all(axis=1)
        return inside

    def update(self, memory: Memory, rows: np.ndarray, foot: np.ndarray, xyxy: np.ndarray, time_s: float) -> None:
        """Take samples of the tracks that stand on the ground inside and whose boxes (N,4) are whole."""
        good = np.logical_and.reduce(xyxy @ self._good > self._limits, axis=1)
        if np.count_nonzero(good) < len(good):
            memory["anchor_m"][rows[~good]] = np.nan
            rows, foot, xyxy = rows[good], foot[good], xyxy[good]
            if not len(rows):
                return
        places, count = self.metres(foot), memory["samples"][rows]
        # A box that stays to the last digit is that of a picture that repeats: it tells of an earlier moment.
        latest = memory["sample_m"][rows, (count - 1) % SAMPLES]
        fresh = (latest[:, 0] != places[:, 0]) | (latest[:, 1] != places[:, 1])
        if np.count_nonzero(fresh) < len(fresh):
            rows, places, count, xyxy = rows[fresh], places[fresh], count[fresh], xyxy[fresh]
        self._walk(memory, rows, places, time_s)
        sides, slot = xyxy[:, 2:] - xyxy[:, :2], count % SAMPLES
        memory["sample_s"][rows, slot], memory["sample_m"][rows, slot] = time_s, places
        memory["shape"][rows, slot] = sides[:, 0] / sides[:, 1]
        memory["samples"][rows] = count + 1

    def _walk(self, memory: Memory, rows: np.ndarray, places: np.ndarray, time_s: float) -> None:
        anchor = memory["anchor_m"][rows]
        step = np.hypot(*(places - anchor).T)
        moved = ~(step < STEP_M)  # or fresh, where there is no step yet
        rows, step = rows[moved], step[moved]
        memory["anchor_m"][rows] = places[moved]
        known = ~np.isnan(step)
        memory["metres"][rows] += np.where(known, step, 0)
        memory["measured_s"][rows] += np.where(known, time_s - memory["anchor_s"][rows], 0)
        memory["anchor_s"][rows] = time_s

    def speed(self, memory: Memory, row: int, time_s: float, x: float, y: float) -> float | None:
        """Of a track at a moment and a place (pixels), in the ground's unit; None where it cannot be measured."""
        count = min(SAMPLES, int(memory["samples"][row]))
        if not count or not all(px * x + py * y >= least for (px, py), least in self._sides):
            return None
        # Of a few numbers: lists take a fifth of the time of arrays.
        times, shapes = memory["sample_s"][row, :count].tolist(), memory["shape"][row, :count].tolist()
        # What hides a part of an object shifts its foot point: samples of another shape than most are left out.
        usual = sorted(shapes)[count // 2]
        near = [n for n, t in enumerate(times) if abs(t - time_s) <= WINDOW_S]
        whole = [n for n in near if abs(shapes[n] - usual) <= SAME_SHAPE * usual]
        for good in (whole, near):
            if _enough([times[n] for n in good]):
                return _slope(times, memory["sample_m"][row, :count].tolist(), good) * UNITS[self.unit]
        return None


def _half_planes(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is inside a convex polygon (N,2): points p with `p @ inward.T >= least`, unit vectors (N,2) and pixels."""
    side = np.roll(corners, -1, axis=0) - corners
    inward = np.stack([-side[:, 1], side[:, 0]], axis=1) / np.linalg.norm(side, axis=1)[:, None]
    if ((corners.mean(axis=0) - corners) * inward).sum() < 0:
        inward = -inward
    return inward, (corners * inward).sum(axis=1) - SLACK


def _enough(times: list[float]) -> bool:
    return len(times) >= 3 and max(times) - min(times) >= SHORTEST_S


def _slope(times: list[float], places: list[list[float]], good: list[int]) -> float:
    """Metres a second of the straight line through the good ones of samples, by least squares."""
    middle = sum([times[n] for n in good]) / len(good)
    squares = along_x = along_y = 0.0
    for n in good:
        t, (x, y) = times[n] - middle, places[n]
        squares, along_x, along_y = squares + t * t, along_x + t * x, along_y + t * y
    return math.hypot(along_x, along_y) / squares


def homography(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The (3,3) map that takes four points (4,2) to four others, by its eight linear equations."""
    rows = []
    for (x, y), (u, v) in zip(points, targets, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), targets.reshape(-1)), 1.0).reshape(3, 3)
