"""`PATH.onnx`: exported detectors, in OpenVINO on a CPU and in ONNX Runtime on a GPU; their outputs recognised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from detectors.network import Candidates, Network
from detectors.onnx_file import MOST_PICTURES, SIDES, Input, OnnxFile, read_onnx
from detectors.onnx_heads import EXTRAS, LAYOUTS, Layout, Output, decode, recognise
from detectors.options import NetworkOptions
from detectors.runners.base import Feed, Runner
from detectors.runners.onnx import has_onnxruntime, open_onnx
from detectors.views import STEP, Size
from tracker.core.classes import COCO, ROAD_USERS, coco_90
from tracker.core.files import model_bytes
from tracker.errors import DetectorError

GREY = 114
"""The border that the YOLO family is trained with."""
MANY = 1000
"""Names for class ids where neither the file nor the output's shape tells how many there are."""
USUAL = (640, 640)
"""Size of a free input, where the file does not say what it was trained with."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, 0 to 1, RGB: what transformers with logits were trained with."""


class ONNXDetector(Network):
    """An exported network: YOLOv5 to YOLO26, YOLOX, YOLO-NAS, RT-DETR and its kin, with or without suppression inside.

    Class names come from the file's metadata (`names`), else they are COCO's where there may be 80 classes, else
    numbers. YOLOX takes BGR from 0 to 255 in the input's upper left corner, the rest of the family RGB from 0 to 1 in
    its middle; transformers take pictures stretched to the input.

    Parameters
    ----------
    path : Path
        The file; weights it keeps outside must lie in its folder.
    options : NetworkOptions
        As for any network.

    Raises
    ------
    DetectorError
        It is no ONNX model, cannot be run, or its outputs are of no known layout.
    """

    SURE, FAINT = 0.35, 0.15

    def __init__(self, path: Path, options: NetworkOptions) -> None:
        data = model_bytes(path)
        try:
            about = read_onnx(data, path.parent)
            picture = _picture_input(about)
            own, free = _input_size(about, picture)
            feed = _feed(about, picture, own)
        except DetectorError as error:
            raise DetectorError(f"{path}: {error}") from None
        self._run: Runner = open_onnx(path, feed, options)
        shown = np.zeros((feed.batch or 1, own[1], own[0], 3), np.uint8)
        try:
            arrays = self._run(shown)
        except DetectorError:
            if options.runtime != "auto" or not has_onnxruntime() or self._run.name.startswith("onnxruntime"):
                raise
            options = replace(options, runtime="onnxruntime")  # it is less strict about shapes
            self._run = open_onnx(path, feed, options)
            arrays = self._run(shown)
        outputs = [
            Output(name, a.shape, np.issubdtype(a.dtype, np.integer))
            for name, a in zip(self._run.output_names, arrays, strict=True)
        ]
        names = about.names
        layout = recognise(outputs, own, len(names), about.metadata)
        if layout is None:
            raise DetectorError(f"{path}: {_unknown(outputs)}")
        if layout.kind == "apart":  # boxes as shares of the picture are a transformer's
            layout = replace(layout, stretched=bool(np.abs(arrays[layout.outputs[0]]).max() <= 1.5))
        if feed.size_input is not None or layout.rows_first:  # RT-DETR's and D-FINE's own exports, TensorFlow's SSDs
            layout = replace(layout, stretched=True)
        self._layout, self._batch = layout, feed.batch
        better = _trained_with(feed, layout, about)
        if better != feed:
            self._run = open_onnx(path, better, options)
        names = names or _usual_names(layout, feed)
        if unnamed := range(len(names), layout.classes):
            names = (*names, *(f"class {i}" for i in unnamed))
        if options.classes is None and set(ROAD_USERS) < set(names):
            options = replace(options, classes=ROAD_USERS)
        super().__init__(path.name, str(path), names, options, own, free=free)
        self.runtime, self.concurrency = self._run.name, self._run.concurrency
        if unnamed:
            self.warnings.append(f"detector {path.name}: the file names {unnamed.start} of its {unnamed.stop} classes")
        if extra := EXTRAS.get(about.metadata.get("task", "")):
            self.warnings.append(f"detector {path.name}: of its boxes with {extra} the boxes alone are used")

    def look(self, images: list[np.ndarray], size: Size | None, confidence: float) -> list[Candidates]:
        """Candidates of each picture; as many at a time as the file was exported for."""
        size = size or USUAL
        count = self._batch or 1
        found: list[Candidates] = []
        for start in range(0, len(images), count):
            framed = [self._framed(image, size) for image in images[start : start + count]]
            batch = np.zeros((count, size[1], size[0], 3), np.uint8)
            for place, (picture, _, _) in zip(batch, framed, strict=False):
                cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=place)
            outputs = self._run(batch)
            for number, (_, scale, offset) in enumerate(framed):
                seen = decode(self._layout, outputs, size, confidence, number)
                known = (seen.class_id >= 0) & (seen.class_id < len(self.class_names))
                whole = np.tile(images[start + number].shape[1::-1], 2)
                xyxy = (seen.xyxy[known] - np.tile(offset, 2)) / np.tile(scale, 2) / whole
                found.append(Candidates(xyxy, seen.score[known], seen.class_id[known]))
        return found

    def _framed(self, image: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._layout.stretched:
            stretched = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
            return stretched, np.array(size) / image.shape[1::-1], np.zeros(2)
        return letterbox(image, size, centred=self._layout.kind != "yolox")


def letterbox(image: np.ndarray, size: Size, *, centred: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image (H,W,3) in a grey frame of `size` (width, height), its aspect kept.

    Returns
    -------
    tuple of np.ndarray
        The framed image, scale (2,) and offset (2,) as x, y: a point p of the image stands at p * scale + offset.
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


def _picture_input(about: OnnxFile) -> Input:
    """The input that takes pictures: (N,3,H,W), (N,H,W,3) or (3,H,W)."""
    for given in about.inputs:
        if len(given.shape) == 4 and (given.shape[1] in (3, None) or given.shape[3] == 3):
            return given
        if len(given.shape) == 3 and given.shape[0] in (3, None):
            return given
    told = ", ".join(f"{i.name} {list(i.shape)}" for i in about.inputs)
    raise DetectorError(f"its inputs are {told}; none takes pictures of three colours: no detector")


def _input_size(about: OnnxFile, picture: Input) -> tuple[Size, bool]:
    """(width, height) of the input, or where it is free of what it was trained with, and whether it is free."""
    last = len(picture.shape) == 4 and picture.shape[3] == 3 and picture.shape[1] != 3
    height, width = picture.shape[1:3] if last else picture.shape[-2:]
    least, most = SIDES
    if not all(side is None or least <= side <= most for side in (width, height)):
        raise DetectorError(f"its input {picture.name} is {width}x{height} pixels; expected {least} to {most} a side")
    if width and height:
        return (width, height), False
    trained = about.size or USUAL
    return (width or trained[0], height or trained[1]), not width and not height and not any(s % STEP for s in trained)


def _feed(about: OnnxFile, picture: Input, size: Size) -> Feed:
    """How pictures are fed, as far as the inputs tell."""
    last = len(picture.shape) == 4 and picture.shape[3] == 3 and picture.shape[1] != 3
    others = [i for i in about.inputs if i.name != picture.name]
    if len(others) > 1 or any(len(i.shape) > 2 or i.shape[-1:] not in ((2,), (None,)) for i in others):
        told = ", ".join(f"{i.name} {list(i.shape)}" for i in about.inputs)
        raise DetectorError(f"its inputs are {told}; expected one for pictures, and at most one for their size")
    batch = picture.shape[0] if len(picture.shape) == 4 else 1
    if batch is not None and not 0 < batch <= MOST_PICTURES:
        raise DetectorError(f"it takes {batch} pictures at a time; expected 1 to {MOST_PICTURES}: export with batch=1")
    return Feed(
        picture.name,
        axes="CHW" if len(picture.shape) == 3 else ("NHWC" if last else "NCHW"),
        batch=batch,
        divisor=1.0 if picture.kind == 2 else 255.0,
        size_input=others[0].name if others else None,
        size=size,
    )


def _usual_names(layout: Layout, feed: Feed) -> tuple[str, ...]:
    """Where the file holds none: COCO's, numbered as who exports such outputs does, or numbers."""
    numbered_90 = layout.kind == "listed" and (layout.rows_first or feed.axes == "CHW")  # TensorFlow, torchvision
    if numbered_90 or layout.classes == len(coco_90()) + 1:  # RF-DETR
        return ("background", *coco_90())
    return COCO if layout.classes in (0, len(COCO)) else tuple(f"class {i}" for i in range(layout.classes or MANY))


def _trained_with(feed: Feed, layout: Layout, about: OnnxFile) -> Feed:
    """The feed with the pixels that networks of this layout were trained with."""
    if feed.divisor == 1.0:
        return feed
    if layout.kind == "yolox":
        return replace(feed, bgr=True, divisor=1.0)
    names = {i.name for i in about.inputs}
    if layout.kind == "apart" and "input" in names and "images" not in names:  # RF-DETR, as it exports itself
        return replace(feed, mean=_MEAN, deviation=_DEVIATION)
    return feed


def _unknown(outputs: list[Output]) -> str:
    """What to do about outputs of no known layout."""
    told = ", ".join(f"{o.name} {list(o.shape)}" for o in outputs)
    if any(len(o.shape) > 3 for o in outputs):
        return f"its outputs are {told}: feature maps before their decoding; export it with its own decoding"
    return f"it is no detector known here: its outputs are {told or 'none'}; expected {'; '.join(LAYOUTS.values())}"
