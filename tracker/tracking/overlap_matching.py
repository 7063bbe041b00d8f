"""Association of the default preset: by overlap, in stages, with looks as evidence.

What each stage takes from: ByteTrack (arXiv 2110.06864) for the second stage with low detections, C-BIoU (arXiv
2211.14317) for the grown boxes, Hybrid-SORT (arXiv 2308.00783) for the overlap of heights. Two units are our own: looks
weigh by what they are measured to tell (`looks`), and what stands still is remembered long (`_stationary`). How much
overlap a match needs is measured on the run (`usual_overlap`).
"""

from __future__ import annotations

import numpy as np

from tracker.core import boxes
from tracker.tracking.appearance import AppearanceLikelihood
from tracker.tracking.assignment import Matches, Pairs, assign, near
from tracker.tracking.config import OverlapConfig
from tracker.tracking.observation import ClassGroups, Observation
from tracker.tracking.overlap_bank import OverlapBank
from tracker.tracking.usual_overlap import UsualOverlap

MIN_IOU_LOW = 0.5
"""Least IoU of a match with a detection below `high_score` (ByteTrack)."""
STATIONARY_SPEED = 1.0
"""Largest speed of a lost track that is taken to stand still, box widths per second."""
STATIONARY_HITS = 60
"""Hits of a track that is known to stand: a moving camera makes many look so for a while."""
YOUNG = 2
"""Hits of a track that has no velocity to be wrong about."""
_STATIONARY_MIN_IOU = 0.38
"""Least IoU of a stationary track with where it was last seen."""
_LEAST_SIMILARITY = 1e-6
_ALL_PAIRS = 1 << 15
"""Most pairs of boxes that are compared one by one: sorting pays for more."""

Rides = tuple[np.ndarray, np.ndarray]
"""Rows (P,) of the detections of people, and (P,) of the two-wheelers that they sit on."""
_NO_RIDES: Rides = (np.zeros(0, np.int64), np.zeros(0, np.int64))


class OverlapAssociation:
    """Matches tracks and detections of a frame; keeps what it has learnt of the run's features and overlaps."""

    def __init__(self, config: OverlapConfig, classes: ClassGroups) -> None:
        self.config, self.classes = config, classes
        self.likelihood = AppearanceLikelihood()
        self.usual = UsualOverlap()

    def __call__(
        self, bank: OverlapBank, seen: Observation, probability: np.ndarray, xyxy: np.ndarray, passed: float
    ) -> tuple[Matches, np.ndarray]:
        """Matches, and the rows of detections left over.

        Parameters
        ----------
        probability : (N,) ndarray
            Scores on the scale of `ScoreScale`.
        xyxy : (T,4) ndarray
            Predicted boxes, pixels.
        passed : float
            Frames since detections came last.
        """
        c = self.config
        pairs, overlap, similarity = self._pairs(bank, seen, xyxy)
        high = probability >= c.high_score
        low = ~high & (probability >= c.low_score)
        free_track, free = ~bank.stationary, np.ones(len(seen), bool)
        frames, followed = bank.time_since_update + passed, bank.confirmed & (bank.time_since_update == 0)
        meets = overlap >= c.min_iou
        across, down = np.abs(bank.mean[:, 4:6] / bank.mean[:, 2:4]).T
        least = np.where(bank.hits > YOUNG, self.usual.least(frames, across + down), -np.inf)
        as_usual = np.maximum(overlap, similarity) >= least[pairs.track]
        stages = (
            (bank.confirmed, high, meets & as_usual),
            (followed, low, overlap >= MIN_IOU_LOW),
            (~bank.confirmed, high, meets),
        )
        matches = Matches.empty()
        for track, detection, enough in stages:
            open_ = enough & (track & free_track)[pairs.track] & (detection & free)[pairs.detection]
            rows = open_.nonzero()[0]
            if len(rows) == 0:
                continue
            found = assign(pairs[rows], 1.0)
            free_track[found.track], free[found.detection] = False, False
            matches += found
        self._learn(matches, pairs, overlap, frames, followed & (bank.hits > YOUNG))
        found = self._stationary(bank, seen, free_track | bank.stationary, free & high)
        free[found.detection] = False
        return matches + found, free.nonzero()[0]

    def _learn(
        self, matches: Matches, pairs: Pairs, overlap: np.ndarray, frames: np.ndarray, steady: np.ndarray
    ) -> None:
        """What the overlaps (P,) of `steady` tracks (T,) with what they took tell of the run."""
        took = np.full(len(steady), -1)
        took[matches.track] = matches.detection
        took[~steady] = -1
        own = took[pairs.track] == pairs.detection
        self.usual.learn(overlap[own], frames[pairs.track[own]])

    def _pairs(self, bank: OverlapBank, seen: Observation, xyxy: np.ndarray) -> tuple[Pairs, np.ndarray, np.ndarray]:
        """Tracks and detections whose grown boxes meet, at 1 - similarity squared; their overlap and similarity (P,).

        Squared, one sure match is worth more than two doubtful ones: a track whose object is hidden finds it harder to
        push its neighbours, one by one, to the next one's detection.
        """
        c = self.config
        mine, theirs = boxes.grow(xyxy, c.buffer), boxes.grow(seen.xyxy, c.buffer)
        t, d = touching(mine, theirs)
        same = self.may_take(bank, t, seen.class_id[d])
        if not same.all():
            t, d = t[same], d[same]
        overlap = boxes.iou_of_pairs(boxes.take(mine, t), boxes.take(theirs, d))
        overlap *= boxes.vertical_iou_of_pairs(boxes.take(xyxy, t), boxes.take(seen.xyxy, d))
        similarity = overlap.copy()
        if seen.embedded.any():
            self._add_appearance(bank, seen, t, d, similarity)
        similarity = np.maximum(similarity, _LEAST_SIMILARITY)
        return Pairs(t, d, 1 - similarity * similarity), overlap, similarity

    def may_take(self, bank: OverlapBank, t: np.ndarray, class_id: np.ndarray) -> np.ndarray:
        """Which tracks (P,) may take detections of classes (P,): those of their own kind, and riders' their riders'."""
        same = self.classes.compatible(bank.class_id[t], class_id)
        if bank.ridden.any():
            same |= bank.ridden[t] & self.classes.people(class_id)
        return same

    def _add_appearance(
        self, bank: OverlapBank, seen: Observation, t: np.ndarray, d: np.ndarray, similarity: np.ndarray
    ) -> None:
        """Adds to similarities (P,) what features tell."""
        known = (seen.embedded[d] & (bank.feature_count[t] > 0)).nonzero()[0]
        cosine = np.einsum("pd,pd->p", bank.feature[t[known]], seen.feature[d[known]]).astype(np.float64)
        similarity[known] += self.config.appearance_weight * self.likelihood(cosine)

    def _stationary(self, bank: OverlapBank, seen: Observation, free_track: np.ndarray, free: np.ndarray) -> Matches:
        """Lost tracks that stood still take what appears where they were last seen.

        A detector may miss a person who stands among others for many seconds; one who walked is elsewhere by then.
        """
        columns = free.nonzero()[0]
        if len(columns) == 0:
            return Matches.empty()
        waiting = bank.confirmed & free_track & (bank.time_since_update > 0) & (bank.speed <= STATIONARY_SPEED)
        rows = (waiting & (bank.hits >= STATIONARY_HITS)).nonzero()[0]
        if len(rows) == 0:
            return Matches.empty()
        t, d = touching(bank.observed[rows], seen.xyxy[columns])
        t, d = rows[t], columns[d]
        same = self.classes.compatible(bank.class_id[t], seen.class_id[d])
        t, d = t[same], d[same]
        overlap = boxes.iou_of_pairs(bank.observed[t], seen.xyxy[d])
        return assign(Pairs(t, d, 1 - overlap), 1 - _STATIONARY_MIN_IOU)


