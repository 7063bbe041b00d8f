"""Output layouts of exported detectors: recognised from shapes and names, decoded to boxes in the input's pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.network import Candidates

LAYOUTS = {
    "v5": "(N, 3 x cells, 5 + classes) of YOLOv5 and v7",
    "v8": "(N, 4 + classes, cells) of YOLOv8 to YOLO26",
    "yolox": "(N, cells, 5 + classes) of YOLOX",
    "end2end": "(N, K, 6) of exports with their own suppression",
    "detr": "(N, K, 4 + classes) of RT-DETR",
    "batched": "(K, 7) of YOLOv7 with its own suppression",
    "apart": "boxes (N, K, 4) and scores (N, K, classes)",
    "listed": "boxes, scores and classes, with or without their count",
}
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (8, 16), (4, 8, 16, 32, 64))
"""Of the grids whose cells a network answers for."""
EXTRAS = {"segment": "masks", "pose": "key points", "obb": "angles"}
"""What heads tell besides boxes, by the task in the metadata."""


@dataclass(frozen=True)
class Output:
    """One output of a network as it answered: name, shape, whether it holds whole numbers."""

    name: str
    shape: tuple[int, ...]
    whole: bool = False


@dataclass(frozen=True)
class Layout:
    """How to read the outputs.

    Attributes
    ----------
    kind : str
        Of `LAYOUTS`.
    outputs : tuple of int
        Which outputs: one, or boxes, scores and where there are any classes and count.
    classes : int
        How many classes; 0 where the shapes do not tell.
    transposed : bool
        Cells come first in a "v8" output.
    angle : bool
        The last column turns the box, radians.
    stretched : bool
        The network was trained with pictures stretched to its input, not framed in it: that of transformers.
    rows_first : bool
        Corners are y1, x1, y2, x2, as TensorFlow's Object Detection API gives them.
    """

    kind: str
    outputs: tuple[int, ...]
    classes: int = 0
    transposed: bool = False
    angle: bool = False
    stretched: bool = False
    rows_first: bool = False


def cells(size: tuple[int, int], strides: Sequence[int] = STRIDES[0]) -> int:
    """Grid cells of an input of (width, height) pixels."""
    return sum((size[0] // s) * (size[1] // s) for s in strides)


def recognise(outputs: Sequence[Output], size: tuple[int, int], names: int, metadata: dict[str, str]) -> Layout | None:
    """The layout of a network's outputs, or None.

    Parameters
    ----------
    outputs : sequence of Output
        Further ones (raw heads, masks) are passed over.
    size : tuple of int
        (width, height) of the input, pixels.
    names : int
        How many class names the file holds; 0 where it does not.
    metadata : dict of str
        Of the file.
    """
    layout = _several(outputs)
    counts = {cells(size, s) for s in STRIDES}
    beside = metadata.get("task") in EXTRAS or any(
        len(o.shape) == 4 for o in outputs
    )  # masks have a table of their own
    for number, output in enumerate(outputs) if layout is None else ():
        layout = _single(output.shape, counts, names, metadata)
        if layout is not None:
            named_alone = names and (beside or names > layout.classes)
            layout = replace(layout, outputs=(number,), classes=names if named_alone else layout.classes)
            break
    return layout and replace(layout, angle=metadata.get("task") == "obb")


def _several(outputs: Sequence[Output]) -> Layout | None:
    """Boxes apart from scores: as one row for each class, or with classes beside them."""
    boxes = [i for i, o in enumerate(outputs) if len(o.shape) in (2, 3) and o.shape[-1] == 4]
    if len(boxes) > 1:  # scores of four classes have the same shape
        boxes = [i for i in boxes if any(w in outputs[i].name.lower() for w in ("box", "dets", "loc"))]
    if len(boxes) != 1 or len(outputs) < 2:
        return None
    place, shape = boxes[0], outputs[boxes[0]].shape
    same = [i for i, o in enumerate(outputs) if i != place and o.shape[: len(shape) - 1] == shape[:-1]]
    lists = [i for i in same if len(outputs[i].shape) == len(shape) - 1 or outputs[i].shape[len(shape) - 1 :] == (1,)]
    if len(lists) >= 2:
        named = [i for i in lists if any(w in outputs[i].name.lower() for w in ("class", "label"))]
        label = next((i for i in lists if outputs[i].whole), named[0] if named else lists[1])
        score = next(i for i in lists if i != label)
        count = [i for i, o in enumerate(outputs) if i not in (place, *lists) and int(np.prod(o.shape)) == 1]
        rows_first = outputs[place].name.lower().startswith("detection_boxes")
        return Layout("listed", (place, score, label, *count[:1]), rows_first=rows_first)
    tables = [i for i in same if len(outputs[i].shape) == len(shape) == 3]
    if len(tables) == 1:
        return Layout("apart", (place, tables[0]), outputs[tables[0]].shape[-1])
    return None


def _single(shape: tuple[int, ...], counts: set[int], names: int, metadata: dict[str, str]) -> Layout | None:
    """One output with everything in it."""
    if len(shape) == 2 and shape[1] == 7:
        return Layout("batched", ())
    if len(shape) != 3:
        return None
    rows, columns = shape[1:]
    turned, about = metadata.get("task") == "obb", metadata.get("description", "").lower()
    if columns in counts and rows > 4:
        return Layout("v8", (), rows - 4 - turned)
    if rows in counts and columns > 4:
        if columns - 4 == names or columns == 84 or metadata.get("task") in EXTRAS:
            return Layout("v8", (), columns - 4 - turned, transposed=True)
        if columns > 5:
            return Layout("yolox", (), columns - 5)
    if rows in {3 * c for c in counts} and columns > 5:
        return Layout("v5", (), columns - 5)
    if columns == 6 and "detr" in metadata.get("head", "").lower():  # newer ones pick the best class inside
        return Layout("end2end", (), stretched=True)
    if columns > 4 and columns == 4 + (names or 80) and (columns != 6 or "detr" in about):
        return Layout("detr", (), columns - 4, stretched=True)
    if columns == 6 or (columns > 6 and (names or "task" in metadata)):
        return Layout("end2end", ())
    return None


def decode(
    layout: Layout, outputs: Sequence[np.ndarray], size: tuple[int, int], confidence: float, picture: int = 0
) -> Candidates:
    """Candidates of one picture of a batch, with boxes (K,4) in the input's pixels.

    Parameters
    ----------
    layout : Layout
        As recognised.
    outputs : sequence of np.ndarray
        Of the network.
    size : tuple of int
        (width, height) of the input.
    confidence : float
        Least score.
    picture : int
        Its number in the batch.
    """
    arrays = [np.asarray(outputs[i]) for i in layout.outputs]
    if layout.kind == "batched":
        rows = arrays[0][arrays[0][:, 0] == picture].astype(np.float32)
        return _above(rows[:, 1:5], rows[:, 6], rows[:, 5], confidence, size)
    if layout.kind == "listed":
        return _listed(layout, arrays, size, confidence, picture)
    found = [a[picture].astype(np.float32) for a in arrays]
    if layout.kind == "apart":
        return _apart(found[0], found[1], size, confidence)
    if layout.kind == "end2end":
        rows = found[0]
        boxes = rows[:, :4]
        if layout.angle and rows.shape[1] > 6:
            boxes = _enclosing(boxes, rows[:, 6])
        elif layout.stretched:
            boxes = _corners(boxes)
        return _above(boxes, rows[:, 4], rows[:, 5], confidence, size)
    if layout.kind == "detr":
        return _apart(found[0][:, :4], found[0][:, 4:], size, confidence)
    return _grid(layout, found[0], size, confidence)


def _grid(layout: Layout, found: np.ndarray, size: tuple[int, int], confidence: float) -> Candidates:
    """Of layouts with a row for each cell."""
    rows = found.T if layout.kind == "v8" and not layout.transposed else found
    first = 4 if layout.kind == "v8" else 5
    of_class = rows[:, first : first + layout.classes]
    class_id = of_class.argmax(axis=1)
    score = of_class[np.arange(len(rows)), class_id] * (1 if first == 4 else rows[:, 4])
    if layout.kind == "yolox":
        rows = ungrid(rows, size)
    scale = _scale(rows[:, :4], size)
    good = ~(score < confidence)  # what is no number goes on and is told
    boxes = rows[good, :4] * scale
    corners = _enclosing(boxes, rows[good, -1]) if layout.angle else _corners(boxes)
    return _above(corners, score[good], class_id[good], confidence, None)


def _apart(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], confidence: float) -> Candidates:
    """Boxes and a score for each class: corners in pixels, or centres and sides as shares, as transformers give them.

    Scores beyond 0 to 1 are logits.
    """
    if scores.size and (scores.min() < 0 or scores.max() > 1):
        scores = 1 / (1 + np.exp(-np.clip(scores, -50, 50)))
    class_id = scores.argmax(axis=1)
    score = scores[np.arange(len(scores)), class_id]
    scale = _scale(boxes, size)
    shares = bool((scale != 1).any())
    turned = len(boxes) > 0 and (boxes[:, 2:] < boxes[:, :2]).any(axis=1).mean() > 0.2
    return _above((_corners(boxes) if shares or turned else boxes) * scale, score, class_id, confidence, None)


def _listed(
    layout: Layout, arrays: Sequence[np.ndarray], size: tuple[int, int], confidence: float, picture: int
) -> Candidates:
    """Boxes, scores and classes, of a batch or of one picture, and perhaps how many of them count."""
    boxes, score, class_id = (a[picture] if arrays[0].ndim == 3 else a for a in arrays[:3])
    count = int(np.ravel(arrays[3])[min(picture, arrays[3].size - 1)]) if len(arrays) > 3 else len(boxes)
    boxes, score, class_id = (np.asarray(a, np.float32)[:count] for a in (boxes, score, class_id))
    boxes = boxes[:, [1, 0, 3, 2]] if layout.rows_first else boxes
    return _above(boxes, score.ravel(), class_id.ravel(), confidence, size)


def _scale(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(4,) what takes boxes to the input's pixels: the input's sides where none reaches beyond 1.5, else 1."""
    if len(boxes) and np.abs(boxes).max() <= 1.5:
        return np.array([*size, *size], np.float32)
    return np.ones(4, np.float32)


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Corners of centres and sides (K,4)."""
    half = boxes[:, 2:4] / 2
    return np.hstack([boxes[:, :2] - half, boxes[:, :2] + half])


def _enclosing(boxes: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Corners of the upright boxes around boxes of centres and sides (K,4) turned by angles (K,), radians."""
    cos, sin = np.abs(np.cos(angle))[:, None], np.abs(np.sin(angle))[:, None]
    width, height = boxes[:, 2:3], boxes[:, 3:4]
    half = np.hstack([width * cos + height * sin, width * sin + height * cos]) / 2
    return np.hstack([boxes[:, :2] - half, boxes[:, :2] + half])


