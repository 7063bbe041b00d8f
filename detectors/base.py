"""What all detectors share: names of classes, the filter by class, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.boxes import area, intersection
from tracker.errors import DetectorError

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""The 80 classes of COCO in the order of detectors that number them without gaps."""

ROAD_USERS = ("person", "bicycle", "car", "motorcycle", "bus", "train", "truck")
"""What a detector of all COCO classes looks for unless told otherwise: people and vehicles."""

COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Ids 1..90 of COCO's label map that no class has."""


def coco_90() -> tuple[str, ...]:
    """Names by id - 1 for graphs trained on COCO's label map of 90 ids, ten of them unused."""
    names = iter(COCO)
    return tuple(f"unused {i}" if i in COCO_GAPS else next(names) for i in range(1, 91))


def wanted_classes(classes: Sequence[str] | None, names: Sequence[str], detector: str) -> np.ndarray | None:
    """Class ids (K,) for names, or None for all.

    Raises
    ------
    DetectorError : a name that the detector does not know; the message lists those it does.
    """
    if classes is None or tuple(classes) == ("all",):
        return None
    known = {name.lower(): i for i, name in enumerate(names)}
    unknown = [c for c in classes if c.strip().lower() not in known]
    if unknown:
        raise DetectorError(
            f"class {', '.join(map(repr, unknown))} is unknown to detector {detector}; it knows: {', '.join(names)}"
        )
    return np.array(sorted({known[c.strip().lower()] for c in classes}), np.int32)


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
    xyxy, score, class_id : (N,4) pixels, (N,), (N,).
    iou_threshold : a box goes when it overlaps a kept one of its class by more than this.
    part : (N,) int, the tile each box was seen in; None: one picture.
    cut : (N,) bool, boxes that end at an inner border of their tile. A cut box is half an object as a rule, so it
        ranks behind every whole one and also goes when a box of another tile holds this share of it.
    containment : that share (intersection over the cut box's own area).

    Returns
    -------
    (K,) int64, rows kept, highest score first among the whole boxes, then among the cut ones.
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
