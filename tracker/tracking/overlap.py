"""The default preset: a frame's steps on the bank of tracks; docs/default.md tells them, `overlap_matching` matches."""

from __future__ import annotations

import numpy as np

from tracker.core import boxes
from tracker.core.types import Tracks
from tracker.tracking.adaptive_noise import VelocityNoise, with_velocity_noise
from tracker.tracking.appearance import blend
from tracker.tracking.assignment import Matches
from tracker.tracking.calibration import ScoreScale
from tracker.tracking.clock import Clock
from tracker.tracking.coasting import Coasting
from tracker.tracking.config import OverlapConfig
from tracker.tracking.embedding_policy import needed
from tracker.tracking.kalman_xywh import PairedKalman
from tracker.tracking.observation import ClassGroups, Observation
from tracker.tracking.overlap_bank import OverlapBank
from tracker.tracking.overlap_matching import (
    STATIONARY_HITS,
    STATIONARY_SPEED,
    YOUNG,
    OverlapAssociation,
    Rides,
    covered,
    riders,
    riding,
    touching,
)

_LONGEST_COAST = 50
"""Frames after which a missed track is not written."""
_SIZE_INERTIA = 0.9
"""What is left per frame of the rate at which a missed track grows or shrinks."""
_RIDE_S = 0.5
"""Seconds on a two-wheeler after which a person's track and the machine's are one."""
_REACH = 25
"""Features that the mean of a track's features reaches back."""


