"""Callables and plug-ins as detectors."""

import sys

import numpy as np
import pytest

from detectors.registry import open_detector
from tracker import Detections, Frame
from tracker.errors import BackendMissingError, DetectionsError, DetectorError

FRAME = Frame(1, 0.0, np.zeros((60, 80, 3), np.uint8), (80, 60))


def look(image):
    assert image.shape == (60, 80, 3)
    return Detections([[1, 2, 11, 22], [30, 2, 40, 22]], [0.9, 0.3], [0, 1])


look.class_names = ("person", "car")


def test_a_callable_is_a_detector():
    detector = open_detector(look)
    assert (detector.name, detector.class_names, detector.runtime) == ("look", ("person", "car"), "python")
    assert len(detector(FRAME)) == 2
    assert open_detector(look, confidence=0.5)(FRAME).score.tolist() == [np.float32(0.9)]
    assert open_detector(look, classes=["car"])(FRAME).class_id.tolist() == [1]
    assert open_detector(lambda image: None)(FRAME) is None
    with pytest.raises(DetectorError, match="it knows: person, car"):
        open_detector(look, classes=["lorry"])


def test_what_it_must_return():
    with pytest.raises(DetectorError, match=r"returned builtins.list; expected tracker.Detections"):
        open_detector(lambda image: [])(FRAME)
    with pytest.raises(DetectorError, match="frame 1 has no pixels"):
        open_detector(look)(Frame(1, 0.0, None, (80, 60)))


@pytest.mark.parametrize("score, told", [(87.5, "score 87.5"), (-0.25, "score -0.25"), (1.01, "score 1.01")])
def test_scores_are_probabilities(score, told):
    detector = open_detector(lambda image: Detections([[1, 2, 11, 22], [2, 2, 12, 22]], [1.0, score]))
    with pytest.raises(DetectionsError, match=rf"frame 1: box 1 has {told}; expected scores from 0 to 1"):
        detector(FRAME)
    assert len(open_detector(lambda image: Detections([[1, 2, 11, 22]], [1.0005]))(FRAME)) == 1  # rounding


@pytest.mark.parametrize("spoil", ["score", "xyxy"])
def test_what_is_no_number_is_told_with_the_detector_s_name(spoil):
    def at_once(image):
        return Detections([[1, 2, np.nan, 22]] if spoil == "xyxy" else [[1, 2, 11, 22]], [np.nan])

    def afterwards(image):
        found = Detections([[1, 2, 11, 22]], [0.9])
        getattr(found, spoil)[:] = np.nan
        return found

    for detector in (at_once, afterwards):
        with pytest.raises(DetectionsError, match=rf"detector {detector.__name__}, frame 1: box 0 .*nan.*; expected"):
            open_detector(detector)(FRAME)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with plug-ins, as pip would have installed it."""
    (tmp_path / "blob_finder.py").write_text(
        "from tracker import Detections\n"
        "def opener():\n"
        "    return lambda image: Detections([[1, 2, 11, 22]])\n"
        "def wrong():\n"
        "    return 3\n"
    )
    info = tmp_path / "blob_finder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blob-finder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[tracker.detectors]\nblobs = blob_finder:opener\nwrong = blob_finder:wrong\ngone = blob_finder_missing:f\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("blob_finder", None)


def test_an_installed_package_brings_a_detector(installed):
    detector = open_detector("blobs")
    assert detector.name == "blobs" and len(detector(FRAME)) == 1
    with pytest.raises(DetectorError, match="returned int; expected a callable"):
        open_detector("wrong")
    with pytest.raises(BackendMissingError, match=r"gone .* cannot be imported"):
        open_detector("gone")
    with pytest.raises(DetectorError, match=r"expected one of auto, .*, motion, blobs"):
        open_detector("blob")


def test_the_command_knows_it(installed):
    from tracker.app.options import parser

    assert parser().parse_args(["run", "x.mp4", "--detector", "blobs"]).detector == "blobs"


@pytest.mark.parametrize("name", ["x.tflite", "x.engine", "x.xml", "x.keras", "x.safetensors", "x.weights", "saved"])
def test_networks_of_other_tools_are_told_what_to_make_of_them(tmp_path, name):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    with pytest.raises(DetectorError, match=r"which is not run here; export .* ONNX .* --detector (x|saved).onnx"):
        open_detector(tmp_path / name)
