"""Frames of MOT sequences for benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tracker.core.types import Frame
from tracker.errors import SourceError
from tracker.video.sources import open_source, sample

VIDEOS = (".avi", ".mp4")


def frames(folder: Path) -> Iterator[np.ndarray]:
    """BGR images of a sequence folder, out of img1/ or the one video in it. Raises SourceError."""
    images = sorted((folder / "img1").glob("*.jpg"))
    if images:
        yield from (np.asarray(cv2.imread(str(p))) for p in images)
        return
    video = next((p for p in sorted(folder.iterdir()) if p.suffix in VIDEOS), None)
    if video is None:
        raise SourceError(f"{folder} has neither img1/ nor a video; it cannot be used where pixels are needed")
    capture = cv2.VideoCapture(str(video))
    while True:
        there, image = capture.read()
        if not there:
            break
        yield image
    capture.release()


def primer(folder: Path) -> list[Frame]:
    """Frames spread over a sequence's first seconds, as `tracker run` shows them to the `motion` detector."""
    with open_source(str(folder)) as source:
        return sample(str(folder), source, 12)
