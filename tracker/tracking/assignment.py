"""Which track takes which detection: candidate pairs and the Hungarian step.

Feasible pairs are a list, never a full matrix of magic costs: most of the T x N pairs of a frame are far apart and cost
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CHUNK = 1 << 20
"""Pairs looked at in one go: bounds the memory that a frame of thousands of boxes asks for."""
_DENSE = 1 << 15
"""Largest matrix, in elements, that the dense solver is faster on than the sparse one."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """P feasible pairs, sorted by track: row of the track (P,), of the detection (P,), cost (P,)."""

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
        """No matches."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def __add__(self, other: Matches) -> Matches:
        return Matches(np.concatenate([self.track, other.track]), np.concatenate([self.detection, other.detection]))


def near(centre: np.ndarray, reach: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points within reach along each axis: rows (P,) of `centre`, sorted, and rows (P,) of `others`.

    Parameters
    ----------
    centre, reach : (T,2) ndarray
        Pixels; what is NaN reaches nothing.
    others : (N,2) ndarray
        Pixels.
    """
    if len(centre) == 0 or len(others) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(others[:, 0], kind="stable")
    x, y = others[order, 0], others[order, 1]
    low, high = centre - reach, centre + reach
    first = np.searchsorted(x, low[:, 0], side="left")
    width = np.maximum(np.searchsorted(x, high[:, 0], side="right") - first, 0)
    end = np.cumsum(width)
    parts = []
    for rows in _chunks(end):
        a = np.repeat(rows, width[rows])
        b = np.arange(end[rows[0]] - width[rows[0]], end[rows[-1]]) + (first - end + width)[a]
        close = (y[b] >= low[a, 1]) & (y[b] <= high[a, 1])
        parts.append((a[close], order[b[close]]))
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])


def _chunks(end: np.ndarray) -> list[np.ndarray]:
    """Rows split so that each part holds about `_CHUNK` pairs, given the running total (T,) of their widths."""
    rows = np.arange(len(end))
    if end[-1] <= _CHUNK:
        return [rows]
    return np.split(rows, np.diff(end // _CHUNK).nonzero()[0] + 1)


def assign_whole(pairs: Pairs, rows: np.ndarray, columns: np.ndarray, threshold: float) -> tuple[Matches, np.ndarray]:
    """The Hungarian step of the original: over the whole matrix of `rows` x `columns`, impossible pairs included.

    Costs above the threshold stand in the matrix as threshold + 1e-5; what the solver gives such a pair is taken back.
    The best feasible matches are those of `assign`; but the solver's choice among the impossible ones decides the order
    in which detections are left over, and with it the numbers of new tracks.

    Parameters
    ----------
    pairs : Pairs
        Feasible pairs.
    rows, columns : ndarray
        Tracks (R,) and detections (C,) of this step, in the order in which ties are broken.

    Returns
    -------
    matches : Matches
        Pairs that the solver gave and that are feasible.
    left : (K,) ndarray of int64
        The columns left: first those the solver gave to nobody, then those it gave in vain, by row.
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
    r, c = solve(cost)
    kept = cost[r, c] <= threshold
    given = np.zeros(len(columns), bool)
    given[c] = True
    left = np.concatenate([columns[~given], columns[c[~kept]]])
    return Matches(rows[r[kept]], columns[c[kept]]), left


def assign(pairs: Pairs, threshold: float) -> Matches:
    """Cheapest one-to-one matches among the pairs, where leaving a track out costs threshold + 1e-5.

    Equal to `assign_whole` up to ties: parts of the graph of pairs that do not touch cannot influence each other. Most
    parts are a single pair and need no solver; the others meet the Hungarian step, sparse if they are many.
    """
    cheap = pairs.cost <= threshold
    if not cheap.all():
        pairs = pairs[cheap]
    if len(pairs) == 0:
        return Matches.empty()
    track, detection = np.bincount(pairs.track), np.bincount(pairs.detection)
    alone = (track[pairs.track] == 1) & (detection[pairs.detection] == 1)
    if alone.all():
        return Matches(pairs.track, pairs.detection)
    single, rest = pairs[alone], pairs[~alone]
    rows, r = _compact(rest.track)
    columns, c = _compact(rest.detection)
    solve = _solve_dense if len(rows) * len(columns) <= _DENSE else _solve_sparse
    taken = solve(r, c, rest.cost, (len(rows), len(columns)), threshold + 1e-5)
    chosen = (taken[r] == c).nonzero()[0]
    return Matches(single.track, single.detection) + Matches(rest.track[chosen], rest.detection[chosen])


def _compact(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, ascending, and the place of each value (P,) among them."""
    present = np.bincount(values) > 0
    return present.nonzero()[0], (np.cumsum(present) - 1)[values]


def solve(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the cheapest assignment. SciPy's solvers load on first use: `import tracker` is quick."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    return rows, columns


def _solve_dense(r: np.ndarray, c: np.ndarray, cost: np.ndarray, shape: tuple[int, int], nobody: float) -> np.ndarray:
    """Column (R,) that each row takes in the cheapest assignment of all rows, -1 for none; not all need be feasible."""
    matrix = np.full(shape, nobody)
    matrix[r, c] = cost
    taken = np.full(shape[0], -1)
    rows, columns = solve(matrix)
    taken[rows] = columns
    return taken


def _solve_sparse(r: np.ndarray, c: np.ndarray, cost: np.ndarray, shape: tuple[int, int], nobody: float) -> np.ndarray:
    """As `_solve_dense`, on a graph in which each row may also take a column of its own that costs `nobody`.

    All costs are raised by 1, which changes no optimum and keeps zeros from being taken for missing edges.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    own = np.arange(shape[0])
    weight = np.concatenate([cost, np.full(shape[0], nobody)]) + 1
    graph = csr_array((weight, (np.concatenate([r, own]), np.concatenate([c, own + shape[1]]))), (shape[0], sum(shape)))
    columns: np.ndarray = min_weight_full_bipartite_matching(graph)[1]
    return columns
