"""How often a recording has to be looked at: as rarely as its objects allow, told by how far they go between looks.

Two frames in which every object overlaps itself well tell where it was in between (`gaps`), and no other is taken for
it. The choice rests on tracks alone, never on the clock: the same video gives the same rows on any machine.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from tracker.core.types import Tracks

LONGEST_S = 0.09
"""Seconds between two looks at most, since what comes into view has to be seen in time."""
OVERLAP, SHARE = 0.5, 0.9
"""Least overlap (IoU) of an object's boxes in two looks that follow each other, and of how many objects it is asked."""
BLOCK, MEMORY = 16, 8
"""Frames for which a choice holds, and blocks of frames that it is made from."""


class Pace:
    """Chooses for blocks of frames on every which of them the detector looks.

    The choice for a block is made from the tracks up to the end of the last but one before it: so far behind detection
    association never is for long, and where it is, detection waits, so that threads change nothing.

    Parameters
    ----------
    fps : float
        Frames of the source per second.
    given_up : Callable
        Whether nobody will show any more tracks.
    """

    def __init__(self, fps: float, given_up: Callable[[], bool] = lambda: False) -> None:
        self._most = max(1, int(LONGEST_S * fps))
        self._given_up = given_up
        self._planned, self._shown = 0, 0
        self._chosen = [1, 1]
        self._steps: deque[np.ndarray] = deque(maxlen=MEMORY)
        self._block: list[np.ndarray] = []
        self._before: tuple[int, Tracks] | None = None
        self._changed = threading.Condition()

    def every(self) -> int:
        """Of how many frames the next one's block needs one; call once a frame, in order."""
        block = self._planned // BLOCK
        self._planned += 1
        with self._changed:
            while len(self._chosen) <= block and not self._given_up():
                self._changed.wait(0.1)
            return self._chosen[min(block, len(self._chosen) - 1)]

    def show(self, tracks: Tracks | None) -> None:
        """The tracks of the next frame, None where the detector did not look; call once a frame, in order."""
        if tracks is not None:
            if self._before is not None:
                self._block.append(steps(self._before[1], tracks) / (self._shown - self._before[0]))
            self._before = self._shown, tracks
        self._shown += 1
        if self._shown % BLOCK:
            return
        self._steps.append(np.concatenate([np.zeros((0, 2)), *self._block]))
        self._block.clear()
        with self._changed:
            self._chosen.append(self._choice(np.concatenate(self._steps)))
            self._changed.notify_all()

    def _choice(self, step: np.ndarray) -> int:
        """The most frames in which as many objects as it takes still overlap themselves, by their steps (K,2)."""
        for every in range(self._most, 1, -1):
            if (overlap(every * step) >= OVERLAP).mean() >= SHARE if len(step) else True:
                return every
        return 1


def steps(before: Tracks, after: Tracks) -> np.ndarray:
    """How far the tracks seen in both went, (K,2), as shares of their widths and heights."""
    _, old, new = np.intersect1d(before.id, after.id, assume_unique=True, return_indices=True)
    a, b = before.xyxy[old], after.xyxy[new]
    size = np.maximum(a[:, 2:] - a[:, :2], 1.0)
    moved: np.ndarray = np.abs(b[:, :2] + b[:, 2:] - a[:, :2] - a[:, 2:]) / 2 / size
    return moved


def overlap(step: np.ndarray) -> np.ndarray:
    """IoU (K,) of a box with itself, moved by shares (K,2) of its width and height."""
    shared = np.clip(1 - step, 0, None).prod(axis=1)
    iou: np.ndarray = shared / (2 - shared)
    return iou
