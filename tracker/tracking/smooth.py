"""After a run: tracklets of one object stitched, gaps closed, trajectories smoothed.

Works on MOT rows alone, or with a feature for each tracklet. Ids stay as they are but for stitched tracklets, of which
the later takes the number of the earlier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tracker.tracking.assignment import solve
from tracker.tracking.constant_velocity import constant_velocity, white_acceleration

_TREND = 12
"""Frames at a tracklet's end from which its velocity there is taken."""


@dataclass(frozen=True)
class Smoothing:
    """Parameters of `smooth_rows`; spans in seconds, sizes as shares of a box."""

    stitch_s: float = 2.0
    """Longest gap over which tracklets are stitched."""
    reach: float = 0.25
    """Expected distance between two tracklets' meeting points, widths or half heights, and as much per second."""
    size_ratio: float = 0.15
    """Expected difference of the logarithm of heights."""
    min_cosine: float = 0.6
    """Least cosine similarity of stitched tracklets, where features are known."""
    fill_s: float = 10.0
    """Longest gap that is filled with boxes: what was found again after more than a second or two stood still."""
    velocity_noise: float = 0.01
    """Standard deviation of a velocity's change per frame, as a share of the box."""
    measurement_noise: float = 0.08
    """Standard deviation of a box's position and size, as a share of the box."""


@dataclass
class Tracklet:
    """One id: frames (F,) ascending, boxes (F,4) centre, width, height, scores (F,), and its mean feature if known."""

    id: int
    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    feature: np.ndarray | None = None


def smooth_rows(
    rows: np.ndarray, fps: float, smoothing: Smoothing | None = None, features: dict[int, np.ndarray] | None = None
) -> np.ndarray:
    """Rows (M,7) frame, id, left, top, width, height, score, sorted by frame and id, of rows (N,7) of the same.

    Parameters
    ----------
    fps : float
        Frames per second.
    features : dict[int, ndarray] or None
        Unit feature (D,) by id, for those that have one.
    """
    s = smoothing or Smoothing()
    rows = np.asarray(rows, float).reshape(-1, 7)
    if rows[:, 6].any():
        rows = rows[rows[:, 6] != 0]  # written without a detection: with both ends known, the line is better
    tracklets = [_tracklet(rows[rows[:, 1] == i], (features or {}).get(int(i))) for i in np.unique(rows[:, 1])]
    parts = [_rows(smooth_track(fill(t, round(s.fill_s * fps)), s)) for t in stitch(tracklets, fps, s)]
    if not parts:
        return rows
    out = np.concatenate(parts)
    return out[np.lexsort((out[:, 1], out[:, 0]))]


def _tracklet(rows: np.ndarray, feature: np.ndarray | None) -> Tracklet:
    rows = rows[np.argsort(rows[:, 0])]
    boxes = np.column_stack([rows[:, 2:4] + rows[:, 4:6] / 2, rows[:, 4:6]])
    return Tracklet(int(rows[0, 1]), rows[:, 0].astype(int), boxes, rows[:, 6], feature)


def _rows(t: Tracklet) -> np.ndarray:
    corner = t.boxes[:, :2] - t.boxes[:, 2:] / 2
    return np.column_stack([t.frames, np.full(len(t.frames), t.id), corner, t.boxes[:, 2:], t.scores])


# ---- stitch ----------------------------------------------------------------------------------------------------------


def stitch(tracklets: list[Tracklet], fps: float, s: Smoothing) -> list[Tracklet]:
    """Joins tracklets end to start, cheapest pairs first in one assignment; a chain keeps its first number."""
    if len(tracklets) < 2:
        return tracklets
    cost = np.array([[_meeting(a, b, fps, s) for b in tracklets] for a in tracklets])
    feasible = np.isfinite(cost)
    ends, starts = solve(np.where(feasible, cost - 1, 0))
    follower = {int(a): int(b) for a, b in zip(ends, starts, strict=True) if feasible[a, b]}
    joined, later = [], set(follower.values())
    for first in range(len(tracklets)):
        if first in later:
            continue
        chain = [first]
        while chain[-1] in follower:
            chain.append(follower[chain[-1]])
        joined.append(_join([tracklets[k] for k in chain]))
    return joined


