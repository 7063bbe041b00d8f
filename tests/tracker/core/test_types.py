"""The container refuses what no detector may return and keeps its fields in step."""

import numpy as np
import pytest

from tracker.core.types import Detections
from tracker.errors import DetectionsError

BOX = [10.0, 20.0, 30.0, 60.0]


def test_missing_scores_and_classes_get_defaults():
    d = Detections([BOX, BOX])
    assert len(d) == 2 and d.score.tolist() == [1, 1] and d.class_id.tolist() == [0, 0]
    assert (d.xyxy.dtype, d.score.dtype, d.class_id.dtype) == (np.float32, np.float32, np.int32)


@pytest.mark.parametrize(
    "xyxy, score, class_id, message",
    [
        ([[np.nan, 0, 1, 1]], None, None, "finite"),
        ([[0, 0, np.inf, 1]], None, None, "finite"),
        ([BOX], [np.nan], None, "finite"),
        ([BOX, [30, 20, 10, 60]], None, None, "box 1"),
        ([[10, 20, 10, 60]], None, None, "x2 > x1"),
        ([BOX], [1, 2], None, "2 scores"),
        ([BOX], [1], [0, 0], "2 class ids"),
        ([[1, 2, 3]], None, None, "shape"),
        (np.zeros((1, 2, 4)), None, None, "shape"),
    ],
)
def test_refuses(xyxy, score, class_id, message):
    with pytest.raises(DetectionsError, match=message):
        Detections(xyxy, score, class_id)


def test_one_index_for_all_fields():
    d = Detections([BOX, BOX, BOX], [0.1, 0.2, 0.3], [5, 6, 7])
    for rows in (np.array([True, False, True]), np.array([0, 2]), slice(0, 3, 2)):
        part = d[rows]
        assert part.score.tolist() == pytest.approx([0.1, 0.3]) and part.class_id.tolist() == [5, 7]


def test_clean_drops_and_counts():
    d, dropped = Detections.clean([BOX, [np.nan, 0, 1, 1], [5, 5, 5, 9], BOX], [0.5, 0.5, 0.5, np.inf], [1, 2, 3, 4])
    assert dropped == 3 and d.class_id.tolist() == [1]


def test_concatenate_and_empty():
    d = Detections([BOX], [0.5], [3])
    both = Detections.concatenate([d, Detections.empty(), d])
    assert both.class_id.tolist() == [3, 3]
    assert len(Detections.concatenate([])) == len(Detections.empty()) == len(Detections([])) == 0
