"""Numbers that broke: a track that begins where another would be by now, which was lost a moment ago, goes on for it.

Both are one object: with one way over lines, one stay in a zone, one row of `objects.csv`. Neither is a crossing lost
between the end of one and the beginning of the other, nor is anything counted twice.
"""

from __future__ import annotations

import numpy as np

from tracker.answers.memory import Columns, Memory
from tracker.answers.ways import Ways

LINK_S = 1.0
"""Seconds after its end within which a track may be gone on for."""
NEAR = 0.5
"""Share of its height between where a new track begins and where a lost one would be; none that is seen may be near."""
ALIKE = 1.4
"""Largest ratio of their heights."""
LEAST_BOXES = 3


class Links:
    """Finds, of the tracks that are new, those that go on for another.

    Parameters
    ----------
    ways : Ways
        Of all tracks; they tell how fast one went.
    """

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    def columns(self) -> Columns:
        """Whether another track has gone on for this one."""
        return {"followed": ((), False)}

    def find(
        self, memory: Memory, rows: np.ndarray, new: np.ndarray, foot: np.ndarray, height: np.ndarray, time_s: float
    ) -> list[tuple[int, int]]:
        """Pairs of a new track's place among `rows` and the row of the lost track that it goes on for.

        Parameters
        ----------
        memory : Memory
            Of the tracks, as they were before this frame.
        rows : (N,) ndarray
            Of the tracks seen now.
        new : (N,) ndarray of bool
            Which of them are new.
        foot, height : (N,2) and (N,) ndarray
            Foot points and heights of boxes now, pixels.
        """
        lost = (memory["last_s"] >= time_s - LINK_S) & ~memory["followed"] & (memory["boxes"] >= LEAST_BOXES)
        lost[rows] = False
        old = np.flatnonzero(lost)
        if not len(old):
            return []
        expected = self._expected(memory, old, time_s)
        tall = memory["xyxy"][old, 3] - memory["xyxy"][old, 1]
        found: list[tuple[float, int, int]] = []
        seen = foot[~new]
        for n in np.flatnonzero(new).tolist():
            if np.count_nonzero(np.hypot(*(seen - foot[n]).T) < NEAR * height[n]):
                continue
            away = np.hypot(*(expected - foot[n]).T) / height[n]
            same = (tall < ALIKE * height[n]) & (height[n] < ALIKE * tall)
            found += [(float(away[k]), n, int(old[k])) for k in np.flatnonzero((away <= NEAR) & same).tolist()]
        pairs: list[tuple[int, int]] = []
        for _, n, row in sorted(found):
            if all(n != m and row != other for m, other in pairs):
                pairs.append((n, row))
        return pairs

    def _expected(self, memory: Memory, rows: np.ndarray, time_s: float) -> np.ndarray:
        """Where lost tracks would be by now, (K,2) pixels."""
        foot, last_s = memory["foot"][rows], memory["last_s"][rows]
        lost = zip(memory.id[rows].tolist(), foot.tolist(), last_s.tolist(), strict=True)
        velocity = np.array([self._ways.velocity(track, at, seen_s) for track, at, seen_s in lost])
        expected: np.ndarray = foot + velocity * (time_s - last_s)[:, None]
        return expected
