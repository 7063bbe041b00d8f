"""Test images for the proof: blocks of colour under noise, so that batch statistics and orientation matter."""

from __future__ import annotations

import numpy as np


def structured(count: int, shape: tuple[int, int, int], seed: int = 20171) -> np.ndarray:
    """uint8 images (count, height, width, channels), each unlike the others, the same for a seed."""
    r = np.random.default_rng(seed)
    height, width, channels = shape
    rows, columns = -(-height // 8), -(-width // 8)
    blocks = (
        r.integers(0, 256, (count, rows, columns, channels))
        .repeat(8, 1)
        .repeat(8, 2)[:, :height, :width]
        .astype(np.float32)
    )
    noise = r.uniform(0, 76, (count, height, width, channels)) * r.uniform(0.2, 1, (count, 1, 1, 1))
    bright = r.uniform(0.3, 1, (count, 1, 1, 1))
    return np.clip(bright * (0.75 * blocks + noise), 0, 255).astype(np.uint8)
