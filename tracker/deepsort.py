"""DeepSORT (arXiv 1703.07402) on arrays; read it next to the paper.

A frame takes three steps: every track is predicted (`_predict`), tracks and detections are matched (`_associate`), and
the matches are written into the bank (`_correct`, `_miss`, `_begin`). What the presets switch is in `TrackerConfig`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker import boxes
from tracker.assignment import Matches, Pairs, assign, assign_whole, near
from tracker.clock import Clock
from tracker.config import TrackerConfig
from tracker.detections import Detections
from tracker.motion import GATE, Motion, squared_mahalanobis
from tracker.observation import ClassGroups, Observation, check_features, check_warp, inside_frame, observe
from tracker.overlap_sort import OverlapSort
from tracker.size_motion import TwinMotion
from tracker.tracks import TrackBank, Tracks


class DeepSort:
    """Keeps the numbers of objects from frame to frame.

    Parameters
    ----------
    config : thresholds and switches.
    class_names : names by class id; tells which classes are easily taken for each other.

    Attributes
    ----------
    warnings : counts of what was wrong with the input and was put right.
    """

    def __init__(self, config: TrackerConfig | None = None, *, class_names: Sequence[str] = ()) -> None:
        self.config = config or TrackerConfig()
        self.warnings: Counter[str] = Counter()
        self.motion = Motion() if self.config.cascade else TwinMotion()
        self.bank = TrackBank(self.config.budget, paper=self.config.cascade)
        self._groups = ClassGroups(class_names)
        self._clock = Clock(self.warnings)
        self._overlap: OverlapSort | None = None
        if isinstance(self.motion, TwinMotion):
            self._overlap = OverlapSort(self.config, self.bank, self.motion, self._clock)

    @classmethod
    def from_preset(cls, name: str = "default", *, class_names: Sequence[str] = (), **overrides: Any) -> DeepSort:
        """A tracker with the settings of preset `default` or `paper`, some of them replaced.

        Raises
        ------
        ConfigError : no such preset or setting, or a value out of range.
        """
        return cls(TrackerConfig.preset(name, **overrides), class_names=class_names)

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

        Without features, matching rests on motion alone: no track can be recognised by its looks, so that in the
        `paper` preset the cascade is left out and a confirmed track missed for longer than a frame is not found again.

        Parameters
        ----------
        detections : None if the detector did not run on this frame: tracks are predicted, and none has missed anything.
        features : (N,D), one row per detection, of any length but zero; None without an encoder.
        embedded : (N,) bool, which rows of `features` hold one; None: all.
        time_s : time of the frame, seconds.
        warp : (2,3) float64, affine map of the previous frame's pixels to this one's; None for a camera at rest.
        frame_size : width and height in pixels.

        Raises
        ------
        DetectionsError : features or `embedded` do not fit the detections or the features of earlier frames, or `warp`
            is no finite (2,3) matrix. The tracks are then as they were.
        """
        check_warp(warp)
        seen = None if detections is None else self._observe(detections, features, embedded, frame_size)
        self._predict(time_s, warp)
        if self._overlap is not None:
            if seen is not None:
                classes = seen.class_id
                self._overlap.step(seen, lambda track, row: self._same_class(track, classes[row]), frame_size)
            return self.bank.snapshot(self._overlap.shown())
        if seen is not None:
            matches, left = self._associate(seen)
            self._correct(matches, seen)
            self._miss(matches)
            self._begin(left, seen)
        return self.bank.snapshot(self.motion.box(self.bank.mean))

    def wanted(self, detections: Detections, time_s: float | None = None, warp: np.ndarray | None = None) -> np.ndarray:
        """Which detections (N,) bool of the next frame need a feature; changes nothing.

        The `paper` preset compares all: a gallery holds every matched feature.
        """
        check_warp(warp)
        if self._overlap is None or len(detections) == 0:
            return np.ones(len(detections), bool)
        class_id = detections.class_id
        xyxy = detections.xyxy.astype(np.float64, order="F")
        same_class = lambda track, row: self._same_class(track, class_id[row])  # noqa: E731
        return self._overlap.wanted(xyxy, detections.score, same_class, warp)

    def looks(self) -> dict[int, np.ndarray]:
        """Mean features (D,) of the live tracks that have one, by id; the default preset's alone."""
        if self._overlap is None:
            return {}
        known = np.flatnonzero(self.bank.confirmed & (self.bank.looks > 0))
        return dict(zip(self.bank.id[known].tolist(), self.bank.look[known], strict=True))

    @property
    def alike(self) -> float | None:
        """Cosine similarity above which features are likelier one object's than two's; None if not known."""
        return None if self._overlap is None else self._overlap.associate.evidence.even

    def _observe(
        self,
        detections: Detections,
        features: np.ndarray | None,
        embedded: np.ndarray | None,
        frame_size: tuple[int, int] | None,
    ) -> Observation:
        feature, has = check_features(len(detections), features, embedded, self.bank.dimension, self.warnings)
        rows = None
        if frame_size is not None:
            inside = inside_frame(detections.xyxy, frame_size)
            self.warnings["boxes outside the frame"] += int((~inside).sum())
            rows = np.flatnonzero(inside) if self.config.drop_outside else None
        return observe(detections, feature, has, self.motion, rows)

    # ---- predict -----------------------------------------------------------------------------------------------------

    def _predict(self, time_s: float | None, warp: np.ndarray | None) -> None:
        bank = self.bank
        dt = self._clock.step(time_s)
        if self._overlap is not None:
            self._overlap.predict(dt, warp)
        else:
            bank.mean[:], bank.covariance[:] = self.motion.predict(bank.mean, bank.covariance)
        bank.age += 1
        bank.detection_index[:] = -1

    # ---- associate ---------------------------------------------------------------------------------------------------

    def _associate(self, seen: Observation) -> tuple[Matches, np.ndarray]:
        """Matches, and the detections left over in the order in which they become tracks."""
        bank, c = self.bank, self.config
        missed = bank.time_since_update + 1
        left = np.arange(len(seen))
        by_looks = self._appearance_pairs(seen)
        cosine = 0.2 if c.max_cosine_distance is None else c.max_cosine_distance
        matches = Matches.empty()
        comparable = bank.confirmed & (missed <= c.max_age) & seen.embedded.any()
        for age in np.unique(missed[comparable]):  # listing 1: younger tracks first
            found, left = self._assign(by_looks, np.flatnonzero(comparable & (missed == age)), left, cosine)
            matches += found
        rows = np.concatenate([np.flatnonzero(~bank.confirmed), self._just_lost(matches, missed)])
        found, left = self._assign(self._overlap_pairs(seen, rows), rows, left, c.max_iou_distance)
        return matches + found, left

    def _just_lost(self, matches: Matches, missed: np.ndarray) -> np.ndarray:
        """Rows of confirmed tracks that the cascade left and that were seen in the previous frame.

        The original subtracts Python sets of rows here; ties of the next step are broken in the order that comes of it.
        """
        rows = set(np.flatnonzero(self.bank.confirmed).tolist()) - set(matches.track.tolist())
        rows_in_order = np.fromiter(rows, np.int64, len(rows))
        return rows_in_order[missed[rows_in_order] == 1]

    def _assign(
        self, pairs: Pairs, rows: np.ndarray, left: np.ndarray, threshold: float
    ) -> tuple[Matches, np.ndarray]:
        """Matches of the tracks `rows` with the detections `left`, and the detections left then."""
        if self.config.whole_matrix:
            return assign_whole(pairs, rows, left, threshold)
        track = np.zeros(len(self.bank), bool)
        detection = np.zeros(max(left.max(initial=-1), pairs.detection.max(initial=-1)) + 1, bool)
        track[rows], detection[left] = True, True
        found = assign(pairs.where(track, detection), threshold)
        detection[found.detection] = False
        return found, left[detection[left]]

    def _appearance_pairs(self, seen: Observation) -> Pairs:
        """Confirmed tracks with what lies within their gate, at their cosine distance (equations 1 to 5)."""
        bank = self.bank
        rows = np.flatnonzero(bank.confirmed & bank.gallery.filled(bank.slot))
        columns = np.flatnonzero(seen.embedded)
        spread = self.motion.innovation(bank.mean[rows], bank.covariance[rows])
        t, d = near(bank.mean[rows, :2], np.sqrt(GATE * spread[:, :2]), seen.measurement[columns, :2])
        residual = seen.measurement[columns[d]] - bank.mean[rows[t], :4]
        gated = squared_mahalanobis(residual, spread[t]) <= GATE
        t, d = rows[t[gated]], columns[d[gated]]
        same = self._same_class(t, seen.class_id[d])
        t, d = t[same], d[same]
        return Pairs(t, d, bank.gallery.distance(bank.slot, seen.feature, (t, d)))

    def _overlap_pairs(self, seen: Observation, rows: np.ndarray) -> Pairs:
        """Tracks `rows` with what overlaps their predicted box, at 1 - IoU."""
        rows = np.sort(rows)
        xyxy = self.motion.box(self.bank.mean[rows])
        largest = (seen.xyxy[:, 2:] - seen.xyxy[:, :2]).max(axis=0, initial=0)
        t, d = near(self.bank.mean[rows, :2], (xyxy[:, 2:] - xyxy[:, :2] + largest) / 2, seen.measurement[:, :2])
        pairs = Pairs(rows[t], d, 1 - boxes.iou_of_pairs(xyxy[t], seen.xyxy[d]))
        return pairs[(pairs.cost < 1) & self._same_class(pairs.track, seen.class_id[d])]

    def _same_class(self, track: np.ndarray, class_id: np.ndarray) -> np.ndarray:
        """Pairs (P,) bool of a track's row and a detection's class that may be one object's."""
        if not self.config.class_aware:
            return np.ones(len(track), bool)
        return self._groups(self.bank.class_id[track]) == self._groups(class_id)

    # ---- write -------------------------------------------------------------------------------------------------------

    def _correct(self, matches: Matches, seen: Observation) -> None:
        """Matched tracks take their detections: posterior, gallery, hits."""
        bank, t, d = self.bank, matches.track, matches.detection
        bank.mean[t], bank.covariance[t] = self.motion.update(bank.mean[t], bank.covariance[t], seen.measurement[d])
        has = seen.embedded[d]
        bank.gallery.add(bank.slot[t[has]], seen.feature[d[has]])
        bank.hits[t] += 1
        bank.confirmed[t] |= bank.hits[t] >= self.config.n_init
        bank.detection_index[t], bank.score[t] = seen.index[d], seen.score[d]
        bank.vote(t, seen.class_id[d])

    def _miss(self, matches: Matches) -> None:
        """The others are missed: a tentative track ends at once, a confirmed one after `max_age` frames."""
        bank = self.bank
        bank.time_since_update += 1
        bank.time_since_update[matches.track] = 0
        missed = bank.time_since_update
        bank.keep((missed == 0) | (bank.confirmed & (missed <= self.config.max_age)))

    def _begin(self, left: np.ndarray, seen: Observation) -> None:
        """Detections left over become tracks, tentative ones unless a single hit confirms."""
        if len(left) == 0:
            return
        mean, covariance = self.motion.initiate(seen.measurement[left])
        rows = self.bank.add(mean, covariance, seen.score[left], seen.class_id[left], seen.index[left])
        has = seen.embedded[left]
        self.bank.gallery.add(self.bank.slot[rows[has]], seen.feature[left[has]])
        self.bank.confirmed[rows] = self.config.n_init <= 1
