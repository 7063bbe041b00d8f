"""Tracks drawn on frames."""

import numpy as np
import pytest

from tests.scenes import SIZE
from tracker.core.types import Frame, Tracks
from tracker.video.draw import Painter, colour, ink


def tracks(xyxy, ids):
    n = len(ids)
    return Tracks(
        np.array(ids, np.int64),
        np.asarray(xyxy, float).reshape(-1, 4),
        np.full(n, 0.87, np.float32),
        np.zeros(n, np.int32),
        np.arange(n),
        np.ones(n, bool),
        np.zeros(n, np.int64),
        np.ones(n, bool),
    )


def test_neighbouring_ids_differ_and_an_id_keeps_its_colour():
    assert colour(5) == colour(5)
    for i in range(1, 60):
        assert np.abs(np.subtract(colour(i), colour(i + 1))).max() > 60


@pytest.mark.parametrize("background, expected", [((0, 255, 255), 0), ((160, 0, 0), 255), ((255, 255, 255), 0)])
def test_ink_can_be_read(background, expected):
    assert ink(background) == (expected,) * 3


def test_box_has_the_colour_of_its_id_and_the_label_stands_above():
    frame = Frame(1, 0.0, np.zeros((200, 300, 3), np.uint8), (300, 200))
    drawn = Painter(("car",)).draw(frame, tracks([[60, 80, 160, 150]], [4]))
    assert tuple(drawn[120, 60]) == colour(4) and tuple(drawn[150, 100]) == colour(4)
    assert (drawn[66:79, 60:70] == colour(4)).all(axis=2).mean() > 0.4
    assert not drawn[90:140, 70:150].any()


def test_a_box_without_a_detection_is_thin_and_has_no_score():
    painted = []
    for score in (0.87, 0.0):
        shown = tracks([[60, 80, 160, 150]], [4])
        shown.score[:] = score
        drawn = Painter(("car",), scores=True).draw(Frame(1, 0.0, np.zeros((400, 600, 3), np.uint8), (600, 400)), shown)
        painted.append([(drawn[area] == colour(4)).all(axis=2).sum() for area in (np.s_[100:140], np.s_[:78])])
    (box, label), (thin_box, short_label) = painted
    assert 0 < thin_box < 0.7 * box and 0.2 * label < short_label < 0.7 * label


@pytest.mark.parametrize("box", [[-40, -30, 20, 25], [290, 190, 400, 300], [-900, -900, -800, -800], [0, 0, 300, 200]])
def test_labels_stay_inside_the_frame(box):
    drawn = Painter(("a rather long name of a class",)).draw(
        Frame(1, 0.0, np.zeros((200, 300, 3), np.uint8), (300, 200)), tracks([box], [1])
    )
    assert drawn.any()


def test_trails_follow_and_are_forgotten():
    painter, nothing = Painter(("car",), trail=5), tracks(np.zeros((0, 4)), [])

    def drawn(index, shown):
        return painter.draw(Frame(index, 0.0, np.zeros((200, 400, 3), np.uint8), (400, 200)), shown)

    for index in range(1, 12):
        way = drawn(index, tracks([[20 * index, 100, 20 * index + 40, 150]], [4]))[150, :, :].any(axis=1)
    assert way[20 * 7 + 20 : 20 * 11 + 20].all(), "over the last five foot points"
    assert not way[: 20 * 7 + 18].any()
    for index in range(12, 250):
        drawn(index, nothing)
    again = drawn(250, tracks([[300, 100, 340, 150]], [4]))
    assert not again[150, :298].any()


def test_frames_without_pixels_and_without_tracks():
    drawn = Painter().draw(Frame(1, 0.0, None, SIZE), tracks(np.zeros((0, 4)), []))
    assert drawn.shape == (SIZE[1], SIZE[0], 3) and not drawn.any()
    assert Painter(("car",)).name(3) == "class 3"
