"""Numbers for tracks in the order in which they are first written, so that none is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tracker.core.types import Tracks

KEPT_FRAMES = 100_000
"""A number is kept for this many frames after its track was last written: no tracker keeps a lost one for so long."""


class Numbering:
    """Gives each track that is written the next number; tracks that never are take none."""

    def __init__(self) -> None:
        self._number: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._next, self._frame = 1, 0

    def __call__(self, tracks: Tracks) -> Tracks:
        """The rows to write with their numbers; call once a frame."""
        self._frame += 1
        for track in tracks.id.tolist():
            if track not in self._number:
                self._number[track] = self._next
                self._next += 1
            self._last[track] = self._frame
        if self._frame % KEPT_FRAMES == 0:
            for track in [t for t, last in self._last.items() if self._frame - last > KEPT_FRAMES]:
                del self._number[track], self._last[track]
        return replace(tracks, id=np.array([self._number[i] for i in tracks.id.tolist()], np.int64))

    @property
    def count(self) -> int:
        """Tracks that were written."""
        return self._next - 1

    def of(self, track: int) -> int | None:
        """The number of a track; None where it was never written."""
        return self._number.get(track)