def riders(people: np.ndarray, machines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (P,) of people's boxes (N,4), and (P,) of the boxes of two-wheelers (M,4) that they sit on.

    A rider's middle is above the machine and higher than its middle, and the feet are on it rather than below.
    """
    t, d = touching(machines, people)
    machine, person = machines[t], people[d]
    middle = (person[:, 0] + person[:, 2]) / 2
    height = machine[:, 3] - machine[:, 1]
    sits = (middle > machine[:, 0]) & (middle < machine[:, 2]) & (person[:, 1] < machine[:, 1] + 0.25 * height)
    sits &= (person[:, 3] > machine[:, 1] + 0.2 * height) & (person[:, 3] < machine[:, 3] + 0.1 * height)
    return d[sits], t[sits]


def riding(
    xyxy: np.ndarray, class_id: np.ndarray, probability: np.ndarray, classes: ClassGroups
) -> tuple[Rides, np.ndarray]:
    """Who sits on what, each on one machine, and the probabilities (N,) of all detections.

    A detector that sees a rider and a machine, each in doubt, has seen one object, of the vehicle's class, twice: the
    machine is as probable as that it or those who ride it are right.
    """
    person, machine = classes.people(class_id).nonzero()[0], classes.two_wheelers(class_id).nonzero()[0]
    if len(person) == 0 or len(machine) == 0:
        return _NO_RIDES, probability
    who, what = riders(xyxy[person], xyxy[machine])
    who, what = person[who], machine[what]
    order = np.argsort(-boxes.iou_of_pairs(xyxy[who], xyxy[what]), kind="stable")
    who, best = np.unique(who[order], return_index=True)
    what = what[order[best]]
    wrong = 1 - probability
    np.multiply.at(wrong, what, 1 - probability[who])
    return (who, what), 1 - wrong


def covered(xyxy: np.ndarray) -> np.ndarray:
    """Largest share (N,) of each box (N,4) that one other box covers."""
    share = np.zeros(len(xyxy))
    a, b = touching(xyxy, xyxy)
    others = (a != b).nonzero()[0]
    if len(others):
        a, b = a[others], b[others]
        first = np.concatenate(([True], a[1:] != a[:-1])).nonzero()[0]
        inter = boxes.intersection_of_pairs(boxes.take(xyxy, a), boxes.take(xyxy, b))
        share[a[first]] = np.maximum.reduceat(inter, first)
        share /= boxes.area(xyxy)
    return share


def touching(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of corners (T,4) and (N,4) that may overlap, rows (P,), sorted, and (P,): a superset, cheap to find."""
    if len(a) * len(b) <= _ALL_PAIRS:
        left, top, right, bottom = np.ascontiguousarray(a.T, np.float32)[:, :, None]
        x1, y1, x2, y2 = np.ascontiguousarray(b.T, np.float32)
        meet = left <= x2
        meet &= right >= x1
        meet &= top <= y2
        meet &= bottom >= y1
        return np.divmod(meet.ravel().nonzero()[0], max(len(b), 1))
    largest = (b[:, 2:] - b[:, :2]).max(axis=0, initial=0)
    return near((a[:, :2] + a[:, 2:]) / 2, (a[:, 2:] - a[:, :2] + largest) / 2, (b[:, :2] + b[:, 2:]) / 2)
