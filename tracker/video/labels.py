"""Where labels go: beside their boxes, where they hide least of other boxes and of each other."""

from __future__ import annotations

import numpy as np

KEPT = 0.25
"""How much more a label may hide, as a share, before it leaves the side of its box where it was in the last frame."""
LABELS = 3.0
"""Hiding a label counts so many times what hiding a box does: a label that is half hidden says nothing."""


class LabelPlacer:
    """Places the labels of a frame one after the other; remembers on which side of its box each was."""

    def __init__(self) -> None:
        self._side: dict[int, int] = {}

    def place(self, ids: list[int], boxes: np.ndarray, sizes: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
        """Upper left corners (N,2) int of labels.

        Parameters
        ----------
        ids : list of int
            Track ids, the most important one first.
        boxes : (N,4) ndarray
            Corners in pixels.
        sizes : (N,2) ndarray
            Width and height of the labels.
        frame : (int, int)
            Width and height of the picture: labels stay inside.
        """
        corners = _candidates(boxes, sizes, frame)
        cost = _hidden(corners, sizes, boxes) + 0.02 * np.arange(corners.shape[1])
        low, high = np.zeros((len(ids), 2)), np.zeros((len(ids), 2))
        for row, track in enumerate(ids):
            size = sizes[row]
            own = cost[row] + LABELS * _share(corners[row], corners[row] + size, low[:row], high[:row]).sum(1)
            if (before := self._side.get(track)) is not None:
                own[before] -= KEPT
            side = self._side[track] = int(own.argmin())
            low[row], high[row] = corners[row, side], corners[row, side] + size
        self._side = {track: self._side[track] for track in ids}
        return low.astype(int)


def _candidates(boxes: np.ndarray, sizes: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """(N,6,2): above and below from the left, above from the right, right, left, and inside at the top."""
    x1, y1, x2, y2 = boxes.T
    w, h = sizes.T
    places = [(x1, y1 - h), (x1, y2), (x2 - w, y1 - h), (x2, y1), (x1 - w, y1), (x1, y1)]
    corners = np.stack([np.stack(place, axis=1) for place in places], axis=1).astype(float)
    inside: np.ndarray = np.clip(corners, 0, np.maximum(0, np.array(frame) - sizes)[:, None])
    return inside


def _hidden(corners: np.ndarray, sizes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N,6): how many boxes each place hides, as a sum of shares of them; its own box too."""
    count = corners.shape[1]
    low = corners.reshape(-1, 2)
    shares = _share(low, low + np.repeat(sizes, count, axis=0), boxes[:, :2], boxes[:, 2:])
    hidden: np.ndarray = shares.sum(1).reshape(-1, count)
    return hidden


def _share(low: np.ndarray, high: np.ndarray, box_low: np.ndarray, box_high: np.ndarray) -> np.ndarray:
    """(K,N): which share of each of N rectangles lies under each of K others."""
    sides = np.minimum(high[:, None], box_high) - np.maximum(low[:, None], box_low)
    area = np.maximum(1, (box_high - box_low).prod(1))
    shares: np.ndarray = np.clip(sides, 0, None).prod(2) / area
    return shares
