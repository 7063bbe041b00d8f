"""Picture files: one or many pages, 8 to 16 bits, of any name; what cannot be read is None, never an exception."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from tracker.core.images import opencv_name, read_picture

FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
PAGE_BYTES = 1_500_000_000
"""Most of an animation's frames together, which OpenCV decodes at once."""
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras use of a 16-bit file."""


def without_times(path: Path) -> bool:
    """A GIF none of whose pictures says how long it is shown: FFmpeg finds only the first in it."""
    if path.suffix.lower() != ".gif":
        return False
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except OSError:
        return False
    return data[:3] == b"GIF" and b"\x21\xf9\x04" not in data


class Converter:
    """Brings decoded frames to pictures, without a copy where that is possible: one for all frames of a source."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any, layout: str = "bgr24") -> np.ndarray:
        """A PyAV frame as an array (H,W) or (H,W,3) of its own, uint8 BGR if nothing else is asked for."""
        converted = self._reformatter.reformat(frame, format=layout)
        plane: Any = converted.planes[0]
        if layout != "bgr24" or converted is frame or plane.line_size != 3 * converted.width:
            return np.asarray(converted.to_ndarray())
        # Made here and held by nobody else, without gaps between rows: it lives as long as the array does.
        picture: np.ndarray = np.frombuffer(plane, np.uint8).reshape(converted.height, converted.width, 3)
        return picture


class GreyRange:
    """Brings pictures of more than 8 bits to 8 by the range that the first ones use, the same for the whole run."""

    def __init__(self, samples: Sequence[np.ndarray] = ()) -> None:
        self._scale: float | None = None
        if samples:
            self._learn(samples)

    def _learn(self, samples: Sequence[np.ndarray]) -> None:
        most = max((float(np.nanmax(s)) for s in samples if s.size), default=0.0)
        if samples[0].dtype.kind == "f":
            self._scale = 255 / most if np.isfinite(most) and most > 0 else 1.0
        else:
            bits = next((b for b in DEPTHS if most < 1 << b), DEPTHS[-1])
            self._scale = 2.0 ** (8 - bits)

    def eight_bits(self, image: np.ndarray) -> np.ndarray:
        """A picture as uint8 (H,W,3); greys get three channels."""
        if image.dtype != np.uint8:
            if self._scale is None:
                self._learn([image])
            with np.errstate(invalid="ignore"):
                image = np.clip(np.nan_to_num(image * np.float32(self._scale or 1.0)), 0, 255).astype(np.uint8)
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image


class Pages:
    """Pictures of files by number, from 0: one a file, or the pages of a single file that holds several.

    Parameters
    ----------
    paths : sequence of Path
        One picture each; of a single one, a many-page TIFF or an animation, every page is a picture.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.warning = ""
        self._pages: list[np.ndarray] | None = None
        self._name = ""
        self._open: IO[bytes] | None = None
        self._tiff = len(paths) == 1 and paths[0].suffix.lower() in (".tif", ".tiff")
        self._count = self._counted() if len(paths) == 1 else len(paths)
        step = max(1, self._count // 4)
        samples = [s for k in range(0, self._count, step)[:5] if (s := self._raw(k)) is not None]
        deep = [s for s in samples if s.dtype != np.uint8]
        self._range = GreyRange([s for s in deep if s.dtype == deep[0].dtype]) if deep else GreyRange()

    def __len__(self) -> int:
        return self._count

    def path(self, number: int) -> Path:
        """The file that holds a picture."""
        return self.paths[number if len(self.paths) > 1 else 0]

    def read(self, number: int) -> np.ndarray | None:
        """A picture as uint8 (H,W,3) BGR; None where it cannot be read."""
        image = self._raw(number)
        return None if image is None else self._range.eight_bits(image)

    def _counted(self) -> int:
        first = read_picture(self.paths[0], FLAGS)
        try:
            self._name, self._open = opencv_name(self.paths[0])
            count = int(cv2.imcount(self._name)) if first is not None else 1
        except (cv2.error, OSError, UnicodeError):
            return 1
        if first is not None and count > 1 and not self._tiff and count * first.nbytes > PAGE_BYTES:
            self.warning = f"{self.paths[0]}: {count} pages are too many to decode at once; only the first is read"
            return 1
        return max(1, count)

    def _raw(self, number: int) -> np.ndarray | None:
        if self._count == 1 or len(self.paths) > 1:
            return read_picture(self.path(number), FLAGS)
        try:
            if self._tiff:
                found = cv2.imreadmulti(self._name, start=number, count=1, flags=FLAGS)[1]
                return found[0] if found else None
            if self._pages is None:
                self._pages = list(cv2.imreadmulti(self._name, flags=FLAGS)[1])
            return self._pages[number] if number < len(self._pages) else None
        except (cv2.error, IndexError, UnicodeError, MemoryError):
            return None

    def close(self) -> None:
        """Close the file whose pages they are, where one is open."""
        if self._open is not None:
            self._open.close()
