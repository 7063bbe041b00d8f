"""Images as frames: folders, patterns, and pictures of several pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.interfaces import SourceInfo
from tracker.core.types import Frame
from tracker.errors import SourceError
from tracker.video.frame_source import IMAGES, VIDEOS, FrameRange, FrameSource
from tracker.video.pictures import Pages


def sorted_images(paths: Any) -> list[Path]:
    """The images among paths, folder by folder, ordered by the numbers in their names (frame2 before frame10)."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        text = f"{path.parent}/\0{path.name}"
        return [(0, int(t), "") if t.isdecimal() else (1, 0, t) for t in re.findall(r"\d+|\D+", text)]

    return sorted((p for p in paths if p.suffix.lower() in IMAGES and not p.name.startswith(".")), key=key)


class ImageFiles(FrameSource):
    """Images as frames, in order; one that cannot be read is counted and skipped, its number stays free."""

    def __init__(
        self,
        paths: list[Path],
        name: str,
        span: FrameRange,
        *,
        where: str,
        fps: float = 25.0,
        length: int | None = None,
    ) -> None:
        super().__init__()
        self._span, self._fps, self._where = span, fps, where
        self._bad: list[Path] = []
        self._read: dict[int, np.ndarray] = {}
        self._pages = Pages(paths)
        count = len(self._pages)
        if self._pages.warning:
            self.warnings.append(self._pages.warning)
        found_at = next((index for index in range(1, count + 1) if self._image(index) is not None), None)
        if found_at is None:
            found = f"none of its {len(paths)} images can be read" if paths else "no video and no image"
            raise SourceError(
                f"{where}: {found}; expected a folder or pattern of videos ({', '.join(VIDEOS)}) or images "
                f"({', '.join(IMAGES)}), or a sequence with seqinfo.ini"
            )
        if length is not None and length != len(paths):
            self.warnings.append(f"{where}: {len(paths)} images where seqinfo.ini promises {length}")
        height, width = self._read[found_at].shape[:2]
        self.info = SourceInfo(name, (width, height), fps / span.stride, span.count(count), live=False)

    def _image(self, index: int) -> np.ndarray | None:
        """The image of a frame, kept until the run comes to it; None where it cannot be read."""
        if index not in self._read and (image := self._pages.read(index - 1)) is not None:
            self._read[index] = image
        return self._read.get(index)

    def primer(self, count: int = 12, seconds: float = 4.0) -> list[Frame]:
        """A few frames spread over the first seconds, to be looked at before the run; they come again in it."""
        indices = range(self._span.start, len(self._pages) + 1)[: max(1, round(seconds * self._fps))]
        return [
            Frame(index, (index - 1) / self._fps, self._at_size(image), self.info.size)
            for index in indices[:: max(1, len(indices) // count)][:count]
            if (image := self._image(index)) is not None
        ]

    def __iter__(self) -> Iterator[Frame]:
        for index in range(1, len(self._pages) + 1):
            if self._span.over(index):
                break
            if not self._span.wants(index):
                continue
            image = self._image(index)
            if image is None:
                self._bad.append(self._pages.path(index - 1))
                continue
            del self._read[index]
            yield Frame(index, (index - 1) / self._fps, self.fit(image, index), self.info.size)
        self.report()

    def report(self) -> None:
        """Turn what was counted on the way, unreadable images too, into warnings."""
        if self._bad:
            self.warnings.append(
                f"{self._where}: {len(self._bad)} images cannot be read, the first is {self._bad[0].name}"
            )
            self._bad = []
        super().report()

    def close(self) -> None:
        """Free the file and report what was counted."""
        super().close()
        self._pages.close()
