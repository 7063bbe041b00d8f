"""Tracks drawn on frames: boxes coloured by id, labels, short trails."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from tracker.core.types import Frame, Tracks
from tracker.video.labels import LabelPlacer

FONT = cv2.FONT_HERSHEY_SIMPLEX


@lru_cache(maxsize=4096)
def colour(track_id: int) -> tuple[int, int, int]:
    """A BGR colour for an id: neighbouring ids lie far apart on the colour circle."""
    hue = int(track_id * 0.61803398875 % 1 * 180)
    value, saturation = (255, 200) if track_id % 2 else (225, 255)
    b, g, r = cv2.cvtColor(np.array([[[hue, saturation, value]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def ink(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever can be read on a colour (luma of ITU-R BT.601)."""
    b, g, r = background
    return (0, 0, 0) if 0.114 * b + 0.587 * g + 0.299 * r > 130 else (255, 255, 255)


class Painter:
    """Draws tracks and remembers where they were.

    Parameters
    ----------
    class_names : Sequence[str]
        Names by class id.
    trail : int
        Points of a trail.
    scores : bool
        Whether labels tell scores.
    """

    def __init__(self, class_names: Sequence[str] = (), trail: int = 25, *, scores: bool = False) -> None:
        self._names, self._trail, self._scores = tuple(class_names), trail, scores
        self._placer = LabelPlacer()
        self._trails: dict[int, deque[tuple[int, int]]] = {}
        self._last: dict[int, int] = {}
        self._count = 0

    def name(self, class_id: int) -> str:
        """What a class is called on the picture."""
        return self._names[class_id] if 0 <= class_id < len(self._names) else f"class {class_id}"

    def draw(self, frame: Frame, tracks: Tracks) -> np.ndarray:
        """Draw on the frame's image, which must not be needed any more, and return it; black where it has none."""
        image = frame.image
        if image is None:
            image = np.zeros((frame.size[1], frame.size[0], 3), np.uint8)
        scale = max(0.35, min(frame.size) / 1400)
        width = 1 if min(frame.size) < 300 else max(2, round(min(frame.size) / 400))
        self._forget()
        rows = list(zip(tracks.id.tolist(), np.round(tracks.xyxy).astype(int).tolist(), tracks.class_id.tolist(),
                        tracks.score.tolist(), strict=True))  # fmt: skip
        rows.sort(key=lambda row: row[1][3])  # nearer objects, lower in the picture, above farther ones
        for track_id, box, _, _ in rows:
            self._draw_trail(image, track_id, box, width)
        for track_id, box, _, score in rows:  # thin where only the filter says that it is there
            cv2.rectangle(image, (box[0], box[1]), (box[2], box[3]), colour(track_id), width if score else 1)
        self._draw_labels(image, rows[::-1], scale)
        return image

    def _draw_labels(self, image: np.ndarray, rows: list[tuple[int, list[int], int, float]], scale: float) -> None:
        """Each track's label on a bar beside its box; nearer ones choose their place first."""
        if not rows:
            return
        texts = [self._text(*row, scale) for row in rows]
        sizes = np.array([bar_size(text, scale) for text in texts])
        boxes = np.array([box for _, box, _, _ in rows])
        corners = self._placer.place([row[0] for row in rows], boxes, sizes, (image.shape[1], image.shape[0]))
        for (track_id, *_), text, (left, top), (w, h) in list(
            zip(rows, texts, corners.tolist(), sizes.tolist(), strict=True)
        )[::-1]:
            background = colour(track_id)
            (_, ascent), _ = text_size(text, scale)
            pad = max(2, ascent // 4)
            cv2.rectangle(image, (left, top), (left + w, top + h), background, -1)
            cv2.putText(image, text, (left + pad, top + pad + ascent), FONT, scale, ink(background), 1, cv2.LINE_AA)

    def _text(self, track_id: int, box: list[int], class_id: int, score: float, scale: float) -> str:
        """Class, number and, where asked for, score; the number alone where a box is much smaller than its label."""
        text = f"{self.name(class_id)} {track_id}" + (f"  {score:.2f}" if score and self._scores else "")
        return text if 2 * (box[2] - box[0]) >= bar_size(text, scale)[0] else str(track_id)

    def _draw_trail(self, image: np.ndarray, track_id: int, box: list[int], width: int) -> None:
        """The way of the box's foot point over the last frames."""
        points = self._trails.setdefault(track_id, deque(maxlen=self._trail))
        points.append(((box[0] + box[2]) // 2, box[3]))
        self._last[track_id] = self._count
        if len(points) > 1:
            cv2.polylines(image, [np.array(points, np.int32)], False, colour(track_id), width)

    def _forget(self) -> None:
        """Drop trails of tracks not drawn for a while, so that memory stays flat."""
        self._count += 1
        if self._count % 100 == 0:
            old = [i for i, last in self._last.items() if self._count - last > self._trail]
            for i in old:
                del self._trails[i], self._last[i]


@lru_cache(maxsize=4096)
def text_size(text: str, scale: float) -> tuple[tuple[int, int], int]:
    """((width, height), below the baseline) of a text, pixels."""
    (w, h), below = cv2.getTextSize(text, FONT, scale, 1)
    return (int(w), int(h)), int(below)


def bar_size(text: str, scale: float) -> tuple[int, int]:
    """(width, height) in pixels of the bar that a label's text stands on."""
    (w, h), below = text_size(text, scale)
    pad = max(2, h // 4)
    return w + 2 * pad, h + below + 2 * pad
