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


@dataclass(frozen=True)
class Band:
    """Rows of a frame, over its whole width, where things are far: the network sees them a second time, and larger.

    Attributes
    ----------
    size : tuple of int
        (width, height) that they are stretched to.
    top : int
        The first of them, in the frame's pixels.
    """

    size: Size
    top: int

    def rect(self, frame: Size) -> np.ndarray:
        """Corners (1,4) int64 of the rows in a frame, which keep their aspect.

        Raises
        ------
        ConfigError
            The frame has no such rows.
        """
        bottom = min(frame[1], round(self.top + self.size[1] * frame[0] / self.size[0]))
        if bottom - self.top < 2:
            raise ConfigError(f"input size with rows from {self.top} on; expected one of the {frame[1]} of the frame")
        return np.array([[0, self.top, frame[0], bottom]])


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
    band : Band, optional
        Rows that are looked at a second time.
    """

    rects: np.ndarray
    size: Size | None
    grid: tuple[int, int] = (1, 1)
    band: Band | None = None

    @property
    def cost(self) -> int:
        """Pixels that the network works through for a frame."""
        if self.size is None:
            return int((self.rects[:, 2:] - self.rects[:, :2]).prod(axis=1).sum())
        band = self.band.size if self.band else (0, 0)
        return len(self.rects) * self.size[0] * self.size[1] + band[0] * band[1]

    @property
    def sizes(self) -> set[Size]:
        """Of what the network is shown."""
        return {size for size in (self.size, self.band and self.band.size) if size}

    def parts(self, frame: Size) -> list[tuple[np.ndarray, Size | None]]:
        """Rectangles (T,4) of a frame that are shown at the same size, and that size."""
        return [(self.rects, self.size), *([(self.band.rect(frame), self.band.size)] if self.band else [])]

    def input_size(self) -> str | None:
        """As an option, what `parse_size` reads; None where pictures go in as they are."""
        band = f"+{self.band.size[0]}x{self.band.size[1]}@{self.band.top}" if self.band else ""
        return self.size and f"{self.size[0]}x{self.size[1]}{band}"

    def __str__(self) -> str:
        size = self.input_size() or "any size"
        return size if self.grid == (1, 1) else f"{size}, {self.grid[0]}x{self.grid[1]} tiles and the whole"


def parse_size(text: str | None) -> tuple[Size | None, Band | None]:
    """(width, height) of `640x384`, and the rows of `384x224+960x96@192`; None where there are none.

    Raises
    ------
    ConfigError
        Anything else, or sides that are no multiples of 32 from 64 to 4096 (of rows from 32).
    """
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})(?:\+(\d{2,4})x(\d{2,4})@(\d{1,5}))?", text)
    width, height, band_width, band_height, top = (int(n or 0) for n in found.groups()) if found else (0,) * 5
    rows = ((band_width, 2 * STEP), (band_height, STEP)) if band_width or band_height else ()
    sides = ((width, 2 * STEP), (height, 2 * STEP), *rows)
    if not all(least <= side <= 4096 and side % STEP == 0 for side, least in sides):
        raise ConfigError(
            f"input size {text!r}; expected WIDTHxHEIGHT in multiples of {STEP}, for example 640x384, or with a second "
            "look at rows, from the one behind the @ on, 384x224+960x96@192"
        )
    return (width, height), Band((band_width, band_height), top) if band_width else None


def fitted(frame: Size, side: int) -> Size:
    """The size of a free input with about the frame's aspect and this longer side, in multiples of 32."""
    longer = max(frame)
    width, height = (max(2 * STEP, round(side * s / longer / STEP) * STEP) for s in frame)
    return width, height


def free_views(frame: Size) -> list[View]:
    """Of a network that takes any size, the whole frame from coarse to fine; never much finer than its pixels are.

    The frame's own size is among them, where it is not too costly: what is small is seen best as it was filmed.
    """
    own = {max(frame)} if SIDES[0] <= max(frame) <= SIDES[-1] else set()
    sides = sorted(own | {s for s in SIDES if s <= max(1.1 * max(frame), SIDES[1])})
    sizes = dict.fromkeys(fitted(frame, side) for side in sides)
    return [View(_whole(frame), size) for size in sizes]


def fixed_views(frame: Size, size: Size | None) -> list[View]:
    """Of a network of one size, the whole frame alone, and where that shrinks it much, tiles of it as well."""
    views = [View(_whole(frame), size)]
    grid = auto_grid(*frame, max(size) if size else None)
    if grid != (1, 1):
        views.append(View(tile_rects(*frame, *grid), size, grid))
    return views


def asked_view(
    frame: Size,
    tiles: str,
    input_size: Size | None,
    own: Size | None,
    *,
    free: bool,
    band: Band | None = None,
    own_tiles: bool = False,
) -> View | None:
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
    band : Band, optional
        As asked for beside `input_size`.
    own_tiles : bool
        Tiles are shown at `own`, whatever their shape.
    """
    grid = parse_tiles(tiles)
    if grid is None and input_size is None:
        return None
    if grid is None or grid == (1, 1):
        if input_size is None and free:
            return None
        return View(_whole(frame), input_size or own, band=band)
    rects = tile_rects(*frame, *grid)
    tile = rects[0, 2:] - rects[0, :2]
    size = fitted((int(tile[0]), int(tile[1])), max(own)) if free and own and not own_tiles else own
    return View(rects, input_size or size, grid)


def _whole(frame: Size) -> np.ndarray:
    return tile_rects(*frame, 1, 1)
