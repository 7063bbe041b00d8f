"""Detections read from a file, whatever its form, and checked against the frames that they are for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detectors.formats import Rows, read
from detectors.suppression import nms as suppress
from tracker.core.classes import wanted_classes
from tracker.core.types import Detections, Frame
from tracker.errors import DetectionsError

_NONE = Detections.empty()
_BEYOND = 0.02
"""A box reaches beyond the frame where it does by more than this share of its side: detectors overshoot a little."""
_PERCENT = 20.0
"""A score above that is no probability, nor the margin of an older detector."""
_MOST = 0.5
"""More than this share of the boxes makes a remark."""
_FEW = 0.05
"""The same for boxes beyond the frame in shares of it: who divides by its size knows where it ends."""
_REPEATED = 0.2
_CORNER = 0.55
"""Where no box reaches beyond this share of the width and height, the file may be for smaller frames."""
_ENOUGH = 50
"""Boxes from which such a thing can be told."""


class Precomputed:
    """Detections of a file by frame number; frames without rows hold no object.

    Parameters
    ----------
    path : str or Path
        A file or folder that `detectors.formats` reads.
    confidence : float or None
        Rows scoring lower are left out; None keeps all, since public detectors' scores have any scale.
    nms : float or None
        Overlap above which the weaker of two boxes of a class goes; None keeps all.
    classes : Sequence[str] or None
        Names to keep; None or ("all",) keeps all.

    Raises
    ------
    DetectionsError
        A line that is broken, with its number, or coordinates that are no pixels.
    DetectorError
        The file cannot be read, or a class is unknown.
    """

    runtime = "file"
    concurrency, tiled = 1, False

    def __init__(
        self,
        path: str | Path,
        *,
        confidence: float | None = None,
        nms: float | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.path, self.name, self.why = str(path), Path(path).name, ""
        rows = read(Path(path))
        self.class_names = rows.names
        wanted = wanted_classes(classes, self.class_names, self.name)
        self._remarks = list(rows.notes)
        self._relative = rows.relative
        self._seen = _Seen(self.path, relative=rows.relative)
        self._refuse_shares(rows)
        first = int(rows.frame.min()) if len(rows.frame) else 1
        if first == 0:
            self._remarks.append(f"{path}: counts frames from 0; they were shifted by one")
        good = self._usable(rows, confidence)
        if wanted is not None:
            good &= np.isin(rows.class_id, wanted)
        self._by_frame = self._split(rows, good, nms, 1 if first == 0 else 0)
        self._ends = (min(self._by_frame), max(self._by_frame)) if self._by_frame else None
        if (step := _step(list(self._by_frame))) > 1:
            self._remarks.append(f"{path}: holds boxes for every {step}th frame only; is it for another frame rate?")
        if not self._by_frame:
            self._remarks.append(f"{path}: holds no usable detections; every frame counts as empty")
        self.warnings = self._remarks

    def _refuse_shares(self, rows: Rows) -> None:
        """Coordinates from 0 to 1 in a form that counts pixels would all be one point."""
        finite = rows.xyxy[np.isfinite(rows.xyxy).all(axis=1)]
        if len(finite) and not rows.relative and np.abs(finite).max() <= 2 and (finite != np.round(finite)).any():
            raise DetectionsError(
                f"{self.path}: its coordinates lie between {finite.min():g} and {finite.max():g}, shares of the frame "
                f"as it seems; {rows.form} hold pixels: multiply x and width by the frame's width, y and height by "
                "its height, or give a folder of YOLO labels"
            )

    def _usable(self, rows: Rows, confidence: float | None) -> np.ndarray:
        """Rows (R,) that are boxes and score enough; what is left out is remarked."""
        # NaN boxes are dropped here, and their frame numbers with them, so that rows and frames stay in step.
        with np.errstate(invalid="ignore", over="ignore"):
            single = rows.xyxy.astype(np.float32)
            good = np.isfinite(single).all(axis=1) & np.isfinite(rows.score)
            good &= (single[:, 2:] > single[:, :2]).all(axis=1)
        if dropped := int((~good).sum()):
            why = "not finite, or a width or height not above 0"
            if not good.any():
                why += "; are the columns in another order, or right and bottom swapped with left and top?"
            self._remarks.append(f"{self.path}: {dropped} of {len(good)} rows dropped: {why}")
        if good.any() and rows.score[good].min() >= 0 and rows.score[good].max() > _PERCENT:
            low, high = rows.score[good].min(), rows.score[good].max()
            self._remarks.append(
                f"{self.path}: scores from {low:g} to {high:g}, percent as it seems; expected probabilities from 0 to 1"
            )
        if good.any() and not rows.score[good].any():
            self._remarks.append(f"{self.path}: all rows score 0, which begins no track; is the score elsewhere?")
        self._remark_repeats(rows, good)
        if confidence is not None and good.any():
            sure = rows.score >= confidence
            if not (good & sure).any():
                low, high = rows.score[good].min(), rows.score[good].max()
                self._remarks.append(
                    f"{self.path}: all {int(good.sum())} rows score below --confidence {confidence:g}: "
                    f"{low:g} to {high:g}"
                )
            good &= sure
        usable: np.ndarray = good
        return usable

    def _remark_repeats(self, rows: Rows, good: np.ndarray) -> None:
        """Boxes that are there several times become as many tracks."""
        table = np.column_stack([rows.frame, rows.class_id, rows.xyxy])[good]
        repeated = len(table) - len(np.unique(table, axis=0))
        if repeated > _REPEATED * len(table):
            self._remarks.append(
                f"{self.path}: {repeated} of {len(table)} rows repeat another; --nms 0.9 keeps one of each"
            )

    def _split(self, rows: Rows, good: np.ndarray, most: float | None, shift: int) -> dict[int, Detections]:
        """Detections by 1-based frame number."""
        at = np.flatnonzero(good)
        at = at[np.argsort(rows.frame[at], kind="stable")]
        frames, starts = np.unique(rows.frame[at], return_index=True)
        found = {}
        for frame, block in zip(frames.tolist(), np.split(at, starts[1:]), strict=False):
            kept = block
            if most is not None:
                kept = block[np.sort(suppress(rows.xyxy[block], rows.score[block], rows.class_id[block], most))]
            found[frame + shift] = Detections(rows.xyxy[kept], rows.score[kept], rows.class_id[kept])
        return found

    def __call__(self, frame: Frame) -> Detections:
        """The boxes that the file holds for this frame."""
        found = self._by_frame.get(frame.index, _NONE)
        if self._relative and len(found):
            sides = np.tile(np.array(frame.size, np.float32), 2)
            found = Detections.clean(found.xyxy * sides, found.score, found.class_id)[0]
        self._seen.look(frame, found)
        self.warnings = self._remarks + self._seen.remarks(self._ends)
        return found

    def settings(self, size: tuple[int, int]) -> dict[str, str]:
        """Nothing to repeat."""
        return {}

    def even_score(self, size: tuple[int, int]) -> float | None:
        """Not known."""

    def close(self) -> None:
        """Free the rows."""
        self._by_frame.clear()


def _step(numbers: list[int]) -> int:
    """What all differences between frame numbers are multiples of; 1 where there are too few to tell."""
    return int(np.gcd.reduce(np.diff(numbers))) if len(numbers) > 10 else 1


class _Seen:
    """What of a file's boxes fits the frames that they are for."""

    def __init__(self, path: str, *, relative: bool) -> None:
        self._path, self._most = path, _FEW if relative else _MOST
        self._frames = self._matched = self._last = self._boxes = 0
        self._first = 1 << 60
        self._outside = self._beyond = self._tiny = self._ordered = 0
        self._size = (0, 0)
        self._reach = np.zeros(2)

    def look(self, frame: Frame, found: Detections) -> None:
        """Count a frame's boxes."""
        self._frames += 1
        self._first, self._last, self._size = min(self._first, frame.index), max(self._last, frame.index), frame.size
        if not len(found):
            return
        self._matched += 1
        self._boxes += len(found)
        xyxy, size = found.xyxy.astype(np.float64), np.array(frame.size, np.float64)
        centre, sides = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
        self._outside += int(((centre < 0) | (centre > size)).any(axis=1).sum())
        over = (xyxy[:, 2:] > size * (1 + _BEYOND)) | (xyxy[:, :2] < -size * _BEYOND)
        self._beyond += int(over.any(axis=1).sum())
        self._tiny += int((sides < 2).all(axis=1).sum())
        # Corners taken for sizes: what is called the width is larger than what stands for the place, in every row.
        self._ordered += int((sides > (centre if self._most == _FEW else xyxy[:, :2])).all(axis=1).sum())
        self._reach = np.maximum(self._reach, xyxy[:, 2:].max(axis=0))

    def remarks(self, ends: tuple[int, int] | None) -> list[str]:
        """What does not fit, one line each."""
        lines = []
        if self._frames and ends is not None:
            low, high = ends
            span = f"its frames are {low} to {high}, the source's {self._first} to {self._last}"
            if not self._matched and (high < self._first or low > self._last):
                lines.append(f"{self._path}: no frame matches: {span}; is it for another video?")
            elif self._frames > 25 and high < 0.5 * self._last:
                lines.append(f"{self._path}: {span}; is it for another video, or another frame rate?")
        if not self._boxes:
            return lines
        width, height = self._size
        if self._beyond > self._most * self._boxes and self._ordered > 0.95 * self._boxes:
            lines.append(
                f"{self._path}: {self._beyond} of {self._boxes} boxes reach beyond the frame of {width}x{height}: "
                "right and bottom edges where width and height are expected?"
            )
        elif max(self._outside, self._beyond) > self._most * self._boxes:
            lines.append(
                f"{self._path}: {max(self._outside, self._beyond)} of {self._boxes} boxes lie outside the frame of "
                f"{width}x{height} or reach beyond it (up to {self._reach[0]:.0f},{self._reach[1]:.0f}): "
                "made for frames of another size?"
            )
        elif self._tiny > _MOST * self._boxes:
            lines.append(
                f"{self._path}: {self._tiny} of {self._boxes} boxes are smaller than 2 pixels in a frame of "
                f"{width}x{height}: coordinates in another unit?"
            )
        elif self._boxes > _ENOUGH and (self._reach < _CORNER * np.array(self._size)).all():
            lines.append(
                f"{self._path}: all {self._boxes} boxes lie in the upper left of the frame of {width}x{height}, up to "
                f"{self._reach[0]:.0f},{self._reach[1]:.0f}: made for smaller frames?"
            )
        return lines
