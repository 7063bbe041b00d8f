"""A frame cut into overlapping tiles, so that a detector with a small input does not lose small objects."""

from __future__ import annotations

import re

import numpy as np

from tracker.errors import ConfigError

OVERLAP = 0.2
"""Share of a tile that its neighbour also sees."""
BORDER = 0.01
"""A box that ends within this share of its tile's size from an inner border counts as cut by it."""


def parse_tiles(text: str) -> tuple[int, int] | None:
    """(columns, rows) of `2x2`; (1, 1) of `off`; None of `auto`.

    Raises
    ------
    ConfigError
        Anything else, or more than 8 in a row.
    """
    if text == "auto":
        return None
    if text == "off":
        return (1, 1)
    found = re.fullmatch(r"([1-8])x([1-8])", text)
    if not found:
        raise ConfigError(f"tiles {text!r}; expected off, auto or COLUMNSxROWS up to 8x8, for example 2x2")
    return int(found[1]), int(found[2])


def auto_grid(width: int, height: int, size: int | None) -> tuple[int, int]:
    """(columns, rows) for a frame of width x height pixels and a network input of `size`.

    About 0.9 of the input's side for a tile, so that it is shrunk by a quarter at most, but never more than 3x2: seven
    inferences a frame. Networks of 480 pixels and more, slower and keener, get 2x1 at most.
    """
    if size is None:
        return (1, 1)
    if size >= 480:
        return (2 if width > 1.3 * size else 1, 1)
    return min(3, max(1, round(width / (0.9 * size)))), min(2, max(1, round(height / (0.9 * size))))


def tile_rects(width: int, height: int, columns: int, rows: int) -> np.ndarray:
    """Corners (T,4) int64 of overlapping tiles, row by row; with more than one, the whole frame comes last.

    The whole frame is there for objects larger than a tile.
    """
    whole = np.array([[0, 0, width, height]])
    if columns * rows == 1:
        return whole
    x, y = _spans(width, columns), _spans(height, rows)
    tiles = [[x0, y0, x1, y1] for y0, y1 in y for x0, x1 in x]
    return np.vstack([tiles, whole])


def _spans(length: int, count: int) -> list[tuple[int, int]]:
    size = length / (count - (count - 1) * OVERLAP)
    starts = [i * size * (1 - OVERLAP) for i in range(count)]
    return [(round(s), min(length, round(s + size))) for s in starts]


def cut_by_tile(xyxy: np.ndarray, rect: np.ndarray, width: int, height: int) -> np.ndarray:
    """(N,) bool: boxes (N,4) that end at a border of their tile `rect` (4,) which is not a border of the frame."""
    x0, y0, x1, y1 = rect
    dx, dy = BORDER * (x1 - x0), BORDER * (y1 - y0)
    cut: np.ndarray = (
        ((xyxy[:, 0] < x0 + dx) & (x0 > 0))
        | ((xyxy[:, 1] < y0 + dy) & (y0 > 0))
        | ((xyxy[:, 2] > x1 - dx) & (x1 < width))
        | ((xyxy[:, 3] > y1 - dy) & (y1 < height))
    )
    return cut
