"""Fits the encoder's last, linear layers to crops of known tracks in closed form.

No steps, nothing to choose, and little that few tracks could spoil.

Within-class covariance normalisation (Hatch et al., "Within-class covariance normalization for SVM-based speaker
recognition", Interspeech 2006): what changes along a track (pose, light, a box that is off) counts less, what stays
counts more. That is linear in the feature and is folded into the layers that make it, so the result is a checkpoint of
the same network.
"""

from __future__ import annotations

import numpy as np

from freeze.networks.striped import EPSILON

SHRINKAGE = 0.6
"""Of the covariance towards a multiple of the identity matrix, in 0..1; at 1 no direction is preferred."""


def fit(features: np.ndarray, identity: np.ndarray, shrinkage: float = SHRINKAGE) -> np.ndarray:
    """The matrix (D,D) float64 that weighs down what changes within identities: feature -> matrix @ feature.

    Parameters
    ----------
    features : (N,D) ndarray
        Not normalised.
    identity : (N,) ndarray of int
        Number of the object that each shows.
    """
    features = features.astype(np.float64)
    _, dense, counts = np.unique(identity, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), features.shape[1]))
    np.add.at(means, dense, features)
    rest = features - (means / counts[:, None])[dense]
    within = rest.T @ rest / max(1, len(rest))
    level = max(np.trace(within) / len(within), 1e-12)
    values, vectors = np.linalg.eigh((1 - shrinkage) * within / level + shrinkage * np.eye(len(within)))
    return np.asarray((vectors / np.sqrt(np.maximum(values, 1e-6))) @ vectors.T)


def fold(weights: dict[str, np.ndarray], matrix: np.ndarray, features: np.ndarray) -> dict[str, np.ndarray]:
    """Weights of the same network whose features are `matrix` times those of `weights`: M(s∘(W'p) + t) is linear in p.

    Parameters
    ----------
    features : (N,D) ndarray
        By `weights`, not normalised; the neck is given their statistics, as further training expects.
    """
    scale = weights["neck/gamma"] / np.sqrt(weights["neck/moving_variance"].astype(np.float64) + EPSILON)
    shift = matrix @ (weights["neck/beta"] - weights["neck/moving_mean"] * scale)
    before_neck = features @ matrix.T - shift
    mean, variance = before_neck.mean(0), before_neck.var(0)
    changed = {
        "head/weights": (weights["head/weights"] * scale) @ matrix.T,
        "neck/gamma": np.sqrt(variance + EPSILON),
        "neck/beta": shift + mean,
        "neck/moving_mean": mean,
        "neck/moving_variance": variance,
    }
    return weights | {name: value.astype(np.float32) for name, value in changed.items()}
