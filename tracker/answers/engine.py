"""Tracks in, answers out: crossings, visits and objects, frame by frame, with counts by interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely

from tracker.answers.clock import Clock
from tracker.answers.counts import Counts
from tracker.answers.events import Crossing, Events, ZoneVisit
from tracker.answers.ground import BORDER, WINDOW_S, GroundPlane
from tracker.answers.lines import LineCounter, Passage
from tracker.answers.links import Links
from tracker.answers.memory import GONE_S, Memory
from tracker.answers.objects import ObjectLog
from tracker.answers.scene import UNITS, Scene, Size
from tracker.answers.ways import Ways
from tracker.answers.zones import Visit, ZoneWatch

if TYPE_CHECKING:
    from tracker.core.types import Tracks

INTERVAL_S = 900.0
"""Traffic is counted by the quarter of an hour."""
FOOT = np.array([0.5, 1.0])
"""Where a box's foot point is, in shares of its width and height."""
LOOK_S = 0.05
"""Least seconds between two looks at where tracks are, for ways, speeds and who stands; lines and zones see every
frame."""
SWEEP_S = 5.0
"""Seconds between two looks for tracks that are gone."""


class Answers:
    """The answers to what a scene asks.

    Rows are rounded as `tracks.csv` holds them, so that a run and its file give the same answers. Boxes that the
    detector missed (score 0) answer nothing: a track crosses where it is seen on the other side.

    Parameters
    ----------
    scene : Scene
        What was drawn.
    size : Size
        (width, height) of the frames, pixels.
    class_names : Sequence[str]
        Names by class id.
    clock, interval_s : Clock or None, float
        How moments are told, and by which lengths of time is counted.
    """

    def __init__(
        self,
        scene: Scene,
        size: Size,
        class_names: Sequence[str],
        *,
        clock: Clock | None = None,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.scene, self.size, self._names = scene, size, tuple(class_names)
        self.counts = Counts(scene, clock or Clock(), interval_s)
        self._sums = [self.counts]
        self._lines = LineCounter(np.array([line.points for line in scene.lines]).reshape(-1, 2, 2) * size)
        self._zones = ZoneWatch([zone.points * size for zone in scene.zones])
        self._ignored = shapely.union_all([shapely.Polygon(zone.points * size) for zone in scene.ignored])
        shapely.prepare(self._ignored)
        self.ground = GroundPlane(scene.ground, size) if scene.ground else None
        lowest = size[1] - BORDER * min(size)
        self._objects = ObjectLog(lowest)
        self.ways = Ways(size, lowest)
        self._links = Links(self.ways)
        self._memory = Memory(
            {**self._lines.columns(), **self._zones.columns(), **self._objects.columns(), **self.ways.columns()}
            | {"foot": ((2,), 0.0), **self._links.columns()}
            | (dict(self.ground.columns()) if self.ground else {})
        )  # fmt: skip
        self._numbers: dict[int, int] = {}
        self._earlier: dict[int, tuple[int, ...]] = {}
        self._frame = 0
        self._next_sweep_s = self._next_look_s = -np.inf

    def begin_part(self) -> Counts:
        """Sums over what is answered from now on until this is called again; `counts` goes on over all."""
        part = Counts(self.scene, self.counts.clock, self.counts.interval_s)
        self._sums = [self.counts, part]
        return part

    @property
    def remembered(self) -> int:
        """Tracks that something is kept of."""
        return len(self._memory)

    def update(self, tracks: Tracks, time_s: float) -> Events:
        """One more frame with its written tracks.

        Parameters
        ----------
        tracks : Tracks
            Rows that are written: id (N,), xyxy (N,4) pixels, score (N,), class_id (N,).
        time_s : float
            Seconds since the clip's first frame.
        """
        time_s = round(time_s, 3)
        self._reach(time_s)
        events = Events(self._crossings(self._lines.lost(self._memory, time_s)))
        events.extend(self._sweep(time_s))
        self._frame += len(tracks) > 0
        boxes = np.array(tracks.xyxy, np.float64)
        boxes[:, 2:] -= boxes[:, :2]  # left, top, width, height, as they are written
        np.round(boxes, 2, out=boxes)
        score = np.round(tracks.score.astype(np.float64), 4)
        foot = boxes[:, :2] + boxes[:, 2:] * FOOT
        good = (score > 0) & (boxes[:, 3] > 0)
        if self.scene.ignored:
            good &= ~shapely.contains_xy(self._ignored, foot[:, 0], foot[:, 1])
        if np.count_nonzero(good):
            boxes[:, 2:] += boxes[:, :2]
            classes = self._classes(tracks.class_id[good])
            events.extend(self._seen(tracks.id[good], foot[good], boxes[good], score[good], classes, time_s))
        return self._added(events)

    def _reach(self, time_s: float) -> None:
        for counts in self._sums:
            counts.reach(time_s)

    def _added(self, events: Events) -> Events:
        for counts in self._sums:
            counts.add(events)
        return events

    def _seen(
        self,
        ids: np.ndarray,
        foot: np.ndarray,
        xyxy: np.ndarray,
        score: np.ndarray,
        classes: np.ndarray,
        time_s: float,
    ) -> Events:
        memory = self._memory
        rows, new = memory.rows(ids, time_s)
        if np.count_nonzero(back := memory["followed"][rows]):  # another track goes on for what these were
            memory.renew(rows[back], time_s)
            new |= back
        height = xyxy[:, 3] - xyxy[:, 1]
        before, fresh = memory["foot"].take(rows, axis=0), new
        if np.count_nonzero(new):
            memory["last_s"][rows[new]], before[new], fresh = time_s, foot[new], new.copy()
            for n, old in self._links.find(memory, rows, new, foot, height, time_s):
                self._follow(old, int(rows[n]))
                before[n], fresh[n] = memory["foot"][old], False
        self._objects.update(memory, rows, fresh, foot, xyxy, score, classes, self._frame)
        if time_s >= self._next_look_s:
            self._next_look_s = time_s + LOOK_S
            self._look(rows, foot, xyxy, height, time_s)
        events = Events(self._crossings(self._lines.update(memory, rows, before, foot, height, time_s)))
        visits = self._zones.update(memory, rows, before, foot, height, fresh, time_s)
        memory["foot"][rows], memory["last_s"][rows] = foot, time_s
        events.visits += [self._visit(v) for v in visits]
        if self.scene.zones:
            occupancy = self._zones.occupancy(memory, time_s)
            for counts in self._sums:
                counts.see_occupancy(time_s, occupancy)
        return events

    def _look(self, rows: np.ndarray, foot: np.ndarray, xyxy: np.ndarray, height: np.ndarray, time_s: float) -> None:
        """Take note of where tracks are."""
        memory = self._memory
        self._objects.look(memory, rows, foot, height, time_s)
        self.ways.update(memory, rows, foot, height, time_s)
        if self.ground is not None:
            self.ground.update(memory, rows, foot, xyxy, time_s)
            for passage in self._lines.waiting():  # one that waits near its line long after crossing it
                if not passage.measured and time_s >= passage.time_s + WINDOW_S:
                    self._measure(passage)

    def _follow(self, old: int, new: int) -> None:
        """A track goes on for another from now on: it is given all that is known of that."""
        memory = self._memory
        memory.copy(old, new)
        memory["followed"][old] = True
        self._lines.follow(memory, old, new)
        first, last = int(memory.id[old]), int(memory.id[new])
        self.ways.follow(first, last)
        self._earlier[last] = (*self._earlier.pop(first, ()), first)

    def _classes(self, class_id: np.ndarray) -> np.ndarray:
        """Numbers of the object log for class ids."""
        ids = class_id.tolist()
        if not self._numbers.keys() >= set(ids):
            for c in ids:  # in the order of the rows, which a file keeps
                name = self._names[c] if 0 <= c < len(self._names) else f"class {c}"
                self._numbers[c] = self._objects.number(name)
        return np.array([self._numbers[c] for c in ids])

    def _crossings(self, passages: list[Passage]) -> list[Crossing]:
        return [self._crossing(p) for p in passages]

    def _measure(self, p: Passage) -> None:
        if self.ground is not None:
            row = self._memory.row(p.track)
            p.speed, p.measured = self.ground.speed(self._memory, row, p.time_s, p.x, p.y), True

    def _crossing(self, p: Passage) -> Crossing:
        line, row = self.scene.lines[p.line], self._memory.row(p.track)
        if not p.measured:
            self._measure(p)
        direction = line.directions[0 if p.to_right else 1]
        class_name = self._objects.class_of(self._memory, row)
        return Crossing(round(p.time_s, 3), line.name, direction, class_name, p.track, p.x, p.y, p.speed)

    def _visit(self, v: Visit) -> ZoneVisit:
        row = self._memory.row(v.track)
        name, class_name = self.scene.zones[v.zone].name, self._objects.class_of(self._memory, row)
        return ZoneVisit(name, v.track, class_name, round(v.entered_s, 3), round(v.left_s, 3), v.begun, v.ended)

    def _sweep(self, time_s: float) -> Events:
        """Close what belongs to tracks that will not be seen again.

        Every few seconds of the clip's own time, so that frames without rows change nothing.
        """
        if time_s < self._next_sweep_s:
            return Events()
        now = time_s // SWEEP_S * SWEEP_S
        self._next_sweep_s = now + SWEEP_S
        gone = np.flatnonzero(self._memory["last_s"] < now - GONE_S)
        events = self._close(gone)
        self._memory.forget(gone)
        return events

    def _close(self, rows: np.ndarray) -> Events:
        rows = rows[~self._memory["followed"][rows]]
        rows = rows[np.argsort(self._memory["last_s"][rows], kind="stable")]
        visits = [self._visit(v) for v in self._zones.close(self._memory, rows)]
        per_second = UNITS[self.ground.unit] if self.ground else 0.0
        objects = self._objects.rows(self._memory, rows, metres=self.ground is not None, per_second=per_second)
        for row, height in zip(objects, self._memory["height"][rows].tolist(), strict=True):
            self.ways.end(row, height)
        objects = [replace(o, earlier=self._earlier.pop(o.id)) if o.id in self._earlier else o for o in objects]
        return Events([], visits, objects)

    def finish(self, last_s: float | None = None) -> Events:
        """Everything that is still open when the video ends, at `last_s` seconds."""
        if last_s is not None:
            self._reach(round(last_s, 3))
        events = Events(self._crossings(self._lines.lost(self._memory, np.inf)))
        events.extend(self._close(np.arange(len(self._memory))))
        self._memory.forget(np.arange(len(self._memory)))
        return self._added(events)
