"""A configuration for each tracker: frozen dataclasses, the single truth for its defaults, with bounds beside them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from math import isfinite
from numbers import Integral, Real
from typing import Any, ClassVar, Self, get_args, get_type_hints

from tracker.errors import ConfigError

MOST = 100_000
"""Of settings without an end of their own: an hour of frames, or of seconds more than a day."""


def setting(default: Any, low: float = 0, high: float | None = None) -> Any:
    """A field of a `Settings`: its default, and the bounds its values keep; None is refused where it is not that."""
    return field(default=default, metadata={"low": low, "high": high, "optional": default is None})


_hints = cache(get_type_hints)
"""Of a class, evaluated once: a command line makes each configuration several times."""

OldNames = Mapping[str, str | Callable[[Any], dict[str, Any]] | None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the configurations of all trackers share: every field is checked by type and bounds.

    Raises
    ------
    ConfigError
        A value of another type, not finite, or out of bounds.
    """

    class_aware: bool = setting(True)
    """A track takes only detections of its own class, or of one easily taken for it (car, truck, bus)."""

    RENAMED: ClassVar[OldNames] = {}
    """Old names of settings: the new name, or what makes the new settings of an old value, or None if it is gone."""

    def __post_init__(self) -> None:
        hints = _hints(type(self))  # type: ignore[arg-type]  # mypy takes an instance's hash for that of its class
        for f in fields(self):
            kind, *_ = get_args(hints[f.name]) or (hints[f.name],)
            _check(f.name, getattr(self, f.name), kind, f.metadata)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """A configuration with some defaults replaced; old names are understood, with a warning.

        Raises
        ------
        ConfigError
            An unknown name, or a value that its field refuses.
        """
        known = [f.name for f in fields(cls)]
        for name in [n for n in values if n in cls.RENAMED and n not in known]:
            values = {**cls._renamed(name, values.pop(name)), **values}
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"unknown tracker setting {unknown[0]!r}; expected one of {', '.join(known)}")
        return cls(**values)

    @classmethod
    def _renamed(cls, name: str, value: Any) -> dict[str, Any]:
        new = cls.RENAMED[name]
        if new is None:
            made: dict[str, Any] = {}
        elif isinstance(new, str):
            made = {new: value}
        else:
            _check(name, value, float, {"low": 0, "high": None, "optional": False})
            made = new(value)
        now = ", ".join(f"{k} = {v}" for k, v in made.items())
        what = f"is taken for {now}; write that" if made else "does nothing any more; leave it out"
        warnings.warn(f"the tracker setting {name} = {value} {what}", FutureWarning, stacklevel=4)
        return made


_TYPES: dict[type, tuple[type, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
}


def _check(name: str, value: Any, hint: type, bounds: Any) -> None:
    if value is None and bounds.get("optional"):
        return
    kind, words = _TYPES[hint]
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ConfigError(f"{name} is {value!r}; expected {words}")
    if kind is bool:
        return
    low, high = bounds["low"], MOST if bounds["high"] is None else bounds["high"]
    if not isfinite(value) or value < low or value > high:  # type: ignore[arg-type, operator]
        least = bounds["high"] is None and value < low
        raise ConfigError(f"{name} is {value}; expected {f'at least {low}' if least else f'{low} to {high}'}")


@dataclass(frozen=True, kw_only=True)
class DeepSortConfig(Settings):
    """DeepSORT (arXiv 1703.07402) as published."""

    RENAMED: ClassVar[OldNames] = {"cascade": None, "whole_matrix": None, "drop_outside": None}

    max_age: int = setting(30, 1)
    """Frames a confirmed track survives without a match."""
    n_init: int = setting(3, 1)
    """Hits that confirm a track."""
    max_cosine_distance: float = setting(0.2, 0, 2)
    """Largest cosine distance of a match by appearance."""
    max_iou_distance: float = setting(0.7, 0, 1)
    """Largest 1 - IoU of a match by overlap."""
    budget: int = setting(100, 1)
    """Features of a track that are kept."""
    class_aware: bool = setting(False)
    """A track takes only detections of its own class, or of one easily taken for it."""


@dataclass(frozen=True, kw_only=True)
class OverlapConfig(Settings):
    """The default preset: by overlap, in stages, with appearance as evidence (`overlap`, docs/default.md)."""

    RENAMED: ClassVar[OldNames] = {
        "max_iou_distance": lambda distance: {"min_iou": round(1 - distance, 6)},
        "confident_score": "high_score",
        "faint_score": "low_score",
        "grow": "buffer",
        "looks_weight": "appearance_weight",
        "max_seconds": "max_lost_s",
        "standing_seconds": "stationary_s",
        **dict.fromkeys(("cascade", "whole_matrix", "drop_outside", "score_weight", "youth_weight", "absence_weight")),
        **dict.fromkeys(("early_chance", "birth_score", "confirm_score", "faint_overlap", "tentative_overlap")),
        **dict.fromkeys(("standing_speed", "standing_hits", "standing_overlap", "size_inertia", "budget")),
        "max_cosine_distance": None,
    }

    high_score: float = setting(0.5, 0, 1)
    """Least probability of a detection that any track may take, or that begins one (ByteTrack)."""
    low_score: float = setting(0.1, 0, 1)
    """Least probability of one that a track seen in the previous frame may take (ByteTrack)."""
    new_track_score: float = setting(0.7, 0, 1)
    """Least probability of one, apart from all tracks, that is a confirmed track at once."""
    n_init: int = setting(3, 1)
    """Hits that confirm a track otherwise (SORT)."""
    max_age: int | None = setting(None, 1)
    """Frames a track survives without a match, whatever else; None: `max_lost_s`, or `stationary_s` where it stood."""
    max_lost_s: float = setting(1.8)
    """Seconds a confirmed track survives without a match."""
    stationary_s: float = setting(9.0)
    """Seconds a track that stood still is remembered where it stood."""
    min_iou: float = setting(0.12, 0, 1)
    """Least IoU of buffered boxes that match."""
    buffer: float = setting(0.16, 0, 5)
    """Share of width and height by which boxes are grown on each side before their IoU is taken (C-BIoU)."""
    appearance_weight: float = setting(0.1)
    """IoU that one nat of evidence by appearance is worth."""
    coast_chance: float = setting(0.4, 0, 1)
    """Least chance, measured on the run, of a missed track being where it is predicted that has its box written."""
