"""Where labels go."""

import numpy as np
import pytest

from tests.tracker.video.test_draw import tracks
from tracker.core.types import Frame
from tracker.video.draw import Painter, bar_size
from tracker.video.labels import LabelPlacer

FRAME = (640, 360)


def shares(low, sizes, boxes_low, boxes_high):
    sides = np.minimum((low + sizes)[:, None], boxes_high) - np.maximum(low[:, None], boxes_low)
    return np.clip(sides, 0, None).prod(2) / (boxes_high - boxes_low).prod(1)


def crowd(count, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 1, (count, 2)) * (560, 300)
    return np.hstack([low, low + rng.uniform(8, 60, (count, 2))])


def test_a_label_alone_stands_above_its_box():
    low = LabelPlacer().place([1], np.array([[100, 100, 200, 180]]), np.array([[60, 14]]), FRAME)
    assert low.tolist() == [[100, 86]]


@pytest.mark.parametrize("count", [2, 12, 40])
def test_labels_hide_less_of_each_other_and_of_boxes_than_above_every_box(count):
    hidden = {"placed": [], "above": []}
    for seed in range(5):
        boxes, sizes = crowd(count, seed), np.tile([[62, 15]], (count, 1))
        above = np.clip(boxes[:, :2] - (0, 15), 0, np.array(FRAME) - (62, 15))
        for name, low in (("placed", LabelPlacer().place(list(range(count)), boxes, sizes, FRAME)), ("above", above)):
            on_labels = shares(low, sizes, low, low + sizes)
            np.fill_diagonal(on_labels, 0)
            hidden[name].append((on_labels.sum(), shares(low, sizes, boxes[:, :2], boxes[:, 2:]).sum()))
    placed, above = np.sum(hidden["placed"], axis=0), np.sum(hidden["above"], axis=0)
    assert (placed <= above).all() and placed.sum() < 0.7 * above.sum()


def test_a_label_keeps_its_side_while_it_can():
    placer, size = LabelPlacer(), np.array([[60, 14], [60, 14]])
    sides = []
    for shift in range(0, 40, 2):  # the second drives past below the first
        boxes = np.array([[100, 100, 200, 180], [20.0 + shift, 190, 90 + shift, 230]])
        low = placer.place([7, 8], boxes, size, FRAME)
        sides.append(tuple(np.sign(low[0] - boxes[0, :2])))
    assert len(set(sides)) == 1


def test_labels_stay_inside_a_picture_smaller_than_they_are():
    low = LabelPlacer().place([1], np.array([[-5, -5, 30, 30]]), np.array([[80, 20]]), (50, 40))
    assert low[0, 0] == 0 and 0 <= low[0, 1] <= 20


def test_no_labels():
    assert LabelPlacer().place([], np.zeros((0, 4)), np.zeros((0, 2)), FRAME).shape == (0, 2)


def test_small_boxes_have_short_labels_and_scores_are_shown_where_asked_for():
    def painted(box, **options):
        image = np.zeros((360, 640, 3), np.uint8)
        Painter(("motorcycle",), **options).draw(Frame(1, 0.0, image, FRAME), tracks([box], [3]))
        return int((image.reshape(-1, 3) != 0).any(1).sum())

    wide = bar_size("motorcycle 3", 0.35)[0]
    small, large = [200, 200, 200 + wide // 4, 220], [200, 200, 200 + wide, 220]
    assert painted(small) < painted(large) / 2
    assert painted(large, scores=True) > painted(large) + 100
