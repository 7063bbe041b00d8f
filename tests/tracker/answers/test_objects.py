"""Objects that count, and those that do not; ways, flows and pictures; who is blurred."""

import numpy as np
import pytest

from tests.tracker.answers.ways import FPS, SIZE, feed, make, tracks
from tracker.answers import pictures
from tracker.answers.background import Background
from tracker.answers.counts import Counts
from tracker.answers.flows import find_flows, suggest_lines
from tracker.answers.overlay import Overlay, blur
from tracker.answers.scene import Scene, SceneOptions


def objects(way, frames=100):
    return feed(make(), [way], frames).objects


def test_one_that_passes_counts():
    [row] = objects(lambda t: (100 + 3 * t, 200))
    assert row.counted and not row.standing and row.seen == 1.0
    assert row.start == (100, 200) and row.end == pytest.approx((397, 200))


def test_one_that_lives_for_less_than_half_a_second_does_not():
    [row] = objects(lambda t: (100 + 9 * t, 200) if t < 12 else None)
    assert not row.counted and not row.standing
    assert not objects(lambda t: (100, 200) if t == 5 else None)[0].counted


def test_one_that_is_hardly_seen_does_not():
    [row] = objects(lambda t: (100 + 3 * t, 200, {"score": 0.9 if t % 3 == 0 else 0.0}))
    assert not row.counted and row.seen == pytest.approx(0.35, abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_a_barrel_stands(seed):
    """It trembles, and its box jumps now and then when something passes in front."""
    rng = np.random.default_rng(seed)
    noise, jumps = rng.normal(0, 1, (500, 2)), rng.random(500) < 0.02

    answers = make()
    [row] = feed(answers, [lambda t: (100 + noise[t, 0] + 25 * jumps[t], 200 + noise[t, 1])], 500).objects
    assert row.standing and not row.counted
    assert [o.id for o in answers.counts.standing] == [1] and not answers.counts.objects


def test_one_that_waits_and_then_goes_counts():
    [row] = objects(lambda t: (100, 200) if t < 300 else (100 + 2 * (t - 300), 200), 400)
    assert row.counted


def test_the_class_is_voted_by_score():
    [row] = objects(lambda t: (100 + 3 * t, 200, {"class_id": 1 if t < 70 else 2, "score": 0.3 if t < 70 else 0.9}))
    assert row.class_name == "truck"


def crossroads(seed=0, count=12):
    """Ways from the left to the right and from the top to the bottom."""
    rng = np.random.default_rng(seed)
    ways = []
    for k in range(count):
        a, b, late = rng.normal(0, 8), rng.normal(0, 8), 40 * k
        if k % 3:
            ways.append(lambda t, a=a, late=late: (10 + 5 * (t - late), 200 + a) if 0 <= t - late < 124 else None)
        else:
            ways.append(lambda t, b=b, late=late: (300 + b, 50 + 3 * (t - late)) if 0 <= t - late < 100 else None)
    return ways


def test_flows_are_found_without_drawing():
    answers = make()
    feed(answers, crossroads(), 600)
    flows = find_flows(list(answers.ways.done), SIZE)
    where = {g.name: g.where for g in flows.gates}
    assert [(where[f.origin], where[f.destination], f.count) for f in flows.flows] == [
        ("left", "right", 8), ("top", "bottom", 4)
    ]  # fmt: skip
    lines = suggest_lines(flows.flows, SIZE)
    scene = Scene(lines=tuple(lines))
    from tracker.answers.engine import Answers

    found = feed(Answers(scene, SIZE, ("person", "car")), crossroads(), 600).crossings
    forth = [c for c in found if c.direction != "back"]
    assert len(forth) == len(found) and len(lines) == 2 and len(found) == 12


def test_few_ways_are_no_flows():
    answers = make()
    feed(answers, crossroads(count=3), 300)
    flows = find_flows(list(answers.ways.done), SIZE)
    assert flows.flows == [] and flows.others.total() == 3


def test_heat_is_where_objects_were_for_how_long():
    answers = make()
    feed(
        answers,
        [lambda t: (50 + 2 * t, 100) if t < 100 else (250, 100) if t < 300 else (250 + 2 * (t - 300), 100)],
        400,
    )
    heat, cell = answers.ways.heat, answers.ways.cell
    assert heat.sum() == pytest.approx(399 / FPS, rel=0.02)
    assert np.unravel_index(heat.argmax(), heat.shape) == pytest.approx((100 / cell, 250 / cell), abs=2.5)


def test_pictures_of_nothing_and_of_something():
    answers = make(ground="20x20=100,50,500,50,600,340,50,340")
    empty = [pictures.heatmap(None, answers.ways.heat, SIZE), pictures.paths(None, [], SIZE)]
    feed(answers, crossroads(), 600)
    ways = list(answers.ways.done)
    background = np.full((360, 640, 3), 120, np.uint8)
    full = [pictures.heatmap(background, answers.ways.heat, SIZE), pictures.paths(background, ways, SIZE)]
    for nothing, something in zip(empty, full, strict=True):
        assert nothing.shape == something.shape == (360, 640, 3) and something.std() > nothing.std()
    assert pictures.flow_picture(background, find_flows(ways, SIZE), SIZE).std() > 5
    assert pictures.birds_eye(answers.ground, ways).min() < 100


@pytest.mark.parametrize("size", [(16, 16), (400, 18), (18, 400)])
def test_pictures_of_tiny_frames(size):
    answers = make(size=size)
    feed(answers, [lambda t: (min(size) / 20 * t % size[0], size[1] / 2, {"height": 4})], 60)
    ways = list(answers.ways.done)
    assert pictures.heatmap(None, answers.ways.heat + 1, size).shape == (size[1], size[0], 3)
    assert pictures.paths(None, ways, size).shape == (size[1], size[0], 3)
    assert pictures.flow_picture(None, find_flows(ways, size), size).shape == (size[1], size[0], 3)


def test_the_background_is_the_median():
    rng = np.random.default_rng(0)
    background, ground = Background(), rng.integers(0, 200, (90, 160, 3)).astype(np.uint8)
    for t in range(3000):
        frame = ground.copy()
        frame[30:60, (t * 3) % 130 : (t * 3) % 130 + 30] = 255
        background.add(frame, t / FPS)
    assert (background.picture() == ground).mean() > 0.98
    assert Background().picture() is None


def test_blurred_is_blurred():
    """Boxes of those asked for lose their detail, coasted ones too; others keep it."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (360, 640, 3)).astype(np.uint8)
    before = image.copy()
    blur(
        image,
        tracks([(1, 100, 200, 80, 0.0, 0), (2, 300, 200, 80, 0.9, 1), (3, 639, 359, 80, 0.9, 0)]),
        [True, False, True],
    )
    assert (image[125:195, 85:115] != before[125:195, 85:115]).mean() > 0.9
    assert (image[120:200, 280:320] == before[120:200, 280:320]).all()
    levels = {tuple(p) for p in image[125:195, 85:115].reshape(-1, 3).tolist()}
    assert len(levels) < 300


def test_the_overlay_draws_lines_and_counts():
    scene = SceneOptions(
        lines=("north=100,180,500,180",), zones=("z=10,10,100,10,100,100",), ignored=("i=200,10,300,10,300,90",)
    )
    from tracker.answers.clock import Clock

    counts = Counts(scene.scene(SIZE), Clock(), 900.0)
    image = np.zeros((360, 640, 3), np.uint8)
    Overlay(counts, SIZE).draw(image)
    assert image[180, 120].any() and image[10, 50].any() and not image[300, 600].any()


def test_one_that_comes_in_over_the_lower_border_moved():
    """Its foot is out of the picture all the while: its box grows from below."""
    entering = lambda t: (300, 360, {"height": 20 + 4 * t})  # noqa: E731
    waiting = lambda t: (500, 360, {"height": 80})  # noqa: E731
    rows = feed(make(), [entering, waiting], 40).objects
    assert [(row.standing, row.counted) for row in rows] == [(False, True), (True, False)]
