"""Appearance on demand: which detections of a frame are worth an embedding.

Most are not: one track stands where they are and no other is near, so that motion alone decides the match, and the
track's feature is known; or the detector is so unsure of it that no track will take it. Embedded are detections that
several tracks may take or that contest a track, those of new and returning objects, and now and then each track's, so
that its feature stays fresh.
"""

from __future__ import annotations

import numpy as np

from tracker.core import boxes
from tracker.tracking.config import OverlapConfig
from tracker.tracking.overlap_bank import OverlapBank
from tracker.tracking.overlap_matching import MIN_IOU_LOW

FAMILIAR = 3
"""Features after which a mean is known."""
REFRESH = 10
"""Frames after which one is taken anew."""
CONTACT = 0.1
"""Overlap of grown boxes above which a pair is plausible: with that of a match, two that begin to cross are missed."""


def needed(
    bank: OverlapBank,
    predicted: np.ndarray,
    xyxy: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    probability: np.ndarray,
    config: OverlapConfig,
    elapsed: int,
) -> np.ndarray:
    """Which detections (N,) bool need a feature.

    Parameters
    ----------
    predicted : (T,4) ndarray
        Boxes of the tracks in this frame, pixels.
    xyxy : (N,4) ndarray
        Detections, pixels; both grown as for matching.
    pairs : tuple[ndarray, ndarray]
        Rows of tracks (P,) and of detections (P,) that may be one object's.
    probability : (N,) ndarray
        Scores on the scale of `ScoreScale`.
    elapsed : int
        Frames since the detections before.
    """
    track, detection = pairs
    high = probability >= config.high_score
    just_seen = bank.confirmed & (bank.time_since_update == 0)
    overlap = boxes.iou_of_pairs(boxes.take(predicted, track), boxes.take(xyxy, detection))
    # A low detection is taken by a track just seen and with a good overlap, or by none.
    plausible = (overlap > CONTACT) & high[detection]
    low = (overlap >= MIN_IOU_LOW) & (probability >= config.low_score)[detection]
    plausible |= low & just_seen[track]
    track, detection = track[plausible], detection[plausible]
    rivals, choices = np.bincount(track, minlength=len(bank)), np.bincount(detection, minlength=len(xyxy))
    due = (bank.age + bank.id) % REFRESH < elapsed
    settled = just_seen & (bank.feature_count >= FAMILIAR) & ~due
    clear = (rivals[track] == 1) & (choices[detection] == 1) & settled[track]
    need = high | (choices > 0)
    need[detection[clear]] = False
    return need
