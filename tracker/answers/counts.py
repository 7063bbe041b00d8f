"""Sums over events: crossings by interval, line, direction and class; visits by interval; objects by class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from tracker.answers.clock import Clock
from tracker.answers.events import Crossing, Events, ObjectRow, ZoneVisit
from tracker.answers.scene import Scene

NO_CLASS = "object"
"""In rows of lines that nothing has crossed yet."""
MOST_STANDING = 200
"""Standing objects that are listed; a stream that runs for weeks meets more."""

Interval = tuple[float, float]
Way = tuple[str, str, str]
"""Line, direction and class."""


class Counts:
    """What was counted so far; its size grows with the intervals, not with the objects.

    Attributes
    ----------
    crossings : Counter[Way]
        By line, direction and class.
    speeds : dict of (str, str) to Counter[float]
        How often each speed was measured, to a tenth of the unit, by line and class.
    objects : Counter[str]
        Tracks that count, by class.
    standing : list[ObjectRow]
        Tracks that never left their place.
    uncounted, joined : int
        Tracks too short or too seldom seen to count; tracks that broke and whose object another went on for.
    first_s, last_s : float
        Time of the first and of the latest frame.
    """

    def __init__(self, scene: Scene, clock: Clock, interval_s: float) -> None:
        self.scene, self.clock, self.interval_s = scene, clock, interval_s
        self.crossings: Counter[Way] = Counter()
        self.speeds: defaultdict[tuple[str, str], Counter[float]] = defaultdict(Counter)
        self.objects: Counter[str] = Counter()
        self.standing: list[ObjectRow] = []
        self.uncounted = self.joined = 0
        self.first_s = self.last_s = 0.0
        self._started = False
        self._interval: Interval = (0.0, 0.0)
        self._by_interval: defaultdict[Interval, Counter[Way]] = defaultdict(Counter)
        self._by_hour: defaultdict[int, Counter[Way]] = defaultdict(Counter)
        self._entries: Counter[tuple[Interval, str]] = Counter()
        self._exits: Counter[tuple[Interval, str]] = Counter()
        self._seconds: defaultdict[tuple[Interval, str], float] = defaultdict(float)
        self._most: Counter[tuple[Interval, str]] = Counter()

    def reach(self, time_s: float) -> None:
        """A frame of this time was seen."""
        if not self._started:
            self.first_s, self._started = time_s, True
        self.last_s = max(self.last_s, time_s)

    def interval(self, time_s: float) -> Interval:
        """The interval around a moment; asked for the same one in frame after frame."""
        if not self._interval[0] <= time_s < self._interval[1]:
            self._interval = self.clock.interval(time_s, self.interval_s)
        return self._interval

    def add(self, events: Events) -> None:
        """Count what happened."""
        for crossing in events.crossings:
            self._cross(crossing)
        for visit in events.visits:
            self._visit(visit)
        for row in events.objects:
            self.joined += len(row.earlier)
            if row.counted:
                self.objects[row.class_name] += 1
            elif row.standing:
                self.standing = [*self.standing, row][-MOST_STANDING:]
            else:
                self.uncounted += 1

    def _cross(self, c: Crossing) -> None:
        way = (c.line, c.direction, c.class_name)
        self.crossings[way] += 1
        if c.speed is not None:
            self.speeds[c.line, c.class_name][round(c.speed, 1)] += 1
        self._by_interval[self.interval(c.time_s)][way] += 1
        if (when := self.clock.at(c.time_s)) is not None:
            self._by_hour[when.hour][way] += 1

    def speed_rows(self) -> Iterator[tuple[str, str, int, float, float]]:
        """Line, class, how many speeds were measured, their median and the speed that 85 of 100 keep below."""
        for (line, name), speeds in sorted(self.speeds.items()):
            values = np.repeat(*(np.array(v) for v in zip(*sorted(speeds.items()), strict=True)))
            v50, v85 = np.quantile(values, [0.5, 0.85]).tolist()
            yield line, name, len(values), v50, v85

    def _visit(self, v: ZoneVisit) -> None:
        if v.begun:
            self._entries[self.interval(v.entered_s), v.zone] += 1
        if v.ended:
            self._exits[self.interval(v.left_s), v.zone] += 1
        for start, end in self.clock.intervals(v.entered_s, v.left_s, self.interval_s):
            self._seconds[(start, end), v.zone] += max(0.0, min(v.left_s, end) - max(v.entered_s, start))

    def see_occupancy(self, time_s: float, inside: np.ndarray) -> None:
        """Objects inside each zone (Z,) in one frame."""
        interval = self.interval(time_s)
        for zone, count in zip(self.scene.zones, inside.tolist(), strict=True):
            self._most[interval, zone.name] = max(count, self._most[interval, zone.name])

    def intervals(self) -> Iterator[tuple[Interval, Interval]]:
        """Every interval, and the part of it that the video shows."""
        for start, end in self.clock.intervals(self.first_s, self.last_s, self.interval_s):
            yield (start, end), (max(start, self.first_s), min(end, self.last_s))

    def classes(self) -> list[str]:
        """Of everything that crossed a line, most frequent first."""
        found: Counter[str] = Counter()
        for (_, _, name), count in self.crossings.items():
            found[name] += count
        return [name for name, _ in sorted(found.items(), key=lambda f: (-f[1], f[0]))] or [NO_CLASS]

    def ways(self) -> list[Way]:
        """Every line, direction and class that a row tells."""
        classes = self.classes()
        return [(line.name, d, c) for line in self.scene.lines for d in line.directions for c in classes]

    def rows(self) -> Iterator[tuple[Interval, Way, int]]:
        """Of `counts.csv`: every interval with every way, those with nothing included."""
        ways = self.ways()
        for interval, shown in self.intervals():
            counted = self._by_interval.get(interval, Counter())
            for way in ways:
                yield shown, way, counted[way]

    def zone_rows(self) -> Iterator[tuple[Interval, str, int, int, float, int]]:
        """Of `occupancy.csv`: interval, zone, entries, exits, mean and largest number of objects inside."""
        for interval, (start, end) in self.intervals():
            for zone in self.scene.zones:
                key = (interval, zone.name)
                mean = self._seconds.get(key, 0.0) / (end - start) if end > start else 0.0
                yield (start, end), zone.name, self._entries[key], self._exits[key], mean, self._most[key]

    def hour_rows(self) -> Iterator[tuple[int, Way, int]]:
        """Of `hours.csv`: hour of the day, way and count; nothing where the clock is not known."""
        if self.clock.start is None:
            return
        for hour in range(24):
            for way in self.ways():
                yield hour, way, self._by_hour.get(hour, Counter())[way]