class OverlapTracker:
    """Predicts, matches, corrects, retires and starts tracks.

    Two filters run on each track: a brisk one that finds it again, and a calmer one for the boxes of missed tracks.
    """

    def __init__(self, config: OverlapConfig, classes: ClassGroups, clock: Clock, even_score: float | None) -> None:
        self.config, self.classes, self.clock = config, classes, clock
        self.bank = OverlapBank()
        self.velocity_noise = VelocityNoise()
        self.associate = OverlapAssociation(config, classes)
        self.probability = ScoreScale(even_score)
        self.coasting = Coasting(_LONGEST_COAST)
        self._elapsed = 0
        """Frames since detections came last, this one among them."""
        self._passed = 0.0
        """The same, those that were dropped counted by their time."""

    @property
    def kalman(self) -> PairedKalman:
        """Both filters, with the velocity noise measured on the run."""
        return with_velocity_noise(self.velocity_noise.factor)

    def predict(self, dt: float, warp: np.ndarray | None) -> None:
        """Every track `dt` frames on, and with the camera where that moved."""
        bank = self.bank
        self._elapsed += 1
        self._passed += dt
        if warp is not None:
            self._follow(warp)
        missed = bank.time_since_update.nonzero()[0]
        if len(missed):
            bank.means[missed, :, 6:] *= _SIZE_INERTIA**dt
        bank.means[:], bank.covariances[:] = self.kalman.predict(bank.means, bank.covariances, dt)

    def _follow(self, warp: np.ndarray) -> None:
        """Carries centres, sizes, velocities and last boxes from the previous frame's pixels to this one's.

        Sizes take the scale of the map's axes; variances take its square. Rotation within the image, small between two
        frames, turns centres and velocities only, so that the covariance keeps its four blocks.
        """
        bank, linear = self.bank, warp[:, :2]
        scale = np.linalg.norm(linear, axis=0)
        bank.means[..., :2] = bank.means[..., :2] @ linear.T + warp[:, 2]
        bank.means[..., 4:6] = bank.means[..., 4:6] @ linear.T
        bank.means[..., 2:4] *= scale
        bank.means[..., 6:] *= scale
        bank.covariances *= (np.tile(scale, 2) ** 2)[:, None]
        half = (bank.observed[:, 2:] - bank.observed[:, :2]) / 2 * scale
        centre = (bank.observed[:, :2] + bank.observed[:, 2:]) / 2 @ linear.T + warp[:, 2]
        bank.observed[:, :2], bank.observed[:, 2:] = centre - half, centre + half

    def wants_feature(
        self, xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, warp: np.ndarray | None
    ) -> np.ndarray:
        """Which detections (N,4) of the next frame need a feature, (N,) bool; changes nothing."""
        mean = self.bank.mean[:, :4] + self.bank.mean[:, 4:]
        if warp is not None:
            mean[:, :2] = mean[:, :2] @ warp[:, :2].T + warp[:, 2]
        predicted = boxes.grow(self.kalman.box(mean), self.config.buffer)
        grown = boxes.grow(xyxy, self.config.buffer)
        t, d = touching(predicted, grown)
        same = self.associate.may_take(self.bank, t, class_id[d])
        _, probability = riding(xyxy, class_id, self.probability(score, remember=False), self.classes)
        return needed(self.bank, predicted, grown, (t[same], d[same]), probability, self.config, self._elapsed + 1)

    def step(self, seen: Observation, frame_size: tuple[int, int] | None) -> None:
        """The detections of a frame on the predicted tracks."""
        if seen.embedded.any():
            self.bank.widen(seen.feature.shape[1])
        self.bank.coasting[:] = False
        rides, probability = riding(seen.xyxy, seen.class_id, self.probability(seen.score), self.classes)
        predicted = self.kalman.box(self.bank.mean)
        matches, left = self.associate(self.bank, seen, probability, predicted, self._passed)
        self._wake(matches, seen)
        self._check_coasting(matches, seen)
        self._correct(matches, seen, rides)
        self._miss(matches, frame_size, self._twice(matches, rides, len(seen)))
        self._coast(frame_size)
        left = left[probability[left] >= self.config.high_score]
        self._start(self._without_parts(left, seen, rides), seen, probability)
        self._elapsed, self._passed = 0, 0.0

    def _wake(self, matches: Matches, seen: Observation) -> None:
        """Tracks found stationary start again at rest: what they drifted by tells nothing of how they move."""
        if not self.bank.stationary.any():
            return
        stationary = self.bank.stationary[matches.track]
        rows = matches.track[stationary]
        self.bank.mean[rows, :4] = seen.measurement[matches.detection[stationary]]
        self.bank.mean[rows, 4:] = 0

    def snapshot(self) -> Tracks:
        """Live tracks: matched ones with the box of their detection, others with that of the display filter.

        Present are those matched when the detector last ran, and those that coast.
        """
        bank = self.bank
        xyxy = bank.observed.copy(order="K")
        missed = (bank.detection_index < 0).nonzero()[0]
        xyxy[missed] = self.kalman.box(bank.means[missed, 1])
        present = (bank.confirmed & (bank.time_since_update == 0)) | bank.coasting
        return bank.snapshot(xyxy, present)

    def mean_features(self) -> dict[int, np.ndarray]:
        """Mean features (D,) of the live tracks that have one, by id."""
        known = (self.bank.confirmed & (self.bank.feature_count > 0)).nonzero()[0]
        return dict(zip(self.bank.id[known].tolist(), self.bank.feature[known], strict=True))

    @property
    def feature_length(self) -> int:
        """Length D of a feature; 0 before the first."""
        return int(self.bank.feature.shape[1])

    @property
    def appearance_threshold(self) -> float | None:
        """Cosine similarity above which features are likelier one object's than two's; None until known."""
        return self.associate.likelihood.even

    def _correct(self, matches: Matches, seen: Observation, rides: Rides) -> None:
        bank, t, d = self.bank, matches.track, matches.detection
        measured = seen.measurement[d]
        self._learn_errors(t, measured)
        bank.means[t], bank.covariances[t] = self.kalman.update(
            boxes.take(bank.means, t), boxes.take(bank.covariances, t), measured[:, None]
        )
        self._remember_features(t, d, seen)
        bank.hits[t] += self._elapsed
        bank.confirmed[t] |= bank.hits[t] >= self.config.n_init
        bank.detection_index[t], bank.score[t] = seen.index[d], seen.score[d]
        bank.observed[t] = seen.xyxy[d]
        bank.stationary[t] = False
        self._vote(t, d, seen, rides)

    def _learn_errors(self, t: np.ndarray, measured: np.ndarray) -> None:
        """To which side tracks (K,) were off that were matched in the frame before, too, and have a velocity."""
        bank = self.bank
        side = np.sign(measured[:, 0] - bank.mean[t, 0])
        side[(bank.time_since_update[t] > 0) | (bank.hits[t] <= YOUNG)] = 0
        before = bank.side[t]
        both = (side != 0) & (before != 0)
        self.velocity_noise.learn(before[both], side[both])
        bank.side[t] = side

    def _vote(self, t: np.ndarray, d: np.ndarray, seen: Observation, rides: Rides) -> None:
        """Tracks (K,) get the votes of their detections (K,); that of a rider is for the machine, and counts twice."""
        bank, (who, what), class_id = self.bank, rides, seen.class_id
        if len(who) == 0 and not bank.ridden.any():
            bank.vote(t, class_id[d])
            return
        person, rider = self.classes.people(class_id)[d], np.isin(d, who)
        class_id = class_id.copy()
        class_id[who] = class_id[what]
        bank.vote(t, class_id[d], 1 + rider)
        bank.rides[t] += self._elapsed * rider
        bank.ridden[t] = (bank.ridden[t] | person) & self.classes.two_wheelers(bank.class_id[t])

    def _twice(self, matches: Matches, rides: Rides, detections: int) -> np.ndarray:
        """Tracks (T,) bool that are a rider's or a machine's beside an older one of the same object."""
        bank, twice = self.bank, np.zeros(len(self.bank), bool)
        if len(rides[0]) == 0:
            return twice
        owner = np.full(detections, -1)
        owner[matches.detection] = matches.track
        pairs = owner[np.stack(rides)]
        rider, machine = pairs[:, (pairs >= 0).all(axis=0)]
        one = self.classes.two_wheelers(bank.class_id[rider])
        one &= bank.rides[rider] >= _RIDE_S * self.clock.frames_per_second
        twice[np.maximum(rider, machine)[one]] = True
        return twice

    def _remember_features(self, t: np.ndarray, d: np.ndarray, seen: Observation) -> None:
        bank, has = self.bank, seen.embedded[d]
        t, d = t[has], d[has]
        if len(t) == 0:
            return
        mean, count, features = bank.feature[t], bank.feature_count[t], seen.feature[d]
        known = (count > 0) & bank.confirmed[t]
        self.associate.likelihood.learn(mean[known], features[known])
        bank.feature[t] = blend(mean, count, features, covered(seen.xyxy)[d], _REACH)
        bank.feature_count[t] += 1

    def _miss(self, matches: Matches, frame_size: tuple[int, int] | None, ended: np.ndarray) -> None:
        """The others are missed: tentative tracks end, confirmed ones some time later unless they stood still.

        So do the tracks (T,) that have `ended`.
        """
        bank, c = self.bank, self.config
        bank.time_since_update += self._elapsed
        bank.time_since_update[matches.track] = 0
        missed = bank.time_since_update
        rate = self.clock.frames_per_second
        just = (missed == self._elapsed).nonzero()[0]
        if len(just):
            stride = bank.mean[just, 4:6] / bank.mean[just, 2:4] * (1, 2)
            bank.speed[just] = np.hypot(*stride.T) * rate
        lost = bank.confirmed & (missed > (c.max_age or max(1, round(c.max_lost_s * rate))))
        bank.stationary[:] = lost & (bank.speed <= STATIONARY_SPEED) & (missed <= c.stationary_s * rate)
        bank.stationary[:] &= (bank.hits >= STATIONARY_HITS) & (c.max_age is None)
        alive = (missed == 0) | (bank.confirmed & (bank.hits >= c.n_init) & (~lost | bank.stationary))
        if frame_size is not None:
            outside = ((bank.mean[:, :2] < 0) | (bank.mean[:, :2] > frame_size)).any(axis=1)
            alive &= ~(outside & (missed > 2))
        bank.keep(alive & ~ended)

    def _check_coasting(self, matches: Matches, seen: Observation) -> None:
        """Count how good the boxes of the tracks were that are found again."""
        missed = self.bank.time_since_update[matches.track]
        again = missed.nonzero()[0]
        if len(again):
            predicted = self.kalman.box(self.bank.means[matches.track[again], 1])
            self.coasting.learn(missed[again], predicted, seen.xyxy[matches.detection[again]])

    def _coast(self, frame_size: tuple[int, int] | None) -> None:
        """Which of the missed tracks, confirmed and wholly inside the frame, are likely where they are predicted."""
        bank = self.bank
        rows = (bank.confirmed & (bank.time_since_update > 0) & ~bank.stationary).nonzero()[0]
        if frame_size is not None and len(rows):
            box = self.kalman.box(bank.means[rows, 1])
            rows = rows[(box[:, 0] >= 0) & (box[:, 2] <= frame_size[0])]
        if len(rows):
            rows = rows[self.coasting.chance(bank.time_since_update[rows]) >= self.config.coast_chance]
            bank.coasting[rows] = True
            bank.score[rows] = 0

    def _without_parts(self, rows: np.ndarray, seen: Observation, rides: Rides) -> np.ndarray:
        """Detections `rows` that nobody took, but for riders, and two-wheelers whose rider was taken: one object."""
        tracked = self.bank.confirmed & self.classes.two_wheelers(self.bank.class_id)
        if len(rides[0]) == 0 and not tracked.any():
            return rows
        person = rows[self.classes.people(seen.class_id[rows])]
        who, _ = riders(seen.xyxy[person], self.kalman.box(self.bank.mean[tracked]))
        taken = np.isin(seen.index[rides[0]], self.bank.detection_index)
        return np.setdiff1d(rows, np.concatenate([rides[0], rides[1][taken], person[who]]))

    def _start(self, rows: np.ndarray, seen: Observation, probability: np.ndarray) -> None:
        """Detections `rows` that no track took begin one: confirmed if sure and apart from all others, else tentative.

        What appears beside a track may be a part of its object, or the object of one that has just been lost.
        """
        if len(rows) == 0:
            return
        bank = self.bank
        others = self.kalman.box(bank.mean[bank.confirmed & ~bank.stationary])
        a, b = touching(others, seen.xyxy[rows])
        beside = boxes.intersection_of_pairs(others[a], seen.xyxy[rows[b]]) > 0
        sure = probability[rows] >= self.config.new_track_score
        sure[b[beside]] = False
        mean, covariance = self.kalman.initiate(seen.measurement[rows])
        filters = {"means": mean[:, None], "covariances": covariance[:, None]}
        seen_as = {"detection_index": seen.index[rows], "observed": seen.xyxy[rows], "score": seen.score[rows]}
        new = bank.add(seen.class_id[rows], **filters, **seen_as)
        bank.confirmed[new] = sure | (self.config.n_init <= 1)
        has = seen.embedded[rows]
        if has.any():
            bank.feature[new[has]] = seen.feature[rows[has]]
            bank.feature_count[new[has]] = 1
