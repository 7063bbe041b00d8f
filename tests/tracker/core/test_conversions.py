"""Detections from other packages, and tracks for them; the real package where it is installed."""

from types import SimpleNamespace

import numpy as np
import pytest

from tracker import DeepSort, Detections, DetectionsError

BOXES = np.array([[10, 20, 30, 60], [50, 20, 90, 50]], np.float32)


class Tensor:
    """As much of a PyTorch tensor on a GPU as is needed to read it: NumPy cannot, before it was detached and moved."""

    def __init__(self, values, place="cuda"):
        self._values, self._place = values, place

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self._values, "cpu")

    def numpy(self):
        assert self._place == "cpu"
        return np.asarray(self._values)


def test_from_ultralytics_reads_tensors():
    boxes = SimpleNamespace(xyxy=Tensor(BOXES), conf=Tensor([0.5, 0.75]), cls=Tensor([2.0, 0.0]))
    found = Detections.from_ultralytics(SimpleNamespace(boxes=boxes))
    np.testing.assert_array_equal(found.xyxy, BOXES)
    assert found.score.tolist() == [0.5, 0.75] and found.class_id.tolist() == [2, 0]


def test_a_list_of_results_is_refused():
    with pytest.raises(DetectionsError, match="results of one picture"):
        Detections.from_ultralytics([])


def test_from_supervision_without_scores():
    found = Detections.from_supervision(SimpleNamespace(xyxy=BOXES, confidence=None, class_id=None))
    assert found.score.tolist() == [1, 1] and found.class_id.tolist() == [0, 0]
    with pytest.raises(DetectionsError, match="xyxy, confidence and class_id"):
        Detections.from_supervision(BOXES)


def test_there_and_back_with_supervision():
    sv = pytest.importorskip("supervision")
    theirs = sv.Detections(BOXES, confidence=np.array([0.9, 0.8], np.float32), class_id=np.array([2, 0]))
    tracker = DeepSort.from_preset("default")
    for _ in range(4):
        tracks = tracker.update(Detections.from_supervision(theirs))
    back = tracks.written.to_supervision()
    order = np.argsort(back.tracker_id)
    np.testing.assert_allclose(back.xyxy[order], BOXES, atol=0.5)
    assert back.tracker_id[order].tolist() == [1, 2] and back.class_id[order].tolist() == [2, 0]
    assert len(sv.Detections.empty()) == len(Detections.from_supervision(sv.Detections.empty())) == 0