def ungrid(rows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """YOLOX's rows (A, 5 + classes) with centres and sides in pixels (arXiv 2107.08430); as they are if they are so.

    Exports leave out the last step as a rule: centres are then offsets in cells and sides logarithms.
    """
    if len(rows) == 0 or rows[:, 2:4].max() > 15:
        return rows
    strides = next((s for s in STRIDES if cells(size, s) == len(rows)), STRIDES[0])
    grid, stride = [], []
    for s in strides:
        y, x = np.mgrid[: size[1] // s, : size[0] // s]
        grid.append(np.column_stack([x.ravel(), y.ravel()]))
        stride.append(np.full((x.size, 1), s))
    step = np.concatenate(stride)
    box = np.hstack([(rows[:, :2] + np.concatenate(grid)) * step, np.exp(rows[:, 2:4]) * step])
    return np.hstack([box, rows[:, 4:]])


def _above(
    xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, confidence: float, size: tuple[int, int] | None
) -> Candidates:
    """Those that score enough and have an area, or are no numbers; `size` where boxes may be shares of it."""
    good = ~(score < confidence) & ~(xyxy[:, 2:] <= xyxy[:, :2]).any(axis=1)
    boxes = xyxy[good] if size is None else xyxy[good] * _scale(xyxy[good], size)
    return Candidates(boxes.astype(np.float64), score[good], class_id[good].astype(np.int32))
