"""Detectors that are not ours: any callable `(image) -> Detections`, given as it is or by an installed package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from tracker.core.classes import wanted_classes
from tracker.core.text import label
from tracker.core.types import Detections, Frame
from tracker.errors import BackendMissingError, DetectionsError, DetectorError, first_line

GROUP = "tracker.detectors"
"""Entry points of this group name a function without parameters that returns such a callable."""

ROUNDING = 1e-3
"""By so much a network's score may exceed 1."""

Look = Callable[[np.ndarray], Detections | None]


class CustomDetector:
    """A callable as a detector.

    Parameters
    ----------
    look : Look
        Takes a uint8 (H,W,3) BGR picture, which it must not change, and returns its boxes; None: it did not
        look. Its attribute `class_names`, where it has one, names the class ids; `close`, where it has one, is called
        at the end.
    name : str, optional
        For the summary; by default the callable's own.
    confidence : float, optional
        Drop boxes that score lower.
    classes : sequence of str, optional
        Names to keep; `look` must have `class_names`.

    Raises
    ------
    DetectorError
        A class is unknown.
    """

    path = ""
    runtime = "python"
    concurrency, tiled = 1, False

    def __init__(
        self,
        look: Look,
        *,
        name: str | None = None,
        confidence: float | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self._look, self._confidence = look, confidence
        self.name = name or str(getattr(look, "__name__", type(look).__name__))
        self.class_names: tuple[str, ...] = tuple(map(label, getattr(look, "class_names", ("object",))))
        self._wanted = wanted_classes(classes, self.class_names, self.name)
        self.warnings: list[str] = []
        self.why = ""

    def __call__(self, frame: Frame) -> Detections | None:
        """Boxes of a frame.

        Raises
        ------
        DetectorError
            The frame has no pixels, or something else than `Detections` came back.
        DetectionsError
            What came back are no boxes, or scores beyond 0 to 1.
        """
        if frame.image is None:
            raise DetectorError(f"detector {self.name}: frame {frame.index} has no pixels; expected a source that has")
        try:
            found = self._look(frame.image)
        except DetectionsError as e:
            raise DetectionsError(f"detector {self.name}, frame {frame.index}: {e}") from e
        if found is None:
            return None
        if not isinstance(found, Detections):
            raise DetectorError(
                f"detector {self.name} returned {type(found).__module__}.{type(found).__name__}; expected "
                "tracker.Detections (see Detections.from_supervision and from_ultralytics), or None: did not look"
            )
        self._check(found, frame.index)
        keep = np.ones(len(found), bool)
        if self._confidence is not None:
            keep &= found.score >= self._confidence
        if self._wanted is not None:
            keep &= np.isin(found.class_id, self._wanted)
        return found if keep.all() else found[keep]

    def _check(self, found: Detections, index: int) -> None:
        """Refuse boxes that were changed into none after they were made, and scores that are no probabilities."""
        what = f"detector {self.name}, frame {index}"
        wrong = ~((found.score >= 0) & (found.score <= 1 + ROUNDING))
        if wrong.any():
            row = int(wrong.argmax())
            raise DetectionsError(f"{what}: box {row} has score {found.score[row]:g}; expected scores from 0 to 1")
        if not np.isfinite(found.xyxy).all():
            row = int((~np.isfinite(found.xyxy).all(axis=1)).argmax())
            raise DetectionsError(f"{what}: box {row} is {found.xyxy[row].tolist()}; expected finite numbers")

    def settings(self, size: tuple[int, int]) -> dict[str, str]:
        """Nothing to repeat."""
        return {}

    def even_score(self, size: tuple[int, int]) -> float | None:
        """Not known."""

    def close(self) -> None:
        """Close what was given, where it can be closed."""
        close = getattr(self._look, "close", None)
        if callable(close):
            close()


def plugins() -> dict[str, EntryPoint]:
    """Detectors that installed packages bring, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def open_plugin(entry: EntryPoint, **options: Any) -> CustomDetector:
    """A detector from an installed package; `options` as for `CustomDetector`.

    Raises
    ------
    BackendMissingError
        The plug-in cannot be imported.
    DetectorError
        It does not return a callable.
    """
    try:
        opener = entry.load()
    except (ImportError, AttributeError) as e:
        raise BackendMissingError(
            f"detector {entry.name} ({entry.value}) cannot be imported ({first_line(e)}); install what it needs"
        ) from None
    look = opener()
    if not callable(look):
        raise DetectorError(
            f"detector {entry.name} ({entry.value}) returned {type(look).__name__}; expected a callable "
            "(image) -> tracker.Detections"
        )
    return CustomDetector(look, name=entry.name, **options)
