"""Detections read from a file in MOT format: `frame,-1,left,top,width,height,score,-1,-1,-1`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tracker.core.classes import wanted_classes
from tracker.core.mot import read_rows
from tracker.core.types import Detections, Frame

_NONE = Detections.empty()


class Precomputed:
    """Rows of a MOT detections file by frame number; frames without rows hold no object.

    Parameters
    ----------
    path : str or Path
        The file; columns past the 7th are ignored, a missing 7th means score 1.
    confidence : float or None
        Rows scoring lower are left out; None keeps all, since public detectors' scores have any scale.
    classes : Sequence[str] or None
        Names to keep; a file of this format has no classes, so that only `object` is known.

    Raises
    ------
    DetectionsError
        A line that is not numbers or too short, with its number.
    DetectorError
        The file cannot be read, or a class is unknown.
    """

    runtime = "file"
    concurrency, tiled = 1, False
    class_names: tuple[str, ...] = ("object",)

    def __init__(
        self, path: str | Path, *, confidence: float | None = None, classes: Sequence[str] | None = None
    ) -> None:
        self.path, self.name = str(path), Path(path).name
        wanted_classes(classes, self.class_names, self.name)
        self.warnings: list[str] = []
        self.why = ""
        rows = np.delete(read_rows(Path(path)), 1, axis=1)  # without the id
        xyxy = np.hstack([rows[:, 1:3], rows[:, 1:3] + rows[:, 3:5]])
        # NaN boxes are dropped here, and their frame numbers with them, so that rows and frames stay in step.
        with np.errstate(invalid="ignore"):
            good = np.isfinite(rows).all(axis=1) & (rows[:, 3:5] > 0).all(axis=1)
            good &= (xyxy[:, 2:].astype(np.float32) > xyxy[:, :2].astype(np.float32)).all(axis=1)
        if dropped := int((~good).sum()):
            why = "not finite, or a width or height not above 0"
            self.warnings.append(f"{path}: {dropped} of {len(rows)} rows dropped: {why}")
        if confidence is not None:
            good &= rows[:, 5] >= confidence
        rows, xyxy = rows[good], xyxy[good]
        order = np.argsort(rows[:, 0], kind="stable")
        frames, starts = np.unique(rows[order, 0].astype(np.int64), return_index=True)
        blocks = np.split(order, starts[1:])
        self._by_frame = {int(f): Detections(xyxy[b], rows[b, 5]) for f, b in zip(frames, blocks, strict=False)}
        if not self._by_frame:
            self.warnings.append(f"{path}: holds no usable detections; every frame counts as empty")

    def __call__(self, frame: Frame) -> Detections:
        """The boxes that the file holds for this frame."""
        return self._by_frame.get(frame.index, _NONE)

    def settings(self, size: tuple[int, int]) -> dict[str, str]:
        """Nothing to repeat."""
        return {}

    def close(self) -> None:
        """Free the rows."""
        self._by_frame.clear()
