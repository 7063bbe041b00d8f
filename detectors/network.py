"""What every detector network shares: tiles of a frame in, one set of boxes in the frame's pixels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from detectors.options import NetworkOptions
from detectors.suppression import nms
from detectors.tiles import auto_grid, cut_by_tile, parse_tiles, tile_rects
from tracker.core.boxes import clip
from tracker.core.classes import wanted_classes
from tracker.core.types import Detections, Frame
from tracker.errors import DetectorError


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a network sees in one picture: corners (K,4) as shares of the picture, scores (K,), class ids (K,)."""

    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray


def batch_of(images: Sequence[np.ndarray], side: int) -> np.ndarray:
    """Uint8 BGR pictures of any size as one RGB batch (N, side, side, 3), each stretched to the square."""
    batch = np.empty((len(images), side, side, 3), np.uint8)
    for image, place in zip(images, batch, strict=True):
        cv2.cvtColor(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB, dst=place)
    return batch


class Network:
    """A detector over the tiles of a frame; subclasses look at pictures, this one cuts, merges and filters."""

    SURE, FAINT = 0.4, 0.2
    """Default least scores: of boxes that are objects as a rule, and of those that only a tracker with a second stage
    of association, which gives weak boxes to old tracks alone, has use for."""
    NMS = 0.5

    name: str
    path: str
    runtime: str
    class_names: tuple[str, ...]

    def __init__(
        self, name: str, path: str, class_names: Sequence[str], options: NetworkOptions, size: int | None
    ) -> None:
        """`size`: side of the network's input in pixels, or None where it takes any."""
        self.name, self.path, self.class_names = name, path, tuple(class_names)
        self.warnings: list[str] = []
        self.why = ""
        default = self.FAINT if options.faint else self.SURE
        self._confidence = default if options.confidence is None else options.confidence
        self._nms = self.NMS if options.nms is None else options.nms
        self._wanted = wanted_classes(options.classes, self.class_names, name)
        # A van is a car to one glance and a truck to the next: these suppress each other like one class.
        motor = [i for i, n in enumerate(self.class_names) if n in ("car", "truck", "bus", "train")]
        self._kind = np.arange(len(self.class_names))
        self._kind[motor] = motor[0] if motor else 0
        self._grid, self._size = parse_tiles(options.tiles), size
        self.tiled = True
        """False: the whole frame alone, whatever the tiles; may be changed between frames."""
        self.concurrency = 1
        """Threads that may and should call it at the same time."""
        self._rects: tuple[tuple[int, int, bool], np.ndarray] | None = None

    def look(self, images: list[np.ndarray], confidence: float) -> list[Candidates]:
        """Candidates of each uint8 BGR picture that score at least `confidence`."""
        raise NotImplementedError

    def __call__(self, frame: Frame) -> Detections:
        """Boxes of all tiles of the frame, merged."""
        if frame.image is None:
            raise DetectorError(f"detector {self.name}: frame {frame.index} has no pixels; give detections by file")
        width, height = frame.size
        rects = self._tile(width, height)
        seen = self.look([frame.image[y0:y1, x0:x1] for x0, y0, x1, y1 in rects], self._confidence)
        if len(rects) == 1:
            found = seen[0]
            xyxy, score, class_id = found.xyxy * (width, height, width, height), found.score, found.class_id
            kept = nms(xyxy, score, self._kind[class_id], self._nms)
        else:
            xyxy, score, class_id, kept = self._merge(seen, rects, width, height)
        if self._wanted is not None:
            kept = kept[np.isin(class_id[kept], self._wanted)]
        # Clipped after the suppression, as detection graphs do; a box outside the frame becomes empty and goes.
        return Detections.clean(clip(xyxy[kept], width, height), score[kept], class_id[kept])[0]

    def _merge(
        self, seen: list[Candidates], rects: np.ndarray, width: int, height: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Boxes in the frame's pixels, scores and class ids of all tiles, and the rows (K,) that are not suppressed."""
        boxes = [c.xyxy * np.tile(r[2:] - r[:2], 2) + np.tile(r[:2], 2) for c, r in zip(seen, rects, strict=True)]
        cut = np.concatenate([cut_by_tile(b, r, width, height) for b, r in zip(boxes, rects, strict=True)])
        part = np.repeat(np.arange(len(rects)), [len(b) for b in boxes])
        xyxy, score = np.concatenate(boxes), np.concatenate([c.score for c in seen])
        class_id = np.concatenate([c.class_id for c in seen])
        return xyxy, score, class_id, nms(xyxy, score, self._kind[class_id], self._nms, part=part, cut=cut)

    def _tile(self, width: int, height: int) -> np.ndarray:
        key, known = (width, height, self.tiled), self._rects
        if known is None or known[0] != key:
            grid = (self._grid or auto_grid(width, height, self._size)) if key[2] else (1, 1)
            known = self._rects = key, tile_rects(width, height, *grid)
        return known[1]

    def close(self) -> None:
        """Free the network."""
