"""Frames of MOT sequences for benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tracker.core.types import Frame
from tracker.errors import SourceError
from tracker.video.sources import open_source


def frames(folder: Path) -> Iterator[np.ndarray]:
    """BGR images of a sequence folder, out of its images or the one video in it.

    Raises
    ------
    SourceError
        It has neither.
    """
    with open_source(str(folder)) as source:
        if not source.info.pixels:
            raise SourceError(f"{folder} has neither images nor a video; it cannot be used where pixels are needed")
        yield from (frame.image for frame in source if frame.image is not None)


def has_pixels(folder: Path) -> bool:
    """Whether a folder is a sequence with ground truth and images or a video."""
    if not (folder / "gt" / "gt.txt").is_file():
        return False
    with open_source(str(folder)) as source:
        return source.info.pixels


def primer(folder: Path) -> list[Frame]:
    """Frames spread over a sequence's first seconds, as `tracker run` shows them to the `motion` detector."""
    with open_source(str(folder)) as source:
        return source.primer()
