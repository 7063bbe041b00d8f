"""DeepSORT (arXiv 1703.07402) on arrays; read it next to the paper.

A frame takes three steps: every track is predicted (`_predict`), tracks and detections are matched (`_associate`), and the matches
are written into the bank (`_correct`, `_miss`, `_begin`). What the presets switch is in `TrackerConfig`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker import boxes
from tracker.appearance import normalise
from tracker.assignment import Matches, Pairs, assign, assign_whole, near
from tracker.config import TrackerConfig
from tracker.detections import Detections
from tracker.errors import DetectionsError
from tracker.motion import GATE, Motion, squared_mahalanobis
from tracker.tracks import TrackBank, Tracks

ALIKE = (("car", "truck", "bus", "van"), ("bicycle", "motorcycle", "motorbike"))
"""Classes that detectors take for each other from frame to frame."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The detections of a frame as association sees them: N boxes, measurements and features, row by row.

    Attributes
    ----------
    index : (N,) int64, row in the caller's `Detections`.
    xyxy, score, class_id : as in `Detections`; xyxy float64.
    measurement : (N,4) float64, see `Motion.measure`.
    feature : (N,D) float32 unit vectors; zero where there is none.
    embedded : (N,) bool, which rows have a feature.
    """

    index: np.ndarray
    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    measurement: np.ndarray
    feature: np.ndarray
    embedded: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


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
        self.motion = Motion()
        self.bank = TrackBank(self.config.budget)
        self.warnings: Counter[str] = Counter()
        self._time_s: float | None = None
        self._class_group = _class_groups(class_names)

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

        Without features, matching rests on motion alone: no track can be recognised by its looks, so that in the `paper` preset
        the cascade finds nothing and a confirmed track that is missed for longer than a frame is not found again.

        Parameters
        ----------
        detections : None if the detector did not run on this frame: tracks are predicted, and nobody has missed anything.
        features : (N,D), one row per detection, of any length but zero; None without an encoder.
        embedded : (N,) bool, which rows of `features` hold one; None: all.
        time_s : time of the frame, seconds.
        warp : (2,3) float64, affine map of the previous frame's pixels to this one's; None for a camera at rest.
        frame_size : width and height in pixels.

        Raises
        ------
        DetectionsError : features or `embedded` do not fit the detections, or features those of earlier frames. The tracks are then
            as they were.
        """
        seen = None if detections is None else self._observe(detections, features, embedded, frame_size)
        self._predict(time_s)
        if seen is not None:
            matches, left = self._associate(seen)
            self._correct(matches, seen)
            self._miss(matches)
            self._begin(left, seen)
        return self.bank.snapshot(self.motion.box(self.bank.mean))

    def wanted(self, detections: Detections, time_s: float | None = None, warp: np.ndarray | None = None) -> np.ndarray:
        """Which detections (N,) bool of the next frame need a feature; changes nothing."""
        return np.ones(len(detections), bool)

    # ---- the frame's input -------------------------------------------------------------------------------------------------

    def _observe(
        self, detections: Detections, features: np.ndarray | None, embedded: np.ndarray | None, frame_size: tuple[int, int] | None
    ) -> Observation:
        feature, has = self._features(len(detections), features, embedded)
        index = np.arange(len(detections))
        if frame_size is not None:
            inside = (boxes.area(boxes.clip(detections.xyxy, *frame_size)) > 0)
            self.warnings["boxes outside the frame"] += int((~inside).sum())
            index = index[inside] if self.config.drop_outside else index
        xyxy = detections.xyxy[index].astype(np.float64)
        return Observation(index, xyxy, detections.score[index], detections.class_id[index], self.motion.measure(xyxy),
                           feature[index], has[index])

    def _features(self, n: int, features: np.ndarray | None, embedded: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Unit features (N,D) and which rows (N,) have one."""
        d = self.bank.gallery.dimension
        if features is None:
            return np.zeros((n, d), np.float32), np.zeros(n, bool)
        features = np.asarray(features)
        if n == 0 and features.size == 0:
            return np.zeros((0, d), np.float32), np.zeros(0, bool)
        if features.ndim != 2 or len(features) != n or features.shape[1] == 0:
            raise DetectionsError(f"features have shape {features.shape} for {n} detections; expected ({n}, D), a row for each")
        if d and features.shape[1] != d:
            raise DetectionsError(f"features have length {features.shape[1]}, those of earlier frames {d}; "
                                  "expected one encoder for the whole run")
        unit, has = normalise(features)
        if embedded is not None:
            mask = np.asarray(embedded)
            if mask.dtype != bool or mask.shape != (n,):
                raise DetectionsError(f"embedded is {mask.dtype} {mask.shape}; expected a bool for each of {n} detections")
            self.warnings["features without direction"] += int((mask & ~has).sum())
            return unit, mask & has
        self.warnings["features without direction"] += int((~has).sum())
        return unit, has

    # ---- predict -----------------------------------------------------------------------------------------------------------

    def _predict(self, time_s: float | None) -> None:
        if time_s is not None:
            if self._time_s is not None and time_s < self._time_s:
                self.warnings["time ran backwards"] += 1
            self._time_s = time_s
        bank = self.bank
        bank.mean, bank.covariance = self.motion.predict(bank.mean, bank.covariance)
        bank.age += 1
        bank.detection_index[:] = -1

    # ---- associate ---------------------------------------------------------------------------------------------------------

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

    def _assign(self, pairs: Pairs, rows: np.ndarray, left: np.ndarray, threshold: float) -> tuple[Matches, np.ndarray]:
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
        gate = squared_mahalanobis(seen.measurement[columns[d]] - bank.mean[rows[t], :4], spread[t])
        t, d = rows[t[gate <= GATE]], columns[d[gate <= GATE]]
        t, d = self._same_class(t, d, seen)
        return Pairs(t, d, bank.gallery.distance(bank.slot, seen.feature, (t, d)))

    def _overlap_pairs(self, seen: Observation, rows: np.ndarray) -> Pairs:
        """Tracks `rows` with what overlaps their predicted box, at 1 - IoU."""
        rows = np.sort(rows)
        xyxy = self.motion.box(self.bank.mean[rows])
        size = xyxy[:, 2:] - xyxy[:, :2]
        largest = (seen.xyxy[:, 2:] - seen.xyxy[:, :2]).max(axis=0, initial=0)
        t, d = near(self.bank.mean[rows, :2], (size + largest) / 2, seen.measurement[:, :2])
        cost = 1 - boxes.iou_of_pairs(xyxy[t], seen.xyxy[d])
        t, d, cost = t[cost < 1], d[cost < 1], cost[cost < 1]
        same = self._same(rows[t], d, seen)
        return Pairs(rows[t[same]], d[same], cost[same])

    def _same_class(self, track: np.ndarray, detection: np.ndarray, seen: Observation) -> tuple[np.ndarray, np.ndarray]:
        same = self._same(track, detection, seen)
        return track[same], detection[same]

    def _same(self, track: np.ndarray, detection: np.ndarray, seen: Observation) -> np.ndarray:
        """Pairs (P,) bool whose classes may be one object's."""
        if not self.config.class_aware:
            return np.ones(len(track), bool)
        return self._group(self.bank.class_id)[track] == self._group(seen.class_id)[detection]

    def _group(self, class_id: np.ndarray) -> np.ndarray:
        table = self._class_group
        known = (class_id >= 0) & (class_id < len(table))
        group = class_id.astype(np.int64)
        group[known] = table[class_id[known]]
        return group

    # ---- write -------------------------------------------------------------------------------------------------------------

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
        """The others are missed: at once the end of a tentative track, and of a confirmed one after `max_age` frames."""
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


def _class_groups(class_names: Sequence[str]) -> np.ndarray:
    """Class id to the smallest class id that may be the same object's, (C,)."""
    group = np.arange(len(class_names))
    for alike in ALIKE:
        members = [i for i, name in enumerate(class_names) if name in alike]
        group[members] = min(members, default=0)
    return group
