"""Names of classes: COCO, what a detector looks for unless told otherwise, and the filter by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    DetectorError
        A name that the detector does not know; the message lists those it does.
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


def class_name(names: Sequence[str], class_id: int) -> str:
    """Of a class id; a name that says so where the detector gave none."""
    return names[class_id] if 0 <= class_id < len(names) else f"class {class_id}"