def _join(chain: list[Tracklet]) -> Tracklet:
    if len(chain) == 1:
        return chain[0]
    frames, boxes, scores = (np.concatenate([getattr(t, n) for t in chain]) for n in ("frames", "boxes", "scores"))
    return Tracklet(chain[0].id, frames, boxes, scores, chain[0].feature)


def _meeting(a: Tracklet, b: Tracklet, fps: float, s: Smoothing) -> float:
    """Cost of `b` going on where `a` ended, 0 to 1; infinite if it cannot be.

    Both are carried at the velocities of their ends to the middle of the gap; how far apart they are there, in sizes of
    a box and against what the length of the gap allows, is the cost. Features must agree where both are known.
    """
    gap = int(b.frames[0] - a.frames[-1])
    if not 0 < gap <= s.stitch_s * fps:
        return np.inf
    if a.feature is not None and b.feature is not None and float(a.feature @ b.feature) < s.min_cosine:
        return np.inf
    size = (a.boxes[-1, 2:] + b.boxes[0, 2:]) / 2
    apart = np.abs(_carried(a, -1, gap / 2) - _carried(b, 0, -gap / 2))[:2] / (size * (1, 0.5))
    apart = np.append(apart / (s.reach * (1 + gap / fps)), np.log(b.boxes[0, 3] / a.boxes[-1, 3]) / s.size_ratio)
    cost = float(np.square(apart).sum()) / 3
    return cost if cost <= 1 else np.inf


def _carried(t: Tracklet, end: int, frames: float) -> np.ndarray:
    """The box (4,) at one end of a tracklet after some frames at its velocity there."""
    near = slice(None, _TREND) if end == 0 else slice(-_TREND, None)
    span = t.frames[near][-1] - t.frames[near][0]
    step = np.zeros(4) if span < _TREND / 2 else (t.boxes[near][-1] - t.boxes[near][0]) / span
    boxes: np.ndarray = t.boxes[end] + step * frames
    return boxes


# ---- fill and smooth -------------------------------------------------------------------------------------------------


def fill(t: Tracklet, longest: int) -> Tracklet:
    """Boxes on the straight line over gaps of at most `longest` frames; their score is that before the gap."""
    gap = np.diff(t.frames)
    short = (gap > 1) & (gap <= longest)
    if not short.any():
        return t
    missing = np.concatenate([np.arange(f + 1, f + g) for f, g in zip(t.frames[:-1][short], gap[short], strict=True)])
    frames = np.sort(np.concatenate([t.frames, missing]))
    boxes = np.column_stack([np.interp(frames, t.frames, t.boxes[:, k]) for k in range(4)])
    scores = t.scores[np.searchsorted(t.frames, frames, side="right") - 1]
    return replace(t, frames=frames, boxes=boxes, scores=scores)


def smooth_track(t: Tracklet, s: Smoothing) -> Tracklet:
    """Rauch-Tung-Striebel smoothing of each stretch without gaps, at constant velocity."""
    boxes = t.boxes.copy()
    for part in np.split(np.arange(len(t.frames)), np.flatnonzero(np.diff(t.frames) > 1) + 1):
        boxes[part] = rts(t.boxes[part], s.velocity_noise, s.measurement_noise)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
    return replace(t, boxes=boxes)


def rts(z: np.ndarray, velocity_noise: float, measurement_noise: float) -> np.ndarray:
    """Smoothed positions (F,K) of measurements (F,K) of K independent components, by filterpy's smoother.

    Parameters
    ----------
    velocity_noise, measurement_noise : float
        Standard deviations as in `Smoothing`. The size of a box they are shares of drops out of every gain, so that one
        model serves all components: its states are columns.
    """
    r = measurement_noise**2
    model = constant_velocity(white_acceleration(velocity_noise**2), r, np.diag([r, r]))
    model.x = np.stack([z[0], np.zeros_like(z[0])])
    means, covariances = [model.x], [model.P]
    for row in z[1:, None]:
        model.predict()
        model.update(row, H=model.H)  # with H given, filterpy takes the row as it is
        means.append(model.x)
        covariances.append(model.P)
    smoothed: np.ndarray = model.rts_smoother(np.array(means), np.array(covariances))[0]
    return smoothed[:, 0]
