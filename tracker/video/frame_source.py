"""What all sources share: which frames are wanted, one frame size, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from tracker.core.interfaces import SourceInfo
from tracker.core.types import Frame

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
VIDEOS = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv")


@dataclass(frozen=True)
class FrameRange:
    """Which frames of a source are wanted: every `stride`-th from frame `start` (1-based), at most `max_frames`."""

    start: int = 1
    max_frames: int | None = None
    stride: int = 1

    def wants(self, index: int) -> bool:
        """Whether the frame of this 1-based number is wanted."""
        return index >= self.start and (index - self.start) % self.stride == 0

    def over(self, index: int) -> bool:
        """No frame from `index` on is wanted."""
        return self.max_frames is not None and index > self.start + (self.max_frames - 1) * self.stride

    def count(self, frames: int | None) -> int | None:
        """How many of a source's frames are wanted; None where nobody knows."""
        if frames is None:
            return None
        wanted = max(0, -(-(frames - self.start + 1) // self.stride))
        return wanted if self.max_frames is None else min(wanted, self.max_frames)


class FrameSource:
    """What all sources do: keep one frame size, count what goes wrong, and tell it once at the end."""

    info: SourceInfo

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.reconnects = 0
        self.started_s: float | None = None
        self._resized = 0
        self._first_resized = 0

    def fit(self, image: np.ndarray, index: int) -> np.ndarray:
        """An image at the source's size: boxes of a run live in one coordinate system."""
        fitted = self._at_size(image)
        if fitted is not image:
            self._resized += 1
            if self._resized == 1:
                self._first_resized = index
        return fitted

    def _at_size(self, image: np.ndarray) -> np.ndarray:
        if image.shape[1::-1] == self.info.size:
            return image
        return cv2.resize(image, self.info.size, interpolation=cv2.INTER_LINEAR)

    def primer(self, count: int = 12, seconds: float = 4.0) -> list[Frame]:
        """A few frames spread over the first seconds, to be looked at before the run; they come again in it."""
        return []

    def news(self) -> list[str]:
        """What has happened since the last call and should be told at once: to a recording, nothing."""
        return []

    @property
    def state(self) -> str:
        """What is wrong now; empty where all is well."""
        return ""

    def report(self) -> None:
        """Turn what was counted on the way into warnings."""
        if self._resized:
            width, height = self.info.size
            self.warnings.append(
                f"{self._resized} frames from frame {self._first_resized} on had another size "
                f"and were scaled to {width}x{height}"
            )
            self._resized = 0

    def interrupt(self) -> None:
        """End the frames soon, from any thread: the next frame of a recording keeps nobody waiting."""

    def close(self) -> None:
        """Free the file and report what was counted."""
        self.report()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
