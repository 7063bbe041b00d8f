"""The drawn `crossing` scene: crossings, speeds and dwell against the ways that its actors were given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker import DeepSort, Detections
from tracker.answers.engine import Answers
from tracker.answers.scene import Ground, Line, Scene, Zone
from videos.crossing import FPS, VISIBLE, Actor, cast, scene

SIZE = (640, 360)
FRAMES = 400
NAMES = ("pedestrian", "car")
EDGE = 3
"""Frames at both ends of the clip in which a crossing may be counted or not."""
METRES = (32.0, 12.0)
"""Sides of the ground that the picture's lower part shows."""
TOP, BOTTOM = 0.38, 0.995

LINES = (
    Line("left", np.array([[0.25, 0.37], [0.25, 0.995]]), ("west", "east")),
    Line("right", np.array([[0.66, 0.37], [0.72, 0.995]]), ("west", "east")),
)
ZONE = Zone("square", np.array([[0.2, 0.37], [0.38, 0.37], [0.38, 0.995], [0.2, 0.995]]))
GROUND = Ground(np.array([[0.02, TOP], [0.98, TOP], [0.98, BOTTOM], [0.02, BOTTOM]]), METRES)
SCENE = Scene(lines=LINES, zones=(ZONE,), ground=GROUND)


@dataclass(frozen=True)
class Drawn:
    """One seed: crossings by line, direction and class, surely and perhaps true; errors of speeds and of dwell (s).

    `dwell_held` are the errors of dwell where the track followed one actor all the while.
    """

    seed: int
    sure: Counter[tuple[str, str, str]]
    true: Counter[tuple[str, str, str]]
    counted: Counter[tuple[str, str, str]]
    speed_errors: list[float]
    dwell_errors: list[float]
    dwell_held: list[float]
    visits: tuple[int, int]

    @property
    def exact(self) -> bool:
        """Nothing was missed, nothing too much was counted."""
        return not self.sure - self.counted and not self.counted - self.true


def drawn(seed: int, frames: int = FRAMES) -> Drawn:
    """Track the exact boxes of a scene's visible actors and compare what is answered with their ways."""
    actors = {a.id: a for a in cast(seed)}
    tracker = DeepSort(class_names=NAMES)
    answers = Answers(SCENE, SIZE, NAMES)
    crossings, visits = [], []
    followed: dict[int, list[tuple[float, int]]] = {}
    for t, (_, rows) in enumerate(scene(frames, seed, *SIZE)):
        seen = [r for r in rows if r.visibility >= VISIBLE]
        boxes = np.array([[r.left, r.top, r.left + r.width, r.top + r.height] for r in seen], float).reshape(-1, 4)
        classes = np.array([NAMES.index(actors[r.id].look.kind) for r in seen], int)
        tracks = tracker.update(Detections(boxes, None, classes), time_s=t / FPS, frame_size=SIZE).written
        for number, row in zip(tracks.id.tolist(), tracks.detection_index.tolist(), strict=True):
            if row >= 0:
                followed.setdefault(number, []).append((t / FPS, seen[row].id))
        events = answers.update(tracks, t / FPS)
        crossings += events.crossings
        visits += events.visits
    events = answers.finish((frames - 1) / FPS)
    crossings, visits = crossings + events.crossings, visits + events.visits
    who = {n: actors[Counter(actor for _, actor in way).most_common(1)[0][0]] for n, way in followed.items()}
    speeds = [abs(c.speed / _speed(who[c.id]) - 1) for c in crossings if c.speed is not None]
    whole = [v for v in visits if v.begun and v.ended]
    everyone = list(actors.values())
    stays = {kind: [s for a in everyone if a.look.kind == kind for s in _stays(a, frames)] for kind in NAMES}
    dwell = [_dwell_error(stays[v.class_name], v.entered_s, v.left_s) for v in whole]
    held = [len({a for t, a in followed[v.id] if v.entered_s <= t <= v.left_s}) == 1 for v in whole]
    dwell_held = [error for error, one in zip(dwell, held, strict=True) if one]
    counted = Counter((c.line, c.direction, c.class_name) for c in crossings)
    visited = (sum(map(len, stays.values())), len(whole))
    sure, true = (true_crossings(everyone, range(edge, frames - edge)) for edge in (EDGE, 0))
    return Drawn(seed, sure, true, counted, speeds, dwell, dwell_held, visited)


