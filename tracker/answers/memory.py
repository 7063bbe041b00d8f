"""What is remembered of each track, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

Columns = Mapping[str, tuple[tuple[int, ...], object]]
"""Columns of a memory: of each its shape in a row and the value it starts with, whose type is the column's."""

GONE_S = 60.0
"""Seconds unseen after which a track is forgotten: longer than any tracker keeps a number, so that none comes back."""


class Memory:
    """Arrays that share axis 0, a row a track, in the order of the ids; a number is forgotten a while after its end.

    Parameters
    ----------
    columns : Columns
        What is remembered.

    Attributes
    ----------
    id : (T,) ndarray of int64
        Ascending.
    first_s, last_s : (T,) ndarray of float64
        Seconds at which a track was first and last seen.
    """

    def __init__(self, columns: Columns) -> None:
        self._start: dict[str, tuple[tuple[int, ...], object]] = {"first_s": ((), 0.0), "last_s": ((), 0.0), **columns}
        self.id = np.zeros(0, np.int64)
        self._columns = {
            name: np.full((0, *shape), value, np.asarray(value).dtype) for name, (shape, value) in self._start.items()
        }

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._columns[name]

    def rows(self, ids: np.ndarray, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows of tracks seen now, new ones made for those not known; and which are new (N,) bool."""
        place = np.searchsorted(self.id, ids)
        known = place < len(self.id)
        known[known] = self.id[place[known]] == ids[known]
        new = ~known
        if new.any():
            self._add(ids[new], time_s)
            place = np.searchsorted(self.id, ids)
        return place, new

    def _add(self, ids: np.ndarray, time_s: float) -> None:
        order = np.argsort(np.concatenate([self.id, ids]), kind="stable")
        count = len(ids)
        self.id = np.concatenate([self.id, ids])[order]
        for name, (shape, value) in self._start.items():
            old = self._columns[name]
            fresh = np.full((count, *shape), time_s if name == "first_s" else value, old.dtype)
            self._columns[name] = np.concatenate([old, fresh])[order]

    def copy(self, names: Iterable[str], source: int, target: int) -> None:
        """Give a row what another has in some columns."""
        for name in names:
            self._columns[name][target] = self._columns[name][source]

    def widen(self, name: str, width: int) -> None:
        """Make room in a column of rows for at least `width` numbers."""
        (old, *_), value = self._start[name]
        if width > old:
            self._start[name] = ((2 * width,), value)
            more = np.full((len(self), 2 * width - old), value, self._columns[name].dtype)
            self._columns[name] = np.concatenate([self._columns[name], more], axis=1)

    def forget(self, rows: np.ndarray) -> None:
        """Drop rows (K,) of tracks that are over."""
        keep = np.ones(len(self), bool)
        keep[rows] = False
        self.id = self.id[keep]
        for name, values in self._columns.items():
            self._columns[name] = values[keep]
