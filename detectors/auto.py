"""`auto`: looks at a few frames and opens the first detector that sees something in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from detectors import store
from tracker.core.interfaces import Detector
from tracker.core.types import Frame
from tracker.errors import BackendMissingError, DetectorError

if TYPE_CHECKING:
    from detectors.registry import Request

LOOKS = 4
"""Frames that each network looks at."""
SURE = 0.4
"""Score from which a box counts."""
ENOUGH = 0.5
"""Boxes a frame, on average, from which a network counts as seeing something."""
OTHERS = 3.0
"""With so many moving objects for each person that `ssdlite` sees, the clip is about something else."""


def open_auto(request: Request, open_one: Callable[[Request], Detector]) -> Detector:
    """The detector for a source; its `why` says what it was chosen for.

    `coco` where it is in the cache or can be fetched, else `ssdlite`, else `motion`, which needs a static camera; one
    that sees nothing in the frames, or does not know the classes asked for, leaves the turn to the next, and `ssdlite`
    also where most of what moves is no person.

    Parameters
    ----------
    request : Request
        Its frames are what is looked at.
    open_one : Callable[[Request], Detector]
        Opens a detector by the name in a request.

    Raises
    ------
    DetectorError
        No detector at hand knows the classes.
    """
    classes = request.options.classes
    looked = [f for f in request.frames if f.image is not None]
    picked = [looked[i] for i in np.unique(np.linspace(0, len(looked) - 1, LOOKS).astype(int))] if looked else []
    moving = _moving(replace(request, spec="motion", frames=looked), open_one)
    passed: list[str] = []
    few: list[str] = []
    opened: list[Detector] = []
    for name in ("coco", "ssdlite"):
        if name == "coco" and request.offline and not store.is_kept("coco"):
            passed.append("coco is not in the cache and nothing may be fetched")
            continue
        try:
            detector = open_one(replace(request, spec=name))
        except (DetectorError, BackendMissingError) as error:
            passed.append(str(error))
            continue
        if not picked:
            return _chosen(detector, "no frames to look at", [], passed)
        seen = _count(detector, picked)
        if seen >= ENOUGH and not (name == "ssdlite" and _mostly_others(seen, moving, classes)):
            return _chosen(detector, f"sees {seen:.1f} objects a frame", few, passed, opened)
        few.append(f"{name} sees {seen:.1f} a frame")
        opened.append(detector)
    if moving is not None and _knows_motion(classes):
        why = f"{moving:.1f} moving objects a frame before a static camera"
        return _chosen(open_one(replace(request, spec="motion")), why, few, passed, opened)
    if opened:
        return _chosen(opened[0], "nothing better is at hand", few, passed, opened[1:])
    if _knows_motion(classes):
        return _chosen(open_one(replace(request, spec="motion")), "no network is at hand", few, passed)
    raise DetectorError(f"no detector at hand knows {', '.join(classes or ())}: {'; '.join(passed)}")


def _chosen(
    detector: Detector, reason: str, few: list[str], passed: list[str], others: Sequence[Detector] = ()
) -> Detector:
    for other in others:
        other.close()
    if passed and detector.name != "coco":
        detector.warnings.append(f"vehicles are no more than `object` here, or not seen at all: {passed[0]}")
    detector.why = "; ".join(filter(None, [detector.why, reason, *few, *passed]))
    return detector


def _mostly_others(people: float, moving: float | None, classes: Sequence[str] | None) -> bool:
    """Whether most of what moves is not the people that were seen: traffic, which a network for people misses."""
    return _knows_motion(classes) and moving is not None and moving > OTHERS * people


def _moving(request: Request, open_one: Callable[[Request], Detector]) -> float | None:
    """Moving objects a frame where the camera stands still, else None."""
    detector = open_one(replace(request, options=replace(request.options, classes=None, confidence=None)))
    answers = [detector(f) for f in request.frames]
    seen = [len(a) for a in answers if a is not None]
    still = len(seen) > len(request.frames) / 2 and not detector.warnings
    return float(np.mean(seen)) if still else None


def _count(detector: Detector, frames: Sequence[Frame]) -> float:
    found = [detector(f) for f in frames]
    return float(np.mean([np.sum(d.score >= SURE) for d in found if d is not None])) if found else 0.0


def _knows_motion(classes: Sequence[str] | None) -> bool:
    return all(c.strip().lower() in ("object", "all") for c in classes or ())
