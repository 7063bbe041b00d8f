"""Whether a missed track is where it is predicted: a share measured on the run, so that its box may be written.

How long detectors miss what is there differs from scene to scene by far more than any rule could know: behind a pole
nine of ten coasted boxes are right, where tracks end because people leave or never were there one of ten.
"""

from __future__ import annotations

import numpy as np

from tracker import boxes

_PRIOR, _PRIOR_WEIGHT = 0.3, 10
"""The share that is taken for right before any was met, and how many met boxes that belief is worth."""
_RIGHT = 0.6
"""Least IoU of a coasted box that was right."""


class Coasting:
    """Of the boxes coasted for 1, 2, ... frames, how many were proved right: found again near the predicted place.

    Parameters
    ----------
    longest : frames after which a missed track is not followed up.
    """

    def __init__(self, longest: int) -> None:
        self.coasted = np.zeros(longest + 1)
        self.right = np.zeros(longest + 1)

    def learn(self, missed: np.ndarray, predicted: np.ndarray, detected: np.ndarray) -> None:
        """Tracks found again after `missed` (K,) frames, K > 0, at boxes (K,4), predicted at (K,4).

        What the prediction was wrong by has grown evenly since the last match, so that the boxes before need not be
        kept: the k-th of n was wrong by k / (n + 1) of it.
        """
        error = predicted - detected
        frame = np.arange(1, min(missed.max() + 1, len(self.right)))
        track, step = np.nonzero(frame <= missed[:, None])
        share = frame[step] / (missed[track] + 1)
        overlap = boxes.iou_of_pairs(detected[track] + share[:, None] * error[track], detected[track])
        np.add.at(self.right, frame[step[overlap >= _RIGHT]], 1)

    def chance(self, missed: np.ndarray) -> np.ndarray:
        """Shares (K,) of right boxes among those coasted for `missed` (K,) frames, which are counted as coasted."""
        chance = (self.right + _PRIOR * _PRIOR_WEIGHT) / (self.coasted + _PRIOR_WEIGHT)
        np.add.at(self.coasted, missed, 1)
        return chance[missed]
