"""How often a recording is looked at: by how far its objects go, whatever the machine."""

import threading

import numpy as np
import pytest

from tests.tracker.app.test_gaps import tracks
from tracker.app.pace import BLOCK, Pace, overlap, steps


def choices(fps, speed, blocks=4):
    """What is chosen for each block where one object goes `speed` of its width a frame, looked at as is chosen."""
    pace, chosen, since = Pace(fps), [], 1 << 30
    for frame in range(blocks * BLOCK):
        every = pace.every()
        chosen.append(every)
        since += 1
        if look := since >= every:
            since = 0
        pace.show(tracks([1], [20 * speed * frame]) if look else None)
    return [chosen[block * BLOCK] for block in range(blocks)]


@pytest.mark.parametrize(
    "fps, speed, every",
    [(25, 0.05, 2), (25, 0.16, 2), (25, 0.2, 1), (60, 0.05, 5), (60, 0.1, 3), (30, -0.05, 2), (7, 0.05, 1)],
)
def test_objects_overlap_themselves_between_looks(fps, speed, every):
    assert choices(fps, speed) == [1, 1, every, every]


def test_an_empty_picture_is_looked_at_as_rarely_as_what_comes_allows():
    pace = Pace(25.0)
    for _ in range(3 * BLOCK):
        every = pace.every()
        pace.show(tracks([], []))
    assert every == 2


def test_a_few_fast_ones_among_many_decide():
    pace = Pace(25.0)
    for frame in range(3 * BLOCK):
        every = pace.every()
        pace.show(tracks(range(1, 6), [0, 50, 100, 150, 6.0 * frame]))
    assert every == 1


def test_a_choice_waits_for_the_tracks_it_is_made_from():
    pace, found = Pace(25.0), []
    planner = threading.Thread(target=lambda: found.extend(pace.every() for _ in range(2 * BLOCK + 1)), daemon=True)
    planner.start()
    for frame in range(BLOCK):
        pace.show(tracks([1], [20 * 0.2 * frame]))
    planner.join(60)
    assert found == [1] * (2 * BLOCK + 1)


def test_nobody_waits_for_what_was_given_up():
    pace = Pace(25.0, lambda: True)
    assert [pace.every() for _ in range(5 * BLOCK)] == [1] * (5 * BLOCK)


def test_steps_and_overlaps():
    moved = steps(tracks([1, 2], [0, 100]), tracks([2, 3], [110, 0]))
    np.testing.assert_allclose(moved, [[0.5, 0]])
    np.testing.assert_allclose(overlap(np.array([[0, 0], [0.5, 0], [0.5, 0.5], [2, 0]])), [1, 1 / 3, 1 / 7, 0])
