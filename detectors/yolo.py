"""Output layouts of the YOLO family: recognised from shapes, decoded to boxes in the input's pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.network import Candidates

LAYOUTS = {
    "v5": "(1, 3 x cells, 5 + classes) of YOLOv5 and v7",
    "v8": "(1, 4 + classes, cells) of YOLOv8 to v11",
    "yolox": "(1, cells, 5 + classes) of YOLOX",
    "end2end": "(1, N, 6) of YOLOv10 and exports with their own suppression",
    "batched": "(N, 7) of YOLOv7 with its own suppression",
    "four": "count, boxes, scores and classes",
}


@dataclass(frozen=True)
class Layout:
    """Which layout, in which of the outputs, with how many classes (0: not told by the shape)."""

    kind: str
    output: int
    classes: int
    transposed: bool = False


def cells(size: tuple[int, int]) -> dict[int, int]:
    """Grid cells of an input of (width, height) pixels, by the number of strides: 3 (8, 16, 32) or 4 (and 64)."""
    each = [(size[0] // s) * (size[1] // s) for s in (8, 16, 32, 64)]
    return {3: sum(each[:3]), 4: sum(each)}


def recognise(shapes: Sequence[tuple[int, ...]], size: tuple[int, int], names: int | None) -> Layout | None:
    """The layout of a network's outputs, or None.

    Parameters
    ----------
    shapes : Sequence[tuple[int, ...]]
        Of the outputs. Further ones (raw heads, masks) are passed over.
    size : tuple[int, int]
        (width, height) of the input, pixels.
    names : int or None
        How many class names the file holds, where it does: the rest of a row is then masks or key points.
    """
    if len(shapes) == 4 and shapes[1][-1] == 4 and all(s[0] == 1 for s in shapes):
        return Layout("four", 0, 0)
    counts = set(cells(size).values())
    for i, shape in enumerate(shapes):
        if len(shape) == 2 and shape[1] == 7:
            return Layout("batched", i, 0)
        if len(shape) != 3 or shape[0] != 1:
            continue
        rows, columns = shape[1:]
        if columns in counts and rows > 4:
            return Layout("v8", i, names or rows - 4)
        if rows in counts and columns > 4:
            if columns - 4 == names or columns == 84:
                return Layout("v8", i, names or columns - 4, transposed=True)
            if columns > 5:
                return Layout("yolox", i, names or columns - 5)
        if rows in {3 * c for c in counts} and columns > 5:
            return Layout("v5", i, names or columns - 5)
        if columns == 6:
            return Layout("end2end", i, 0)
    return None


def decode(layout: Layout, outputs: Sequence[np.ndarray], size: tuple[int, int], confidence: float) -> Candidates:
    """Candidates with boxes (K,4) in the input's pixels, of the outputs of one picture."""
    if layout.kind == "four":
        count = int(np.ravel(outputs[0])[0])
        boxes, score, class_id = (np.asarray(o[0])[:count] for o in outputs[1:])
        return _above(boxes, score.ravel(), class_id.ravel(), confidence)
    found = outputs[layout.output].astype(np.float32)
    if layout.kind == "batched":
        return _above(found[:, 1:5], found[:, 6], found[:, 5], confidence)
    rows = found[0]
    if layout.kind == "end2end":
        return _above(rows[:, :4], rows[:, 4], rows[:, 5], confidence)
    if layout.kind == "v8" and not layout.transposed:
        rows = rows.T
    first = 4 if layout.kind == "v8" else 5
    of_class = rows[:, first : first + layout.classes]
    class_id = of_class.argmax(axis=1)
    score = of_class[np.arange(len(rows)), class_id] * (1 if first == 4 else rows[:, 4])
    if layout.kind == "yolox":
        rows = ungrid(rows, size)
    good = score >= confidence
    centre, half = rows[good, :2], rows[good, 2:4] / 2
    return _above(np.hstack([centre - half, centre + half]), score[good], class_id[good], confidence)


def ungrid(rows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """YOLOX's rows (A, 5 + classes) with centres and sizes in pixels (arXiv 2107.08430); as they are if they are so.

    Exports leave out the last step as a rule: centres are then offsets in cells and sizes logarithms.
    """
    if len(rows) == 0 or rows[:, 2:4].max() > 15:
        return rows
    strides = (8, 16, 32) if len(rows) == cells(size)[3] else (8, 16, 32, 64)
    grid, stride = [], []
    for s in strides:
        y, x = np.mgrid[: size[1] // s, : size[0] // s]
        grid.append(np.column_stack([x.ravel(), y.ravel()]))
        stride.append(np.full((x.size, 1), s))
    step = np.concatenate(stride)
    box = np.hstack([(rows[:, :2] + np.concatenate(grid)) * step, np.exp(rows[:, 2:4]) * step])
    return np.hstack([box, rows[:, 4:]])


def _above(xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, confidence: float) -> Candidates:
    good = (score >= confidence) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
    return Candidates(xyxy[good].astype(np.float64), score[good], class_id[good].astype(np.int32))
