"""Groups of sequences in the accuracy benchmark, and the units of the default preset that it can leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import SourceError

GROUPS = (
    "mot17",
    "mot17-camera",
    "mot17-frcnn",
    "mot20",
    "dancetrack",
    "kitti-vehicles",
    "kitti-people",
    "public",
    "own",
)
"""MOT17 and MOT20 with YOLOX, the former with camera motion too and with FRCNN; DanceTrack; KITTI; others with public
detections; our own detectors on sequences with pixels. Settings are chosen on all groups but the one quoted."""

UNITS: dict[str, dict[str, Any]] = {
    "buffer": {"buffer": 0.0},
    "low-scores": {"low_score": 1.0},
    "start-at-once": {"new_track_score": 1.0},
    "coasting": {"coast_chance": 1.0},
    "stationary": {"stationary_s": 0.0},
    "appearance": {"appearance_weight": 0.0},
}
"""Settings of the default preset that switch a unit off, by the name `--without` takes."""


def group_of(folder: Path, detections: str, *, public: bool, camera: bool) -> str:
    """The group of a sequence with detections of this name; public: they lay beside it."""
    name = folder.name
    if not public:
        return "own"
    if name.startswith("DanceTrack"):
        return "dancetrack"
    if name.startswith("KITTI-tr"):
        return "kitti-people" if name.endswith("people") else "kitti-vehicles"
    if name.startswith("MOT20"):
        return "mot20"
    if name.startswith("MOT17") and name.endswith("half2"):
        if "FRCNN" in detections:
            return "mot17-frcnn"
        return "mot17-camera" if camera else "mot17"
    return "public"


def camera_motion(folder: Path, frames: int) -> list[np.ndarray] | None:
    """Affine maps (2,3) of each frame from the one before, of `gmc/gmc.txt`; None where there is no such file.

    Raises
    ------
    SourceError
        The file does not hold rows of seven numbers.
    """
    path = folder / "gmc" / "gmc.txt"
    if not path.exists():
        return None
    try:
        rows = np.loadtxt(path, delimiter=",", ndmin=2)
        maps = {int(row[0]): row[1:7].reshape(2, 3) for row in rows}
    except (OSError, ValueError) as e:
        raise SourceError(f"{path} cannot be read ({e}); expected rows: frame, affine map (6)") from None
    return [maps.get(frame, np.eye(2, 3)) for frame in range(1, frames + 1)]
