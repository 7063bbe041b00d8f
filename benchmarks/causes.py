"""Why an identity was lost: every identity switch and every lost track, by cause."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.metrics import Truth
from tracker.core.boxes import iou, tlwh_to_xyxy

CAUSES = ("exit", "detector gap", "crossing", "camera", "other")
_NEAR = 5
"""Frames around a switch in which others count as crossing."""
_CROSSING = 0.3
"""Least IoU of two that cross."""
_CAMERA = 0.25
"""Least median step of all boxes that tells a moving camera, as a share of the width."""


def causes(truth: Truth, rows: np.ndarray, detections: list[np.ndarray]) -> dict[str, Counter[str]]:
    """Identity switches and lost tracks by cause, the first of `CAUSES` that applies.

    A track is lost if its object is there for more than a tenth of its frames, and five, after it was last followed.
    An object that was out of the frame has left; one that no detection showed in between fell into a gap of the
    detector; else it crossed another, or the camera moved.

    Parameters
    ----------
    truth : Truth
        Ground truth of the sequence.
    rows : (N,6) ndarray
        Tracks: frame, id, left, top, width, height.
    detections : list of (M,4) ndarray
        Boxes of each frame: left, top, width, height.
    """
    given = truth.rows[truth.counts]
    by_frame = [given[given[:, 0] == f] for f in range(1, truth.frames + 1)]
    boxes = [tlwh_to_xyxy(g[:, 2:6]) for g in by_frame]
    matched = [_match(b, rows[rows[:, 0] == f + 1]) for f, b in enumerate(boxes)]
    detected = [iou(b, tlwh_to_xyxy(d)).max(axis=1, initial=0) >= 0.5 for b, d in zip(boxes, detections, strict=True)]
    overlap = [_largest_overlap(b) for b in boxes]
    moved = _camera_steps(by_frame)
    found: dict[str, Counter[str]] = {"switches": Counter(), "lost": Counter()}
    for number in np.unique(given[:, 1]):
        places = [(f, int(np.flatnonzero(g[:, 1] == number)[0])) for f, g in enumerate(by_frame) if number in g[:, 1]]
        followed = [(k, matched[f][i]) for k, (f, i) in enumerate(places) if matched[f][i] >= 0]
        for (before, old), (now, new) in pairwise(followed):
            if old != new:
                found["switches"][_cause(places, before, now, detected, overlap, moved)] += 1
        if followed and len(places) - 1 - followed[-1][0] > max(_NEAR, len(places) // 10):
            found["lost"][_cause(places, followed[-1][0], len(places) - 1, detected, overlap, moved)] += 1
    return found


def _match(boxes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Id (G,) of the track on each true box (G,4), -1 for none."""
    value = iou(boxes, tlwh_to_xyxy(rows[:, 2:6]))
    value = np.where(value >= 0.5, value, 0)
    g, r = linear_sum_assignment(-value)
    ids = np.full(len(boxes), -1)
    good = value[g, r] > 0
    ids[g[good]] = rows[r[good], 1]
    return ids


def _largest_overlap(boxes: np.ndarray) -> np.ndarray:
    value = iou(boxes, boxes)
    np.fill_diagonal(value, 0)
    largest: np.ndarray = value.max(axis=1, initial=0)
    return largest


def _camera_steps(by_frame: list[np.ndarray]) -> np.ndarray:
    """Median step (F,) of the boxes' centres from the frame before, in widths."""
    steps = np.zeros(len(by_frame))
    for f in range(1, len(by_frame)):
        both, a, b = np.intersect1d(by_frame[f - 1][:, 1], by_frame[f][:, 1], return_indices=True)
        if len(both) >= 3:
            before, now = by_frame[f - 1][a], by_frame[f][b]
            centre = now[:, 2:4] + now[:, 4:6] / 2 - before[:, 2:4] - before[:, 4:6] / 2
            steps[f] = np.linalg.norm(np.median(centre / now[:, 4:5], axis=0))
    return steps


def _cause(
    places: list[tuple[int, int]],
    before: int,
    now: int,
    detected: list[np.ndarray],
    overlap: list[np.ndarray],
    moved: np.ndarray,
) -> str:
    """Why the object at `places` (frame and row of each frame it is in) was lost between two of them."""
    between = places[before + 1 : now]
    around = places[max(before - _NEAR, 0) : now + _NEAR + 1]
    frames = [f for f, _ in places[before : now + 1]]
    if np.diff(frames).max(initial=1) > 1:
        return "exit"
    if any(not detected[f][i] for f, i in between):
        return "detector gap"
    if any(overlap[f][i] >= _CROSSING for f, i in around):
        return "crossing"
    if moved[frames[0] : frames[-1] + 1].max(initial=0) >= _CAMERA:
        return "camera"
    return "other"
