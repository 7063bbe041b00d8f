"""Zones: visits that are as long as they were, one for a parked car, none for a flicker."""

import numpy as np
import pytest

from tests.tracker.answers.ways import FPS, feed, make

ZONE = "square=200,100,400,100,400,300,200,300"


def visits(way, frames=200, **more):
    return feed(make(zones=(ZONE,), **more), [way], frames).visits


def test_a_walk_through_is_one_visit_to_the_border():
    [v] = visits(lambda t: (100.5 + 2 * t, 200))
    assert (v.zone, v.class_name, v.begun, v.ended) == ("square", "car", True, True)
    assert v.entered_s == pytest.approx((200 - 100.5) / 2 / FPS, abs=1e-3)
    assert v.left_s - v.entered_s == pytest.approx(100 / FPS, abs=2e-3)


@pytest.mark.parametrize("seed", range(2))
def test_a_parked_car_at_the_border_is_one_visit(seed):
    """It trembles over the border for two minutes, is not seen for 20 s of them, and drives on."""
    noise = np.random.default_rng(seed).normal(0, 2, 3200)

    def way(t):
        if 1000 <= t < 1500:
            return None
        return (100 + 2 * t, 200) if t < 51 else (205 + noise[t], 200) if t < 3000 else (205 + 2 * (t - 3000), 200)

    found = visits(way, 3150)
    assert len(found) == 1 and found[0].left_s - found[0].entered_s > 118


@pytest.mark.parametrize("seed", range(5))
def test_passing_along_outside_is_no_visit(seed):
    noise = np.random.default_rng(seed).normal(0, 2, 200)
    found = visits(lambda t: (100 + 2 * t, 305 + noise[t]))
    assert [v for v in found if v.left_s - v.entered_s > 0.2] == []


def test_a_box_that_jumps_in_for_a_frame_is_no_visit():
    assert visits(lambda t: (250, 305) if t % 20 else (250, 296)) == []


def test_a_box_that_jumps_out_for_a_moment_is_still_the_same_visit():
    found = visits(lambda t: (100 + 2 * t, 200) if not 90 < t < 96 else (500, 200))
    assert len(found) == 1


def test_who_comes_back_later_visits_twice():
    found = visits(lambda t: (300 + 200 * np.sin(t / 30), 200), 400)
    assert len(found) == 5 and [v.begun for v in found] == [False, True, True, True, True]


def test_who_is_there_from_the_beginning_or_to_the_end_was_not_seen_to_enter_or_leave():
    [v] = visits(lambda t: (300, 200), 100)
    assert (v.begun, v.ended, v.entered_s, v.left_s) == (False, False, 0.0, pytest.approx(99 / FPS, abs=1e-3))


def test_who_is_lost_inside_left_where_it_was_last_seen():
    [v] = visits(lambda t: (300, 200, {"score": 0.9 if t < 50 else 0.0}), 100)
    assert v.left_s == pytest.approx(49 / FPS, abs=1e-3) and not v.ended


def test_occupancy_and_entries_by_interval():
    answers = make(zones=(ZONE,), interval_s=2.0)
    feed(answers, [lambda t: (100 + 2 * t, 200), lambda t: (60 + 2 * t, 220)], 200)
    rows = list(answers.counts.zone_rows())
    assert [r[0] for r in rows] == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, pytest.approx(7.96))]
    assert sum(r[2] for r in rows) == sum(r[3] for r in rows) == 2  # entries, exits
    assert max(r[5] for r in rows) == 2
    seconds = sum(r[4] * (r[0][1] - r[0][0]) for r in rows)
    assert seconds == pytest.approx(2 * 100 / FPS, abs=0.01)


def test_zones_that_overlap_and_are_not_convex():
    star = "star=200,100,400,100,300,200,400,300,200,300"
    found = feed(make(zones=(ZONE, star)), [lambda t: (390, 80 + 2 * t)], 150).visits
    assert sorted((v.zone, round(v.left_s - v.entered_s, 2)) for v in found) == [
        ("square", 4.0), ("star", pytest.approx(0.2, abs=0.01)), ("star", pytest.approx(0.2, abs=0.01))
    ] or [v.zone for v in found].count("square") == 1  # fmt: skip


def test_ignored_areas_take_no_part():
    """Nothing in them is an object, crosses or visits; a way through them goes on behind."""
    ignored = ("car park=250,0,350,0,350,360,250,360",)
    answers = make(lines=("in=300,20,300,340", "behind=450,20,450,340"), zones=(ZONE,), ignored=ignored)
    events = feed(answers, [lambda t: (100 + 3 * t, 200), lambda t: (300, 150 + t % 3)], 170)
    assert [c.line for c in events.crossings] == ["in", "behind"]  # the first way alone, over its gap
    assert {o.id for o in events.objects} == {1} and {v.id for v in events.visits} == {1}
