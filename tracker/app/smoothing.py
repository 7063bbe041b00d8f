"""`--smooth`: the rows of a finished run read, smoothed and written as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker.core.mot import read_rows
from tracker.tracking.smooth import Smoothing, smooth_rows


def smooth_file(
    path: Path, fps: float, smoothing: Smoothing, *, first: int = 1, stride: int = 1,
    features: dict[int, np.ndarray] | None = None,
) -> str:  # fmt: skip
    """The text of a file of MOT rows, smoothed.

    Parameters
    ----------
    fps : float
        Tracked frames per second.
    first, stride : int
        Number of the first tracked frame, and the step from one to the next.
    features : dict[int, ndarray] or None
        See `smooth_rows`.

    Raises
    ------
    DetectionsError
        The file is not in MOT format.
    """
    rows = read_rows(path)
    rows[:, 0] = (rows[:, 0] - first) // stride
    rows = smooth_rows(rows, fps, smoothing, features)
    rows[:, 0] = rows[:, 0] * stride + first
    line = "{:.0f},{:.0f},{:.2f},{:.2f},{:.2f},{:.2f},{:.4f},-1,-1,-1\n"
    return "".join(line.format(*row) for row in rows)
