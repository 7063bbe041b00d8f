import os
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from detectors import auto, store
from detectors.options import NetworkOptions
from detectors.registry import Request, open_detector
from tracker.core.types import Frame
from tracker.errors import DetectorError
from videos import crossing

DATA = os.environ.get("TRACKER_DATA")


@pytest.fixture
def nothing_fetched(monkeypatch):
    monkeypatch.setattr(store, "is_kept", lambda name: False)


def frames_of(path, count=8, step=12):
    video = cv2.VideoCapture(str(path))
    frames = []
    for i in range(count * step):
        ok, image = video.read()
        if ok and i % step == 0:
            frames.append(Frame(i + 1, i / 25, image, (image.shape[1], image.shape[0])))
    return frames


def choose(frames, **options):
    """Name of the detector that `auto` opens, and why."""
    detector = open_detector("auto", frames=frames, device="cpu", **options)
    detector.close()
    return detector.name, detector.why


def drawn(count=8):
    for i, (image, _) in enumerate(crossing.scene(count * 8, seed=1)):
        if i % 8 == 0:
            yield Frame(i + 1, i / 25, image, (640, 360))


def test_a_drawn_street_is_for_motion(nothing_fetched):
    name, why = choose(list(drawn()), offline=True)
    assert name == "motion"
    assert "moving objects a frame before a static camera" in why
    assert "ssdlite sees" in why and "nothing may be fetched" in why


def test_without_coco_the_run_is_warned_of_what_it_misses(nothing_fetched):
    with closing(open_detector("auto", frames=list(drawn()), device="cpu", offline=True)) as detector:
        assert "vehicles are no more than `object`" in detector.warnings[0]
        assert "nothing may be fetched" in detector.warnings[0]


def test_the_first_that_sees_something_is_picked(monkeypatch):
    """Which networks are there and what they see is given; the order and the reasons are what is held here."""
    seen = {"coco": 0.0, "ssdlite": 3.0}
    monkeypatch.setattr(auto, "_count", lambda detector, frames: seen[detector.name])
    monkeypatch.setattr(auto, "_moving", lambda request, open_one: moving)
    moving, closed = 4.0, []

    class Opened:
        def __init__(self, name):
            self.name, self.why, self.warnings = name, "", []

        def close(self):
            closed.append(self.name)

    frames = [Frame(1, 0.0, np.zeros((48, 64, 3), np.uint8), (64, 48))]

    def chosen(**options):
        closed.clear()
        request = Request("auto", NetworkOptions(**options), frames=frames)
        detector = auto.open_auto(request, lambda request: Opened(request.spec))
        return detector.name, detector.why

    assert chosen() == ("ssdlite", "sees 3.0 objects a frame; coco sees 0.0 a frame")
    assert closed == ["coco"]
    seen["coco"] = 2.0
    assert chosen() == ("coco", "sees 2.0 objects a frame")
    assert closed == []
    seen.update(coco=0.0, ssdlite=1.0)
    assert chosen()[0] == "motion"
    assert chosen(classes=["person"])[0] == "ssdlite"
    moving = None  # the camera moves
    assert chosen()[0] == "ssdlite"
    seen["ssdlite"] = 0.0
    assert chosen()[0] == "coco"
    assert closed == ["ssdlite"]


def test_classes_nobody_knows(nothing_fetched):
    with pytest.raises(DetectorError, match=r"no detector at hand knows car.*not in the cache"):
        choose(list(drawn(3)), classes=["car"], offline=True)


def test_no_frames(nothing_fetched):
    assert choose([], offline=True)[0] == "ssdlite"


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="TRACKER_DATA is not set")
@pytest.mark.parametrize(
    "clip, expected", [("mot/PETS09-S2L1/vtest.avi", "ssdlite"), ("videos/highway_720p.mp4", "motion")]
)
def test_real_clips_with_nothing_fetched(nothing_fetched, clip, expected):
    assert choose(frames_of(Path(DATA) / clip), offline=True)[0] == expected
