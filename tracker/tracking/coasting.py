"""Which missed tracks are written where they are predicted, by a share measured on the run.

How long a detector misses what is there differs from scene to scene by far more than any rule could know: behind a pole
nine of ten coasted boxes are right, where tracks end because people leave one of ten.
"""

from __future__ import annotations

import numpy as np

from tracker.core import boxes

_PRIOR, _PRIOR_WEIGHT = 0.3, 10
"""The share that is taken for right before any was met, and how many met cases that belief is worth."""
_RIGHT = 0.6
"""Least IoU of a coasted box that was right."""


class Coasting:
    """Of the boxes coasted for 1, 2, ... frames, how many were proved right: found again near the predicted place.

    Parameters
    ----------
    longest : int
        Frames after which a missed track is not followed up.
    """

    def __init__(self, longest: int) -> None:
        self.met, self.right = np.zeros(longest + 1), np.zeros(longest + 1)

    def chance(self, missed: np.ndarray) -> np.ndarray:
        """Chances (K,) of boxes coasted for `missed` (K,) frames being right; they are counted as met."""
        missed = np.minimum(missed, len(self.met) - 1)
        chance: np.ndarray = (self.right[missed] + _PRIOR * _PRIOR_WEIGHT) / (self.met[missed] + _PRIOR_WEIGHT)
        np.add.at(self.met, missed, 1)
        return chance

    def learn(self, missed: np.ndarray, predicted: np.ndarray, detected: np.ndarray) -> None:
        """Tracks found again after `missed` (K,) frames, K > 0, at boxes (K,4), predicted at (K,4).

        What the prediction was wrong by has grown evenly since the last match, so that the boxes before need not be
        kept: the k-th of n was wrong by k / (n + 1) of it.
        """
        near = boxes.iou_of_pairs(predicted, detected) >= _RIGHT  # as the last was right, so were those before
        found = np.bincount(np.minimum(missed[near], len(self.right) - 1), minlength=len(self.right))
        self.right[1:] += found[:0:-1].cumsum()[::-1]
        if near.all():
            return
        missed, error, detected = missed[~near], (predicted - detected)[~near], detected[~near]
        frame = np.arange(1, min(missed.max() + 1, len(self.right)))
        track, step = np.nonzero(frame <= missed[:, None])
        share = frame[step] / (missed[track] + 1)
        overlap = boxes.iou_of_pairs(detected[track] + share[:, None] * error[track], detected[track])
        np.add.at(self.right, frame[step[overlap >= _RIGHT]], 1)
