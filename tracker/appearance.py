"""Appearance memory: of every track its latest features, in one ring array, and the cosine distance to them."""

from __future__ import annotations

import numpy as np

_GROWTH = 32
"""Fewest slots the ring grows by."""


def normalise(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of (N,D) as float32 unit vectors, and which of them (N,) have a direction: finite and not all zero."""
    features = np.asarray(features, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        norm = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    good = np.isfinite(norm) & (norm > 0)
    unit = np.zeros_like(features)
    unit[good] = features[good] / norm[good, None]
    return unit, good


class Gallery:
    """The latest `budget` features of each track (DeepSORT, section 2.2: R_k with L_k = 100).

    `ring (S,B,D)` float32 holds a slot per track; `take` hands slots out, `free` takes them back, features never move.
    The first feature of a track fills its whole slot, so that the rest of the code need not ask how full a slot is.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.ring = np.zeros((0, budget, 0), np.float32)
        self.written = np.zeros(0, np.int64)
        self._vacant: list[int] = []

    @property
    def dimension(self) -> int:
        """Length D of a feature; 0 before the first."""
        return self.ring.shape[2]

    def take(self, count: int) -> np.ndarray:
        """Slots (count,) for new tracks, empty."""
        if count > len(self._vacant):
            self._grow(len(self.written) + max(count - len(self._vacant), len(self.written) // 2, _GROWTH))
        slots = np.array([self._vacant.pop() for _ in range(count)], np.int64)
        self.written[slots] = 0
        return slots

    def free(self, slots: np.ndarray) -> None:
        """Gives slots of dead tracks back."""
        self._vacant.extend(slots[::-1].tolist())

    def add(self, slots: np.ndarray, features: np.ndarray) -> None:
        """Writes one unit feature (K,D) to each slot (K,), in place of its oldest."""
        if len(slots) == 0:
            return
        if self.dimension == 0:
            self.ring = np.zeros((len(self.written), self.budget, features.shape[1]), np.float32)
        new = self.written[slots] == 0
        self.ring[slots[new]] = features[new, None]
        self.ring[slots, self.written[slots] % self.budget] = features
        self.written[slots] += 1

    def filled(self, slots: np.ndarray) -> np.ndarray:
        """Which slots (K,) hold a feature at all."""
        return self.written[slots] > 0

    def distance(self, slots: np.ndarray, features: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Smallest cosine distance of pairs (P,) (DeepSORT, equation 2), in 0..2; infinite where a slot is empty.

        Parameters
        ----------
        slots : (T,) slots of the tracks.
        features : (N,D) float32 unit vectors.
        pairs : rows of `slots` and of `features` to compare, (P,) each, sorted by the former.
        """
        cost = np.full(len(pairs[0]), np.inf)
        known = self.filled(slots)[pairs[0]]
        track, detection = pairs[0][known], pairs[1][known]
        if len(track) == 0:
            return cost
        row, rank, width = _columns(track)
        owner = slots[track[rank == 0]]
        similarity = np.empty(len(track), np.float32)
        bucket = np.maximum(np.ceil(np.log2(width)), 1).astype(np.int64)
        for size in np.unique(bucket):  # padded to a power of two, so that one crowded track does not widen all
            mine = bucket[row] == size
            similarity[mine] = self._products(owner, row[mine], rank[mine], features[detection[mine]], 2**size)
        cost[known] = 1 - similarity
        return cost

    def _products(
        self, owner: np.ndarray, row: np.ndarray, rank: np.ndarray, features: np.ndarray, width: int
    ) -> np.ndarray:
        """Largest product (P,) of each feature (P,D) with the slot `owner[row]`; `rank` is its place among the slot's `width`.

        Slots far fewer than the ring has are copied out; else the ring is read where it is, rows nobody asks of included,
        which is cheaper than a copy.
        """
        high = int(owner.max()) + 1
        asked_slots = np.flatnonzero(np.bincount(owner[row], minlength=high))
        if 3 * len(asked_slots) < high:
            place, ring = np.searchsorted(asked_slots, owner[row]), self.ring[asked_slots]
        else:
            place, ring = owner[row], self.ring[:high]
        asked = np.zeros((len(ring), width, self.dimension), np.float32)
        asked[place, rank] = features
        return np.matmul(asked, ring.transpose(0, 2, 1)).max(axis=2)[place, rank]

    def _grow(self, capacity: int) -> None:
        old = len(self.written)
        grown = np.zeros((capacity, *self.ring.shape[1:]), np.float32)
        grown[:old] = self.ring
        self.ring = grown
        self.written = np.concatenate([self.written, np.zeros(capacity - old, np.int64)])
        self._vacant = list(range(capacity - 1, old - 1, -1)) + self._vacant


def _columns(sorted_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of sorted values (P,): the run each belongs to (P,), its place in that run (P,), and the lengths of the runs."""
    start = np.flatnonzero(np.diff(sorted_rows, prepend=sorted_rows[0] - 1))
    width = np.diff(start, append=len(sorted_rows))
    row = np.repeat(np.arange(len(start)), width)
    return row, np.arange(len(sorted_rows)) - start[row], width
