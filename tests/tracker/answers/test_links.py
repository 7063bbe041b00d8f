"""Numbers that break: what they cross and where they stay is that of one object."""

import pytest

from tests.tracker.answers.ways import FPS, feed, make, told

LINE = "north=200,180,440,180"
THERE = ("north", "left to right", "car")


def broken(at, gap, *, aside=0.0, speed=2.0):
    """The same car under two numbers: the first ends at frame `at`, the second begins `gap` frames later."""
    return [
        lambda t: (300, 100 + speed * t) if t < at else None,
        lambda t: (300 + aside, 100 + speed * t) if t >= at + gap else None,
    ]


@pytest.mark.parametrize("at", range(30, 56))
@pytest.mark.parametrize("gap", [1, 5, 15])
def test_a_number_that_breaks_anywhere_at_the_line_counts_once(at, gap):
    """The line lies at frame 40: the break is before it, over it or beyond it."""
    assert told(feed(make(lines=(LINE,)), broken(at, gap), 120)) == [THERE]


def test_the_crossing_lies_on_the_way_between_the_two():
    [crossing] = feed(make(lines=(LINE,)), broken(36, 10), 120).crossings
    assert crossing.time_s == pytest.approx(40 / FPS, abs=0.01) and crossing.id == 2


def test_a_stay_goes_on():
    zone = "square=250,150,350,150,350,300,250,300"
    visits = feed(make(zones=(zone,)), broken(50, 8), 120).visits
    assert [(v.begun, v.ended) for v in visits] == [(True, True)]
    assert visits[0].left_s - visits[0].entered_s == pytest.approx(75 / FPS, abs=0.01)


def test_one_that_begins_elsewhere_or_much_later_is_another():
    assert told(feed(make(lines=(LINE,)), broken(36, 10, aside=60), 120)) == []
    assert told(feed(make(lines=(LINE,)), broken(36, 40), 120)) == []


def test_one_that_begins_where_another_is_seen_goes_on_for_none():
    """A second box on a car that has a number already, where a third was lost: the car alone counts."""
    car = [lambda t: (300, 100 + 2 * t)]
    assert told(feed(make(lines=(LINE,)), car + broken(36, 10), 120)) == [THERE]


def test_the_lost_number_may_come_back():
    """The first number is found again, far behind: it starts anew."""
    first = lambda t: (300, 100 + 2 * t) if t < 36 else (300, 60 + 2 * (t - 60)) if t > 60 else None  # noqa: E731
    ways = [first, broken(36, 5)[1]]
    assert told(feed(make(lines=(LINE,)), ways, 140)) == [THERE, THERE]


def test_a_number_that_breaks_is_one_object():
    answers = make(lines=(LINE,))
    [row] = feed(answers, broken(36, 5), 120).objects
    assert (row.id, row.earlier, row.counted, row.first_s, row.start) == (2, (1,), True, 0.0, (300.0, 100.0))
    assert answers.counts.objects == {"car": 1} and answers.counts.joined == 1
    [way] = answers.ways.done
    assert way.points[0].tolist() == [300.0, 100.0, 0.0]


def test_a_number_that_breaks_twice_is_one_object():
    """The first number is lost, then the second, too."""
    ways = [
        lambda t: (300, 100 + 2 * t) if t < 30 else None,
        lambda t: (300, 100 + 2 * t) if 33 <= t < 60 else None,
        lambda t: (300, 100 + 2 * t) if t >= 64 else None,
    ]
    [row] = feed(make(lines=(LINE,)), ways, 120).objects
    assert (row.id, row.earlier, row.class_name) == (3, (1, 2), "car")


def test_a_lost_number_that_comes_back_is_an_object_of_its_own():
    first = lambda t: (300, 100 + 2 * t) if t < 36 else (300, 60 + 2 * (t - 60)) if t > 60 else None  # noqa: E731
    rows = feed(make(), [first, broken(36, 5)[1]], 140).objects
    assert [(row.id, row.earlier, row.counted) for row in rows] == [(1, (), True), (2, (1,), True)]
