"""The default preset: a frame's steps on the bank of tracks; `overlap` holds the matching."""

from __future__ import annotations

import numpy as np

from tracker.core import boxes
from tracker.tracking.appearance import blend
from tracker.tracking.assignment import Matches
from tracker.tracking.bank import TrackBank
from tracker.tracking.calibration import ScoreScale
from tracker.tracking.clock import Clock
from tracker.tracking.coasting import Coasting, Share
from tracker.tracking.config import TrackerConfig
from tracker.tracking.embedding_policy import needed
from tracker.tracking.kalman_xywh import TwinMotion
from tracker.tracking.observation import ClassGroups, Observation
from tracker.tracking.overlap_matching import OverlapAssociation, covered, touching

_SHORTEST_AGE = 16
"""Frames a confirmed track survives without a match where frames are slow, if `max_age` allows."""


class OverlapSort:
    """Predicts, matches, corrects, ages and begins tracks.

    Two filters run on each track: a brisk one that finds it again, and a calmer one that says where its box is shown.
    """

    def __init__(self, config: TrackerConfig, bank: TrackBank, classes: ClassGroups, clock: Clock) -> None:
        self.config, self.bank, self.classes, self.clock = config, bank, classes, clock
        self.motion = TwinMotion()
        self.associate = OverlapAssociation(config, classes)
        self.confidence = ScoreScale()
        self.coasting, self.young = Coasting(config.max_age), Share(config.n_init)

    def predict(self, dt: float, warp: np.ndarray | None) -> None:
        """Every track `dt` frames on, and with the camera where that moved."""
        bank = self.bank
        if warp is not None:
            self._follow(warp)
        missed = np.flatnonzero(bank.time_since_update)
        if len(missed):
            bank.means[missed, :, 6:] *= self.config.size_inertia**dt
        bank.means[:], bank.covariances[:] = self.motion.predict(bank.means, bank.covariances, dt)

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

    def wanted(self, xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, warp: np.ndarray | None) -> np.ndarray:
        """Which detections (N,4) of the next frame need a feature, (N,) bool; changes nothing."""
        mean = self.bank.mean[:, :4] + self.bank.mean[:, 4:]
        if warp is not None:
            mean[:, :2] = mean[:, :2] @ warp[:, :2].T + warp[:, 2]
        predicted = boxes.grow(self.motion.box(mean), self.config.grow)
        grown = boxes.grow(xyxy, self.config.grow)
        t, d = touching(predicted, grown)
        same = self.classes.alike(self.bank.class_id[t], class_id[d])
        confidence = self.confidence(score, remember=False)
        return needed(self.bank, predicted, grown, (t[same], d[same]), confidence, self.config)

    def step(self, seen: Observation, frame_size: tuple[int, int] | None) -> None:
        """The detections of a frame on the predicted tracks."""
        if seen.embedded.any():
            self.bank.widen_looks(seen.feature.shape[1])
        self.bank.likely[:] = False
        confidence = self.confidence(seen.score)
        predicted = self.motion.box(self.bank.mean)
        matches, left = self.associate(self.bank, seen, confidence, predicted)
        self._wake(matches, seen)
        self._check_coasting(matches, seen)
        self._correct(matches, seen, confidence)
        self._miss(matches, frame_size)
        self._coast(frame_size)
        self._begin(left[confidence[left] >= self.config.birth_score], seen, confidence)

    def _wake(self, matches: Matches, seen: Observation) -> None:
        """Tracks found asleep start again at rest: what they drifted by tells nothing of how they move."""
        if not self.bank.asleep.any():
            return
        asleep = self.bank.asleep[matches.track]
        rows = matches.track[asleep]
        self.bank.mean[rows, :4] = seen.measurement[matches.detection[asleep]]
        self.bank.mean[rows, 4:] = 0

    def shown(self) -> np.ndarray:
        """Boxes (T,4) to write and draw."""
        return self.motion.box(self.bank.means[:, 1])

    def looks(self) -> dict[int, np.ndarray]:
        """Mean features (D,) of the live tracks that have one, by id."""
        known = np.flatnonzero(self.bank.confirmed & (self.bank.looks > 0))
        return dict(zip(self.bank.id[known].tolist(), self.bank.look[known], strict=True))

    @property
    def alike(self) -> float | None:
        """Cosine similarity above which features are likelier one object's than two's; None until known."""
        return self.associate.evidence.even

    def _correct(self, matches: Matches, seen: Observation, confidence: np.ndarray) -> None:
        bank, t, d = self.bank, matches.track, matches.detection
        measured, sure = seen.measurement[d], confidence[d]
        bank.means[t], bank.covariances[t] = self.motion.update(
            boxes.take(bank.means, t), boxes.take(bank.covariances, t), measured[:, None], sure
        )
        self._remember_looks(t, d, seen)
        bank.hits[t] += 1
        bank.score_sum[t] += sure
        trusted = bank.score_sum[t] >= self.config.confirm_score * bank.hits[t]
        bank.confirmed[t] |= (bank.hits[t] >= self.config.n_init) & trusted
        self._show_early(t[trusted])
        bank.detection_index[t], bank.score[t] = seen.index[d], seen.score[d]
        bank.observed[t] = seen.xyxy[d]
        bank.asleep[t] = False
        bank.vote(t, seen.class_id[d])

    def _show_early(self, rows: np.ndarray) -> None:
        """Trusted tracks `rows` just matched or born, too young to be confirmed, if most of that age were at last."""
        rows = rows[self.bank.hits[rows] <= self.config.n_init]
        if len(rows) == 0:
            return
        hits = self.bank.hits[rows]
        younger = hits < self.config.n_init
        self.young.right += np.count_nonzero(~younger)
        self.bank.likely[rows[younger]] = self.young.chance(hits[younger]) >= self.config.early_chance

    def _remember_looks(self, t: np.ndarray, d: np.ndarray, seen: Observation) -> None:
        bank, has = self.bank, seen.embedded[d]
        t, d = t[has], d[has]
        if len(t) == 0:
            return
        looks, count, features = bank.look[t], bank.looks[t], seen.feature[d]
        known = (count > 0) & bank.confirmed[t]
        self.associate.evidence.learn(looks[known], features[known])
        bank.look[t] = blend(looks, count, features, covered(seen.xyxy)[d], self.config.budget)
        bank.looks[t] += 1

    def _miss(self, matches: Matches, frame_size: tuple[int, int] | None) -> None:
        """The others are missed: tentative tracks end, confirmed ones some time later unless they stood still."""
        bank, c = self.bank, self.config
        bank.time_since_update += 1
        bank.time_since_update[matches.track] = 0
        missed = bank.time_since_update
        rate = self.clock.frames_per_second
        just = np.flatnonzero(missed == 1)
        if len(just):
            stride = bank.mean[just, 4:6] / bank.mean[just, 2:4] * (1, 2)
            bank.speed[just] = np.hypot(*stride.T) * rate
        lost = bank.confirmed & (missed > min(c.max_age, max(_SHORTEST_AGE, round(c.max_seconds * rate))))
        bank.asleep[:] = lost & (bank.speed <= c.standing_speed) & (missed <= c.standing_seconds * rate)
        bank.asleep[:] &= bank.hits >= c.standing_hits
        alive = (missed == 0) | (bank.confirmed & (~lost | bank.asleep))
        if frame_size is not None:
            outside = ((bank.mean[:, :2] < 0) | (bank.mean[:, :2] > frame_size)).any(axis=1)
            alive &= ~(outside & (missed > 2))
        bank.keep(alive)

    def _check_coasting(self, matches: Matches, seen: Observation) -> None:
        """Count how good the boxes of the tracks were that are found again."""
        missed = self.bank.time_since_update[matches.track]
        again = np.flatnonzero(missed)
        if len(again):
            predicted = self.motion.box(self.bank.means[matches.track[again], 1])
            self.coasting.learn(missed[again], predicted, seen.xyxy[matches.detection[again]])

    def _coast(self, frame_size: tuple[int, int] | None) -> None:
        """Which of the missed tracks, confirmed and wholly inside the frame, are likely where they are predicted."""
        bank = self.bank
        rows = np.flatnonzero(bank.confirmed & (bank.time_since_update > 0) & ~bank.asleep)
        if frame_size is not None and len(rows):
            box = self.motion.box(bank.means[rows, 1])
            rows = rows[(box[:, 0] >= 0) & (box[:, 2] <= frame_size[0])]
        if len(rows):
            rows = rows[self.coasting.chance(bank.time_since_update[rows]) >= self.config.coast_chance]
            bank.likely[rows] = True
            bank.score[rows] = 0

    def _begin(self, rows: np.ndarray, seen: Observation, confidence: np.ndarray) -> None:
        if len(rows) == 0:
            return
        bank = self.bank
        mean, covariance = self.motion.initiate(seen.measurement[rows])
        new = bank.add(mean, covariance, seen.score[rows], seen.class_id[rows], seen.index[rows])
        bank.observed[new] = seen.xyxy[rows]
        bank.score_sum[new] = confidence[rows]
        bank.confirmed[new] = self.config.n_init <= 1
        self._show_early(new[confidence[rows] >= self.config.confirm_score])
        has = seen.embedded[rows]
        if has.any():
            bank.look[new[has]] = seen.feature[rows[has]]
            bank.looks[new[has]] = 1
