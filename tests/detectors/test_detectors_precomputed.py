import numpy as np
import pytest

from detectors.registry import open_detector
from tracker.core.types import Frame
from tracker.errors import DetectionsError, DetectorError


def frame(index):
    return Frame(index, index / 10, None, (640, 480))


def write(tmp_path, text):
    path = tmp_path / "det.txt"
    path.write_text(text)
    return path


def test_rows_come_back_by_frame(tmp_path):
    path = write(tmp_path, "3,-1,10,20,30,40,0.5,-1,-1,-1\n1,-1,1,2,3,4,0.9\n\n3 -1 0 0 5 5 2.5\n")
    detector = open_detector(path)
    first, second, third = (detector(frame(i)) for i in (1, 2, 3))
    np.testing.assert_allclose(first.xyxy, [[1, 2, 4, 6]])
    assert len(second) == 0
    np.testing.assert_allclose(third.xyxy, [[10, 20, 40, 60], [0, 0, 5, 5]])
    np.testing.assert_allclose(third.score, [0.5, 2.5])
    assert detector.warnings == [] and detector.runtime == "file"


def test_confidence_leaves_rows_out(tmp_path):
    path = write(tmp_path, "1,-1,1,2,3,4,0.2\n1,-1,1,2,3,4,0.6\n1,-1,1,2,3,4\n")
    np.testing.assert_allclose(open_detector(path, confidence=0.5)(frame(1)).score, [0.6, 1.0])


@pytest.mark.parametrize(
    "line",
    ["1,-1,1,2,3", "1,-1,1,two,3,4,1", "0,-1,1,2,3,4,1", "1.5,-1,1,2,3,4,1", "nan,-1,1,2,3,4", "{}", "1,-1,,2,3,4,1"],
)
def test_a_broken_line_is_named(tmp_path, line):
    path = write(tmp_path, f"1,-1,1,2,3,4,1\n\n{line}\n1,-1,1,2,3,4,1\n")
    with pytest.raises(DetectionsError, match="line 3"):
        open_detector(path)


@pytest.mark.parametrize(
    "row", ["1,-1,nan,2,3,4,1", "1,-1,1,2,-3,4,1", "1,-1,1,2,3,0,1", "1,-1,1,2,3,4,inf", "1,-1,1e9,2,1,4,1"]
)
def test_unusable_boxes_are_dropped_and_counted(tmp_path, row):
    detector = open_detector(write(tmp_path, f"{row}\n1,-1,1,2,3,4,1\n"))
    assert len(detector(frame(1))) == 1
    assert "1 of 2 rows dropped" in detector.warnings[0]


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_a_warning(tmp_path, text):
    detector = open_detector(write(tmp_path, text))
    assert len(detector(frame(1))) == 0 and "no usable detections" in detector.warnings[0]


def test_a_missing_or_binary_file_is_one_message(tmp_path):
    with pytest.raises(DetectionsError, match="no such file"):
        open_detector(tmp_path / "none.txt")
    path = tmp_path / "b.txt"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DetectionsError, match="cannot be read as text"):
        open_detector(path)


def test_a_class_the_file_cannot_know_is_refused(tmp_path):
    path = write(tmp_path, "1,-1,10,20,30,40,0.9,-1,-1,-1\n")
    with pytest.raises(DetectorError, match=r"'persn'.*it knows: object"):
        open_detector(path, classes=["persn"])
    assert len(open_detector(path, classes=["object"])(frame(1))) == 1
