"""Tracks as arrays: the bank of live tracks, and the immutable snapshot of it that sinks and library users see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.appearance import Gallery


@dataclass(frozen=True, slots=True)
class Tracks:
    """Snapshot of the live tracks after one frame, T of them; arrays share axis 0.

    Attributes
    ----------
    id : (T,) int64, positive, never reused in a run.
    xyxy : (T,4) float64, corners in pixels (the filter's posterior in the `paper` preset).
    score : (T,) float32, of the detection matched in this frame, else of the last one.
    class_id : (T,) int32, by votes.
    detection_index : (T,) int64, row of the detection matched in this frame, -1 if none.
    confirmed : (T,) bool.
    time_since_update : (T,) int64, frames since the last match on which the detector ran.
    """

    id: np.ndarray
    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    detection_index: np.ndarray
    confirmed: np.ndarray
    time_since_update: np.ndarray

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, rows: np.ndarray | slice) -> Tracks:
        """Rows by mask, integer array or slice: every field at once."""
        return Tracks(*(getattr(self, name)[rows] for name in self.__slots__))

    @property
    def seen(self) -> Tracks:
        """Confirmed tracks matched in this frame: the rows that are written and drawn."""
        return self[self.confirmed & (self.detection_index >= 0)]

    @classmethod
    def empty(cls) -> Tracks:
        return cls(
            np.zeros(0, np.int64),
            np.zeros((0, 4)),
            np.zeros(0, np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, np.int64),
            np.zeros(0, bool),
            np.zeros(0, np.int64),
        )


class TrackBank:
    """The live tracks, T of them in the order of their birth, as arrays that share axis 0, and their gallery.

    Attributes (besides those of `Tracks`)
    --------------------------------------
    mean, covariance : state of the filter, (T,8) and (T,4,3) float64 (see `motion`).
    hits : (T,) int64, matches so far, the detection of the birth included.
    age : (T,) int64, frames since birth.
    votes : (T,C) int64, matched detections by class; column c counts class `classes[c]`.
    slot : (T,) int64, of the track in `gallery`.

    Those of the default preset alone
    ---------------------------------
    shown_mean, shown_covariance : of the calmer filter whose boxes are shown.
    observed : (T,4) float64, corners of the detection last matched.
    score_sum : (T,) float64, confidences of all matches.
    speed : (T,) float64, at the first miss: box widths per second, twice that for heights.
    asleep : (T,) bool, lost for longer than `max_age` and kept because the track stood still.
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
    votes: np.ndarray
    slot: np.ndarray
    shown_mean: np.ndarray
    shown_covariance: np.ndarray
    observed: np.ndarray
    score_sum: np.ndarray
    speed: np.ndarray
    asleep: np.ndarray
    look: np.ndarray
    looks: np.ndarray

    def __init__(self, budget: int, *, paper: bool = True) -> None:
        self.gallery = Gallery(budget)
        self.classes = np.zeros(0, np.int32)
        self.next_id = 1
        self._fields = dict(
            id=np.zeros(0, np.int64), mean=np.zeros((0, 8)), covariance=np.zeros((0, 4, 3)), hits=np.zeros(0, np.int64),
            age=np.zeros(0, np.int64), time_since_update=np.zeros(0, np.int64), confirmed=np.zeros(0, bool),
            score=np.zeros(0, np.float32), class_id=np.zeros(0, np.int32), detection_index=np.zeros(0, np.int64),
            votes=np.zeros((0, 0), np.int64), slot=np.zeros(0, np.int64),
        )  # fmt: skip
        if not paper:
            self._fields.update(
                shown_mean=np.zeros((0, 8)), shown_covariance=np.zeros((0, 4, 3)), observed=np.zeros((0, 4)),
                score_sum=np.zeros(0), speed=np.zeros(0), asleep=np.zeros(0, bool),
                look=np.zeros((0, 0), np.float32), looks=np.zeros(0, np.int64),
            )  # fmt: skip
        for name, empty in self._fields.items():
            setattr(self, name, empty)

    def __len__(self) -> int:
        return len(self.id)

    @property
    def dimension(self) -> int:
        """Length of a feature; 0 before the first."""
        return self.gallery.dimension or self._fields.get("look", np.zeros((0, 0))).shape[1]

    def add(
        self, mean: np.ndarray, covariance: np.ndarray, score: np.ndarray, class_id: np.ndarray, index: np.ndarray
    ) -> np.ndarray:
        """New tracks, tentative, numbered in the order given; returns their rows (K,)."""
        count, first = len(mean), len(self)
        new = {name: np.zeros((count, *empty.shape[1:]), empty.dtype) for name, empty in self._fields.items()}
        new["id"] = np.arange(self.next_id, self.next_id + count)
        new.update(mean=mean, covariance=covariance, score=score, class_id=class_id, detection_index=index)
        new["hits"] += 1
        new["age"] += 1
        new["slot"] = self.gallery.take(count)
        new["votes"] = np.zeros((count, len(self.classes)), np.int64)
        self.next_id += count
        for name in self._fields:
            setattr(self, name, np.concatenate([getattr(self, name), new[name]]))
        rows = np.arange(first, first + count)
        self.vote(rows, class_id)
        return rows

    def vote(self, rows: np.ndarray, class_id: np.ndarray) -> None:
        """Counts a detection's class (K,) for each track (K,); a track changes class only for one with more votes."""
        if len(rows) == 0:
            return
        column = np.searchsorted(self.classes, class_id)
        if len(self.classes) == 0 or (self.classes[np.minimum(column, len(self.classes) - 1)] != class_id).any():
            self._add_classes(class_id)
            column = np.searchsorted(self.classes, class_id)
        self.votes[rows, column] += 1
        if len(self.classes) == 1:
            return
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
            self._fields["look"] = self.look[:0]

    def keep(self, alive: np.ndarray) -> None:
        """Drops the tracks that are not in the mask (T,); their numbers are gone for good."""
        if alive.all():
            return
        self.gallery.free(self.slot[~alive])
        for name in self._fields:
            setattr(self, name, getattr(self, name)[alive])

    def snapshot(self, xyxy: np.ndarray) -> Tracks:
        """Copies of what users see, with the boxes (T,4) that the filter gives."""
        return Tracks(
            self.id.copy(), xyxy, self.score.copy(), self.class_id.copy(), self.detection_index.copy(),
            self.confirmed.copy(), self.time_since_update.copy(),
        )  # fmt: skip
