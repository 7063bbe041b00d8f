"""Appearance memory: of every track its latest features, in one ring array, and the cosine distance to them."""

from __future__ import annotations

import numpy as np

_UNIT = 1e-6
"""A squared length this near to 1 is one."""
_GROWTH = 32
"""Fewest slots the ring grows by."""


def normalise(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of (N,D) as float32 unit vectors, and which of them (N,) have a direction: finite and not all zero."""
    features = np.asarray(features, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        squared = np.einsum("nd,nd->n", features, features)
        if (np.abs(squared - 1) <= _UNIT).all():
            return features, np.ones(len(features), bool)
        norm = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    good = np.isfinite(norm) & (norm > 0)
    scale = np.divide(1, norm, out=np.zeros(len(norm)), where=good).astype(np.float32)
    if not good.all():
        features = np.where(good[:, None], features, 0)
    return features * scale[:, None], good


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
        holds: np.ndarray = self.written[slots] > 0
        return holds

    def distance(self, slots: np.ndarray, features: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Smallest cosine distance of pairs (P,) (DeepSORT, equation 2), in 0..2; infinite where a slot is empty.

        Parameters
        ----------
        slots : (T,) ndarray
            Slots of the tracks.
        features : (N,D) ndarray of float32
            Unit vectors.
        pairs : tuple[ndarray, ndarray]
            Rows of `slots` and of `features` to compare, (P,) each, sorted by the former.
        """
        cost = np.full(len(pairs[0]), np.inf)
        known = np.flatnonzero(self.filled(slots)[pairs[0]])
        if len(known) == 0:
            return cost
        track, detection = pairs[0][known], pairs[1][known]
        width = np.bincount(track, minlength=len(slots))
        rank = np.arange(len(track)) - (np.cumsum(width) - width)[track]
        bucket = np.maximum(np.ceil(np.log2(width[track])), 1).astype(np.int64)
        for size in np.flatnonzero(np.bincount(bucket)):  # padded, so that one crowded track does not widen all
            mine = bucket == size
            width_of_bucket = 2 ** int(size)
            product = self._products(slots[track[mine]], rank[mine], features[detection[mine]], width_of_bucket)
            cost[known[mine]] = 1 - product
        return cost

    def _products(self, slot: np.ndarray, rank: np.ndarray, features: np.ndarray, width: int) -> np.ndarray:
        """Largest product (P,) of features (P,D) with all that their slots (P,) hold.

        `rank` (P,) counts the features of a slot, below `width`. If few slots are asked, they are copied out; else the
        ring is read where it is, slots nobody asks included, which takes less than a copy.
        """
        asked = np.bincount(slot) > 0
        count = int(np.count_nonzero(asked))
        ring = self.ring[: len(asked)]
        if 3 * count < len(asked):
            slot, ring = (np.cumsum(asked) - 1)[slot], ring[asked]
        wanted = np.zeros((len(ring), width, self.dimension), np.float32)
        wanted[slot, rank] = features
        similarity: np.ndarray = np.matmul(wanted, ring.transpose(0, 2, 1)).max(axis=2)[slot, rank]
        return similarity

    def _grow(self, capacity: int) -> None:
        old = len(self.written)
        grown = np.zeros((capacity, *self.ring.shape[1:]), np.float32)
        grown[:old] = self.ring
        self.ring = grown
        self.written = np.concatenate([self.written, np.zeros(capacity - old, np.int64)])
        self._vacant = list(range(capacity - 1, old - 1, -1)) + self._vacant
