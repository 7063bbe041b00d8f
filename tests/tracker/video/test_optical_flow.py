"""Boxes carried by optical flow: they follow what moves, and are given up where it cannot be followed."""

import cv2
import numpy as np
import pytest

from tests.runs import ColourMean, SceneDetector, SceneSource, make_pipeline
from tracker.core.interfaces import SourceInfo
from tracker.core.types import Detections, Frame
from tracker.video.optical_flow import OpticalFlow

SIZE = (480, 360)
BOXES = np.array([[40, 60, 100, 200], [300, 100, 360, 240]], np.float32)
STEPS = np.array([[4, 1], [-3, 2]])


def texture(shape, seed):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (shape[0] // 5, shape[1] // 5, 3), np.uint8)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)


def frame(index, hidden=(), scale=1):
    """Two textured blocks before a street, `index` steps on; `hidden` ones are not painted."""
    image = texture(SIZE[::-1], 0)
    for n, (box, step) in enumerate(zip(BOXES.astype(int), STEPS, strict=True)):
        x, y = box[:2] + step * index
        if n not in hidden:
            image[y : y + 140, x : x + 60] = texture((140, 60), n + 1)
    image = cv2.resize(image, None, fx=scale, fy=scale)
    return Frame(index + 1, index / 25, image, (image.shape[1], image.shape[0]))


def seen(scale=1):
    return Detections(BOXES * scale, np.array([0.9, 0.6]), np.array([0, 2]))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_boxes_follow_what_moves(scale):
    flow = OpticalFlow()
    found = seen(scale)
    assert flow(frame(0, scale=scale), found) is found
    for index in range(1, 5):
        carried = flow(frame(index, scale=scale), None)
        expected = (BOXES + index * np.tile(STEPS, 2)) * scale
        np.testing.assert_allclose(carried.xyxy, expected, atol=0.5 * index * scale)
    assert carried.score.tolist() == found.score.tolist() and carried.class_id.tolist() == [0, 2]


def test_what_vanishes_is_given_up_until_it_is_detected_again():
    flow = OpticalFlow()
    flow(frame(0), seen())
    assert len(flow(frame(1, hidden=(1,)), None)) == 1
    assert len(flow(frame(2), None)) == 1
    assert len(flow(frame(3), Detections(BOXES + 3 * np.tile(STEPS, 2)))) == 2
    assert len(flow(frame(4), None)) == 2


def test_what_was_forgotten_is_not_carried():
    flow = OpticalFlow()
    flow(frame(0), seen())
    flow.forget()
    assert flow(frame(1), None) is None


def test_a_rate_controller_that_lets_frames_out_again_begins_anew(tmp_path):
    source, calls = TexturedSource(frames=9), []

    class Watched(OpticalFlow):
        def __call__(self, frame, found):
            calls.append((frame.index, found is None, self._grey is None))
            return super().__call__(frame, found)

    source.info = SourceInfo("scene", SIZE, 25.0, 9, live=False)
    pipeline = make_pipeline(tmp_path, [source], detectors=[TexturedDetector()], threads=False, video=False)
    stream, steps = pipeline.streams[0], pipeline.steps
    stream.optical_flow = Watched()
    every = {1: 2, 3: 1, 6: 2}

    def set_rate(index):
        steps.detect_every = every.get(index, steps.detect_every)

    source.hook = set_rate
    pipeline.run()
    assert stream.ending.error is None
    assert calls == [(1, False, True), (2, True, False), (6, True, True), (7, False, False), (8, True, False),
                     (9, False, False)]  # fmt: skip


def test_nothing_to_carry():
    flow = OpticalFlow()
    assert flow(frame(0), None) is None
    assert flow(frame(1), None) is None
    assert len(flow(frame(2), Detections.empty())) == 0
    assert flow(frame(3), None) is None
    assert flow(Frame(5, 0.2, None, SIZE), None) is None


def test_a_frame_of_another_size_carries_nothing():
    flow = OpticalFlow()
    flow(frame(0), seen())
    assert flow(frame(1, scale=1.5), None) is None


def test_without_texture_nothing_is_carried():
    flow, grey = OpticalFlow(), np.full((*SIZE[::-1], 3), 90, np.uint8)
    flow(Frame(1, 0.0, grey, SIZE), seen())
    assert flow(Frame(2, 0.04, grey, SIZE), None) is None


class TexturedSource(SceneSource):
    def __iter__(self):
        for index in range(self._frames):
            self.hook(index + 1)
            yield frame(index)

    def hook(self, index):
        pass


class TexturedDetector(SceneDetector):
    def __call__(self, frame):
        return Detections(BOXES + (frame.index - 1) * np.tile(STEPS, 2), np.array([0.9, 0.8]))


@pytest.mark.parametrize("appearance", ["always", "auto"])
def test_in_the_pipeline_with_and_without_threads(tmp_path, appearance):
    written, embedded = [], []
    for threads in (False, True):
        folder, encoder, source = tmp_path / str(threads), ColourMean(), TexturedSource(frames=22)
        source.info = SourceInfo("scene", SIZE, 25.0, 22, live=False)
        pipeline = make_pipeline(folder, [source], detectors=[TexturedDetector()], encoder=encoder, threads=threads,
                                 appearance=appearance, detect_every=3, video=False)  # fmt: skip
        stream = pipeline.streams[0]
        stream.optical_flow = OpticalFlow()
        pipeline.run()
        assert stream.ending.error is None and stream.counts.objects == 16  # eight frames of two
        written.append((folder / "scene" / "tracks.txt").read_text())
        embedded.append(sum(encoder.batches))
    assert written[0] == written[1] and embedded[0] == embedded[1] <= 16
    found = np.array([line.split(",") for line in written[0].splitlines()], float)
    assert set(found[:, 0]) == set(range(1, 23))  # sure boxes are tracks at once, and carried ones go on with them
    last = found[found[:, 0] == 21][:, 2:4]
    np.testing.assert_allclose(last[np.argsort(last[:, 0])], BOXES[:, :2] + 20 * STEPS, atol=4)
