"""`auto`: looks at a few frames and picks the first detector that sees something in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors import store
from detectors.registry import OpenDetector, open_detector
from tracker.core.types import Frame
from tracker.errors import BackendMissingError, DetectorError

LOOKS = 4
"""Frames that each network looks at."""
SURE = 0.4
"""Score from which a box counts."""
ENOUGH = 0.5
"""Boxes a frame, on average, from which a network counts as seeing something."""
OTHERS = 3.0
"""With so many moving objects for each person that `ssdlite` sees, the clip is about something else."""


def choose_auto(
    frames: Sequence[Frame],
    *,
    classes: Sequence[str] | None = None,
    device: str = "auto",
    offline: bool = False,
) -> tuple[str, str]:
    """Name of a detector for a source, and why.

    `coco` where it is in the cache or can be fetched, else `ssdlite`, else `motion`, which needs a static camera; one
    that sees nothing in the frames, or does not know the classes asked for, leaves the turn to the next, and `ssdlite`
    also where most of what moves is no person.

    Parameters
    ----------
    frames : spread over the source's first seconds.
    classes, device, offline : as for `open_detector`.

    Raises
    ------
    DetectorError : no detector at hand knows the classes.
    """
    looked = [f for f in frames if f.image is not None]
    picked = [looked[i] for i in np.unique(np.linspace(0, len(looked) - 1, LOOKS).astype(int))] if looked else []
    moving = _moving(looked)
    passed: list[str] = []
    few: list[str] = []
    opened: list[str] = []
    for name in ("coco", "ssdlite"):
        if name == "coco" and offline and not store.is_kept("coco"):
            passed.append("coco is not in the cache and nothing may be fetched")
            continue
        try:
            detector = open_detector(name, classes=classes, device=device, offline=offline, confidence=SURE)
        except (DetectorError, BackendMissingError) as error:
            passed.append(str(error))
            continue
        seen = _count(detector, picked)
        detector.close()
        if not picked:
            return name, _why("no frames to look at", [], passed)
        if seen >= ENOUGH and not (name == "ssdlite" and _mostly_others(seen, moving, classes)):
            return name, _why(f"sees {seen:.1f} objects a frame", few, passed)
        few.append(f"{name} sees {seen:.1f} a frame")
        opened.append(name)
    if moving is not None and _knows_motion(classes):
        return "motion", _why(f"{moving:.1f} moving objects a frame before a static camera", few, passed)
    if opened:
        return opened[0], _why("nothing better is at hand", few, passed)
    if _knows_motion(classes):
        return "motion", _why("no network is at hand", few, passed)
    raise DetectorError(f"no detector at hand knows {', '.join(classes or ())}: {'; '.join(passed)}")


def _mostly_others(people: float, moving: float | None, classes: Sequence[str] | None) -> bool:
    """Whether most of what moves is not the people that were seen: traffic, which a network for people misses."""
    return _knows_motion(classes) and moving is not None and moving > OTHERS * people


def _moving(frames: Sequence[Frame]) -> float | None:
    """Moving objects a frame where the camera stands still, else None."""
    detector = open_detector("motion", frames=[f.image for f in frames if f.image is not None])
    answers = [detector(f) for f in frames]
    seen = [len(a) for a in answers if a is not None]
    still = len(seen) > len(frames) / 2 and not detector.warnings
    return float(np.mean(seen)) if still else None


def _count(detector: OpenDetector, frames: Sequence[Frame]) -> float:
    found = [detector(f) for f in frames]
    return float(np.mean([len(d) for d in found if d is not None])) if found else 0.0


def _knows_motion(classes: Sequence[str] | None) -> bool:
    return all(c.strip().lower() in ("object", "all") for c in classes or ())


def _why(reason: str, few: list[str], passed: list[str]) -> str:
    return "; ".join([reason, *few, *passed])
