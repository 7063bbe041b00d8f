"""Anchors of an SSD network at any input size: they stand where its cells look, as they did at the trained size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.views import Size


@dataclass(frozen=True)
class Layer:
    """Anchors of one feature map.

    Attributes
    ----------
    stride : int
        Pixels of the input from one cell to the next, a power of two: each halving has stride 2 and pads as needed.
    shapes : np.ndarray
        (K,2) height and width of a cell's anchors, the input's pixels.
    """

    stride: int
    shapes: np.ndarray


def layers_of(anchors: np.ndarray, side: int) -> list[Layer]:
    """The layers that anchors (A,4) of a square input belong to; none where they lie on no such grids.

    Parameters
    ----------
    anchors : np.ndarray
        Y centre, x centre, height, width as shares of the input, row by row of each layer.
    side : int
        Of the input, pixels.
    """
    layers: list[Layer] = []
    rest = anchors
    while len(rest):
        if not 0 < rest[0, 0] <= 0.5:
            return []
        cells = round(0.5 / rest[0, 0])
        elsewhere = np.abs(rest[:, :2] - rest[0, :2]).max(axis=1) > 1e-4
        count = int(elsewhere.argmax()) if elsewhere.any() else len(rest)
        layer = Layer(2 ** int(np.ceil(np.log2(side / cells) - 1e-9)), rest[:count, 2:] * side)
        own, rest = rest[: cells * cells * count], rest[cells * cells * count :]
        made = _grid((np.arange(cells) + 0.5) / cells, (np.arange(cells) + 0.5) / cells, layer.shapes / side)
        if made.shape != own.shape or not np.allclose(made, own, atol=1e-3) or len(_looks(side, layer.stride)) != cells:
            return []
        layers.append(layer)
    return layers


def anchors_at(layers: list[Layer], side: int, size: Size) -> np.ndarray:
    """Anchors (A,4) of an input of `size` (width, height); the network was trained with `side` by `side` pixels."""
    width, height = size
    made = []
    for layer in layers:
        y, x = (_centres(s, layer.stride, side) for s in (height, width))
        made.append(_grid(y, x, layer.shapes / (height, width)))
    return np.concatenate(made)


def _centres(side: int, stride: int, trained: int) -> np.ndarray:
    """Of one layer's anchors along one side, as shares of it.

    Anchors divide a side evenly; the cells' middles lie `stride` apart and a little aside, by how often half of the
    side is no whole number. What the network has learnt is the mean distance from one to the other, in pixels.
    """
    there = _looks(trained, stride)
    usual = (np.arange(len(there)) + 0.5) * trained / len(there)
    centres: np.ndarray = (_looks(side, stride) + (usual - there).mean()) / side
    return centres


def _looks(side: int, stride: int) -> np.ndarray:
    """The pixels in the middle of what a layer's cells look at, along one side.

    A convolution with stride 2 and a kernel of odd size, padded as TensorFlow's SAME, has its middle on the pixels 1,
    3, 5 and so on of an even number, and on 0, 2, 4 of an odd one.
    """
    first, step = 0, 1
    while step < stride:
        first += step * (side % 2 == 0)
        side, step = -(-side // 2), 2 * step
    return first + 0.5 + step * np.arange(side)


def _grid(y: np.ndarray, x: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Anchors (A,4), float32: shapes (K,2) at every pair of centres, row by row."""
    made = np.empty((len(y), len(x), len(shapes), 4), np.float32)
    made[..., 0], made[..., 1], made[..., 2:] = y[:, None, None], x[:, None], shapes
    return made.reshape(-1, 4)
