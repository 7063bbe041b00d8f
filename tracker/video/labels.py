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
        ends = corners + sizes[:, None]
        low, high = corners.min(1), ends.max(1)  # around all places of a label: what is apart from that is no matter
        cost = _hidden(corners, ends, boxes, _near(low, high, boxes[:, :2], boxes[:, 2:]))
        cost += 0.02 * np.arange(cost.shape[1])
        later, earlier = _near(low, high, low, high, before=True)
        shares = LABELS * _shares(corners[later, :, None], ends[later, :, None], corners[earlier], ends[earlier])
        begin = np.searchsorted(later, np.arange(len(ids) + 1)).tolist()
        sides, every = np.zeros(len(ids), int), np.arange(len(later))
        for row, track in enumerate(ids):
            own, pairs = cost[row], slice(begin[row], begin[row + 1])
            if begin[row] < begin[row + 1]:
                own += shares[every[pairs], :, sides[earlier[pairs]]].sum(0)
            if (before := self._side.get(track)) is not None:
                own[before] -= KEPT
            sides[row] = own.argmin()
        self._side = dict(zip(ids, sides.tolist(), strict=True))
        return corners[np.arange(len(ids)), sides].astype(int)


def _candidates(boxes: np.ndarray, sizes: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """(N,6,2): above and below from the left, above from the right, right, left, and inside at the top."""
    x1, y1, x2, y2 = boxes.T
    w, h = sizes.T
    places = [(x1, y1 - h), (x1, y2), (x2 - w, y1 - h), (x2, y1), (x1 - w, y1), (x1, y1)]
    corners = np.stack([np.stack(place, axis=1) for place in places], axis=1).astype(float)
    inside: np.ndarray = np.clip(corners, 0, np.maximum(0, np.array(frame) - sizes)[:, None])
    return inside


def _near(
    low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray, *, before: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P,), (P,) of rectangles that overlap, sorted by the first; `before`: with smaller numbers alone."""
    across, down = (
        (low[:, None, axis] < other_high[:, axis]) & (high[:, None, axis] > other_low[:, axis]) for axis in (0, 1)
    )
    near = across & down
    rows, others = np.nonzero(np.tril(near, -1) if before else near)
    return rows, others


def _hidden(
    corners: np.ndarray, ends: np.ndarray, boxes: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """(N,6): how many boxes each place hides, as a sum of shares of them; its own box too."""
    labels, others = pairs
    shares = _shares(corners[labels], ends[labels], boxes[others, None, :2], boxes[others, None, 2:])
    hidden = np.zeros(corners.shape[:2])
    np.add.at(hidden, labels, shares)
    return hidden


def _shares(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> np.ndarray:
    """(P,6) or (P,6,6): which share of other rectangles lies under rectangles."""
    if low.ndim == 4:
        other_low, other_high = other_low[:, None], other_high[:, None]
    sides = np.minimum(high, other_high) - np.maximum(low, other_low)
    size = other_high - other_low
    over = np.maximum(sides[..., 0], 0) * np.maximum(sides[..., 1], 0)
    shares: np.ndarray = over / np.maximum(1, size[..., 0] * size[..., 1])
    return shares
