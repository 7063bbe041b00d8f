"""Names of classes: COCO, what a detector looks for unless told otherwise, and the filter by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.core.command_line import did_you_mean
from tracker.core.text import label
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

ALIKE = (("car", "truck", "bus", "train", "van"), ("bicycle", "motorcycle", "motorbike"))
"""Classes that detectors take for each other from frame to frame."""
TWO_WHEELERS = ALIKE[1]
"""Classes whose rider is a part of them."""

SYNONYMS = {
    "people": "person", "pedestrian": "person", "man": "person", "woman": "person", "bike": "bicycle",
    "cyclist": "bicycle", "motorbike": "motorcycle", "van": "car", "lorry": "truck", "vehicle": "car,truck,bus",
}  # fmt: skip
"""What the classes of COCO are called by people who have not seen its list."""
SHOWN = 12
"""Names that a message lists before it says how many more there are."""

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
            f"class {', '.join(repr(label(c)) for c in unknown[:SHOWN])} is unknown to detector {detector}; "
            f"it knows: {_listed(names)}{_meant(unknown[0], names)}"
        )
    return np.array(sorted({known[c.strip().lower()] for c in classes}), np.int32)


def _meant(word: str, names: Sequence[str]) -> str:
    """What was probably meant by a class that is not there."""
    singular = word.strip().lower().removesuffix("s")
    said = SYNONYMS.get(word.strip().lower()) or SYNONYMS.get(singular)
    if said is not None and set(said.split(",")) <= set(names):
        return f"; did you mean {said!r}?"
    return did_you_mean(word, names)


def _listed(names: Sequence[str]) -> str:
    """Some names, those of road users first, and how many more there are."""
    first = [n for n in ROAD_USERS if n in names] + [n for n in names if n not in ROAD_USERS]
    more = f" and {len(first) - SHOWN} more" if len(first) > SHOWN else ""
    return ", ".join(first[:SHOWN]) + more


def class_name(names: Sequence[str], class_id: int) -> str:
    """Of a class id; a name that says so where the detector gave none."""
    return names[class_id] if 0 <= class_id < len(names) else f"class {class_id}"
