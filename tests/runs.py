"""Streams put together by hand for tests of the pipeline: real tracker, real outputs, detections from the scene."""

import time

import numpy as np

from tests.encoders import SHAPE
from tests.scenes import SIZE, boxes
from tracker.app.outputs import StreamOutput
from tracker.app.pipeline import Pipeline
from tracker.app.steps import Steps
from tracker.app.stream import Stream
from tracker.app.timing import Timing
from tracker.core.interfaces import SourceInfo
from tracker.core.types import Detections, Frame
from tracker.encoder.crops import CropBuffer
from tracker.tracking.tracker import DeepSort
from tracker.tracking.trackers import configure


class SceneSource:
    """Frames of the scene, or of `picture(index)`; `hook(index)` is called before each and may raise or wait."""

    def __init__(self, frames=30, name="scene", live=False, hook=None, picture=None):
        from tests.scenes import image

        self.info = SourceInfo(name, SIZE, 10.0, None if live else frames, live)
        self.warnings = []
        self.closed = False
        self._frames, self._hook, self._image = frames, hook, picture or image

    def __iter__(self):
        for index in range(1, self._frames + 1):
            if self._hook is not None:
                self._hook(index)
            yield Frame(index, (index - 1) / 10, self._image(index), SIZE)

    def primer(self, count=12, seconds=4.0):
        return []

    def interrupt(self):
        pass

    def close(self):
        self.closed = True

    def news(self):
        return []

    state = ""
    reconnects, started_s = 0, None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class SceneDetector:
    """Exact boxes of the scene; `hook(index)` may raise or wait."""

    name, path, runtime, class_names, warnings = "scene", "", "test", ("block",), ()
    concurrency, tiled = 1, False

    def __init__(self, hook=None):
        self._hook = hook

    def __call__(self, frame):
        if self._hook is not None:
            self._hook(frame.index)
        return Detections(boxes(frame.index), np.full(3, 0.9, np.float32))

    def close(self):
        pass


class ColourMean:
    """An encoder without TensorFlow: the mean colour of a crop's quarters, as a unit vector."""

    dimension = 12

    def __init__(self, hook=None):
        self._buffer, self._hook, self.batches = CropBuffer(SHAPE), hook, []

    def crops(self, frames):
        return self._buffer.cut(frames)

    def encode(self, crops):
        self.batches.append(len(crops))
        if self._hook is not None:
            self._hook(len(self.batches))
        quarters = crops.reshape(len(crops), 2, SHAPE[0] // 2, 2, SHAPE[1] // 2, 3).mean((2, 4)).reshape(len(crops), -1)
        return (quarters / np.linalg.norm(quarters, axis=1, keepdims=True)).astype(np.float32)


def make_pipeline(
    tmp_path,
    sources,
    *,
    detectors=None,
    encoder=None,
    appearance="always",
    threads=True,
    video=True,
    detect_every=1,
    together=1,
    viewers=(),
    clock=time.perf_counter,
    **config,
):
    streams = []
    for n, source in enumerate(sources):
        folder = tmp_path / source.info.name
        folder.mkdir(parents=True, exist_ok=True)
        output = StreamOutput(folder, source.info, ("block",), video=video, show=False, viewers=viewers)
        detector = detectors[n] if detectors else SceneDetector()
        streams.append(Stream(n, source, detector, DeepSort(configure(**config)), output))
    steps = Steps(encoder, Timing(), appearance=appearance, detect_every=detect_every, together=together)
    return Pipeline(streams, steps, threads=threads, clock=clock)
