"""`auto`: the network that knows the most of the classes at hand, helped by motion where the camera stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from detectors import store
from tracker.core.interfaces import Detector
from tracker.errors import BackendMissingError, DetectorError

if TYPE_CHECKING:
    from detectors.registry import Request

FEWEST = 4
"""Frames from which it can be told whether the camera stands."""


def open_auto(request: Request, open_one: Callable[[Request], Detector]) -> Detector:
    """The detector for a source; its `why` says what it was chosen for.

    `coco` where it is in the cache or can be fetched, else `ssdlite`. Where the camera stands in the first frames,
    motion helps: it finds what moves and the network does not know, from the first frame or only after minutes. So a
    picture that is empty at the start decides nothing. `motion` alone is for where no network is at hand.

    Parameters
    ----------
    request : Request
        Its frames are what is looked at.
    open_one : Callable
        Opens a detector by the name in a request.

    Raises
    ------
    DetectorError
        No detector at hand knows the classes.
    """
    classes = request.options.classes
    pictures = [f.image for f in request.frames if f.image is not None]
    helped = _knows_motion(classes) and stands(pictures)
    passed: list[str] = []
    for name in ("coco", "ssdlite"):
        if name == "coco" and request.offline and not store.is_kept("coco"):
            passed.append("coco is not in the cache and nothing may be fetched")
            continue
        try:
            detector = open_one(replace(request, spec=f"{name}+motion" if helped else name))
        except (DetectorError, BackendMissingError) as error:
            passed.append(str(error))
            continue
        return _chosen(detector, "the camera stands, so what moves is found as well" if helped else "", passed)
    if helped or (not pictures and _knows_motion(classes)):
        return _chosen(open_one(replace(request, spec="motion")), "no network is at hand", passed)
    if not _knows_motion(classes):
        raise DetectorError(f"no detector at hand knows {', '.join(classes or ())}: {'; '.join(passed)}")
    raise DetectorError(f"no network is at hand, and motion needs a camera that stands: {'; '.join(passed)}")


def _chosen(detector: Detector, reason: str, passed: Sequence[str]) -> Detector:
    if passed and not detector.name.startswith("coco"):
        detector.warnings.append(f"vehicles are no more than `object` here, or not seen at all: {passed[0]}")
    detector.why = "; ".join(filter(None, [detector.why, reason, *passed]))
    return detector


def stands(pictures: Sequence[np.ndarray]) -> bool:
    """Whether the camera stands still in pictures (H,W,3) some time apart: their strong edges stay where they are.

    On eleven clips from standing cameras 82 to 98% of the edges' pixels agreed in the middle picture, on a motorway
    from a moving car, whose bonnet and horizon stay, 52%.
    """
    if len(pictures) < FEWEST:
        return False
    edges = np.stack([_edges(p) for p in pictures])
    usual = np.median(edges, axis=0)
    strong = usual > np.quantile(usual, 0.8)
    if not strong.any():  # a picture of one colour
        return False
    agree = np.abs(edges - usual)[:, strong] < 0.35 * usual[strong]
    return bool(np.median(agree.mean(axis=1)) > 0.7)


def _edges(picture: np.ndarray) -> np.ndarray:
    """Strength of edges in the picture at 320 pixels' width."""
    height, width = picture.shape[:2]
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (320, max(1, round(320 * height / width))), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1)
    return np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))


def _knows_motion(classes: Sequence[str] | None) -> bool:
    return classes is None or any(c.strip().lower() in ("object", "all") for c in classes)
