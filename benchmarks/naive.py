"""The loop that well-known scripts run: read, detect, crop, encode one by one, associate, draw, write, in turn.

The same parts as ours and the same parameters, so that what differs is how they are put together: the detector's graph
whole in a session of its own, the encoder fed one crop at a time, OpenCV to read and write. Sessions have TensorFlow's
default threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.app.timing import Timing
from tracker.core.mot import format_rows
from tracker.core.types import Detections, Frame
from tracker.tracking.tracker import DeepSort
from tracker.video.draw import Painter


class NaiveLoop:
    """Opened once, run several times.

    Parameters
    ----------
    detect : Callable[[ndarray], Detections or None]
        uint8 (H,W,3) BGR to `Detections`, or None where it did not run.
    encoder : Path or None
        Path of the frozen graph, or None.
    """

    def __init__(
        self, detect: Callable[[np.ndarray], Detections | None], encoder: Path | None, names: tuple[str, ...]
    ) -> None:
        self._detect, self._names = detect, names
        self._embed = _embedder(encoder) if encoder is not None else None

    def run(self, video: str, frames: int, folder: Path, timing: Timing) -> dict[str, int]:
        """Track; returns counts of frames, objects and embedded boxes."""
        capture = cv2.VideoCapture(video)
        fps = capture.get(cv2.CAP_PROP_FPS) or 25
        tracker, painter, writer = DeepSort(class_names=self._names), Painter(self._names), None
        count = {"frames": 0, "objects": 0, "embedded": 0, "ids": 0}
        ids: set[int] = set()
        with open(folder / "tracks.txt", "w") as rows:
            while count["frames"] < frames:
                with timing.measure("decode"):
                    ok, image = capture.read()
                if not ok:
                    break
                size = (image.shape[1], image.shape[0])
                writer = writer or cv2.VideoWriter(
                    str(folder / "tracks.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), fps, size
                )
                count["frames"] += 1
                frame = Frame(count["frames"], count["frames"] / fps, image, size)
                with timing.measure("detect"):
                    found = self._detect(image)
                features = self._features(image, found, timing)
                with timing.measure("associate"):
                    tracks = tracker.update(found, features, frame_size=size).written
                with timing.measure("draw"):
                    drawn = painter.draw(frame, tracks)
                with timing.measure("write"):
                    writer.write(drawn)
                    rows.write(format_rows(frame.index, tracks))
                count["objects"] += len(found or ())
                ids.update(tracks.id.tolist())
        capture.release()
        if writer is not None:
            writer.release()
        count["embedded"] = count["objects"] if self._embed is not None else 0
        count["ids"] = len(ids)
        return count

    def _features(self, image: np.ndarray, found: Detections | None, timing: Timing) -> np.ndarray | None:
        if self._embed is None or found is None:
            return None
        height, width = image.shape[:2]
        features = []
        cutting, start = 0.0, time.perf_counter()
        for x1, y1, x2, y2 in np.clip(found.xyxy.astype(int), 0, [width, height, width, height]).tolist():
            before = time.perf_counter()
            patch = image[y1:y2, x1:x2]
            crop = cv2.resize(patch, (64, 128)) if patch.size else np.zeros((128, 64, 3), np.uint8)
            cutting += time.perf_counter() - before
            features.append(self._embed(crop[None])[0])
        timing.add("crop", cutting)
        timing.add("encode", time.perf_counter() - start - cutting)
        return np.array(features, np.float32) if features else np.zeros((0, 128), np.float32)


def _embedder(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    session, graph = _session(path)
    given, features = graph.get_tensor_by_name("images:0"), graph.get_tensor_by_name("features:0")
    return lambda crops: session.run(features, feed_dict={given: crops})


def whole_graph_detector(path: Path, confidence: float) -> Callable[[np.ndarray], Detections]:
    """A TF Object Detection API graph with its own post-processing, fed one RGB image."""
    session, _ = _session(path)
    names = ["detection_boxes:0", "detection_scores:0", "detection_classes:0"]

    def detect(image: np.ndarray) -> Detections:
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        boxes, scores, classes = (a[0] for a in session.run(names, feed_dict={"image_tensor:0": rgb[None]}))
        keep = scores >= confidence
        y1, x1, y2, x2 = boxes[keep].T
        height, width = image.shape[:2]
        xyxy = np.stack([x1 * width, y1 * height, x2 * width, y2 * height], 1)
        return Detections.clean(xyxy, scores[keep], classes[keep].astype(int) - 1)[0]

    return detect


def _session(path: Path) -> tuple[Any, Any]:
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(Path(path).read_bytes())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    return tf.compat.v1.Session(graph=graph), graph
