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


GROUND = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def drawn(count=8):
    for i, (image, _) in enumerate(crossing.scene(count * 8, seed=1)):
        if i % 8 == 0:
            yield Frame(i + 1, i / 25, image, (640, 360))


def test_a_drawn_street_is_for_the_network_at_hand_and_motion(nothing_fetched):
    """Without `coco`, of whose classes the run is told that it misses them."""
    with closing(open_detector("auto", frames=list(drawn()), device="cpu", offline=True)) as detector:
        assert detector.name == "ssdlite+motion"
        assert "the camera stands, so what moves is found as well" in detector.why
        assert "nothing may be fetched" in detector.why
        assert "vehicles are no more than `object`" in detector.warnings[0]
        assert "nothing may be fetched" in detector.warnings[0]


def test_an_empty_start_decides_nothing(monkeypatch):
    """Which networks open is given; what is held here is the order and the reasons, whatever the frames show."""
    missing = set()

    class Opened:
        def __init__(self, name):
            self.name, self.why, self.warnings = name, "320x256", []

    def open_one(request):
        if request.spec.partition("+")[0] in missing:
            raise DetectorError(f"no {request.spec}")
        return Opened(request.spec)

    empty = [Frame(i, i / 3, GROUND, (64, 48)) for i in range(12)]
    moved = [Frame(i, i / 3, np.random.default_rng(i).integers(0, 255, GROUND.shape, np.uint8), (64, 48))
             for i in range(12)]  # fmt: skip

    def chosen(frames, **options):
        detector = auto.open_auto(Request("auto", NetworkOptions(**options), frames=frames), open_one)
        return detector.name, detector.why

    assert chosen(empty) == ("coco+motion", "320x256; the camera stands, so what moves is found as well")
    assert chosen(moved) == ("coco", "320x256")
    assert chosen([])[0] == "coco"
    assert chosen(empty, classes=["person"])[0] == "coco"
    assert chosen(empty, classes=["person", "object"])[0] == "coco+motion"
    missing.add("coco")
    assert chosen(empty)[0] == "ssdlite+motion" and "no coco+motion" in chosen(empty)[1]
    missing.add("ssdlite")
    assert chosen(empty)[0] == "motion"
    with pytest.raises(DetectorError, match="motion needs a camera that stands"):
        chosen(moved)


def test_classes_nobody_knows(nothing_fetched):
    with pytest.raises(DetectorError, match=r"no detector at hand knows car.*not in the cache"):
        choose(list(drawn(3)), classes=["car"], offline=True)


def test_no_frames(nothing_fetched):
    assert choose([], offline=True)[0] == "ssdlite"


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="TRACKER_DATA is not set")
@pytest.mark.parametrize(
    "clip, expected", [("mot/PETS09-S2L1/vtest.avi", "ssdlite+motion"), ("videos/dashcam_motorway.mp4", "ssdlite")]
)
def test_real_clips_with_nothing_fetched(nothing_fetched, clip, expected):
    assert choose(frames_of(Path(DATA) / clip), offline=True)[0] == expected


def test_of_pictures_of_one_colour_nothing_tells_whether_the_camera_stands():
    assert not auto.stands([np.full((90, 160, 3), 128, np.uint8)] * 6)
