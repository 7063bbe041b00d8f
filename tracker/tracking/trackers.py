"""The trackers there are: one row each, and what `DeepSort` asks of them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from tracker.errors import ConfigError
from tracker.tracking.config import DeepSortConfig, OverlapConfig, Settings

if TYPE_CHECKING:
    import numpy as np

    from tracker.core.types import Tracks
    from tracker.tracking.bank import TrackBank
    from tracker.tracking.clock import Clock
    from tracker.tracking.kalman import KalmanXYAH
    from tracker.tracking.observation import ClassGroups, Observation


class Tracker(Protocol):
    """Predicts, matches, corrects, retires and starts the tracks of a bank.

    A tracker is made as `Class(config, classes, clock, even_score)`.
    """

    bank: TrackBank
    kalman: KalmanXYAH

    def predict(self, dt: float, warp: np.ndarray | None) -> None:
        """Every track `dt` frames on, and with the camera where `warp` (2,3) tells how that moved."""
        ...

    def step(self, seen: Observation, frame_size: tuple[int, int] | None) -> None:
        """The detections of a frame on the predicted tracks."""
        ...

    def snapshot(self) -> Tracks:
        """The live tracks, with the boxes to write and draw."""
        ...

    def wants_feature(
        self, xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, warp: np.ndarray | None
    ) -> np.ndarray:
        """Which detections (N,4) of the next frame need a feature, (N,) bool; changes nothing."""
        ...

    def mean_features(self) -> dict[int, np.ndarray]:
        """Mean features (D,) of the live tracks that have one, by id."""
        ...

    @property
    def feature_length(self) -> int:
        """Length D of a feature; 0 before the first."""
        ...

    @property
    def appearance_threshold(self) -> float | None:
        """Cosine similarity above which features are likelier one object's than two's; None if not known."""
        ...


@dataclass(frozen=True)
class Entry:
    """A tracker: its configuration, the module and class that it is, and what it can use."""

    config: type[Settings]
    module: str
    name: str
    low_scores: bool = False
    """Detections that the detector itself would drop."""
    camera_motion: bool = False
    outside: bool = False
    """Boxes that lie outside the frame."""
    gaps: bool = False
    """Frames without detections between two with them: time passes, and nothing else is lost."""


TRACKERS = {
    "default": Entry(
        OverlapConfig, "tracker.tracking.overlap", "OverlapTracker", low_scores=True, camera_motion=True, gaps=True
    ),
    "paper": Entry(DeepSortConfig, "tracker.tracking.deepsort", "CascadeTracker", outside=True),
}
"""By the name of their preset."""


def configure(preset: str = "default", **overrides: Any) -> Settings:
    """The configuration of a preset, some settings replaced.

    Raises
    ------
    ConfigError
        No such preset or setting, or a value that is refused.
    """
    if preset not in TRACKERS:
        raise ConfigError(f"preset {preset!r}; expected one of {', '.join(TRACKERS)}")
    return TRACKERS[preset].config.of(**overrides)


def setting_names() -> set[str]:
    """Every setting of any tracker, old names among them."""
    kinds = [entry.config for entry in TRACKERS.values()]
    return {name for kind in kinds for name in (*kind.__dataclass_fields__, *kind.RENAMED)}


def entry_of(config: Settings) -> Entry:
    """The row of the tracker that a configuration belongs to."""
    return next(entry for entry in TRACKERS.values() if entry.config is type(config))


def open_tracker(config: Settings, classes: ClassGroups, clock: Clock, even_score: float | None) -> Tracker:
    """The tracker that a configuration belongs to, without tracks."""
    entry = entry_of(config)
    tracker: Tracker = getattr(import_module(entry.module), entry.name)(config, classes, clock, even_score)
    return tracker
