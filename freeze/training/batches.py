"""Batches of a training: batch number s depends on the seed and s alone, so an interrupted training meets the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from freeze.training.augment import augment
from freeze.training.crops import Crops

UNLABELLED = 0.25
"""Crops without a label, as a share of those with one."""
ONE_CAMERA = 0.5
"""Share of the batches in which half of every identity's crops come from one camera where it has any there: people
seen by one camera are what a tracker has to tell apart, and light and background do not help it."""


class Batches:
    """P identities with K augmented crops each (Hermans et al., 1703.07737), and some crops without a label.

    Parameters
    ----------
    crops : Crops
        What `freeze.training.data.load` read; identities held out are never drawn.
    teacher : (N,T) ndarray of float32 or None
        Features of a teacher for every crop, rows of zeros where it has none; or None.
    """

    def __init__(
        self, crops: Crops, seed: int, identities: int, per_identity: int, teacher: np.ndarray | None = None
    ) -> None:
        self.crops, self.seed, self.per_identity = crops, seed, per_identity
        counts = np.bincount(crops.identity[crops.identity >= 0], minlength=len(crops.held_out))
        usable = np.flatnonzero(~crops.held_out & (counts > 1))
        self.unlabelled = np.flatnonzero(crops.identity < 0)
        self.classes = len(usable)
        self.identities = min(identities, self.classes)
        self._usable = usable
        self._draw = crops.share[usable] / crops.share[usable].sum()
        order = np.argsort(crops.identity, kind="stable")
        bounds = np.searchsorted(crops.identity[order], np.arange(len(crops.held_out) + 1))
        self._rows = [order[a:b] for a, b in pairwise(bounds)]
        self.teacher = np.zeros((len(crops), 0), np.float32) if teacher is None else teacher

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """images (B,H,W,3) uint8, labels, taught and scene (B,), comparable (B,B), possible (B,C), teacher (B,T)."""
        rng = np.random.default_rng([self.seed, step])
        labels = rng.choice(self.classes, self.identities, replace=False, p=self._draw)
        ids = np.repeat(self._usable[labels], self.per_identity)
        camera = rng.choice(self.crops.camera) if rng.random() < ONE_CAMERA else None
        rows = np.concatenate([self.crops_of(i, camera, rng) for i in self._usable[labels]])
        extra = min(len(self.unlabelled), int(UNLABELLED * len(rows)))
        if extra:
            rows = np.concatenate([rows, rng.choice(self.unlabelled, extra, replace=False)])
        images = self.crops.images[rows]
        others = images[rng.permutation(len(rows))]
        images = np.stack([augment(a, b, rng) for a, b in zip(images, others, strict=True)])
        teacher = self.teacher[rows]
        comparable, possible = np.zeros((len(rows), len(rows)), bool), np.ones((len(rows), self.classes), bool)
        comparable[: len(ids), : len(ids)] = self.crops.differ[np.ix_(ids, ids)]
        possible[: len(ids)] = self.crops.differ[np.ix_(ids, self._usable)] | (ids[:, None] == self._usable)
        label = np.concatenate([np.repeat(labels, self.per_identity), np.full(extra, -1)])
        return {
            "images": images,
            "labels": label.astype(np.int32),
            "comparable": comparable,
            "possible": possible,
            "teacher": teacher,
            "taught": teacher.any(1).astype(np.float32),
            "scene": self.crops.scene[rows].astype(np.int32),
        }

    def crops_of(self, identity: int, camera: int | None, rng: np.random.Generator) -> np.ndarray:
        """Rows (K,) of an identity; where a camera is given, it goes first for half of them."""
        rows = rng.permutation(self._rows[identity])
        if camera is not None:
            half = self.per_identity // 2
            first = rows[self.crops.camera[rows] == camera][:half]
            rows = np.concatenate([first, rows[~np.isin(rows, first)]])
        few = self.per_identity - len(rows)
        return np.concatenate([rows, rng.choice(rows, few)]) if few > 0 else rows[: self.per_identity]

    def iterate(self, start: int, stop: int, ahead: int = 3) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """(step, batch) from `start` to before `stop`, made in a thread `ahead` of the training."""
        with ThreadPoolExecutor(1) as pool:
            waiting: list[Future[dict[str, np.ndarray]]] = [
                pool.submit(self.batch, s) for s in range(start, min(stop, start + ahead))
            ]
            try:
                for step in range(start, stop):
                    batch = waiting.pop(0).result()
                    if step + ahead < stop:
                        waiting.append(pool.submit(self.batch, step + ahead))
                    yield step, batch
            finally:
                for future in waiting:
                    future.cancel()
