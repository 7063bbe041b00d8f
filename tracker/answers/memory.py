"""What is remembered of each track, as arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Columns = Mapping[str, tuple[tuple[int, ...], object]]
"""Columns of a memory: of each its shape in a row and the value it starts with, whose type is the column's."""

GONE_S = 60.0
"""Seconds unseen after which a track is forgotten: longer than any tracker keeps a number, so that none comes back."""
SPARE = 64
"""Rows kept ready for new tracks."""


class Memory:
    """Arrays that share axis 0, a row a track, in the order of the ids; a number is forgotten a while after its end.

    Each column is the beginning of a longer store, whose spare rows hold what a row starts with: new tracks, whose ids
    are mostly the largest, cost next to nothing.

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
        self._start: dict[str, tuple[tuple[int, ...], object]] = {
            "id": ((), 0), "first_s": ((), 0.0), "last_s": ((), 0.0), **columns,
        }  # fmt: skip
        self._stores = {name: self._fresh(name, SPARE) for name in self._start}
        self._show(0)

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._columns[name]

    def _show(self, count: int) -> None:
        """Let each column be the first rows of its store."""
        self._columns = {name: store[:count] for name, store in self._stores.items()}
        self.id = self._columns["id"]

    def _fresh(self, name: str, count: int) -> np.ndarray:
        """Rows of a column, as they start."""
        shape, value = self._start[name]
        return np.full((count, *shape), value, np.asarray(value).dtype)

    def rows(self, ids: np.ndarray, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows of tracks seen now, new ones made for those not known; and which are new (N,) bool."""
        place = self.id.searchsorted(ids)
        # Beyond the last row stands a larger number than any that is known.
        new: np.ndarray = self.id.take(place, mode="clip") != ids if len(self) else np.ones(len(ids), bool)
        if np.count_nonzero(new):
            self._add(ids[new], time_s)
            place = self.id.searchsorted(ids)
        return place, new

    def row(self, track: int) -> int:
        """Row of a track (its id) that is remembered."""
        return int(self.id.searchsorted(track))

    def _add(self, ids: np.ndarray, time_s: float) -> None:
        first, count = len(self), len(self) + len(ids)
        if count > len(self._stores["id"]):
            self._stores = {
                name: np.concatenate([column, self._fresh(name, count)]) for name, column in self._columns.items()
            }
        self._show(count)
        self.id[first:], self["first_s"][first:] = ids, time_s
        if (self.id[1:] < self.id[:-1]).any():
            order = np.argsort(self.id)
            for column in self._columns.values():
                column[:] = column[order]

    def copy(self, source: int, target: int) -> None:
        """Give a row everything that another has, but for its id."""
        for name, column in self._columns.items():
            if name != "id":
                column[target] = column[source]

    def renew(self, rows: np.ndarray, time_s: float) -> None:
        """Let tracks (K,) begin anew."""
        for name, column in self._columns.items():
            if name != "id":
                column[rows] = time_s if name == "first_s" else self._start[name][1]

    def widen(self, name: str, width: int) -> None:
        """Make room in a column of rows for at least `width` numbers."""
        (old, *_), value = self._start[name]
        if width > old:
            self._start[name] = ((2 * width,), value)
            wide = self._fresh(name, len(self._stores[name]))
            wide[:, :old] = self._stores[name]
            self._stores[name] = wide
            self._show(len(self))

    def forget(self, rows: np.ndarray) -> None:
        """Drop rows (K,) of tracks that are over."""
        if not len(rows):
            return
        keep = np.ones(len(self), bool)
        keep[rows] = False
        kept, was = np.flatnonzero(keep), len(self)
        for name, column in self._columns.items():
            column[: len(kept)] = column[kept]
            column[len(kept) :] = self._start[name][1]
        self._show(len(kept))
        if len(self._stores["id"]) > 4 * (was + SPARE):
            self._stores = {name: store[: was + SPARE].copy() for name, store in self._stores.items()}
            self._show(len(kept))