def _place(actor: Actor, t: float) -> np.ndarray:
    """Feet between two frames, pixels."""
    (x0, y0, _), (x1, y1, _) = actor.at(int(t)), actor.at(int(t) + 1)
    part = t - int(t)
    return np.array([(x0 + (x1 - x0) * part) * SIZE[0], (y0 + (y1 - y0) * part) * SIZE[1]])


def true_crossings(actors: list[Actor], frames: range) -> Counter[tuple[str, str, str]]:
    """Where the feet of actors cut the lines."""
    found: Counter[tuple[str, str, str]] = Counter()
    for actor in actors:
        way = np.array([_place(actor, t) for t in frames])
        for line in LINES:
            a, b = line.points * SIZE
            along = b - a
            side = np.sign(along[0] * (way[:, 1] - a[1]) - along[1] * (way[:, 0] - a[0]))
            for t in np.flatnonzero(side[1:] * side[:-1] < 0).tolist():
                share = float((way[t] - a) @ along / (along @ along))
                if 0 <= share <= 1:
                    found[line.name, line.directions[0 if side[t + 1] > 0 else 1], actor.look.kind] += 1
    return found


def _speed(actor: Actor) -> float:
    """Kilometres per hour while it walks."""
    (x0, y0), (x1, y1) = actor.start, actor.end
    metres = np.hypot((x1 - x0) / 0.96 * METRES[0], (y1 - y0) / (BOTTOM - TOP) * METRES[1])
    return float(metres / (actor.frames / FPS) * 3.6)


def _inside(actor: Actor, t: float) -> bool:
    (left, top), (right, bottom) = ZONE.points[0] * SIZE, ZONE.points[2] * SIZE
    x, y = _place(actor, t)
    return bool(left <= x <= right and top <= y <= bottom)


def _stays(actor: Actor, frames: int) -> list[tuple[float, float]]:
    """Stays in the zone from border to border, seconds, by steps of a tenth of a frame; one may end with the clip."""
    times = np.arange(0, frames + 1, 0.1)
    inside = np.array([_inside(actor, t) for t in times])
    change = np.flatnonzero(np.diff(inside.astype(int)))
    starts, ends = change[~inside[change]], change[inside[change]]
    pairs = []
    for start in starts.tolist():
        later = ends[ends > start]
        if len(later):
            pairs.append((float(times[start]) / FPS, float(times[int(later[0])]) / FPS))
    return pairs


def _dwell_error(stays: list[tuple[float, float]], entered_s: float, left_s: float) -> float:
    """Difference in length to the true stay that a visit shares most time with; infinite where there is none."""
    shared = [(min(e, left_s) - max(s, entered_s)) / (max(e, left_s) - min(s, entered_s)) for s, e in stays]
    if not shared or max(shared) <= 0:
        return float("inf")
    start, end = stays[int(np.argmax(shared))]
    return abs((end - start) - (left_s - entered_s))


def report(seeds: int) -> dict[str, Any]:
    """Print and return the figures of all seeds."""
    runs = [drawn(seed) for seed in range(seeds)]
    exact = sum(r.exact for r in runs)
    for r in runs:
        if not r.exact:
            print(f"drawn seed {r.seed}: missed {dict(r.sure - r.counted)}, too many {dict(r.counted - r.true)}")
    speeds, dwell, held = (
        np.array([e for r in runs for e in getattr(r, name)]) for name in ("speed_errors", "dwell_errors", "dwell_held")
    )
    found: dict[str, Any] = {
        "seeds": seeds, "exact": exact, "crossings": sum(r.true.total() for r in runs),
        "speeds": len(speeds), "speed_median": float(np.median(speeds)), "speed_p95": float(np.quantile(speeds, 0.95)),
        "dwells": len(dwell), "dwell_within_a_frame": float((dwell <= 1 / FPS + 1e-9).mean()),
        "dwell_worst_s": float(dwell.max()), "dwells_held": len(held),
        "dwell_held_within_a_frame": float((held <= 1 / FPS + 1e-9).mean()),
        "visits": [sum(r.visits[k] for r in runs) for k in (0, 1)],
    }  # fmt: skip
    print("drawn:", ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items()))
    return found
