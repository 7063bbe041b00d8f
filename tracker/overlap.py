"""Association of the default preset: by overlap, in stages, with looks as evidence.

What each stage takes from: ByteTrack (arXiv 2110.06864) for the second stage with faint detections, C-BIoU (arXiv
2211.14317) for the grown boxes, Hybrid-SORT (arXiv 2308.00783) for the overlap of heights. Two units are our own: looks
weigh by what they are measured to tell (`looks`), and what stands still is remembered long (`_standing`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracker import boxes
from tracker.assignment import Matches, Pairs, assign, near
from tracker.config import TrackerConfig
from tracker.looks import Evidence
from tracker.observation import Observation
from tracker.tracks import TrackBank

_LEAST_SIMILARITY = 1e-6
SameClass = Callable[[np.ndarray, np.ndarray], np.ndarray]


class OverlapAssociation:
    """Matches tracks and detections of a frame; keeps what it has learnt of the run's features."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.evidence = Evidence()

    def __call__(
        self, bank: TrackBank, seen: Observation, confidence: np.ndarray, xyxy: np.ndarray, same_class: SameClass
    ) -> tuple[Matches, np.ndarray]:
        """Matches, and the rows of detections left over.

        Parameters
        ----------
        confidence : (N,) scores on the scale of `ScoreScale`.
        xyxy : (T,4) predicted boxes, pixels.
        same_class : which pairs, given as rows of tracks (P,) and of detections (P,), may be one object's, (P,) bool.
        """
        c = self.config
        pairs, gate = self._pairs(bank, seen, confidence, xyxy, same_class)
        confident = confidence >= c.confident_score
        free_track, free = np.ones(len(bank), bool), np.ones(len(seen), bool)
        awake = ~bank.asleep
        faint = ~confident & (confidence >= c.faint_score)
        stages = (
            (bank.confirmed & awake, confident, 1 - c.max_iou_distance),
            (bank.confirmed & (bank.time_since_update == 0), faint, c.faint_overlap),
            (~bank.confirmed, confident, c.tentative_overlap),
        )
        matches = Matches.empty()
        for track, detection, least in stages:
            track, detection = track & free_track, detection & free
            if not (track.any() and detection.any()):
                continue
            found = assign(pairs[gate >= least].where(track, detection), 1.0)
            free_track[found.track], free[found.detection] = False, False
            matches += found
        found = self._standing(bank, seen, free_track, free & confident, same_class)
        free[found.detection] = False
        return matches + found, np.flatnonzero(free)

    def _pairs(
        self, bank: TrackBank, seen: Observation, confidence: np.ndarray, xyxy: np.ndarray, same_class: SameClass
    ) -> tuple[Pairs, np.ndarray]:
        """Tracks awake and detections whose grown boxes meet, at 1 - similarity; and their overlap (P,)."""
        c = self.config
        rows = np.flatnonzero(~bank.asleep)
        mine, theirs = boxes.grow(xyxy[rows], c.grow), boxes.grow(seen.xyxy, c.grow)
        t, d = touching(mine, theirs)
        same = same_class(rows[t], d)
        t, d = t[same], d[same]
        overlap = boxes.iou_of_pairs(mine[t], theirs[d]) * boxes.vertical_iou_of_pairs(xyxy[rows[t]], seen.xyxy[d])
        overlap *= 1 - c.score_weight * (1 - confidence[d])
        t = rows[t]
        similarity = overlap - c.youth_weight * np.exp((3 - bank.hits[t]) / 5)
        similarity -= c.absence_weight * -np.expm1(-bank.time_since_update[t] / 10)
        if seen.embedded.any():
            similarity, overlap = self._with_looks(bank, seen, t, d, similarity, overlap)
        return Pairs(t, d, 1 - np.maximum(similarity, _LEAST_SIMILARITY)), overlap

    def _with_looks(
        self,
        bank: TrackBank,
        seen: Observation,
        t: np.ndarray,
        d: np.ndarray,
        similarity: np.ndarray,
        overlap: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Similarities (P,) with what features tell added, and overlaps (P,), of which too unlike pairs have none."""
        known = seen.embedded[d] & (bank.looks[t] > 0)
        alike = np.einsum("pd,pd->p", bank.look[t[known]], seen.feature[d[known]]).astype(np.float64)
        similarity, overlap = similarity.copy(), overlap.copy()
        similarity[known] += self.config.looks_weight * self.evidence(alike)
        if self.config.max_cosine_distance is not None:
            overlap[np.flatnonzero(known)[1 - alike > self.config.max_cosine_distance]] = -1
        return similarity, overlap

    def _standing(
        self, bank: TrackBank, seen: Observation, free_track: np.ndarray, free: np.ndarray, same_class: SameClass
    ) -> Matches:
        """Lost tracks that stood still take what appears where they were last seen.

        A detector may miss a person who stands among others for many seconds; one who walked is elsewhere by then.
        """
        c = self.config
        waiting = bank.confirmed & free_track & (bank.time_since_update > 0) & (bank.speed <= c.standing_speed)
        rows, columns = np.flatnonzero(waiting), np.flatnonzero(free)
        if len(rows) == 0 or len(columns) == 0:
            return Matches.empty()
        t, d = touching(bank.observed[rows], seen.xyxy[columns])
        t, d = rows[t], columns[d]
        same = same_class(t, d)
        t, d = t[same], d[same]
        overlap = boxes.iou_of_pairs(bank.observed[t], seen.xyxy[d])
        return assign(Pairs(t, d, 1 - overlap), 1 - c.standing_overlap)


def covered(xyxy: np.ndarray) -> np.ndarray:
    """Largest share (N,) of each box (N,4) that one other box covers."""
    share = np.zeros(len(xyxy))
    a, b = touching(xyxy, xyxy)
    a, b = a[a != b], b[a != b]
    np.maximum.at(share, a, boxes.intersection_of_pairs(xyxy[a], xyxy[b]) / boxes.area(xyxy[a]))
    return share


def touching(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of corners (T,4) and (N,4) that may overlap, rows (P,) and (P,): a superset, cheap to find."""
    largest = (b[:, 2:] - b[:, :2]).max(axis=0, initial=0)
    return near((a[:, :2] + a[:, 2:]) / 2, (a[:, 2:] - a[:, :2] + largest) / 2, (b[:, :2] + b[:, 2:]) / 2)
