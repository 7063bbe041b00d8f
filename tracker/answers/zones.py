"""Who is in which zone, since when and for how long.

Against flicker at the border an object has entered once its foot point is a share of its height inside, or has been
inside for a while; it has left once it is as far outside and has been outside for a while. The times are those at which
its way cut the border. One that is not seen for some time is where it was: a parked car behind a lorry stays one visit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely

from tracker.answers.lines import MARGIN
from tracker.answers.memory import Columns, Memory

SETTLE_S = 0.5
"""Seconds inside after which an object near the border has entered, and outside after which it has left."""

OUTSIDE, ENTERING, INSIDE, LEAVING = range(4)


@dataclass(frozen=True, slots=True)
class Visit:
    """A stay of a track in a zone, from `entered_s` to `left_s`; `begun` and `ended`: seen to enter, seen to leave."""

    zone: int
    track: int
    entered_s: float
    left_s: float
    begun: bool
    ended: bool


class ZoneWatch:
    """Visits of zones, frame by frame.

    Parameters
    ----------
    polygons : list[ndarray]
        Corners (N,2) float64 in pixels, one array a zone.
    """

    def __init__(self, polygons: list[np.ndarray]) -> None:
        self._polygons = [shapely.Polygon(p) for p in polygons]
        self._sides = [np.hstack([p, np.roll(p, -1, axis=0) - p]).tolist() for p in polygons]
        shapely.prepare(self._polygons)

    def columns(self) -> Columns:
        """What must be remembered of each track by zone.

        The state of the visit, when it began, when the border was cut last, and whether the entry was seen.
        """
        count = (len(self._polygons),)
        return {"visit": (count, OUTSIDE), "entered_s": (count, 0.0), "cut_s": (count, 0.0), "begun": (count, False)}

    def update(
        self,
        memory: Memory,
        rows: np.ndarray,
        before: np.ndarray,
        foot: np.ndarray,
        height: np.ndarray,
        new: np.ndarray,
        time_s: float,
    ) -> list[Visit]:
        """Visits that ended; parameters as of `LineCounter.update`, and which tracks are new (N,) bool."""
        ended: list[Visit] = []
        for zone, polygon in enumerate(self._polygons):
            inside = shapely.contains_xy(polygon, foot[:, 0], foot[:, 1])
            state = memory["visit"][rows, zone]
            unsettled = (state != np.where(inside, INSIDE, OUTSIDE)).nonzero()[0]
            for n in unsettled.tolist():
                row = int(rows[n])
                if inside[n] != (state[n] in (ENTERING, INSIDE)):
                    was_s = float(memory["last_s"][row])
                    cut_s = time_s if new[n] else self._cut(zone, before[n], foot[n], was_s, time_s)
                    self._turn(memory, row, zone, bool(inside[n]), cut_s, bool(new[n]))
                ended += self._settle(memory, row, zone, foot[n], float(height[n]), time_s)
        return ended

    def _turn(self, memory: Memory, row: int, zone: int, inside: bool, cut_s: float, new: bool) -> None:
        """A foot point has come in or gone out."""
        state, at = memory["visit"], (row, zone)
        if state[at] == OUTSIDE:
            state[at], memory["entered_s"][at], memory["begun"][at] = ENTERING, cut_s, not new
        elif state[at] == INSIDE:
            state[at], memory["cut_s"][at] = LEAVING, cut_s
        else:
            state[at] = INSIDE if inside else OUTSIDE

    def _settle(
        self, memory: Memory, row: int, zone: int, foot: np.ndarray, height: float, time_s: float
    ) -> list[Visit]:
        """Decide whether a track that is entering has entered, and whether one that is leaving has left."""
        visit, at = memory["visit"], (row, zone)
        state = int(visit[at])
        if state == ENTERING:
            if time_s - memory["entered_s"][at] >= SETTLE_S or self._depth(zone, foot) >= MARGIN * height:
                visit[at] = INSIDE
        elif (
            state == LEAVING and time_s - memory["cut_s"][at] >= SETTLE_S and self._depth(zone, foot) >= MARGIN * height
        ):
            visit[at] = OUTSIDE
            return [self._visit(memory, row, zone, float(memory["cut_s"][at]), ended=True)]
        return []

    def _depth(self, zone: int, foot: np.ndarray) -> float:
        """Pixels between a foot point and the zone's border."""
        x, y = foot.tolist()
        return min([_distance(x - x0, y - y0, *side) for x0, y0, *side in self._sides[zone]])

    def _cut(self, zone: int, before: np.ndarray, foot: np.ndarray, last_s: float, time_s: float) -> float:
        """When the way between two frames cut the border for the last time; now where it did not."""
        (x0, y0), (x1, y1) = before.tolist(), foot.tolist()
        way_x, way_y, last = x1 - x0, y1 - y0, -1.0
        for x, y, side_x, side_y in self._sides[zone]:  # few: a loop takes a tenth of array operations' time
            cross = way_x * side_y - way_y * side_x
            if cross != 0:
                part = ((x - x0) * side_y - (y - y0) * side_x) / cross
                if 0 <= part <= 1 and 0 <= ((x - x0) * way_y - (y - y0) * way_x) / cross <= 1:
                    last = max(last, part)
        return last_s + last * (time_s - last_s) if last >= 0 else time_s

    def _visit(self, memory: Memory, row: int, zone: int, left_s: float, *, ended: bool) -> Visit:
        entered_s, begun = float(memory["entered_s"][row, zone]), bool(memory["begun"][row, zone])
        return Visit(zone, int(memory.id[row]), entered_s, max(left_s, entered_s), begun, ended)

    def close(self, memory: Memory, rows: np.ndarray) -> list[Visit]:
        """Visits of tracks that will not be seen again, up to where they were last seen."""
        found = []
        for row, zone in np.argwhere(memory["visit"][rows] >= INSIDE).tolist():
            row = int(rows[row])
            leaving = memory["visit"][row, zone] == LEAVING
            left_s = memory["cut_s"][row, zone] if leaving else memory["last_s"][row]
            found.append(self._visit(memory, row, zone, float(left_s), ended=bool(leaving)))
            memory["visit"][row, zone] = OUTSIDE
        return found

    def occupancy(self, memory: Memory, time_s: float) -> np.ndarray:
        """(Z,) number of objects in each zone: seen there now or a moment ago, and not on their way out."""
        recent = memory["last_s"] >= time_s - SETTLE_S
        inside: np.ndarray = recent.astype(np.float64) @ (memory["visit"] == INSIDE)
        return inside.astype(np.int64)


def _distance(x: float, y: float, side_x: float, side_y: float) -> float:
    """Between a point and a side that begins at the origin."""
    length = side_x * side_x + side_y * side_y
    part = min(1.0, max(0.0, (x * side_x + y * side_y) / length)) if length else 0.0
    return math.hypot(x - part * side_x, y - part * side_y)
