"""Fits the encoder's last, linear layers to a scene in closed form: no steps, and little that few tracks could spoil.

Within-class covariance normalisation (Hatch et al., "Within-class covariance normalization for SVM-based speaker
recognition", Interspeech 2006): what changes along a track (pose, light, a box that is off) counts less, what stays
counts more. The scene's mean goes too, since it tells nobody apart. Both are linear in the feature and are folded into
the layers that make it, so the result is a checkpoint of the same network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from freeze.evaluate import separation, unit
from freeze.networks.striped import EPSILON
from freeze.training.data import Crops


@dataclass(frozen=True)
class Setting:
    """How far to go.

    Attributes
    ----------
    shrinkage : of the covariance towards a multiple of the identity matrix, in 0..1; at 1 no direction is preferred.
    centring : share of the scene's mean that is taken off.
    """

    shrinkage: float = 1.0
    centring: float = 0.0


SHRINKAGES = (1.0, 0.6, 0.3, 0.1)
CENTRINGS = (0.0, 0.5, 1.0)
FEW = Setting(0.6)
"""Taken where too few groups are there to choose by."""
HALVINGS = 6
"""Times that the groups are halved to choose a setting: one half is fitted to, the other judges, and the reverse."""


@dataclass(frozen=True)
class Map:
    """feature -> matrix @ feature + shift; (D,D) and (D,) float64."""

    matrix: np.ndarray
    shift: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return features @ self.matrix.T + self.shift


def fit(features: np.ndarray, identity: np.ndarray, setting: Setting) -> Map:
    """The map of a scene.

    Parameters
    ----------
    features : (N,D) not normalised.
    identity : (N,) int.
    """
    features = features.astype(np.float64)
    _, dense, counts = np.unique(identity, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), features.shape[1]))
    np.add.at(means, dense, features)
    means /= counts[:, None]
    rest = features - means[dense]
    within = rest.T @ rest / max(1, len(rest))
    level = max(np.trace(within) / len(within), 1e-12)
    values, vectors = np.linalg.eigh((1 - setting.shrinkage) * within / level + setting.shrinkage * np.eye(len(within)))
    matrix = (vectors / np.sqrt(np.maximum(values, 1e-6))) @ vectors.T
    return Map(matrix, -setting.centring * (matrix @ means.mean(0)))


def choose(features: np.ndarray, crops: Crops, rows: np.ndarray, seed: int) -> tuple[Setting, float]:
    """The setting that tells apart best what it was not fitted to, and the mean area under the ROC curve then.

    Parameters
    ----------
    features : (N,D) of all crops, not normalised.
    rows : of the crops to learn from; whole groups of tracklets (`crops.names`) go to one half or the other.
    """
    group = np.unique(crops.names, return_inverse=True)[1][crops.identity]
    areas: dict[Setting, list[float]] = {Setting(s, c): [] for s, c in product(SHRINKAGES, CENTRINGS)}
    rng = np.random.default_rng(seed)
    present = np.unique(group[rows])
    for _ in range(HALVINGS):
        first = np.isin(group[rows], rng.permutation(present)[: len(present) // 2])
        for learn, judge in ((rows[first], rows[~first]), (rows[~first], rows[first])):
            if not len(learn):
                continue
            for setting, found in areas.items():
                mapped = unit(fit(features[learn], crops.identity[learn], setting)(features[judge]))
                area = separation(mapped, crops.identity[judge], crops.scene[judge], crops.differ).area()
                if np.isfinite(area):
                    found.append(area)
    means = {s: float(np.mean(a)) for s, a in areas.items() if a}
    best = max(means, key=lambda s: means[s], default=FEW)
    return best, means.get(best, 0.0)


def fold(weights: dict[str, np.ndarray], mapping: Map, features: np.ndarray) -> dict[str, np.ndarray]:
    """Weights of the same network whose features are the mapped ones: M(s∘(W'p) + t) + b is linear in p.

    Parameters
    ----------
    features : (N,D) by `weights`, not normalised; the neck is given their statistics, as further training expects.
    """
    scale = weights["neck/gamma"] / np.sqrt(weights["neck/moving_variance"].astype(np.float64) + EPSILON)
    shift = weights["neck/beta"] - weights["neck/moving_mean"] * scale
    before_neck = mapping(features) - mapping(shift)
    mean, variance = before_neck.mean(0), before_neck.var(0)
    changed = {
        "head/weights": (weights["head/weights"] * scale) @ mapping.matrix.T,
        "neck/gamma": np.sqrt(variance + EPSILON),
        "neck/beta": mapping(shift) + mean,
        "neck/moving_mean": mean,
        "neck/moving_variance": variance,
    }
    return weights | {name: value.astype(np.float32) for name, value in changed.items()}
