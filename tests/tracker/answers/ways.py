"""Tracks that go where a test says, and what becomes of them."""

import numpy as np

from tracker.answers.clock import Clock
from tracker.answers.engine import Answers
from tracker.answers.events import Events
from tracker.answers.scene import SceneOptions
from tracker.core.types import Tracks

SIZE = (640, 360)
FPS = 25
NAMES = ("person", "car", "truck")


def tracks(rows):
    """Rows (id, foot x, foot y, height, score, class id) as `Tracks`; boxes are half as wide as high."""
    table = np.array(rows, float).reshape(-1, 6)
    _, x, y, h, score, class_id = table.T
    count, xyxy = len(table), np.column_stack([x - h / 4, y - h, x + h / 4, y])
    return Tracks(
        table[:, 0].astype(np.int64), xyxy, score.astype(np.float32), class_id.astype(np.int32),
        np.full(count, -1), np.ones(count, bool), np.zeros(count, np.int64), np.ones(count, bool),
    )  # fmt: skip


def make(*, size=SIZE, clock=None, interval_s=900.0, **options):
    scene = SceneOptions(**options).scene(size)
    return Answers(scene, size, NAMES, clock=clock or Clock(), interval_s=interval_s)


def feed(answers, ways, frames, *, fps=FPS, times=None):
    """Let tracks go; each way is a function of the frame (from 0) to (x, y) or (x, y, more of a row), or None.

    `more` holds any of height, score, class_id. Returns all events.
    """
    events = Events()
    for t in range(frames):
        rows = []
        for number, way in enumerate(ways, 1):
            if (place := way(t)) is None:
                continue
            x, y, *more = place
            more = more[0] if more else {}
            rows.append((number, x, y, more.get("height", 40), more.get("score", 0.9), more.get("class_id", 1)))
        events.extend(answers.update(tracks(rows), times[t] if times else t / fps))
    events.extend(answers.finish(times[frames - 1] if times else (frames - 1) / fps))
    return events


def told(events):
    """Line, direction and class of each crossing."""
    return [(c.line, c.direction, c.class_name) for c in events.crossings]
