"""Crossings: every trap that counters of lines are known to fall into."""

import math

import numpy as np
import pytest

from tests.tracker.answers.ways import FPS, feed, make, told, tracks
from tracker.answers.memory import GONE_S

LINE = "north=200,180,440,180"
THERE, BACK = ("north", "left to right", "car"), ("north", "right to left", "car")


def count(way, frames=100, line=LINE, **more):
    return told(feed(make(lines=(line,)), [way], frames, **more))


def test_directions_are_those_of_one_who_looks_along_the_line():
    """Who stands on the left end and looks to the right has what comes down the picture on the right hand."""
    assert count(lambda t: (300, 100 + 2 * t)) == [THERE]
    assert count(lambda t: (300, 280 - 2 * t)) == [BACK]
    assert count(lambda t: (300, 280 - 2 * t), line="north=440,180,200,180") == [THERE]


def test_time_and_place_lie_between_two_frames():
    [c] = feed(make(lines=(LINE,)), [lambda t: (300 + t, 100.5 + 3 * t)], 100).crossings
    frames = (180 - 100.5) / 3
    assert c.time_s == pytest.approx(frames / FPS, abs=1e-3)
    assert (c.x, c.y) == (pytest.approx(300 + frames, abs=0.01), pytest.approx(180))


@pytest.mark.parametrize("angle", range(0, 360, 15))
def test_any_slant(angle):
    """The same scene turned by any angle counts the same."""
    a = math.radians(angle)
    turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])

    def place(x, y):
        return tuple(np.array([320, 200]) + turn @ [x, y])

    (x1, y1), (x2, y2) = place(-100, 0), place(100, 0)
    line = f"north={x1},{y1},{x2},{y2}"
    assert count(lambda t: place(20, -100 + 2 * t), line=line) == [THERE]
    assert count(lambda t: place(-20, 100 - 2 * t), line=line) == [BACK]
    assert count(lambda t: place(120, -100 + 2 * t), line=line) == []


def test_the_line_ends_where_it_ends():
    assert count(lambda t: (190, 100 + 2 * t)) == []
    assert count(lambda t: (450, 100 + 2 * t)) == []


def test_around_the_end_and_back_through_is_one_crossing():
    def way(t):
        return (450, 100 + 3 * t) if t < 50 else (450 - 4 * (t - 50), 250) if t < 80 else (330, 250 - 3 * (t - 80))

    assert count(way, 140) == [BACK]


def test_a_jump_over_the_line_between_two_frames_counts():
    assert count(lambda t: (300, 120) if t < 20 else (300, 300), 40) == [THERE]


def test_a_number_that_is_away_while_it_crosses_counts_once():
    assert count(lambda t: None if 25 <= t < 60 else (300, 100 + 2 * t)) == [THERE]


def test_boxes_that_were_only_predicted_cross_nothing():
    """A lost track that coasts over the line is no object that crossed; one that is seen beyond it is."""
    assert count(lambda t: (300, 100 + 2 * t, {"score": 0.9 if t < 30 else 0.0})) == []
    assert count(lambda t: (300, 100 + 2 * t, {"score": 0.0 if 30 <= t < 60 else 0.9})) == [THERE]


@pytest.mark.parametrize("seed", range(5))
def test_waiting_on_the_line_counts_once(seed):
    """A car stops with its bumper on the line, trembles for a minute, and drives on."""
    noise = np.random.default_rng(seed).normal(0, 1.5, 2000)

    def way(t):
        y = 100 + 2 * t if t < 40 else 180 + noise[t] if t < 1500 else 180 + 2 * (t - 1500)
        return 300, y

    assert count(way, 1560) == [THERE]


@pytest.mark.parametrize("seed", range(5))
def test_standing_on_the_line_counts_nothing(seed):
    noise = np.random.default_rng(seed).normal(0, 1.5, 1000)
    assert count(lambda t: (300, 180 + noise[t]), 1000) == []


def test_who_turns_back_on_the_line_has_not_crossed():
    assert count(lambda t: (300, 100 + 2 * t if t < 42 else 184 - 2 * (t - 42)), 100) == []


def test_who_crosses_and_comes_back_counts_once_each_way():
    assert count(lambda t: (300, 100 + 2 * t if t < 80 else 260 - 2 * (t - 80)), 160) == [THERE, BACK]


@pytest.mark.parametrize("seed", range(5))
def test_driving_along_the_line_counts_nothing(seed):
    noise = np.random.default_rng(seed).normal(0, 2, 100)
    assert count(lambda t: (200 + 2.4 * t, 176 + noise[t])) == []


def test_exactly_on_the_line_is_on_neither_side():
    assert count(lambda t: (300, min(100 + 2 * t, 180)), 100) == []
    assert count(lambda t: (300, 100 + 2 * t if t < 40 else 180 if t < 60 else 180 + 2 * (t - 60)), 100) == [THERE]


def test_an_end_just_beyond_the_line_counts():
    """A car that leaves the picture, or whose track breaks, a little beyond the line has crossed it."""
    assert count(lambda t: (300, 100 + 2 * t) if t < 43 else None) == [THERE]
    later = feed(make(lines=(LINE,)), [lambda t: (300, 100 + 2 * t) if t < 43 else None, lambda t: (10, 10)], 200)
    assert told(later) == [THERE]


def test_a_number_broken_beyond_the_line_counts_once():
    """The same car under two numbers: the second begins beyond the line."""
    first, second = (
        (lambda t: (300, 100 + 2 * t) if t < 44 else None),
        (lambda t: (300, 100 + 2 * t) if t > 46 else None),
    )
    assert told(feed(make(lines=(LINE,)), [first, second], 100)) == [THERE]


def test_the_class_is_that_of_most_score_so_far():
    def way(t):
        name = 1 if t < 60 else 0
        return 300, 100 + 1.0 * t, {"class_id": name, "score": 0.2 if t < 60 else 0.9}

    assert count(way, 200) == [("north", "left to right", "person")]
    late = count(lambda t: (300, 100 + 2 * t, {"class_id": 1 if t < 60 else 2}))
    assert late == [THERE]


def test_named_directions():
    line = "north=200,180,440,180:to town/from town"
    assert count(lambda t: (300, 100 + 2 * t), line=line) == [("north", "to town", "car")]
    assert count(lambda t: (300, 280 - 2 * t), line=line) == [("north", "from town", "car")]


def test_many_at_once_over_several_lines():
    lines = (LINE, "south=200,260,440,260", "side=320,100,320,300")
    ways = [lambda t, x=x: (x, 100 + 2 * t) for x in range(210, 440, 20)]
    found = told(feed(make(lines=lines), ways, 130))
    assert found.count(THERE) == found.count(("south", "left to right", "car")) == len(ways)
    assert len(found) == 2 * len(ways)


def test_memory_does_not_grow_on_a_stream_that_runs_for_weeks():
    """A new number every second for ten minutes: what is remembered is that of the last minute or so."""
    answers = make(lines=(LINE,), zones=("z=200,180,440,180,440,300,200,300",))
    for second in range(600):
        for part in range(4):
            answers.update(tracks([(second + 1, 300, 100 + 50 * part, 40, 0.9, 1)]), second + part / 4)
    assert sum(answers.counts.crossings.values()) == 600
    assert answers.remembered <= GONE_S + 10


def test_the_id_that_comes_back_after_it_was_forgotten_starts_anew():
    times = [t / FPS for t in range(50)] + [2 * GONE_S + t / FPS for t in range(50)]
    assert count(lambda t: (300, 100 + t) if t < 50 else (300, 300), 100, times=times) == []
