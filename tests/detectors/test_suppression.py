import numpy as np
import pytest

from detectors.registry import open_detector
from detectors.suppression import nms, of_any, of_closer
from detectors.tiles import auto_grid, cut_by_tile, parse_tiles, tile_rects
from tracker.core.boxes import iou
from tracker.core.classes import COCO, coco_90, wanted_classes
from tracker.errors import ConfigError, DetectorError

EMPTY = np.zeros((0, 4), np.float32)


def test_many_boxes_in_blocks_are_suppressed_as_one_by_one():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 400, (900, 2))
    xyxy = np.hstack([low, low + rng.uniform(20, 60, (900, 2))])
    score, ids = rng.random(900), rng.integers(0, 2, 900)
    left, kept = list(np.argsort(-score)), []
    while left:
        kept.append(left.pop(0))
        overlap = iou(xyxy[kept[-1:]], xyxy[left])[0]
        left = [j for j, o in zip(left, overlap, strict=True) if o <= 0.4 or ids[j] != ids[kept[-1]]]
    assert nms(xyxy, score, ids, 0.4).tolist() == kept
    assert len(kept) > 256  # more than a block


def test_nms_of_nothing():
    assert len(nms(EMPTY, np.zeros(0), np.zeros(0, int), 0.5)) == 0


def test_nms_keeps_the_best_of_each_class():
    xyxy = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 1, 10, 11], [50, 50, 60, 60]], np.float32)
    kept = nms(xyxy, np.array([0.5, 0.9, 0.8, 0.1]), np.array([0, 0, 1, 0]), 0.5)
    assert kept.tolist() == [1, 2, 3]


def test_a_box_is_as_likely_as_all_classes_of_its_kind_make_it():
    xyxy = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [0, 0, 10, 10], [30, 0, 40, 10]], np.float32)
    score, ids = np.array([0.5, 0.4, 0.3, 0.9, 0.2]), np.array([0, 1, 1, 2, 1])
    kept, kind = np.array([3, 0, 4]), np.array([0, 0, 2])
    likely = of_any(xyxy, score, ids, kind, kept, 0.5)
    np.testing.assert_allclose(likely, [0.9, 1 - 0.5 * 0.6, 0.2], err_msg="the best of the other class, once")


def test_a_half_seen_at_a_tile_border_goes_though_it_scores_more():
    # The whole person in tile 1; its lower half, cut by tile 0's border, with the higher score.
    xyxy = np.array([[100, 50, 140, 90], [100, 0, 140, 90]], np.float32)
    score, ids, part = np.array([0.9, 0.6]), np.zeros(2, int), np.array([0, 1])
    assert nms(xyxy, score, ids, 0.5, part=part, cut=np.array([True, False])).tolist() == [1]
    assert len(nms(xyxy, score, ids, 0.5, part=part, cut=np.array([False, False]))) == 2
    # Within one tile a small box on a large one is another object.
    assert len(nms(xyxy, score, ids, 0.5, part=np.zeros(2, int), cut=np.array([True, False]))) == 2
    assert len(nms(xyxy, score, np.array([0, 1]), 0.5, part=part, cut=np.array([True, False]))) == 2


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (3, 2), (8, 8)])
@pytest.mark.parametrize("size", [(768, 576), (641, 359), (33, 17)])
def test_tiles_cover_the_frame_and_overlap(grid, size):
    rects = tile_rects(*size, *grid)
    seen = np.zeros(size[::-1], int)
    for x0, y0, x1, y1 in rects:
        assert 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]
        seen[y0:y1, x0:x1] += 1
    assert seen.min() >= 1
    if grid != (1, 1):
        assert rects[-1].tolist() == [0, 0, *size] and len(rects) == grid[0] * grid[1] + 1
        assert seen.max() > 2


def test_only_inner_borders_cut():
    rect = np.array([0, 0, 100, 100])
    boxes = np.array([[0, 0, 50, 50], [60, 10, 100, 50], [10, 99.5, 20, 100], [10, 10, 20, 20]])
    assert cut_by_tile(boxes, rect, 200, 200).tolist() == [False, True, True, False]
    assert not cut_by_tile(boxes, rect, 100, 100).any()
    assert len(cut_by_tile(EMPTY, rect, 200, 200)) == 0


def test_tiles_follow_the_frame_and_the_network():
    assert auto_grid(320, 240, 300) == (1, 1)
    assert auto_grid(768, 576, 300) == auto_grid(1920, 1080, 300) == (3, 2)
    assert auto_grid(640, 360, 512) == (1, 1) and auto_grid(768, 576, 512) == auto_grid(3840, 2160, 512) == (2, 1)
    assert auto_grid(1920, 1080, None) == (1, 1)


@pytest.mark.parametrize("text", ["2", "0x2", "9x1", "2x", "yes", ""])
def test_a_wrong_grid_is_refused(text):
    with pytest.raises(ConfigError, match="COLUMNSxROWS"):
        parse_tiles(text)


def test_coco_names():
    assert len(COCO) == len(set(COCO)) == 80
    names = coco_90()
    assert len(names) == 90 and names[0] == "person" and names[89] == "toothbrush" and names[12] == "stop sign"


def test_an_unknown_class_shows_the_list():
    assert wanted_classes(None, COCO, "coco") is None
    assert wanted_classes(["Car", " person"], COCO, "coco").tolist() == [0, 2]
    with pytest.raises(DetectorError, match=r"'lorry'.*knows: person, bicycle, car"):
        wanted_classes(["car", "lorry"], COCO, "coco")


@pytest.mark.parametrize("spec", ["yolo", "model.xyz", ""])
def test_an_unknown_detector_shows_the_list(spec):
    with pytest.raises(DetectorError, match=r"auto, .*motion.*\.onnx, \.pb, \.txt"):
        open_detector(spec)


@pytest.mark.parametrize("option", [{"confidence": 1.5}, {"nms": -0.1}, {"confidence": float("nan")}])
def test_thresholds_out_of_range(option):
    with pytest.raises(DetectorError, match="from 0 to 1"):
        open_detector("ssdlite", **option)


def test_a_closer_look_tells_where_an_object_is_and_the_surer_how_sure():
    xyxy = np.array(
        [[0, 0, 20, 10], [0, 0, 11, 10], [10, 0, 20, 10], [50, 0, 60, 10], [51, 0, 61, 10], [50, 0, 60, 10]], float
    )
    score = np.array([0.8, 0.5, 0.6, 0.9, 0.2, 0.7], np.float32)
    far = np.array([1, 0, 0, 1, 0, 1], bool)
    class_id = np.array([0, 0, 0, 0, 0, 1])
    found = of_closer(xyxy, score, class_id, far, ~far)
    np.testing.assert_allclose(found, [0, 0.8, 0.8, 0.9, 0.2, 0.7])  # 0.2 is too faint, and a class of its own stays
    nothing = np.zeros(6, bool)
    np.testing.assert_array_equal(of_closer(xyxy, score, class_id, nothing, ~nothing), score)
    np.testing.assert_array_equal(of_closer(xyxy, score, class_id, ~nothing, nothing), score)
