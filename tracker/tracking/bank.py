"""The bank: the live tracks as arrays, one column a quantity. Each tracker declares the columns of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from tracker.core.types import Tracks


class _Column:
    """A declared column: the shape and type of one track's value."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, dtype


def column(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    """Declares a column in the body of a `TrackBank`; in a bank it is the array (T,*shape) of that name."""
    return cast(np.ndarray, _Column(shape, np.dtype(dtype)))


class TrackBank:
    """The live tracks, T of them in the order of their birth, as arrays that share axis 0.

    Columns of one type share one array, so that tracks come and go in a few copies, and each number of a column lies
    together for all tracks, so that arithmetic runs over long rows. The attributes are views: write into them
    (`bank.score[:] = ...`), do not replace them. Those that `Tracks` has mean what they mean there.

    Attributes
    ----------
    hits : (T,) ndarray of int64
        Matches so far, the detection of the birth included.
    age : (T,) ndarray of int64
        Frames since birth.
    votes : (T,C) ndarray of int64
        Of matched detections by class, mostly one each; column c is of class `classes[c]`.
    """

    id = column(dtype=np.int64)
    hits = column(dtype=np.int64)
    age = column(dtype=np.int64)
    time_since_update = column(dtype=np.int64)
    class_id = column(dtype=np.int64)
    detection_index = column(dtype=np.int64)
    score = column()
    confirmed = column(dtype=bool)

    def __init__(self) -> None:
        self.classes = np.zeros(0, np.int32)
        self.next_id = 1
        self.votes = np.zeros((0, 0), np.int64)
        declared = {k: v for base in reversed(type(self).__mro__) for k, v in vars(base).items()}
        columns = {k: v for k, v in declared.items() if isinstance(v, _Column)}
        types = dict.fromkeys(c.dtype for c in columns.values())
        self._blocks = [_Block({k: c.shape for k, c in columns.items() if c.dtype == t}, t) for t in types]
        self._expose()

    def _expose(self) -> None:
        for block in self._blocks:
            vars(self).update(block.views())

    def __len__(self) -> int:
        return len(self.id)

    def add(self, class_id: np.ndarray, **columns: np.ndarray) -> np.ndarray:
        """New tracks, tentative, numbered in the order given, with these values of columns; returns their rows (K,)."""
        count, first = len(class_id), len(self)
        for block in self._blocks:
            block.extend(count)
        self.votes = np.concatenate([self.votes, np.zeros((count, self.votes.shape[1]), np.int64)])
        self._expose()
        self.id[first:] = np.arange(self.next_id, self.next_id + count)
        self.hits[first:] = self.age[first:] = 1
        self.class_id[first:] = class_id
        for name, values in columns.items():
            getattr(self, name)[first:] = values
        self.next_id += count
        rows = np.arange(first, first + count)
        self.vote(rows, class_id)
        return rows

    def vote(self, rows: np.ndarray, class_id: np.ndarray, votes: np.ndarray | int = 1) -> None:
        """Counts a class (K,) for each track (K,), by so many votes; a track changes class only for one with more."""
        if len(rows) == 0:
            return
        if len(self.classes) == 1 and (class_id == self.classes[0]).all():
            self.votes[rows, 0] += votes
            return
        place = np.searchsorted(self.classes, class_id)
        if len(self.classes) == 0 or (self.classes[np.minimum(place, len(self.classes) - 1)] != class_id).any():
            self._add_classes(class_id)
            place = np.searchsorted(self.classes, class_id)
        self.votes[rows, place] += votes
        current = np.searchsorted(self.classes, self.class_id[rows])
        counts = self.votes[rows]
        best = counts.argmax(axis=1)
        k = np.arange(len(rows))
        more = counts[k, best] > counts[k, current]
        self.class_id[rows[more]] = self.classes[best[more]]

    def _add_classes(self, class_id: np.ndarray) -> None:
        classes = np.union1d(self.classes, class_id).astype(np.int32)
        votes = np.zeros((len(self), len(classes)), np.int64)
        votes[:, np.searchsorted(classes, self.classes)] = self.votes
        self.classes, self.votes = classes, votes

    def keep(self, alive: np.ndarray) -> None:
        """Drops the tracks that are not in the mask (T,); their numbers are gone for good."""
        if alive.all():
            return
        rows = np.flatnonzero(alive)
        for block in self._blocks:
            block.take(rows)
        self.votes = self.votes[rows]
        self._expose()

    def snapshot(self, xyxy: np.ndarray, present: np.ndarray) -> Tracks:
        """Copies of what users see, with the boxes (T,4) that the filter gives, and which tracks (T,) are present."""
        return Tracks(
            self.id.copy(), xyxy, self.score.astype(np.float32), self.class_id.astype(np.int32),
            self.detection_index.copy(), self.confirmed.copy(), self.time_since_update.copy(), present,
        )  # fmt: skip


class _Block:
    """Columns of one type as rows of one array (W,T), seen as arrays (T,*shape) of their own."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: np.dtype) -> None:
        self._places: list[tuple[str, int, int, tuple[int, ...]]] = []
        width = 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            self._places.append((name, width, width + size, shape[::-1]))
            width += size
        self._rows: np.ndarray = np.zeros((width, 0), dtype)

    def views(self) -> Iterator[tuple[str, np.ndarray]]:
        count = self._rows.shape[1]
        for name, first, end, shape in self._places:
            yield name, self._rows[first:end].reshape(*shape, count).T if shape else self._rows[first]

    def extend(self, count: int) -> None:
        """Columns of zeros for `count` more tracks."""
        rows, (width, old) = self._rows, self._rows.shape
        self._rows = np.zeros((width, old + count), rows.dtype)
        self._rows[:, :old] = rows

    def take(self, tracks: np.ndarray) -> None:
        self._rows = self._rows.take(tracks, axis=1)
