"""Box arithmetic: conversions that undo each other, overlap as its definition, empty sets."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from tests.oracle import overlap
from tracker.core import boxes

SIDE = st.floats(0.0625, 2000, width=32, allow_subnormal=False)
PLACE = st.floats(-3000, 3000, width=32, allow_subnormal=False)
adversarial = settings(deadline=None, max_examples=60)


@st.composite
def corners(draw, most=6):
    n = draw(st.integers(0, most))
    low = draw(hn.arrays(np.float64, (n, 2), elements=PLACE))
    return np.hstack([low, low + draw(hn.arrays(np.float64, (n, 2), elements=SIDE))]).reshape(-1, 4)


@adversarial
@given(corners())
def test_conversions_undo_each_other(xyxy):
    np.testing.assert_allclose(boxes.xyah_to_xyxy(boxes.xyxy_to_xyah(xyxy)), xyxy, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(boxes.tlwh_to_xyxy(boxes.xyxy_to_tlwh(xyxy)), xyxy, rtol=1e-9, atol=1e-6)


@adversarial
@given(corners(), corners())
def test_overlap_is_its_definition(a, b):
    expected = np.array([[overlap(p, q) for q in b] for p in a]).reshape(len(a), len(b))
    found = boxes.iou(a, b)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    np.testing.assert_allclose(found, boxes.iou(b, a).T, rtol=1e-9, atol=1e-12)
    rows, columns = np.indices(found.shape).reshape(2, -1)
    np.testing.assert_allclose(boxes.iou_of_pairs(a[rows], b[columns]), found.ravel(), rtol=1e-9, atol=1e-12)


@adversarial
@given(corners())
def test_a_box_overlaps_itself_wholly(xyxy):
    np.testing.assert_allclose(np.diag(boxes.iou(xyxy, xyxy)), 1, rtol=1e-9)


@adversarial
@given(corners(), st.integers(1, 4000), st.integers(1, 4000))
def test_clipped_boxes_lie_in_the_frame(xyxy, width, height):
    cut = boxes.clip(xyxy, width, height)
    assert (cut >= 0).all() and (cut[:, [0, 2]] <= width).all() and (cut[:, [1, 3]] <= height).all()
    assert (boxes.area(cut) <= boxes.area(xyxy) + 1e-6).all()
    np.testing.assert_array_equal(boxes.clip(cut, width, height), cut)


def test_boxes_that_touch_or_are_inverted_do_not_overlap():
    a = np.array([[0.0, 0, 10, 10]])
    assert boxes.iou(a, np.array([[10.0, 0, 20, 10], [30, 30, 20, 20], [5, 5, 5, 9]])).max() == 0


def test_empty_sets():
    none, some = np.zeros((0, 4)), np.array([[0.0, 0, 1, 1]])
    assert boxes.iou(none, some).shape == (0, 1) and boxes.iou(some, none).shape == (1, 0)
    assert boxes.iou_of_pairs(none, none).shape == (0,) and boxes.area(none).shape == (0,)
    for convert in (boxes.xyxy_to_xyah, boxes.xyah_to_xyxy, boxes.xyxy_to_tlwh, boxes.tlwh_to_xyxy):
        assert convert(none).shape == (0, 4)
    assert boxes.clip(none, 10, 10).shape == (0, 4)
