"""Non-maximum suppression within each class, also over the tiles of a frame."""

from __future__ import annotations

import numpy as np

from tracker.core.boxes import area, intersection


def nms(
    xyxy: np.ndarray,
    score: np.ndarray,
    class_id: np.ndarray,
    iou_threshold: float,
    *,
    part: np.ndarray | None = None,
    cut: np.ndarray | None = None,
    containment: float = 0.7,
) -> np.ndarray:
    """Greedy non-maximum suppression within each class, also over the tiles of a frame.

    Parameters
    ----------
    xyxy, score, class_id : ndarray
        (N,4) pixels, (N,), (N,).
    iou_threshold : float
        A box goes when it overlaps a kept one of its class by more than this.
    part : (N,) ndarray of int or None
        The tile each box was seen in; None: one picture.
    cut : (N,) ndarray of bool or None
        Boxes that end at an inner border of their tile. A cut box is half an object as a rule, so it ranks behind every
        whole one and also goes when a box of another tile holds this share of it.
    containment : float
        That share (intersection over the cut box's own area).

    Returns
    -------
    (K,) ndarray of int64
        Rows kept, highest score first among the whole boxes, then among the cut ones.
    """
    n = len(xyxy)
    if n == 0:
        return np.zeros(0, np.int64)
    cut = np.zeros(n, bool) if cut is None else cut
    part = np.zeros(n, int) if part is None else part
    order = np.lexsort((-score, cut))
    xyxy, class_id, cut, part = xyxy[order], class_id[order], cut[order], part[order]
    inter, size = intersection(xyxy, xyxy), area(xyxy)
    overlap = inter > iou_threshold * (size[:, None] + size[None, :] - inter)
    held = (inter > containment * size[None, :]) & cut[None, :] & (part[:, None] != part[None, :])
    suppresses = (overlap | held) & (class_id[:, None] == class_id[None, :])
    alive = np.ones(n, bool)
    for i in range(n):
        if alive[i]:
            alive[i + 1 :] &= ~suppresses[i, i + 1 :]
    return order[alive]
