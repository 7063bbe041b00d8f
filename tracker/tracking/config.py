"""Frozen dataclasses: the single truth for every default. The command line and config files read them from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from tracker.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrackerConfig:
    """Parameters of motion and association; `paper()` is DeepSORT (arXiv 1703.07402) as published.

    The defaults are those of the default preset, which matches by overlap in stages with looks as evidence. Scores are
    those of `ScoreScale`: 1 is what the detector gives its best boxes.
    """

    cascade: bool = False
    """The matching cascade of the paper, and its filter; the settings below `drop_outside` are unused then."""
    max_age: int = 50
    """Frames a confirmed track survives without a match, at most."""
    n_init: int = 3
    """Hits that confirm a track."""
    max_cosine_distance: float | None = None
    """Largest cosine distance of a match by appearance; None: no limit, in the cascade the encoder's own, else 0.2."""
    max_iou_distance: float = 0.88
    """Largest 1 - IoU of a match by overlap."""
    budget: int = 25
    """Features of a track that count: the latest in the cascade, else the reach of the mean of its features."""
    class_aware: bool = True
    """A track takes only detections of its own class, or of one easily taken for it (car, truck, bus)."""
    whole_matrix: bool = False
    """Hungarian step over the whole matrix, as the original does, not over the graph of feasible pairs."""
    drop_outside: bool = True
    """Boxes that lie outside the frame are dropped."""
    max_seconds: float = 1.8
    """Seconds it survives where that is shorter, though never below 16 frames."""
    confident_score: float = 0.7
    """Least score of a detection that any track may take."""
    faint_score: float = 0.1
    """Least score of one that a track seen in the previous frame may take."""
    faint_overlap: float = 0.4
    """Least overlap of such a match."""
    tentative_overlap: float = 0.05
    """Least overlap of a match of a tentative track."""
    birth_score: float = 0.79
    """Least score of a detection that begins a track."""
    confirm_score: float = 0.89
    """Least mean score of a track's detections that confirms it."""
    grow: float = 0.16
    """Share of width and height by which boxes are grown on each side before their overlap is taken."""
    score_weight: float = 0.45
    """Share of a pair's overlap that scales with the detection's score."""
    youth_weight: float = 0.14
    """What a track of three hits stands back behind an old one; falls by 1/e every five hits."""
    absence_weight: float = 0.05
    """What a long lost track stands back behind one just seen; a third of the way every four frames."""
    looks_weight: float = 0.1
    """Overlap that one nat of evidence by looks is worth."""
    size_inertia: float = 0.94
    """What is left per frame of the rate at which a lost track grows or shrinks."""
    standing_speed: float = 1.0
    """Largest speed of a lost track that is taken to stand still, box widths per second."""
    standing_hits: int = 60
    """Hits of a track that is known to stand: a moving camera makes many look so for a while."""
    standing_seconds: float = 9.0
    """How long it is remembered."""
    standing_overlap: float = 0.38
    """Least IoU with where it was last seen."""
    early_chance: float = 0.7
    """Least chance, measured on the run, of a young track being confirmed at last that has its box written before."""
    coast_chance: float = 0.4
    """Least chance, measured on the run, of a missed track being where it is predicted that has its box written."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_age", 1, None),
            ("n_init", 1, None),
            ("budget", 1, None),
            ("max_cosine_distance", 0, 2),
            ("max_iou_distance", 0, 1),
            ("faint_overlap", 0, 1),
            ("tentative_overlap", 0, 1),
            ("standing_overlap", 0, 1),
            ("grow", 0, 5),
            ("score_weight", 0, 1),
            ("youth_weight", 0, 1),
            ("absence_weight", 0, 1),
            ("looks_weight", 0, None),
            ("size_inertia", 0, 1),
            ("early_chance", 0, 1),
            ("coast_chance", 0, 1),
            ("max_seconds", 0, None),
            ("standing_speed", 0, None),
            ("standing_seconds", 0, None),
            ("standing_hits", 0, None),
        ):
            value = getattr(self, name)
            if value is None and name == "max_cosine_distance":
                continue
            if not (value >= low and (high is None or value <= high)):
                wanted = f"at least {low}" if high is None else f"{low} to {high}"
                raise ConfigError(f"{name} is {value}; expected {wanted}")

    @classmethod
    def paper(cls, **overrides: Any) -> TrackerConfig:
        """The published settings, some of them replaced."""
        published = dict(
            max_age=30,
            n_init=3,
            max_cosine_distance=0.2,
            max_iou_distance=0.7,
            budget=100,
            cascade=True,
            class_aware=False,
            whole_matrix=True,
            drop_outside=False,
        )
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
