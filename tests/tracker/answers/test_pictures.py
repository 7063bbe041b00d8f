"""What pictures and page say in words and numbers."""

from collections import Counter

import numpy as np
import pytest

from tests.tracker.answers.ways import SIZE, make
from tracker.answers import pictures
from tracker.answers.flows import Flows
from tracker.answers.ground import GroundPlane
from tracker.answers.overlay import LINE, ZONE, Overlay
from tracker.answers.report import length, moments, plain_time
from tracker.answers.scene import Ground


@pytest.mark.parametrize(
    "seconds, text",
    [(140.2, "140 s"), (12.3, "12 s"), (2.54, "2.5 s"), (0.18, "180 ms"), (0.0114, "11 ms"), (0.00061, "0.6 ms")],
)
def test_a_length_of_time_always_has_digits_that_tell(seconds, text):
    assert pictures.duration(seconds) == text


@pytest.mark.parametrize(
    "text, told", [("0.000", "0:00"), ("6.64", "0:06.6"), ("59.97", "1:00"), ("4500.0", "1:15:00"), ("75.5", "1:15.5")]
)
def test_moments_are_short(text, told):
    assert moments([text]) == {text: told}


@pytest.mark.parametrize("seconds, told", [(6.673, "6.7 s"), (119.9, "119.9 s"), (3725.2, "1:02:05")])
def test_lengths_of_videos_are_plain(seconds, told):
    assert length(seconds) == told


def test_when_a_video_begins_is_plain():
    assert plain_time("2016-08-28T21:16:08.000+00:00") == "2016-08-28 21:16:08 +00:00"


def test_a_picture_without_flows_says_so():
    empty = pictures.flow_picture(None, Flows([], [], Counter()), SIZE)
    assert len(np.unique(empty)) > 1 and (empty == 255).any()


def test_a_long_piece_of_road_lies_on_its_side():
    road = Ground(np.array([[0.4, 0.2], [0.6, 0.2], [0.9, 0.9], [0.1, 0.9]]), (10.0, 60.0))
    high, wide = pictures.birds_eye(GroundPlane(road, SIZE), []).shape[:2]
    assert wide > 3 * high


def test_the_name_of_a_line_hides_nothing_that_crosses_it():
    overlay = Overlay(make(lines=("north=300,200,500,200",)).counts, SIZE)
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    overlay.draw(image)
    near = (image[180:196, 305:500] == LINE).all(axis=2)
    assert not near.any()  # above the line; below is the arrow
    assert (image[212:222, 380:420] == LINE).all(axis=2).any()


def test_no_line_strikes_out_the_name_of_a_zone():
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    zoned = make(lines=("north=320,20,320,340",), zones=("square=200,120,440,120,440,300,200,300",))
    Overlay(zoned.counts, SIZE).draw(image)
    name = image[100:118, 300:340]
    assert (name == ZONE).all(axis=2).mean() > 0.5 and not (name == LINE).all(axis=2).any()
