"""Frozen dataclasses: the single truth for every default. The command line and config files read them from here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrackerConfig:
    """Parameters of motion and association; `paper()` is DeepSORT (arXiv 1703.07402) as published."""

    max_age: int = 30
    """Frames a confirmed track survives without a match."""
    n_init: int = 3
    """Hits that confirm a track."""
    max_cosine_distance: float | None = None
    """Largest cosine distance of a match by appearance; None: the encoder's own, else 0.2."""
    max_iou_distance: float = 0.7
    """Largest 1 - IoU of a match by overlap."""
    budget: int = 100
    """Features kept per track."""

    @classmethod
    def paper(cls) -> TrackerConfig:
        return cls(max_age=30, n_init=3, max_cosine_distance=0.2, max_iou_distance=0.7, budget=100)
