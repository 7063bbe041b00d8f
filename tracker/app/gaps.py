"""Frames of a recording that the detector left out: they wait for the next it looks at, and boxes go straight there.

What was seen before and after a gap is known better than what any prediction or optical flow could tell, as a recording
can wait. A live source cannot: its boxes are carried by `video/optical_flow`.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import numpy as np

from tracker.core.types import Tracks


class Waits(Protocol):
    """A frame in a gap, with the tracks as they were predicted for it."""

    tracks: Tracks | None


T = TypeVar("T", bound=Waits)


class Gaps(Generic[T]):
    """Holds the frames of one stream since the detector last looked."""

    def __init__(self) -> None:
        self._before = Tracks.empty()
        self._waiting: list[T] = []

    def wait(self, frame: T) -> None:
        """Keep a frame until the next that the detector looks at."""
        self._waiting.append(frame)

    def repeat(self, frame: T) -> None:
        """Give a frame that shows what the last look did the boxes of that look."""
        frame.tracks = self._before

    def fill(self, after: Tracks | None) -> list[T]:
        """The frames that waited, with the boxes between the last look and this one.

        Parameters
        ----------
        after : Tracks or None
            What is written where the detector looked again; None where the stream ends: predictions stay.
        """
        waiting, self._waiting = self._waiting, []
        if after is not None:
            for number, frame in enumerate(waiting, 1):
                if frame.tracks is not None:
                    frame.tracks = between(self._before, frame.tracks, after, number / (len(waiting) + 1))
            self._before = after
        return waiting


def between(before: Tracks, predicted: Tracks, after: Tracks, share: float) -> Tracks:
    """Tracks of a frame in a gap, `share` of the way through it.

    Boxes of tracks seen at both ends lie on the straight line. One seen at one end alone was there for half of the gap,
    as far as anybody knows: there it has its predicted box before it went, its first box before it came.
    """
    _, old, new = np.intersect1d(before.id, after.id, assume_unique=True, return_indices=True)
    through = after[new]
    through.xyxy[:] = (1 - share) * before.xyxy[old] + share * through.xyxy
    through.score[:] = np.minimum(before.score[old], through.score)
    parts = [through]
    if share <= 0.5:
        parts.append(predicted[~np.isin(predicted.id, after.id)])
    if share >= 0.5:
        parts.append(after[~np.isin(after.id, before.id)])
    return Tracks.concatenate(parts)
