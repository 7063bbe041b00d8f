"""Unit vectors: features are compared by their direction alone."""

from __future__ import annotations

import numpy as np


def unit_vectors(features: np.ndarray) -> np.ndarray:
    """Features (N,D), each brought to length 1; rows of zeros stay zeros."""
    unit: np.ndarray = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return unit
