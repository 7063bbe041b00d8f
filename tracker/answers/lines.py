"""Which objects cross which line, when and in which direction.

An object crosses where the way of its foot point between two frames that show it cuts the line's segment. It counts
once it has gone on for a share of its height, or ends beyond the line: one that flickers, waits on it or turns back
there does not. Once it counted, it must go back as far on the other side to count again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tracker.answers.memory import Columns, Memory

MARGIN = 0.25
"""Share of its box's height that an object must be away from a line to have left it. The foot point of one that stands
moves by less: see `benchmarks/NOTES.md`."""
LOST_S = 2.0
"""An object on its way over a line that is not seen for so long has ended there."""


@dataclass(slots=True)
class Passage:
    """A foot point's way over a line, between two frames.

    Attributes
    ----------
    track, line : int
        Id of the track, number of the line.
    to_right : bool
        From the left hand to the right hand of one who looks along the line.
    time_s, x, y : float
        When and where the way cuts the line; pixels.
    speed : float or None
        In the ground's unit; None where it cannot be measured.
    measured : bool
        The speed was asked for.
    """

    track: int
    line: int
    to_right: bool
    time_s: float
    x: float
    y: float
    speed: float | None = None
    measured: bool = False


class LineCounter:
    """Passages over lines, frame by frame.

    Parameters
    ----------
    points : (L,2,2) ndarray of float64
        The lines' ends in pixels.
    """

    def __init__(self, points: np.ndarray) -> None:
        self._start, along = points[:, 0], points[:, 1] - points[:, 0]
        self._length = np.linalg.norm(along, axis=1) if len(points) else np.zeros(0)
        self._along = along / self._length[:, None]
        # Unit vector to the right hand of one who looks along the line; y points down.
        self._right = np.stack([-self._along[:, 1], self._along[:, 0]], axis=1)
        self._offset = (self._start * self._right).sum(axis=1)
        self._pending: dict[tuple[int, int], Passage] = {}

    def columns(self) -> Columns:
        """What must be remembered of each track by line.

        The side it is on (1 right, -1 left, 0 not known yet), the side it comes from, and how far it has been on that
        side, in shares of its height.
        """
        count = len(self._length)
        return {"side": ((count,), 0.0), "origin": ((count,), 0.0), "reach": ((count,), 0.0)}

    def update(
        self, memory: Memory, rows: np.ndarray, before: np.ndarray, foot: np.ndarray, height: np.ndarray, time_s: float
    ) -> list[Passage]:
        """Passages that count from this frame on.

        Parameters
        ----------
        memory : Memory
            Of the tracks; `last_s` is when they were seen before this frame.
        rows : (N,) ndarray
            Of the tracks seen now.
        before, foot : (N,2) ndarray
            Foot points when last seen and now, pixels; the same where a track is new.
        height : (N,) ndarray
            Of the boxes, pixels.
        """
        if not len(self._length):
            return []
        away = foot @ self._right.T - self._offset
        was, side = memory["side"].take(rows, axis=0), np.sign(away)
        if np.count_nonzero(side) < side.size:
            side = np.where(away == 0, was, side)
        for n, line in zip(*(at.tolist() for at in (side != was).nonzero()), strict=True):
            row, now = int(rows[n]), side[n, line]
            memory["side"][row, line] = now
            if was[n, line] == 0:
                memory["origin"][row, line] = now
            else:
                self._turn(memory, row, line, before[n], foot[n], time_s)
        share = away * memory["origin"].take(rows, axis=0) / height[:, None]
        memory["reach"][rows] = np.maximum(memory["reach"].take(rows, axis=0), share)
        counted = [
            self._settle(memory, int(rows[n]), line, float(-share[n, line]))
            for n, line in zip(*(at.tolist() for at in (share <= -MARGIN).nonzero()), strict=True)
        ]
        return [p for p in counted if p is not None]

    def _turn(self, memory: Memory, row: int, line: int, before: np.ndarray, foot: np.ndarray, time_s: float) -> None:
        """A track is on the other side of a line than before: through its segment, around its end, or back again."""
        side, key = int(memory["side"][row, line]), (int(memory.id[row]), line)
        self._pending.pop(key, None)
        if side == memory["origin"][row, line]:
            return
        (x0, y0), (x1, y1) = before.tolist(), foot.tolist()
        (rx, ry), offset = self._right[line].tolist(), float(self._offset[line])
        d0, d1 = rx * x0 + ry * y0 - offset, rx * x1 + ry * y1 - offset
        part = d0 / (d0 - d1)
        x, y = x0 + part * (x1 - x0), y0 + part * (y1 - y0)
        (ax, ay), (sx, sy) = self._along[line].tolist(), self._start[line].tolist()
        if 0 <= (x - sx) * ax + (y - sy) * ay <= self._length[line]:
            last_s = float(memory["last_s"][row])
            self._pending[key] = Passage(*key, side > 0, last_s + part * (time_s - last_s), x, y)
        else:
            self._arrive(memory, row, line, 0.0)

    def _settle(self, memory: Memory, row: int, line: int, beyond: float) -> Passage | None:
        """The passage of a track that has left the line behind."""
        passage = self._pending.pop((int(memory.id[row]), line), None)
        self._arrive(memory, row, line, beyond)
        return passage

    def _arrive(self, memory: Memory, row: int, line: int, reach: float) -> None:
        memory["origin"][row, line], memory["reach"][row, line] = memory["side"][row, line], reach

    def follow(self, memory: Memory, old: int, new: int) -> None:
        """A track goes on for another: with what that has on its way over lines."""
        for line in range(len(self._length)):
            if (passage := self._pending.pop((int(memory.id[old]), line), None)) is not None:
                passage.track = int(memory.id[new])
                self._pending[passage.track, line] = passage

    def waiting(self) -> Iterator[Passage]:
        """Passages of tracks that are still near their line."""
        return iter(self._pending.values())

    def lost(self, memory: Memory, time_s: float) -> list[Passage]:
        """Passages of tracks that ended beyond a line, near it; none of one that only trembled there.

        To be asked before each frame, and at the end with a time of infinity.
        """
        found = []
        # None was last seen before it was on the line.
        for (track, line), passage in [p for p in self._pending.items() if p[1].time_s < time_s - LOST_S]:
            row = memory.row(track)
            if memory["last_s"][row] >= time_s - LOST_S:
                continue
            del self._pending[track, line]
            beyond = self._beyond(memory, row, line)
            if memory["reach"][row, line] + beyond >= MARGIN:
                found.append((float(memory["last_s"][row]), passage))
                self._arrive(memory, row, line, beyond)
        return [p for _, p in sorted(found, key=lambda f: (f[0], f[1].track, f[1].line))]

    def _beyond(self, memory: Memory, row: int, line: int) -> float:
        """How far beyond a line a track was last seen, in shares of its height."""
        away = float(memory["foot"][row] @ self._right[line] - self._offset[line])
        height = float(memory["xyxy"][row, 3] - memory["xyxy"][row, 1])
        return -away * float(memory["origin"][row, line]) / height
