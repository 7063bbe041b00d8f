"""The `paper` preset: the matching cascade of DeepSORT (arXiv 1703.07402, section 2); read it next to the paper."""

from __future__ import annotations

import numpy as np

from tracker.core import boxes
from tracker.core.types import Tracks
from tracker.tracking.assignment import Matches, Pairs, assign_whole, near
from tracker.tracking.bank import TrackBank, column
from tracker.tracking.clock import Clock
from tracker.tracking.config import DeepSortConfig
from tracker.tracking.gallery import Gallery
from tracker.tracking.kalman import GATE, KalmanXYAH, squared_mahalanobis
from tracker.tracking.observation import ClassGroups, Observation


class CascadeBank(TrackBank):
    """The columns of the cascade.

    Attributes
    ----------
    mean, covariance : ndarray of float64
        State of the filter, (T,8) and (T,4,3) (see `kalman`).
    slot : (T,) ndarray of int64
        Of the track in the gallery.
    """

    mean = column(8)
    covariance = column(4, 3)
    slot = column(dtype=np.int64)


class CascadeTracker:
    """Predicts, matches, corrects, retires and starts tracks; a frame's time, its size and the camera count not."""

    def __init__(self, config: DeepSortConfig, classes: ClassGroups, clock: Clock, even_score: float | None) -> None:
        self.config, self.classes = config, classes
        self.bank = CascadeBank()
        self.gallery = Gallery(config.budget)
        self.kalman = KalmanXYAH()

    def predict(self, dt: float, warp: np.ndarray | None) -> None:
        """Every track one frame on."""
        bank = self.bank
        bank.mean[:], bank.covariance[:] = self.kalman.predict(bank.mean, bank.covariance)

    def step(self, seen: Observation, frame_size: tuple[int, int] | None) -> None:
        """The detections of a frame on the predicted tracks."""
        matches, left = self._associate(seen)
        self._correct(matches, seen)
        self._miss(matches)
        self._begin(left, seen)

    def snapshot(self) -> Tracks:
        """Live tracks with the filter's posterior boxes; those matched when the detector last ran are present."""
        bank = self.bank
        return bank.snapshot(self.kalman.box(bank.mean), bank.confirmed & (bank.time_since_update == 0))

    def wants_feature(
        self, xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, warp: np.ndarray | None
    ) -> np.ndarray:
        """All detections (N,4) need a feature: a gallery holds every matched one."""
        return np.ones(len(xyxy), bool)

    def mean_features(self) -> dict[int, np.ndarray]:
        """None: a gallery has no mean."""
        return {}

    @property
    def feature_length(self) -> int:
        """Length D of a feature; 0 before the first."""
        return self.gallery.dimension

    @property
    def appearance_threshold(self) -> float | None:
        """Not known: the threshold of a match is given, not measured."""
        return None

    # ---- associate ---------------------------------------------------------------------------------------------------

    def _associate(self, seen: Observation) -> tuple[Matches, np.ndarray]:
        """Matches, and the detections left over in the order in which they become tracks."""
        bank, c = self.bank, self.config
        missed = bank.time_since_update + 1
        left = np.arange(len(seen))
        by_appearance = self._appearance_pairs(seen)
        matches = Matches.empty()
        comparable = bank.confirmed & (missed <= c.max_age) & seen.embedded.any()
        for age in np.unique(missed[comparable]):  # listing 1: younger tracks first
            rows = np.flatnonzero(comparable & (missed == age))
            found, left = assign_whole(by_appearance, rows, left, c.max_cosine_distance)
            matches += found
        rows = np.concatenate([np.flatnonzero(~bank.confirmed), self._just_lost(matches, missed)])
        found, left = assign_whole(self._overlap_pairs(seen, rows), rows, left, c.max_iou_distance)
        return matches + found, left

    def _just_lost(self, matches: Matches, missed: np.ndarray) -> np.ndarray:
        """Rows of confirmed tracks that the cascade left and that were seen in the previous frame.

        The original subtracts Python sets of rows here; ties of the next step are broken in the order that comes of it.
        """
        rows = set(np.flatnonzero(self.bank.confirmed).tolist()) - set(matches.track.tolist())
        rows_in_order = np.fromiter(rows, np.int64, len(rows))
        just_lost: np.ndarray = rows_in_order[missed[rows_in_order] == 1]
        return just_lost

    def _appearance_pairs(self, seen: Observation) -> Pairs:
        """Confirmed tracks with what lies within their gate, at their cosine distance (equations 1 to 5)."""
        bank = self.bank
        rows = np.flatnonzero(bank.confirmed & self.gallery.filled(bank.slot))
        columns = np.flatnonzero(seen.embedded)
        spread = self.kalman.innovation(bank.mean[rows], bank.covariance[rows])
        t, d = near(bank.mean[rows, :2], np.sqrt(GATE * spread[:, :2]), seen.measurement[columns, :2])
        residual = seen.measurement[columns[d]] - bank.mean[rows[t], :4]
        gated = squared_mahalanobis(residual, spread[t]) <= GATE
        t, d = rows[t[gated]], columns[d[gated]]
        same = self.classes.compatible(bank.class_id[t], seen.class_id[d])
        t, d = t[same], d[same]
        return Pairs(t, d, self.gallery.distance(bank.slot, seen.feature, (t, d)))

    def _overlap_pairs(self, seen: Observation, rows: np.ndarray) -> Pairs:
        """Tracks `rows` with what overlaps their predicted box, at 1 - IoU."""
        rows = np.sort(rows)
        xyxy = self.kalman.box(self.bank.mean[rows])
        largest = (seen.xyxy[:, 2:] - seen.xyxy[:, :2]).max(axis=0, initial=0)
        t, d = near(self.bank.mean[rows, :2], (xyxy[:, 2:] - xyxy[:, :2] + largest) / 2, seen.measurement[:, :2])
        pairs = Pairs(rows[t], d, 1 - boxes.iou_of_pairs(xyxy[t], seen.xyxy[d]))
        return pairs[(pairs.cost < 1) & self.classes.compatible(self.bank.class_id[pairs.track], seen.class_id[d])]

    # ---- write -------------------------------------------------------------------------------------------------------

    def _correct(self, matches: Matches, seen: Observation) -> None:
        """Matched tracks take their detections: posterior, gallery, hits."""
        bank, t, d = self.bank, matches.track, matches.detection
        bank.mean[t], bank.covariance[t] = self.kalman.update(bank.mean[t], bank.covariance[t], seen.measurement[d])
        has = seen.embedded[d]
        self.gallery.add(bank.slot[t[has]], seen.feature[d[has]])
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
        alive = (missed == 0) | (bank.confirmed & (missed <= self.config.max_age))
        self.gallery.free(bank.slot[~alive])
        bank.keep(alive)

    def _begin(self, left: np.ndarray, seen: Observation) -> None:
        """Detections left over become tracks, tentative ones unless a single hit confirms."""
        if len(left) == 0:
            return
        mean, covariance = self.kalman.initiate(seen.measurement[left])
        slot = self.gallery.take(len(left))
        new = {"mean": mean, "covariance": covariance, "slot": slot, "score": seen.score[left]}
        rows = self.bank.add(seen.class_id[left], detection_index=seen.index[left], **new)
        has = seen.embedded[left]
        self.gallery.add(slot[has], seen.feature[left[has]])
        self.bank.confirmed[rows] = self.config.n_init <= 1
