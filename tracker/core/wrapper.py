"""A detector around another."""

from __future__ import annotations

from tracker.core.interfaces import Detector


class DetectorWrapper:
    """What a detector tells of itself is that of the one inside, where a subclass does not say otherwise."""

    def __init__(self, inside: Detector) -> None:
        self._inside = inside
        self.name, self.path, self.runtime = inside.name, inside.path, inside.runtime
        self.class_names, self.warnings, self.why = inside.class_names, inside.warnings, inside.why
        self.concurrency = inside.concurrency

    @property
    def tiled(self) -> bool:
        """Whether it looks with all its detail."""
        return self._inside.tiled

    @tiled.setter
    def tiled(self, value: bool) -> None:
        self._inside.tiled = value

    def settings(self, size: tuple[int, int]) -> dict[str, str]:
        """How it looks at frames of a size (width, height), as options that repeat it."""
        return self._inside.settings(size)

    def even_score(self, size: tuple[int, int]) -> float | None:
        """Score of a box that is as likely an object as not, in frames of a size."""
        return self._inside.even_score(size)
