"""Measures of an encoder on labelled crops: retrieval across cameras, and the matching threshold. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Retrieval:
    """Cross-camera retrieval: `rank1` and `mean_average_precision` over `queries` queries."""

    rank1: float
    mean_average_precision: float
    queries: int


def retrieval(
    features: np.ndarray, identity: np.ndarray, camera: np.ndarray, differ: np.ndarray | None = None
) -> Retrieval:
    """Rank-1 and mAP as Zheng et al. measure them, "Scalable Person Re-identification" (2015).

    The first crop of every identity under every camera asks; all crops of other cameras, of all identities, and those
    of other identities under the same camera answer. Queries whose identity has no crop under another camera are left
    out.

    Parameters
    ----------
    features : (N,D) ndarray of float32
        Unit vectors.
    identity, camera : (N,) ndarray of int
        Number of the object that each shows, and of the camera that saw it.
    differ : (I,I) ndarray of bool or None
        False for identities that may be one object: those do not answer each other. None: all differ.
    """
    first: np.ndarray = np.unique(np.stack([identity, camera], 1), axis=0, return_index=True)[1]
    hits, precisions = [], []
    for query in first:
        right = identity == identity[query]
        gallery = ~(right & (camera == camera[query]))
        if differ is not None:
            gallery &= right | differ[identity[query], identity]
        if not (right & gallery).any():
            continue
        order = np.argsort(-(features[gallery] @ features[query]), kind="stable")
        found = right[gallery][order]
        ranks = np.flatnonzero(found)
        hits.append(found[0])
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / (ranks + 1)))
    if not hits:
        return Retrieval(float("nan"), float("nan"), 0)
    return Retrieval(float(np.mean(hits)), float(np.mean(precisions)), len(hits))


@dataclass(frozen=True)
class Separation:
    """Smallest cosine distances from crops to galleries of the `same` track and of `other` ones; flat arrays."""

    same: np.ndarray
    other: np.ndarray

    def area(self) -> float:
        """Probability that a distance within a track is below one between tracks (area under the ROC curve)."""
        if not len(self.same) or not len(self.other):
            return float("nan")
        below = np.searchsorted(np.sort(self.other), self.same, "left")
        upto = np.searchsorted(np.sort(self.other), self.same, "right")
        return float(1 - np.mean((below + upto) / 2) / len(self.other))

    def decidability(self) -> float:
        """How far the two lie apart in standard deviations: d' of Daugman (2004), |μ₁ − μ₂| / √((σ₁² + σ₂²) / 2)."""
        if len(self.same) < 2 or len(self.other) < 2:
            return float("nan")
        spread = np.sqrt((self.same.var() + self.other.var()) / 2)
        return float((self.other.mean() - self.same.mean()) / max(spread, 1e-6))

    def threshold(self, own: float = 0.9, strangers: float = 0.1) -> float:
        """The distance that accepts the share `own` of a track's crops and at most `strangers` of others'."""
        if not len(self.same) or not len(self.other):
            return float("nan")
        return float(min(np.quantile(self.same, own), np.quantile(self.other, strangers)))


def separation(
    features: np.ndarray, track: np.ndarray, scene: np.ndarray, differ: np.ndarray | None = None, gallery: int = 20
) -> Separation:
    """Distances as the tracker sees them: of every later crop to the first crops of its own and of other tracks.

    Parameters
    ----------
    features : (N,D) ndarray of float32
        Unit vectors, in order of time within a track.
    track : (N,) ndarray of int
        Number of the track that each is of.
    scene : (N,) ndarray of int
        Only tracks of one scene are compared.
    differ : (T,T) ndarray of bool or None
        By number of track, False for those that may be one object: they are not compared.
    gallery : int
        Crops of a track that make its gallery, at most half of them.
    """
    same: list[np.ndarray] = [np.zeros(0, np.float32)]
    other: list[np.ndarray] = [np.zeros(0, np.float32)]
    for where in np.unique(scene):
        rows = np.flatnonzero(scene == where)
        tracks = {t: rows[track[rows] == t] for t in np.unique(track[rows])}
        tracks = {t: r for t, r in tracks.items() if len(r) >= 2}
        cut = {t: min(gallery, len(r) // 2) for t, r in tracks.items()}
        for a, own in tracks.items():
            for b, probe in tracks.items():
                if a != b and differ is not None and not differ[a, b]:
                    continue
                nearest = 1 - (features[probe[cut[b] :]] @ features[own[: cut[a]]].T).max(1)
                (same if a == b else other).append(nearest)
    return Separation(np.concatenate(same), np.concatenate(other))
