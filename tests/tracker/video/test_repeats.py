"""Pictures that repeat the one looked at last: told from slow and small changes, and never for long."""

import numpy as np

from tests.scenes import SIZE, image
from tracker.core.types import Frame
from tracker.video.repeats import LONGEST_S, Repeats


def told(pictures, step_s=0.03, looked=lambda index: True):
    """Which pictures count as repeats where those that do not are looked at."""
    repeats, found = Repeats(), []
    for index, picture in enumerate(pictures):
        frame = Frame(index + 1, step_s * index, picture, picture.shape[1::-1])
        found.append(repeats(frame))
        if not found[-1]:
            repeats.note(frame if looked(index) else None)
    return found


def noisy(picture, seed, levels=4):
    rng = np.random.default_rng(seed)
    return np.clip(picture + rng.integers(-levels, levels + 1, picture.shape), 0, 255).astype(np.uint8)


def test_a_picture_encoded_again_is_a_repeat():
    assert told([noisy(image(1), seed) for seed in range(4)]) == [False, True, True, True]


def test_a_small_thing_that_moves_makes_a_picture_new():
    still, moved = np.full((360, 640, 3), 90, np.uint8), np.full((360, 640, 3), 90, np.uint8)
    still[100:112, 300:306], moved[100:112, 306:312] = 140, 140
    assert told([still, moved, moved]) == [False, False, True]


def test_slow_changes_add_up():
    found = told([np.full((*SIZE[::-1], 3), 100 + 3 * n, np.uint8) for n in range(9)])
    assert found == [False, True, True, True] * 2 + [False]


def test_no_picture_is_a_repeat_for_long():
    found = told([image(1)] * 40, step_s=LONGEST_S / 8)
    assert [n for n, repeated in enumerate(found) if not repeated] == [0, 8, 16, 24, 32]


def test_nothing_is_known_of_a_picture_that_was_not_looked_at():
    pictures = [image(1), image(9), image(9), image(9)]
    assert told(pictures, looked=lambda index: index != 1) == [False, False, False, True]
    assert told([image(1), np.zeros((60, 60, 3), np.uint8)]) == [False, False], "another size"
