"""The bank: the live tracks as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tracker.core.types import Tracks
from tracker.tracking.gallery import Gallery


class TrackBank:
    """The live tracks, T of them in the order of their birth, as arrays that share axis 0, and their gallery.

    Fields of one type share one array, so that tracks come and go in a few copies, and each number of a field lies
    together for all tracks, so that arithmetic runs over long rows. The attributes are views: write into them
    (`bank.mean[:] = ...`), do not replace them.

    Attributes (besides those of `Tracks`)
    --------------------------------------
    mean, covariance : state of the filter, (T,8) and (T,4,3) float64 (see `motion`).
    hits : (T,) int64, matches so far, the detection of the birth included.
    age : (T,) int64, frames since birth.
    votes : (T,C) int64, matched detections by class; column c counts class `classes[c]`.
    slot : (T,) int64, of the track in `gallery`.

    Those of the default preset alone
    ---------------------------------
    means, covariances : of both its filters, (T,2,8) and (T,2,4,3); the first are `mean` and `covariance`, the second
        those of the calmer filter whose boxes are shown.
    observed : (T,4) float64, corners of the detection last matched.
    score_sum : (T,) float64, confidences of all matches.
    speed : (T,) float64, at the first miss: box widths per second, twice that for heights.
    asleep : (T,) bool, lost for longer than `max_age` and kept because the track stood still.
    likely : (T,) bool, missed or not yet confirmed, and written all the same.
    look, looks : (T,D) float32 unit vectors, mean of a track's features, and how many it has had (T,) int64.
    """

    id: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    hits: np.ndarray
    age: np.ndarray
    time_since_update: np.ndarray
    confirmed: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    detection_index: np.ndarray
    slot: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    observed: np.ndarray
    score_sum: np.ndarray
    speed: np.ndarray
    asleep: np.ndarray
    likely: np.ndarray
    looks: np.ndarray

    def __init__(self, budget: int, *, paper: bool = True) -> None:
        self.gallery = Gallery(budget)
        self.classes = np.zeros(0, np.int32)
        self.next_id = 1
        self.votes = np.zeros((0, 0), np.int64)
        self.look = np.zeros((0, 0), np.float32)
        filters = () if paper else (2,)
        numbers: dict[str, tuple[int, ...]] = {"means": (*filters, 8), "covariances": (*filters, 4, 3), "score": ()}
        counts = ["id", "hits", "age", "time_since_update", "class_id", "detection_index", "slot"]
        flags = ["confirmed", "likely"]
        if not paper:
            numbers |= {"observed": (4,), "score_sum": (), "speed": ()}
            counts.append("looks")
            flags.append("asleep")
        self._blocks = (
            _Block(numbers, np.dtype(np.float64)),
            _Block(dict.fromkeys(counts, ()), np.dtype(np.int64)),
            _Block(dict.fromkeys(flags, ()), np.dtype(bool)),
        )
        self._expose()

    def _expose(self) -> None:
        for block in self._blocks:
            for name, view in block.views():
                setattr(self, name, view)
        several = self.means.ndim == 3
        self.mean = self.means[:, 0] if several else self.means
        self.covariance = self.covariances[:, 0] if several else self.covariances

    def __len__(self) -> int:
        return len(self.id)

    @property
    def dimension(self) -> int:
        """Length of a feature; 0 before the first."""
        return self.gallery.dimension or self.look.shape[1]

    def add(
        self, mean: np.ndarray, covariance: np.ndarray, score: np.ndarray, class_id: np.ndarray, index: np.ndarray
    ) -> np.ndarray:
        """New tracks, tentative, numbered in the order given; returns their rows (K,).

        Means (K,8) and covariances (K,4,3) are those of every filter.
        """
        count, first = len(mean), len(self)
        for block in self._blocks:
            block.extend(count)
        self.look = np.concatenate([self.look, np.zeros((count, self.look.shape[1]), np.float32)])
        self.votes = np.concatenate([self.votes, np.zeros((count, self.votes.shape[1]), np.int64)])
        self._expose()
        self.id[first:] = np.arange(self.next_id, self.next_id + count)
        self.means[first:] = mean if self.means.ndim == 2 else mean[:, None]
        self.covariances[first:] = covariance if self.covariances.ndim == 3 else covariance[:, None]
        self.score[first:], self.class_id[first:], self.detection_index[first:] = score, class_id, index
        self.hits[first:] = self.age[first:] = 1
        self.slot[first:] = self.gallery.take(count)
        self.next_id += count
        rows = np.arange(first, first + count)
        self.vote(rows, class_id)
        return rows

    def vote(self, rows: np.ndarray, class_id: np.ndarray) -> None:
        """Counts a detection's class (K,) for each track (K,); a track changes class only for one with more votes."""
        if len(rows) == 0:
            return
        if len(self.classes) == 1 and (class_id == self.classes[0]).all():
            self.votes[rows] += 1
            return
        column = np.searchsorted(self.classes, class_id)
        if len(self.classes) == 0 or (self.classes[np.minimum(column, len(self.classes) - 1)] != class_id).any():
            self._add_classes(class_id)
            column = np.searchsorted(self.classes, class_id)
        self.votes[rows, column] += 1
        current = np.searchsorted(self.classes, self.class_id[rows])
        votes = self.votes[rows]
        best = votes.argmax(axis=1)
        k = np.arange(len(rows))
        more = votes[k, best] > votes[k, current]
        self.class_id[rows[more]] = self.classes[best[more]]

    def _add_classes(self, class_id: np.ndarray) -> None:
        classes = np.union1d(self.classes, class_id).astype(np.int32)
        votes = np.zeros((len(self), len(classes)), np.int64)
        votes[:, np.searchsorted(classes, self.classes)] = self.votes
        self.classes, self.votes = classes, votes

    def widen_looks(self, dimension: int) -> None:
        """Makes room for features of this length, once known."""
        if self.look.shape[1] != dimension:
            self.look = np.zeros((len(self), dimension), np.float32)

    def keep(self, alive: np.ndarray) -> None:
        """Drops the tracks that are not in the mask (T,); their numbers are gone for good."""
        if alive.all():
            return
        self.gallery.free(self.slot[~alive])
        rows = np.flatnonzero(alive)
        for block in self._blocks:
            block.take(rows)
        self.look, self.votes = self.look[rows], self.votes[rows]
        self._expose()

    def snapshot(self, xyxy: np.ndarray) -> Tracks:
        """Copies of what users see, with the boxes (T,4) that the filter gives."""
        present = (self.confirmed & (self.time_since_update == 0)) | self.likely
        return Tracks(
            self.id.copy(), xyxy, self.score.astype(np.float32), self.class_id.astype(np.int32),
            self.detection_index.copy(), self.confirmed.copy(), self.time_since_update.copy(), present,
        )  # fmt: skip


class _Block:
    """Fields of one type as rows of one array (W,T), seen as arrays (T,*shape) of their own."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> None:
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
