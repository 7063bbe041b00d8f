"""How a network looks at a frame: which rectangles of it, and at which size each is shown to the network."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from detectors.tiles import auto_grid, parse_tiles, tile_rects
from tracker.errors import ConfigError

STEP = 32
"""Sides of a free input are multiples of this: the strides of the networks that can be of any size."""
SIDES = (320, 384, 512, 640, 768, 960, 1280)
"""Longer sides of a free input that come into question; a step costs one and a half times as much as the one before."""
FAST = 384
"""Longer side for `--detail fast`."""
DETAILS = ("auto", "fast", "fine")

Size = tuple[int, int]
"""Width, height in pixels."""


@dataclass(frozen=True, eq=False)
class View:
    """One way to look at frames of one size.

    Attributes
    ----------
    rects : np.ndarray
        (T,4) int64 corners of the pictures that are cut out of a frame, in its pixels.
    size : tuple of int, optional
        (width, height) that each picture is stretched to; None: it stays as it is.
    grid : tuple of int
        Columns and rows of tiles; (1, 1) is the frame as a whole.
    """

    rects: np.ndarray
    size: Size | None
    grid: tuple[int, int] = (1, 1)

    @property
    def cost(self) -> int:
        """Pixels that the network works through for a frame."""
        if self.size is None:
            return int((self.rects[:, 2:] - self.rects[:, :2]).prod(axis=1).sum())
        return len(self.rects) * self.size[0] * self.size[1]

    def __str__(self) -> str:
        size = "any size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        return size if self.grid == (1, 1) else f"{size}, {self.grid[0]}x{self.grid[1]} tiles and the whole"


def parse_size(text: str | None) -> Size | None:
    """(width, height) of `640x384`; None of None.

    Raises
    ------
    ConfigError
        Anything else, or sides that are no multiples of 32 from 64 to 4096.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(64 <= side <= 4096 and side % STEP == 0 for side in size):
        raise ConfigError(f"input size {text!r}; expected WIDTHxHEIGHT in multiples of {STEP}, for example 640x384")
    return size


def fitted(frame: Size, side: int) -> Size:
    """The size of a free input with about the frame's aspect and this longer side, in multiples of 32."""
    longer = max(frame)
    width, height = (max(2 * STEP, round(side * s / longer / STEP) * STEP) for s in frame)
    return width, height


def free_views(frame: Size) -> list[View]:
    """Of a network that takes any size, the whole frame from coarse to fine; never much finer than its pixels are."""
    sides = [s for s in SIDES if s <= max(1.1 * max(frame), SIDES[1])]
    return [View(_whole(frame), fitted(frame, side)) for side in sides]


def fixed_views(frame: Size, size: Size | None) -> list[View]:
    """Of a network of one size, the whole frame alone, and where that shrinks it much, tiles of it as well."""
    views = [View(_whole(frame), size)]
    grid = auto_grid(*frame, max(size) if size else None)
    if grid != (1, 1):
        views.append(View(tile_rects(*frame, *grid), size, grid))
    return views


def asked_view(frame: Size, tiles: str, input_size: Size | None, own: Size | None, *, free: bool) -> View | None:
    """The view that the options leave no choice about, or None.

    Parameters
    ----------
    frame : tuple of int
        Its width and height.
    tiles : str
        off, auto or COLUMNSxROWS; with a free input only the last leaves no choice.
    input_size : tuple of int, optional
        As asked for.
    own : tuple of int, optional
        The network's own input size, or what it was trained with.
    free : bool
        The network takes other sizes, too.
    """
    grid = parse_tiles(tiles)
    if grid is None and input_size is None:
        return None
    if grid is None or grid == (1, 1):
        if input_size is None and free:
            return None
        return View(_whole(frame), input_size or own)
    rects = tile_rects(*frame, *grid)
    tile = rects[0, 2:] - rects[0, :2]
    size = fitted((int(tile[0]), int(tile[1])), max(own)) if free and own else own
    return View(rects, input_size or size, grid)


def _whole(frame: Size) -> np.ndarray:
    return tile_rects(*frame, 1, 1)
