"""What training works on: crops with labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Crops:
    """Labelled crops that share axis 0.

    Attributes
    ----------
    images : (N,H,W,3) ndarray of uint8
        BGR.
    identity : (N,) ndarray of int32
        Dense from 0; -1 for crops without a label.
    camera : (N,) ndarray of int32
        Of tracks the first half is 0, the second 1.
    scene : (N,) ndarray of int32
        The source it came from.
    differ : (I,I) ndarray of bool
        True for two identities known to be different objects.
    exclusive : (I,) ndarray of bool
        True where that is known of all others.
    held_out : (I,) ndarray of bool
        Kept for validation.
    share : (I,) ndarray of float64
        How often it is drawn.
    names : list[str]
        Of the identities.
    skipped : list[str]
        What could not be used, `name: why`.
    """

    images: np.ndarray
    identity: np.ndarray
    camera: np.ndarray
    scene: np.ndarray
    differ: np.ndarray
    exclusive: np.ndarray
    held_out: np.ndarray
    share: np.ndarray
    names: list[str]
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)
