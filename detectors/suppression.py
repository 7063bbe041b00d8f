"""Non-maximum suppression within each class, also over the tiles of a frame."""

from __future__ import annotations

import numpy as np

from tracker.core.boxes import area, intersection, iou

BLOCK = 256
"""Boxes that are compared with all weaker ones at a time: memory grows with their number, not with its square."""

CLOSER, SURE = 0.4, 0.3
"""Least overlap (IoU) of two looks' boxes of one object; least score of the closer's, as a share of the other's."""


def of_closer(
    xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, far: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """Scores where a second, closer look was had at a part: where both saw an object, it tells where that is.

    From afar, two that stand side by side look like one, and small boxes lie too far apart to suppress each other.

    Parameters
    ----------
    xyxy, score, class_id : np.ndarray
        (N,4), (N,), (N,) of both looks.
    far, near : np.ndarray
        (N,) bool, boxes of the first look in that part, and of the second.

    Returns
    -------
    np.ndarray
        (N,) the closer box has the better score of both, the other 0.
    """
    far, near = np.flatnonzero(far), np.flatnonzero(near)
    same = (iou(xyxy[far], xyxy[near]) >= CLOSER) & (score[near] >= SURE * score[far, None])
    same &= class_id[far, None] == class_id[near]
    scores = score.copy()
    scores[near] = np.maximum(score[near], np.where(same, score[far, None], 0).max(axis=0, initial=0))
    scores[far[same.any(axis=1)]] = 0
    return scores


def of_any(
    xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, kind: np.ndarray, kept: np.ndarray, least: float
) -> np.ndarray:
    """Probabilities that kept boxes are right in one class or another of their kind.

    What is a motorcycle with 0.2 and a bicycle with 0.2 is a two-wheeler with more than either.

    Parameters
    ----------
    xyxy, score, class_id : np.ndarray
        (N,4), (N,) probabilities, (N,).
    kind : np.ndarray
        Class ids to what is taken for one class.
    kept : np.ndarray
        (K,) rows.
    least : float
        Overlap (IoU) from which boxes are of one object.

    Returns
    -------
    np.ndarray
        (K,), each class by its best box at the place.
    """
    wrong = 1 - score[kept]
    several = np.bincount(kind)[kind] > 1
    for other in np.unique(class_id[several[class_id]]):
        rows = np.flatnonzero(class_id == other)
        open_ = np.flatnonzero((kind[class_id[kept]] == kind[other]) & (class_id[kept] != other))
        same = iou(xyxy[kept[open_]], xyxy[rows]) >= least
        wrong[open_] *= 1 - np.where(same, score[rows], 0).max(axis=1, initial=0)
    likely: np.ndarray = 1 - wrong
    return likely


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
    xyxy, score, class_id : np.ndarray
        (N,4) pixels, (N,), (N,).
    iou_threshold : float
        A box goes when it overlaps a kept one of its class by more than this.
    part : np.ndarray, optional
        (N,) int, the tile each box was seen in; None: one picture.
    cut : np.ndarray, optional
        (N,) bool, boxes that end at an inner border of their tile. A cut box is half an object as a rule, so it
        ranks behind every whole one and also goes when a box of another tile holds this share of it.
    containment : float
        That share (intersection over the cut box's own area).

    Returns
    -------
    np.ndarray
        (K,) int64, rows kept, highest score first among the whole boxes, then among the cut ones.
    """
    n = len(xyxy)
    if n == 0:
        return np.zeros(0, np.int64)
    cut = np.zeros(n, bool) if cut is None else cut
    part = np.zeros(n, int) if part is None else part
    order = np.lexsort((-score, cut))
    xyxy, class_id, cut, part = xyxy[order], class_id[order], cut[order], part[order]
    size, alive = area(xyxy), np.ones(n, bool)
    for start in range(0, n, BLOCK):
        rows = start + np.flatnonzero(alive[start : start + BLOCK])
        inter = intersection(xyxy[rows], xyxy[start:])
        overlap = inter > iou_threshold * (size[rows, None] + size[None, start:] - inter)
        held = (inter > containment * size[None, start:]) & cut[None, start:] & (part[rows, None] != part[None, start:])
        suppresses = (overlap | held) & (class_id[rows, None] == class_id[None, start:])
        for row, i in zip(suppresses, rows, strict=True):
            if alive[i]:
                alive[i + 1 :] &= ~row[i + 1 - start :]
    return order[alive]
