"""Boxes become crops of one size: `cv2.resize` into one array that is kept between frames."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

RULES = ("stretch", "aspect")


class CropBuffer:
    """Cuts boxes out of frames into one growing uint8 array.

    Parameters
    ----------
    shape : tuple[int, int, int]
        (height, width, channels) of a crop, pixels; 3 channels, or 1 for grey.
    rule : str
        `stretch` resizes the box as it is; `aspect` first gives it the crop's aspect by changing its width about its
        centre, as the published DeepSORT tools do.
    """

    def __init__(self, shape: tuple[int, int, int], rule: str = "stretch") -> None:
        if rule not in RULES:
            raise ValueError(f"crop rule {rule!r}; expected one of {', '.join(RULES)}")
        self.shape, self.rule = shape, rule
        self._array = np.zeros((32, *shape), np.uint8)

    def cut(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Crops of several frames' boxes, one frame's after the other's.

        Parameters
        ----------
        frames : Iterable[tuple[ndarray, ndarray]]
            Pairs of a uint8 (H,W,3) BGR image and (N,4) corners in its pixels. What reaches over the border is cut off
            first; a box without a pixel inside gives a black crop.

        Returns
        -------
        (sum of N, height, width, channels) ndarray of uint8
            A view that the next call overwrites.
        """
        frames = list(frames)
        total = sum(len(xyxy) for _, xyxy in frames)
        if total > len(self._array):
            self._array = np.zeros((max(total, 2 * len(self._array)), *self.shape), np.uint8)
        row = 0
        for image, xyxy in frames:
            for x1, y1, x2, y2 in self._pixels(xyxy, image.shape[1], image.shape[0]).tolist():
                self._one(image[y1:y2, x1:x2], self._array[row])
                row += 1
        return self._array[:total]

    def _one(self, patch: np.ndarray, out: np.ndarray) -> None:
        height, width, channels = self.shape
        if patch.size == 0:
            out.fill(0)
        elif channels == 1:
            out[..., 0] = cv2.resize(cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY), (width, height))
        else:
            cv2.resize(patch, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)

    def _pixels(self, xyxy: np.ndarray, width: int, height: int) -> np.ndarray:
        """Corners (N,4) as whole pixels inside the frame, by the rule."""
        box = np.array(xyxy, np.float64).reshape(-1, 4)
        if self.rule == "aspect":
            centre = (box[:, 0] + box[:, 2]) / 2
            half = (box[:, 3] - box[:, 1]) * self.shape[1] / self.shape[0] / 2
            box[:, 0], box[:, 2] = centre - half, centre + half
        limit = np.array([width, height, width, height])
        return np.clip(np.trunc(box), 0, limit).astype(np.int64)
