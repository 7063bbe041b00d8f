"""Appearance as evidence in the default preset: log-likelihood ratios calibrated on the run itself.

How alike two features of one object are, and those of two objects, differs from encoder to encoder and from scene to
scene: a fixed cosine gate that fits one hurts with another. Both are measured as the run goes, from pairs that are
known: a track and the detection it took, and a track and the detection that another track took in the same frame.
"""

from __future__ import annotations

import numpy as np

_SAMPLE = 32
"""Most tracks of a frame that are compared with each other's detections."""
_LEAST = 20
"""Pairs of the same object to be met before features are trusted."""
_FLOOR = 1e-4
"""Smallest variance of a similarity."""


class Normal:
    """Mean and variance of a stream of numbers; the latest `memory` of them count."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.count = 0
        self.mean = 0.0
        self.variance = 0.0

    def add(self, count: int, total: float, squares: float) -> None:
        """Takes in `count` numbers by their sum and the sum of their squares."""
        if count == 0:
            return
        mean = total / count
        self.count = min(self.count + count, self.memory)
        weight = min(count / self.count, 1.0)
        step = mean - self.mean
        variance = max(squares / count - mean * mean, 0.0)
        self.variance = (1 - weight) * (self.variance + weight * step**2) + weight * variance
        self.mean += weight * step


class AppearanceLikelihood:
    """How much likelier a similarity is between features of one object than of two, in nats."""

    def __init__(self, limit: float = 4.0) -> None:
        self.limit = limit
        self.same = Normal(500)
        self.other = Normal(1000)

    @property
    def ready(self) -> bool:
        """Enough pairs of both kinds were met, and features tell objects apart at all."""
        return min(self.same.count, self.other.count) >= _LEAST and self.same.mean > self.other.mean

    @property
    def even(self) -> float | None:
        """The similarity that tells nothing either way; None until enough is known."""
        return (self.same.mean + self.other.mean) / 2 if self.ready else None

    def __call__(self, similarity: np.ndarray) -> np.ndarray:
        """Cosine similarities (P,) to log-likelihood ratios (P,) within the limit; zero until enough is known.

        Both kinds are taken for normal with one variance, so that the ratio is linear in the similarity.
        """
        if not self.ready:
            return np.zeros(len(similarity))
        variance = max((self.same.variance + self.other.variance) / 2, _FLOOR)
        middle = (self.same.mean + self.other.mean) / 2
        ratio = (similarity - middle) * (self.same.mean - self.other.mean) / variance
        return np.clip(ratio, -self.limit, self.limit)

    def learn(self, means: np.ndarray, features: np.ndarray) -> None:
        """Row k of both (K,D), unit vectors: a track's mean before this frame, and the feature of what it took."""
        step = max(-(-len(means) // _SAMPLE), 1)
        products = means[::step] @ features[::step].T
        mine, every = products.diagonal().astype(np.float64), products.ravel().astype(np.float64)
        count, total, squares = len(mine), float(mine.sum()), float(mine @ mine)
        self.same.add(count, total, squares)
        self.other.add(len(every) - count, float(every.sum()) - total, float(every @ every) - squares)


def blend(means: np.ndarray, count: np.ndarray, features: np.ndarray, overlap: np.ndarray, budget: int) -> np.ndarray:
    """Means (K,D) after one more feature (K,D): plain ones of fewer than `budget`, then a moving average.

    Parameters
    ----------
    count : (K,) ndarray
        Features that each mean is made of; 0: none yet.
    overlap : (K,) ndarray
        Share of the detection's box that another box covers; a covered box counts for less.
    """
    weight = np.where(count == 0, 1.0, np.maximum(1 / budget, 1 / (count + 1)) * (1 - overlap)).astype(np.float32)
    mixed = means + weight[:, None] * (features - means)
    norm = np.sqrt(np.einsum("kd,kd->k", mixed, mixed))
    unit: np.ndarray = mixed / np.maximum(norm, 1e-12, dtype=np.float32)[:, None]
    return unit
