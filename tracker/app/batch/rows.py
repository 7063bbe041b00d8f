"""The rows of a tracked part as arrays, and how parts become one video again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracker.answers.events import Events
from tracker.core.boxes import iou
from tracker.core.types import Frame, Tracks

SAME = 0.5
"""Overlap (IoU) above which boxes of two parts in one frame are one object: both come from the same detections."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What is written of a stretch of frames: R boxes in order of frames.

    Attributes
    ----------
    frame, id, class_id : numpy.ndarray
        (R,) int64, int64 and int32.
    time_s : numpy.ndarray
        (R,) float64.
    xyxy, score : numpy.ndarray
        (R,4) float64 pixels and (R,) float32.
    """

    frame: np.ndarray
    time_s: np.ndarray
    id: np.ndarray
    class_id: np.ndarray
    xyxy: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, rows: np.ndarray | slice) -> Rows:
        return Rows(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence[Rows]) -> Rows:
        """All rows of several; none where there are no parts."""
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    @classmethod
    def empty(cls) -> Rows:
        """No rows."""
        whole, real = np.zeros(0, np.int64), np.zeros(0)
        return cls(whole, real, whole, np.zeros(0, np.int32), np.zeros((0, 4)), np.zeros(0, np.float32))

    def frames(self, size: tuple[int, int]) -> Iterator[tuple[Frame, Tracks]]:
        """Frame by frame, as sinks take them."""
        starts = np.flatnonzero(np.diff(self.frame, prepend=-1))
        for rows in np.split(np.arange(len(self)), starts[1:]) if len(self) else ():
            count, first = len(rows), int(rows[0])
            yield (
                Frame(int(self.frame[first]), float(self.time_s[first]), None, size),
                Tracks(
                    self.id[rows], self.xyxy[rows], self.score[rows], self.class_id[rows], np.full(count, -1),
                    np.ones(count, bool), np.zeros(count, np.int64), np.ones(count, bool),
                ),
            )  # fmt: skip


class Gather:
    """A viewer that keeps what is written of a stream."""

    draws = keeps = False

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self.warnings: list[str] = []
        self.frames = 0

    def view(self, frame: Frame, tracks: Tracks, drawn: np.ndarray | None, events: Events) -> None:
        """Keep a frame's rows."""
        self.frames += 1
        if n := len(tracks):
            when = np.full(n, frame.index), np.full(n, frame.time_s)
            self._parts.append(Rows(*when, tracks.id, tracks.class_id, tracks.xyxy, tracks.score))

    def settle(self, events: Events) -> None:
        """Rows alone are kept."""

    def close(self) -> None:
        """Nothing is held open."""

    def rows(self) -> Rows:
        """Everything so far."""
        return Rows.concatenate(self._parts)


def stitch(parts: Sequence[Rows], firsts: Sequence[int]) -> Rows:
    """The rows of a video from those of its parts, each object under one number.

    Part k + 1 was tracked over some frames before its first one, which part k holds, too: tracks that were at one place
    there are one. Each part then speaks for the frames from its first to the next part's.

    Parameters
    ----------
    parts : sequence of Rows
        In order, those before the first frame that counts included.
    firsts : sequence of int
        First frame of each that counts.
    """
    if not parts:
        return Rows.empty()
    whole = [parts[0]]
    numbers = int(parts[0].id.max(initial=0))
    for part, first in zip(parts[1:], firsts[1:], strict=True):
        whole[-1] = whole[-1][whole[-1].frame < first]
        lead = part[part.frame < first]
        known = match(whole[-1][whole[-1].frame >= lead.frame.min(initial=first)], lead)
        own = part[part.frame >= first]
        ids, where = np.unique(own.id, return_inverse=True)
        new = [i for i in _by_first(own) if i not in known]
        known |= {i: numbers + n for n, i in enumerate(new, 1)}
        numbers += len(new)
        whole.append(replace(own, id=np.array([known[i] for i in ids.tolist()], np.int64)[where]))
    return Rows.concatenate(whole)


def _by_first(rows: Rows) -> list[int]:
    """Ids in the order in which they were first written."""
    ids, first = np.unique(rows.id, return_index=True)
    found: list[int] = ids[np.argsort(first)].tolist()
    return found


def match(earlier: Rows, later: Rows) -> dict[int, int]:
    """Which ids of an earlier part those of a later one are, from the frames that both hold.

    A pair's weight is the number of frames in which its boxes are at one place, the last ones counting more: what both
    agree on last goes on.
    """
    ours, mine = np.unique(earlier.id), np.unique(later.id)
    if not len(ours) or not len(mine):
        return {}
    weight = np.zeros((len(mine), len(ours)))
    frames = np.unique(later.frame)
    for order, frame in enumerate(frames.tolist(), 1):
        a, b = later[later.frame == frame], earlier[earlier.frame == frame]
        if len(a) and len(b):
            same = iou(a.xyxy, b.xyxy)
            rows, columns = np.nonzero(same >= SAME)
            value = same[rows, columns] * (1 + order / len(frames))
            np.add.at(weight, (np.searchsorted(mine, a.id[rows]), np.searchsorted(ours, b.id[columns])), value)
    rows, columns = linear_sum_assignment(-weight)
    return {int(mine[r]): int(ours[c]) for r, c in zip(rows, columns, strict=True) if weight[r, c] > 0}
