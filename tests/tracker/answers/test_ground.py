"""Speeds and distances on the ground: right inside, none outside, the same at any frame rate."""

import numpy as np
import pytest

from tests.tracker.answers.ways import FPS, SIZE, feed, make
from tracker.answers.ground import homography

GROUND = "20x60=240,100,400,100,620,340,20,340"
CORNERS = np.array([[240, 100], [400, 100], [620, 340], [20, 340]], float)
METRES = np.array([[0, 0], [20, 0], [20, 60], [0, 60]], float)


def to_picture(x, y):
    """Metres on the ground to pixels, by the map the other way round."""
    u = homography(METRES, CORNERS) @ [x, y, 1]
    return u[:2] / u[2]


def line_at(metres):
    (x1, y1), (x2, y2) = to_picture(0.5, metres), to_picture(19.5, metres)
    return f"at {metres}={x1:.3f},{y1:.3f},{x2:.3f},{y2:.3f}"


def drive(kmh, *, times, noise=0.0, seed=0, x=10.0, start=5.0):
    rng = np.random.default_rng(seed)

    def way(t):
        px, py = to_picture(x, start + kmh / 3.6 * times[t])
        h = 20 + 0.1 * (py - 100)
        return (px + rng.normal(0, noise * h), py + rng.normal(0, noise * h), {"height": h}) if py < 339 else None

    return way


@pytest.mark.parametrize("kmh", [5, 30, 90, 140])
def test_a_steady_drive_has_its_speed(kmh):
    times = [t / FPS for t in range(round(55 / (kmh / 3.6) * FPS))]
    lines = tuple(line_at(m) for m in (20, 30, 40))
    found = feed(make(lines=lines, ground=GROUND), [drive(kmh, times=times)], len(times)).crossings
    assert [c.speed for c in found] == [pytest.approx(kmh, rel=0.005)] * 3


@pytest.mark.parametrize("pattern", ["100", "11111111000", "10010"])
def test_frames_that_repeat_a_picture_tell_no_other_speed(pattern):
    """A copy at a constant rate of a video at a variable one, or at a lower one."""
    times = np.arange(90) / FPS
    shown = times[np.maximum.accumulate([t if pattern[t % len(pattern)] == "1" else 0 for t in range(90)])]
    for place in (20, 30, 40):
        answers = make(lines=(line_at(place),), ground=GROUND)
        [crossing] = feed(answers, [drive(60, times=shown)], 90).crossings
        assert crossing.speed == pytest.approx(60, rel=0.03)  # 0.08 with the boxes that repeat


def test_trembling_boxes_move_the_speed_little():
    times = [t / FPS for t in range(90)]
    errors = []
    for seed in range(20):
        events = feed(make(lines=(line_at(30),), ground=GROUND), [drive(60, times=times, noise=0.02, seed=seed)], 90)
        errors += [abs(c.speed / 60 - 1) for c in events.crossings]
    assert len(errors) == 20 and np.median(errors) < 0.03 and np.quantile(errors, 0.95) < 0.08


def test_a_variable_rate_is_the_same_as_a_constant_one():
    """Frames that come in bursts, by their times, tell the same speed."""
    even = [t / FPS for t in range(90)]
    rng = np.random.default_rng(3)
    uneven = np.cumsum(rng.choice([0.02, 0.03, 0.09], 90)).tolist()
    speeds = [
        feed(make(lines=(line_at(30),), ground=GROUND), [drive(60, times=t)], 90, times=t).crossings[0].speed
        for t in (even, uneven)
    ]
    assert speeds[0] == pytest.approx(60, rel=0.005) and speeds[1] == pytest.approx(speeds[0], rel=0.005)


def test_no_number_outside_the_ground():
    lines = ("outside=10,60,630,60", line_at(30))
    answers = make(lines=lines, ground=GROUND)
    found = feed(answers, [lambda t: (320, 40 + 2 * t)], 140).crossings
    assert [(c.line, c.speed is None) for c in found] == [("outside", True), ("at 30", False)]


def test_no_number_where_a_box_touches_the_border():
    """Its foot point may lie outside the picture."""
    whole = "32x18=0,0,640,0,640,360,0,360"
    answers = make(lines=("edge=4,10,4,350", "inside=320,10,320,350"), ground=whole)
    found = feed(answers, [lambda t: (2 + 4 * t, 200)], 120).crossings
    assert [(c.line, c.speed is None) for c in found] == [("edge", True), ("inside", False)]


def test_miles_and_distance():
    times = [t / FPS for t in range(90)]
    events = feed(make(lines=(line_at(30),), ground=GROUND, unit="mph"), [drive(60, times=times)], 90)
    assert events.crossings[0].speed == pytest.approx(60 / 1.609344, rel=0.005)
    [row] = events.objects
    assert row.metres == pytest.approx(55, abs=1.5) and row.speed == pytest.approx(60 / 1.609344, rel=0.01)


def test_one_that_stands_goes_no_way():
    noise = np.random.default_rng(0).normal(0, 0.5, (500, 2))
    [row] = feed(make(ground=GROUND), [lambda t: (320 + noise[t, 0], 250 + noise[t, 1])], 500).objects
    assert row.metres < 2 and row.standing


@pytest.mark.parametrize("seed", range(10))
def test_the_map_takes_any_quadrilateral_to_its_rectangle(seed):
    rng = np.random.default_rng(seed)
    points = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float) * SIZE + rng.uniform(-60, 60, (4, 2))
    mapped = np.column_stack([points, np.ones(4)]) @ homography(points, METRES).T
    np.testing.assert_allclose(mapped[:, :2] / mapped[:, 2:], METRES, atol=1e-7)
