"""Which track takes which detection: candidate pairs, the Hungarian step, and the matching cascade.

Feasible pairs are a list, never a full matrix of magic costs: most of the T x N pairs of a frame are far apart and cost
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_CHUNK = 1 << 20
"""Pairs looked at in one go: bounds the memory that a frame of thousands of boxes asks for."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """P feasible pairs, sorted by track, then by detection: row of the track (P,), of the detection (P,), cost (P,)."""

    track: np.ndarray
    detection: np.ndarray
    cost: np.ndarray

    def __len__(self) -> int:
        return len(self.track)

    def __getitem__(self, rows: np.ndarray) -> Pairs:
        return Pairs(self.track[rows], self.detection[rows], self.cost[rows])

    def where(self, track: np.ndarray, detection: np.ndarray) -> Pairs:
        """Those of the tracks in the mask (T,) with the detections in the mask (N,)."""
        return self[track[self.track] & detection[self.detection]]


@dataclass(frozen=True, slots=True)
class Matches:
    """Rows of tracks (K,) and the rows of the detections (K,) they took."""

    track: np.ndarray
    detection: np.ndarray

    @classmethod
    def empty(cls) -> Matches:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def __add__(self, other: Matches) -> Matches:
        return Matches(np.concatenate([self.track, other.track]), np.concatenate([self.detection, other.detection]))


def near(centre: np.ndarray, reach: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of points that are within reach along each axis: rows (P,) of `centre` and (P,) of `others`, sorted.

    Parameters
    ----------
    centre, reach : (T,2) pixels; what is not finite reaches nothing.
    others : (N,2) pixels.
    """
    order = np.argsort(others[:, 0], kind="stable")
    x = others[order, 0]
    first = np.searchsorted(x, centre[:, 0] - reach[:, 0], side="left")
    width = np.maximum(np.searchsorted(x, centre[:, 0] + reach[:, 0], side="right") - first, 0)
    width[~(np.isfinite(centre) & np.isfinite(reach)).all(axis=1)] = 0
    parts = []
    for rows in np.split(np.arange(len(centre)), _cuts(width)):
        a = np.repeat(rows, width[rows])
        offset = np.arange(len(a)) - np.repeat(np.cumsum(width[rows]) - width[rows], width[rows])
        b = order[first[a] + offset]
        close = np.abs(others[b, 1] - centre[a, 1]) <= reach[a, 1]
        parts.append((a[close], b[close]))
    a, b = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    tidy = np.argsort(a * max(len(others), 1) + b, kind="stable")
    return a[tidy], b[tidy]


def _cuts(width: np.ndarray) -> np.ndarray:
    """Where to split rows of the given widths so that a part holds about `_CHUNK` pairs."""
    return np.flatnonzero(np.diff(np.cumsum(width) // _CHUNK)) + 1


def assign_whole(
    pairs: Pairs, rows: np.ndarray, columns: np.ndarray, threshold: float
) -> tuple[Matches, np.ndarray]:
    """The Hungarian step of the original: over the whole matrix of `rows` x `columns`, impossible pairs included.

    Costs above the threshold stand in the matrix as threshold + 1e-5; what the solver gives such a pair is taken back.
    The best feasible matches are those of `assign`; but the solver's choice among the impossible ones decides the order
    in which detections are left over, and with it the numbers of new tracks.

    Parameters
    ----------
    pairs : feasible pairs.
    rows, columns : tracks (R,) and detections (C,) of this step, in the order in which ties are broken.

    Returns
    -------
    The matches, and the columns left: first those the solver gave to nobody, then those it gave in vain, by row.
    """
    if len(rows) == 0 or len(columns) == 0:
        return Matches.empty(), columns
    row_of = np.full(max(rows.max(), pairs.track.max(initial=0)) + 1, -1)
    column_of = np.full(max(columns.max(), pairs.detection.max(initial=0)) + 1, -1)
    row_of[rows], column_of[columns] = np.arange(len(rows)), np.arange(len(columns))
    r, c = row_of[pairs.track], column_of[pairs.detection]
    inside = (r >= 0) & (c >= 0) & (pairs.cost <= threshold)
    cost = np.full((len(rows), len(columns)), threshold + 1e-5)
    cost[r[inside], c[inside]] = pairs.cost[inside]
    r, c = linear_sum_assignment(cost)
    kept = cost[r, c] <= threshold
    given = np.zeros(len(columns), bool)
    given[c] = True
    left = np.concatenate([columns[~given], columns[c[~kept]]])
    return Matches(rows[r[kept]], columns[c[kept]]), left


def assign(pairs: Pairs, threshold: float) -> Matches:
    """Cheapest one-to-one matches among the pairs, where leaving a pair out costs `threshold`.

    Equal to `assign_whole` up to ties: components of the graph of pairs cannot influence each other, most are a single
    pair, and only the tracks and detections of the others meet the Hungarian step, one component at a time.
    """
    pairs = pairs[pairs.cost <= threshold]
    if len(pairs) == 0:
        return Matches.empty()
    alone = (np.bincount(pairs.track)[pairs.track] == 1) & (np.bincount(pairs.detection)[pairs.detection] == 1)
    matches = Matches(pairs.track[alone], pairs.detection[alone])
    rest = pairs[~alone]
    if len(rest) == 0:
        return matches
    rows, r = np.unique(rest.track, return_inverse=True)
    columns, c = np.unique(rest.detection, return_inverse=True)
    size = len(rows) + len(columns)
    graph = coo_array((np.ones(len(r)), (r, c + len(rows))), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    matched = [matches]
    for part in np.split(np.argsort(label[r], kind="stable"), np.cumsum(np.bincount(label[r]))[:-1]):
        matched.append(_component(rest[part], threshold))
    return Matches(np.concatenate([m.track for m in matched]), np.concatenate([m.detection for m in matched]))


def _component(pairs: Pairs, threshold: float) -> Matches:
    rows, r = np.unique(pairs.track, return_inverse=True)
    columns, c = np.unique(pairs.detection, return_inverse=True)
    cost = np.full((len(rows), len(columns)), threshold + 1e-5)
    cost[r, c] = pairs.cost
    r, c = linear_sum_assignment(cost)
    kept = cost[r, c] <= threshold
    return Matches(rows[r[kept]], columns[c[kept]])
