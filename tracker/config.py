"""Frozen dataclasses: the single truth for every default. The command line and config files read them from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from tracker.errors import ConfigError


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
    class_aware: bool = True
    """A track takes only detections of its own class, or of one easily taken for it (car, truck, bus)."""
    whole_matrix: bool = False
    """Hungarian step over the whole matrix, as the original does, not over the graph of feasible pairs."""
    drop_outside: bool = True
    """Boxes that lie outside the frame are dropped."""

    def __post_init__(self) -> None:
        for name, low, high in (("max_age", 1, None), ("n_init", 1, None), ("budget", 1, None),
                                ("max_cosine_distance", 0, 2), ("max_iou_distance", 0, 1)):
            value = getattr(self, name)
            if value is None and name == "max_cosine_distance":
                continue
            if not (value >= low and (high is None or value <= high)):
                wanted = f"at least {low}" if high is None else f"{low} to {high}"
                raise ConfigError(f"{name} is {value}; expected {wanted}")

    @classmethod
    def paper(cls, **overrides: Any) -> TrackerConfig:
        published = dict(max_age=30, n_init=3, max_cosine_distance=0.2, max_iou_distance=0.7, budget=100,
                         class_aware=False, whole_matrix=True, drop_outside=False)
        return cls(**{**published, **overrides})

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> TrackerConfig:
        """The preset `default` or `paper` with some fields replaced.

        Raises
        ------
        ConfigError : no such preset or field, or a value out of range.
        """
        presets: dict[str, Callable[..., TrackerConfig]] = {"default": cls, "paper": cls.paper}
        if name not in presets:
            raise ConfigError(f"preset {name!r}; expected one of {', '.join(presets)}")
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(overrides) - set(known))
        if unknown:
            raise ConfigError(f"unknown tracker setting {unknown[0]!r}; expected one of {', '.join(known)}")
        return presets[name](**overrides)
