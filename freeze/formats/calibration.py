"""Crops that 8-bit integers are calibrated and judged on: folders of one identity each, or the objects of a video."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from freeze.errors import FreezeError
from freeze.training import mine
from freeze.training.readers import IMAGES, Item, decode, read_folders, read_names

LEAST, MOST = 32, 2000


@dataclass(frozen=True)
class Calibration:
    """Crops and whom they show.

    Attributes
    ----------
    crops : ndarray
        uint8 (N, H, W, 3), as the frozen graph is fed.
    identity, camera : ndarray
        int (N,); all -1 where the crops are not labelled.
    """

    crops: np.ndarray
    identity: np.ndarray
    camera: np.ndarray

    @property
    def sample(self) -> np.ndarray:
        """At most 256 crops, spread over all, to calibrate on."""
        return self.crops[:: max(1, len(self.crops) // 256)]


def read(where: str, shape: tuple[int, int, int], colour_order: str) -> Calibration:
    """The crops of a folder or video.

    Raises
    ------
    FreezeError
        CALIBRATION_CROPS: too few.
    """
    path = Path(where)
    if not path.exists():
        raise FreezeError("FILE_MISSING", f"{where} does not exist", "check the path of --calibrate", [where])
    items = _of_folder(path) if path.is_dir() or path.suffix == ".tar" else _of_video(path)
    items = [i for i in items if i.image is not None]
    if len(items) < LEAST:
        raise FreezeError(
            "CALIBRATION_CROPS",
            f"{where} gives {len(items)} crops; at least {LEAST} are needed to see the range of every value",
            "give a folder with one folder of crops per identity, or a video in which objects can be followed",
            [where],
        )
    items = items[:: -(-len(items) // MOST)]
    names = {name: n for n, name in enumerate(dict.fromkeys(i.identity for i in items))}
    crops = np.stack([cv2.resize(i.image, (shape[1], shape[0])) for i in items if i.image is not None])
    if colour_order == "rgb":
        crops = np.ascontiguousarray(crops[..., ::-1])
    labelled = "" not in names
    identity = np.array([names[i.identity] if labelled else -1 for i in items])
    return Calibration(crops, identity, np.array([i.camera for i in items]))


def _of_folder(path: Path) -> list[Item]:
    if path.is_file():
        return list(read_names(path))
    if any(p.is_dir() for p in path.iterdir()):
        return list(read_folders(path))
    return list(read_names(path)) or [
        Item(p.name, decode(p.read_bytes()), "", 0) for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGES
    ]


def _of_video(path: Path) -> list[Item]:
    """Crops of what can be followed: the first half of each track is one camera, the second half the other."""
    with tempfile.TemporaryDirectory() as folder:
        found = mine.footage(path, Path(folder), "auto", quiet=True)
    lengths = [len(t.frames) for t in found]
    return [
        Item(f"{track}/{k}", crop, str(track), int(k >= lengths[track] / 2))
        for track, k, crop in mine.cut_out(path, found)
    ]
