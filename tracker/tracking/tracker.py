"""The tracker as a library: checks what a frame brings and hands it to the tracker of the preset.

A frame takes two steps: every track is predicted, then tracks and detections are matched and the matches written into
the bank. `deepsort` does so as published (arXiv 1703.07402), `overlap` as the default preset does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker.core.types import Detections, Tracks
from tracker.tracking.clock import Clock
from tracker.tracking.config import Settings
from tracker.tracking.observation import (
    ClassGroups,
    Observation,
    check_detections,
    check_features,
    check_warp,
    inside_frame,
    observe,
)
from tracker.tracking.trackers import configure, entry_of, open_tracker


class DeepSort:
    """Keeps the numbers of objects from frame to frame.

    Parameters
    ----------
    config : Settings or None
        Of the tracker to use, `OverlapConfig` or `DeepSortConfig`; the default preset unless given.
    class_names : Sequence[str]
        Names by class id; tells which classes are easily taken for each other.
    even_score : float or None
        Of the detector: where a box is as likely an object as not (`Detector.even_score`). None: not known.

    Attributes
    ----------
    warnings : Counter[str]
        Counts of what was wrong with the input and was put right.
    """

    def __init__(
        self, config: Settings | None = None, *, class_names: Sequence[str] = (), even_score: float | None = None
    ) -> None:
        self.config = config or configure()
        self.warnings: Counter[str] = Counter()
        self._clock = Clock(self.warnings)
        classes = ClassGroups(class_names, strict=self.config.class_aware)
        self._tracker = open_tracker(self.config, classes, self._clock, even_score)
        self.bank = self._tracker.bank

    @classmethod
    def from_preset(cls, name: str = "default", *, class_names: Sequence[str] = (), **overrides: Any) -> DeepSort:
        """A tracker with the settings of preset `default` or `paper`, some of them replaced.

        Raises
        ------
        ConfigError
            No such preset or setting, or a value out of range.
        """
        return cls(configure(name, **overrides), class_names=class_names)

    def update(
        self,
        detections: Detections | None,
        features: np.ndarray | None = None,
        *,
        embedded: np.ndarray | None = None,
        time_s: float | None = None,
        warp: np.ndarray | None = None,
        frame_size: tuple[int, int] | None = None,
    ) -> Tracks:
        """Takes the detections of the next frame and returns the live tracks, confirmed and tentative.

        Without features, matching rests on motion alone: no track can be recognised by its appearance, so that in the
        `paper` preset the cascade is left out and a confirmed track missed for longer than a frame is not found again.

        Parameters
        ----------
        detections : Detections or None
            None if the detector did not run on this frame: tracks are predicted, and none has missed anything.
        features : (N,D) ndarray or None
            One row per detection, of any length but zero; None without an encoder.
        embedded : (N,) ndarray of bool or None
            Which rows of `features` hold one; None: all.
        time_s : float or None
            Time of the frame, seconds.
        warp : (2,3) ndarray of float64 or None
            Affine map of the previous frame's pixels to this one's; None for a camera at rest.
        frame_size : tuple[int, int] or None
            Width and height in pixels.

        Raises
        ------
        DetectionsError
            Features or `embedded` do not fit the detections or the features of earlier frames, a feature is not finite
            or all zero, or `warp` is no finite (2,3) matrix. The tracks are then as they were.
        """
        check_detections(detections)
        check_warp(warp)
        seen = None if detections is None else self._observe(detections, features, embedded, frame_size)
        self._tracker.predict(self._clock.step(time_s), warp)
        self.bank.age += 1
        self.bank.detection_index[:] = -1
        if seen is not None:
            self._tracker.step(seen, frame_size)
        return self._tracker.snapshot()

    def wants_feature(
        self, detections: Detections, time_s: float | None = None, warp: np.ndarray | None = None
    ) -> np.ndarray:
        """Which detections (N,) bool of the next frame need a feature; changes nothing."""
        check_detections(detections)
        check_warp(warp)
        xyxy = detections.xyxy.astype(np.float64, order="F")
        return self._tracker.wants_feature(xyxy, detections.score, detections.class_id, warp)

    def mean_features(self) -> dict[int, np.ndarray]:
        """Mean features (D,) of the live tracks that have one, by id; the default preset's alone."""
        return self._tracker.mean_features()

    @property
    def appearance_threshold(self) -> float | None:
        """Cosine similarity above which features are likelier one object's than two's; None if not known."""
        return self._tracker.appearance_threshold

    def _observe(
        self,
        detections: Detections,
        features: np.ndarray | None,
        embedded: np.ndarray | None,
        frame_size: tuple[int, int] | None,
    ) -> Observation:
        feature, has = check_features(len(detections), features, embedded, self._tracker.feature_length)
        rows = None
        if frame_size is not None:
            inside = inside_frame(detections.xyxy, frame_size)
            self.warnings["boxes outside the frame"] += int((~inside).sum())
            rows = np.flatnonzero(inside) if not entry_of(self.config).outside else None
        return observe(detections, feature, has, self._tracker.kalman, rows)
