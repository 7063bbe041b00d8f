"""What answers cost: processor time a frame by number of objects, on a scene with lines, zones and ground."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.counting_drawn import GROUND, SIZE, ZONE
from tracker import Tracks
from tracker.answers.engine import Answers
from tracker.answers.scene import Line, Scene

FRAMES = 1500
LIFE = 150
"""Frames that an object lives: about one comes and one goes every third frame at 50 objects."""


def cost(objects: int, frames: int = FRAMES) -> float:
    """Mean milliseconds of processor time a frame, with four lines, a zone and a calibrated ground."""
    lines = tuple(Line(f"{k}", np.array([[0.2 * k, 0.1], [0.2 * k, 0.9]])) for k in range(1, 5))
    answers = Answers(Scene(lines=lines, zones=(ZONE,), ground=GROUND), SIZE, ("car", "person"))
    rng = np.random.default_rng(0)
    phase, start = rng.integers(0, LIFE, objects), rng.uniform(0.4, 0.95, objects) * SIZE[1]
    given, ids = [], 1 + np.arange(objects)
    for t in range(frames):
        age = (t + phase) % LIFE
        new = (age == 0) & (t > 0)
        ids[new] = ids.max() + 1 + np.arange(np.count_nonzero(new))  # numbers rise, as a tracker gives them
        x = age / LIFE * SIZE[0] * 1.1 - 20
        given.append(_tracks(ids, x, start + rng.normal(0, 0.5, objects)))
    begin = time.process_time()  # once: asking takes longer than a frame on some machines
    for t, tracks in enumerate(given):
        answers.update(tracks, t / 25)
    return (time.process_time() - begin) / frames * 1e3


def _tracks(ids: np.ndarray, x: np.ndarray, y: np.ndarray) -> Tracks:
    order, count = np.argsort(ids), len(ids)
    xyxy = np.column_stack([x - 20, y - 40, x + 20, y])[order]
    return Tracks(
        ids[order].astype(np.int64), xyxy, np.full(count, 0.8, np.float32), (ids[order] % 2).astype(np.int32),
        np.full(count, -1), np.ones(count, bool), np.zeros(count, np.int64), np.ones(count, bool),
    )  # fmt: skip


def report(counts: tuple[int, ...] = (10, 50, 200)) -> dict[int, float]:
    """Print and return milliseconds by number of objects."""
    found = {count: cost(count) for count in counts}
    print(
        "cost:", ", ".join(f"{count} objects {ms:.3f} ms" for count, ms in found.items()), "of processor time a frame"
    )
    return found
