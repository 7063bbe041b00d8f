"""`PATH.onnx`: networks of the YOLO family through OpenCV, their output layout recognised from its shape."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from detectors.network import Candidates, Network
from detectors.onnx_file import read_metadata
from detectors.options import NetworkOptions
from detectors.yolo import LAYOUTS, decode, recognise
from tracker.core.classes import COCO, ROAD_USERS
from tracker.core.files import model_bytes
from tracker.errors import DetectorError

GREY = 114
"""The border that the family is trained with."""
MANY = 1000
"""Names for class ids where neither the file nor the output's shape tells how many there are."""


class ONNXDetector(Network):
    """A YOLO export: v5 and v7, v8 to v11, YOLOX, and end-to-end ones (v10, or with the suppression inside).

    Class names come from the file's metadata (`names`), else they are COCO's where there may be 80 classes, else
    numbers. YOLOX takes BGR from 0 to 255 in the input's upper left corner, the others RGB from 0 to 1 in its middle.
    """

    SURE, FAINT = 0.35, 0.15

    def __init__(self, path: Path, options: NetworkOptions) -> None:
        data = model_bytes(path)
        try:
            metadata, shape = read_metadata(data)
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
        except cv2.error as error:
            raise DetectorError(f"{path}: OpenCV cannot read it as ONNX ({_reason(error)})") from None
        except DetectorError as error:
            raise DetectorError(f"{path}: {error}; expected a YOLO network in ONNX format") from None
        names = _names(metadata)
        self._input = _input_size(metadata, shape)
        self._outlets = self._net.getUnconnectedOutLayersNames()
        outputs = self._forward(np.zeros((*self._input[::-1], 3), np.uint8), raw=False, where=str(path))
        shapes = [o.shape for o in outputs]
        layout = recognise(shapes, self._input, len(names) or None)
        if layout is None:
            known = "; ".join(LAYOUTS.values())
            raise DetectorError(f"{path}: its outputs have the shapes {shapes}; expected {known}")
        self._layout, self._raw = layout, layout.kind == "yolox"
        if not names:
            count = layout.classes or MANY
            names = COCO if layout.classes in (0, 80) else tuple(f"class {i}" for i in range(count))
        if options.classes is None and set(ROAD_USERS) < set(names):
            options = replace(options, classes=ROAD_USERS)
        super().__init__(path.name, str(path), names, options, self._input)
        self.runtime = "opencv cpu"

    def look(self, images: list[np.ndarray], size: tuple[int, int] | None, confidence: float) -> list[Candidates]:
        """Candidates of every picture, uint8 (H,W,3) BGR."""
        return [self._look(image, confidence) for image in images]

    def _look(self, image: np.ndarray, confidence: float) -> Candidates:
        boxed, scale, offset = letterbox(image, self._input, centred=not self._raw)
        found = decode(self._layout, self._forward(boxed, raw=self._raw, where=self.path), self._input, confidence)
        known = found.class_id < len(self.class_names)
        size = np.tile(image.shape[1::-1], 2)
        xyxy = (found.xyxy[known] - np.tile(offset, 2)) / np.tile(scale, 2) / size
        return Candidates(xyxy, found.score[known], found.class_id[known])

    def _forward(self, image: np.ndarray, *, raw: bool, where: str) -> list[np.ndarray]:
        blob = cv2.dnn.blobFromImage(image, 1.0 if raw else 1 / 255, swapRB=not raw)
        try:
            self._net.setInput(blob)
            return [np.asarray(o) for o in self._net.forward(self._outlets)]
        except cv2.error as error:
            raise DetectorError(f"{where}: OpenCV cannot run it on {image.shape} ({_reason(error)})") from None


def letterbox(image: np.ndarray, size: tuple[int, int], *, centred: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image (H,W,3) in a grey frame of `size` (width, height), its aspect kept.

    Returns
    -------
    framed : ndarray
        The picture in the network's frame.
    scale, offset : (2,) ndarray
        As x, y: a point p of the image stands in it at p * scale + offset.
    """
    height, width = image.shape[:2]
    ratio = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * ratio)), max(1, round(height * ratio))
    spare = np.array(size) - inner
    offset = spare // 2 if centred else np.zeros(2, int)
    framed = np.full((size[1], size[0], 3), GREY, np.uint8)
    x, y = offset
    framed[y : y + inner[1], x : x + inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    return framed, np.array(inner) / (width, height), offset.astype(float)


def _names(metadata: dict[str, str]) -> tuple[str, ...]:
    """Class names from `{0: 'person', ...}` or `['person', ...]`; none where there are none that can be read."""
    try:
        value = ast.literal_eval(metadata.get("names", "()"))
    except (ValueError, SyntaxError):
        return ()
    if isinstance(value, dict) and value and all(isinstance(k, int) and 0 <= k < 100_000 for k in value):
        return tuple(str(value.get(i, f"class {i}")) for i in range(max(value) + 1))
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def _input_size(metadata: dict[str, str], shape: tuple[int | None, ...]) -> tuple[int, int]:
    """(width, height) of the input: the graph's, else the metadata's, else 640 x 640."""
    if len(shape) == 4 and shape[2] and shape[3]:
        return shape[3], shape[2]
    try:
        height, width = ast.literal_eval(metadata.get("imgsz", "[640, 640]"))
        return int(width), int(height)
    except (ValueError, SyntaxError, TypeError):
        return 640, 640


def _reason(error: cv2.error) -> str:
    """OpenCV's message without its file and line."""
    text = " ".join(str(error).split())
    return text.split("error: ", 1)[-1][:200]
