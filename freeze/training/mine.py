"""Tracklets out of the user's own footage: what the tracker followed long, alone and well seen, without labels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from freeze.training.crops import Crops
from freeze.training.errors import TrainDataError
from tracker.core.mot import read_rows
from tracker.errors import SourceError
from tracker.video.sources import open_source

LONGEST_GAP = 3
"""Frames unseen after which the number of a track is no longer trusted."""
SURE = 0.35
"""Score below which a detection is passed over: twins and half-seen things."""
FEWEST, MOST = 8, 32
"""Crops of a tracklet."""
SMALLEST = 24
"""Height of a box in pixels."""
COVERED = 0.15
"""Share of a box that another track's box may cover."""
EDGE = 3
"""Pixels from the frame's border within which a box is cut off, and its object comes or goes."""
PLAIN = 8.0
"""Deviation, in grey levels, below which a crop shows no object."""
WHOLE = 0.7
"""Share of a track's largest whole box that one cut off must still show."""
LOST, NEAR, DRIFT = 30, 0.7, 0.02
"""Frames, heights of a box, and heights a frame within which a lost object may turn up again."""
ENOUGH, MANY = 4, 9
"""Objects without which nothing can be learnt and judged, and from which on there is plenty."""
MOVED = 0.5
"""Way of a tracklet in heights of its box: what does not move shows the same crop all the time."""


@dataclass(frozen=True)
class Tracklet:
    """A part of a track: frames (K,) int, 1-based, boxes (K,4) xyxy; did it come in and leave by the border."""

    frames: np.ndarray
    xyxy: np.ndarray
    came: bool
    left: bool
    track: int = 0


def track(video: Path, folder: Path, detector: str, quiet: bool = False) -> np.ndarray:
    """Runs the tracker, without appearance, on a video; it shows how far it is, unless it is to be quiet.

    Returns
    -------
    (R,6) ndarray of float64
        Rows of frame, id, and xyxy in pixels.

    Raises
    ------
    TrainDataError
        The tracker failed; its message is repeated.
    """
    command = [
        sys.executable,
        "-m",
        "tracker",
        "run",
        str(video),
        "--output",
        str(folder),
        "--overwrite",
        "--no-video",
        "--encoder",
        "none",
        "--detector",
        detector,
        *(["--quiet"] if quiet else []),
    ]
    root = str(Path(__file__).parents[2])  # the working directory may be anywhere
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode == 130 or done.returncode < 0:
        raise KeyboardInterrupt
    if done.returncode:
        raise TrainDataError(f"the tracker could not follow {video}: {done.stderr.strip()[-500:]}")
    rows = read_rows(folder / "tracks.txt")
    rows = rows[rows[:, 6] >= SURE, :6]
    rows[:, 4:] += rows[:, 2:4]
    return rows


def footage(video: Path, folder: Path, detector: str, quiet: bool = False) -> list[Tracklet]:
    """The tracklets of a video, told of in a line unless `quiet`.

    Where `auto` leaves few, as with vehicles from above that no network knows, what moves is followed instead.
    """
    size = frame_size(video)
    found: list[Tracklet] = []
    for name in (detector, "motion") if detector == "auto" else (detector,):
        rows = track(video, folder / name, name, quiet)
        seen = textured(video, tracklets(rows, size))
        if not quiet:
            print(f"{video.name}: {len(np.unique(rows[:, 1]))} tracks, {len(seen)} tracklets to learn from", flush=True)
        found = max(found, seen, key=len)
        if len(found) >= MANY:
            break
    return found


def tracklets(rows: np.ndarray, size: tuple[int, int]) -> list[Tracklet]:
    """The parts of tracks that can be learnt from.

    Parameters
    ----------
    rows : (R,6) ndarray
        Frame, id, xyxy.
    size : tuple[int, int]
        (width, height) of the frame, pixels.
    """
    clear = well_seen(rows, size)
    found = []
    for number in np.unique(rows[:, 1]):
        mine = np.flatnonzero(rows[:, 1] == number)
        mine = mine[np.argsort(rows[mine, 0])]
        for part in np.split(mine, np.flatnonzero(np.diff(rows[mine, 0]) > LONGEST_GAP) + 1):
            good = part[clear[part]]
            if len(good) < FEWEST or _way(rows[good, 2:]) < MOVED:
                continue
            edge = at_edge(rows[part, 2:], size)
            came, left = bool(edge[:3].any()), bool(edge[-3:].any())
            chosen = good[np.linspace(0, len(good) - 1, min(MOST, len(good))).astype(int)]
            found.append(Tracklet(rows[chosen, 0].astype(int), rows[chosen, 2:], came, left, int(number)))
    return found


def textured(video: Path, found: list[Tracklet]) -> list[Tracklet]:
    """Those whose crops mostly show something: a shadow or a change of light leaves boxes on bare road."""
    deviations: list[list[float]] = [[] for _ in found]
    for i, _, crop in cut_out(video, found):
        deviations[i].append(float(crop.std((0, 1)).mean()))
    return [t for t, d in zip(found, deviations, strict=True) if d and np.median(d) >= PLAIN]


def well_seen(rows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(R,) bool: large enough, nearly whole, and hardly covered by another track's box."""
    boxes = rows[:, 2:]
    area = (np.minimum(boxes[:, 2:], size) - np.maximum(boxes[:, :2], 0)).clip(0).prod(1)
    edge = at_edge(boxes, size)
    largest = np.zeros(len(rows))
    for number in np.unique(rows[:, 1]):
        mine = rows[:, 1] == number
        largest[mine] = area[mine & ~edge].max(initial=0) or np.inf
    clear: np.ndarray = (boxes[:, 3] - boxes[:, 1] >= SMALLEST) & (~edge | (area >= WHOLE * largest))
    for frame in np.unique(rows[:, 0]):
        at = np.flatnonzero(rows[:, 0] == frame)
        box = boxes[at]
        sides = np.minimum(box[:, None, 2:], box[None, :, 2:]) - np.maximum(box[:, None, :2], box[None, :, :2])
        common = np.clip(sides, 0, None).prod(2)
        np.fill_diagonal(common, 0)
        clear[at] &= (common / (box[:, 2:] - box[:, :2]).prod(1)[:, None]).max(1, initial=0) <= COVERED
    return clear


def at_edge(xyxy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N,) bool: the box touches the frame's border."""
    return np.asarray((xyxy[:, :2] <= EDGE).any(1) | (xyxy[:, 2:] >= np.subtract(size, EDGE)).any(1))


def _way(xyxy: np.ndarray) -> float:
    """Distance between the first and the last centre, in mean heights."""
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    return float(np.linalg.norm(centre[-1] - centre[0]) / np.mean(xyxy[:, 3] - xyxy[:, 1]))


def known_to_differ(found: list[Tracklet]) -> np.ndarray:
    """(I,I) bool: in view together, or the earlier left over the border, or the later came in over it.

    Any other two may be one object that the tracker lost and found. One that leaves and comes back is taken for two.
    """
    first, last = np.array([t.frames[0] for t in found]), np.array([t.frames[-1] for t in found])
    came, left = np.array([t.came for t in found], bool), np.array([t.left for t in found], bool)
    together = (first[:, None] <= last) & (first <= last[:, None])
    apart = (last[:, None] < first) & (left[:, None] | came)  # row is the earlier of the two
    differ: np.ndarray = together | apart | apart.T
    np.fill_diagonal(differ, False)
    return differ


def groups(found: list[Tracklet], differ: np.ndarray) -> np.ndarray:
    """(I,) int: tracklets that may be parts of one way have one number; a way is taken up where and when it broke off.

    Parameters
    ----------
    differ : ndarray
        As from `known_to_differ`.
    """
    number = np.arange(len(found))
    for a, early in enumerate(found):
        for b, late in enumerate(found):
            gap = late.frames[0] - early.frames[-1]
            if not 0 < gap <= LOST or differ[a, b]:
                continue
            height = max(early.xyxy[-1, 3] - early.xyxy[-1, 1], late.xyxy[0, 3] - late.xyxy[0, 1])
            there, here = _centre(early.xyxy[-1]), _centre(late.xyxy[0])
            # Where it would be had it gone on, with a doubt that grows with time.
            missed = np.linalg.norm(there + _speed(early) * gap - here)
            if early.track == late.track or missed <= height * (NEAR + DRIFT * gap):
                number[number == number[b]] = number[a]
    return number


def _centre(box: np.ndarray) -> np.ndarray:
    centre: np.ndarray = (box[:2] + box[2:]) / 2
    return centre


def _speed(t: Tracklet) -> np.ndarray:
    """(2,) pixels a frame over its last third."""
    k = -max(2, len(t.frames) // 3)
    speed: np.ndarray = (_centre(t.xyxy[-1]) - _centre(t.xyxy[k])) / max(1, t.frames[-1] - t.frames[k])
    return speed


def crops_of(videos: list[tuple[Path, list[Tracklet]]], size: tuple[int, int]) -> Crops:
    """The crops of the tracklets of several videos; of two in different videos it is not known whether they differ.

    An identity's name is the number of its group (see `groups`).
    """
    images, identity, camera, scene = [], [], [], []
    blocks: list[np.ndarray] = []
    number_of: list[np.ndarray] = []
    for number, (video, found) in enumerate(videos):
        base = sum(len(b) for b in blocks)
        for i, k, crop in cut_out(video, found):
            images.append(cv2.resize(crop, size[::-1], interpolation=cv2.INTER_LINEAR))
            identity.append(base + i)
            camera.append(int(k >= len(found[i].frames) / 2))
            scene.append(number)
        blocks.append(known_to_differ(found))
        number_of.append(groups(found, blocks[-1]) + base)
    count = sum(len(b) for b in blocks)
    differ, row = np.zeros((count, count), bool), 0
    for block in blocks:
        differ[row : row + len(block), row : row + len(block)] = block
        row += len(block)
    none = np.zeros(count, bool)
    return Crops(
        np.array(images, np.uint8).reshape(-1, *size, 3),
        np.array(identity, np.int32),
        np.array(camera, np.int32),
        np.array(scene, np.int32),
        differ,
        none,
        none.copy(),
        np.ones(count),
        [str(i) for number in number_of for i in number],
    )


def cut_out(video: Path, found: list[Tracklet]) -> list[tuple[int, int, np.ndarray]]:
    """(number of a tracklet, number of its frame, crop) of the tracklets of a video, in that order."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for i, t in enumerate(found):
        for k, frame in enumerate(t.frames):
            wanted.setdefault(int(frame), []).append((i, k))
    parts: dict[tuple[int, int], np.ndarray] = {}
    for frame, image in _frames(video, max(wanted, default=0)):
        for i, k in wanted.get(frame, ()):
            x0, y0, x1, y1 = np.round(found[i].xyxy[k]).astype(int).clip(0)
            if min(image[y0:y1, x0:x1].shape[:2]) > 1:
                parts[i, k] = image[y0:y1, x0:x1].copy()
    return [(i, k, crop) for (i, k), crop in sorted(parts.items())]


def _frames(video: Path, last: int) -> Iterator[tuple[int, np.ndarray]]:
    """(frame, image) from 1 to `last`, numbered as in the tracker's rows."""
    with open_source(str(video)) as source:
        for frame in source:
            if frame.index > last:
                return
            if frame.image is not None:
                yield frame.index, frame.image


def frame_size(video: Path) -> tuple[int, int]:
    """(width, height) of a source's frames.

    Raises
    ------
    TrainDataError
        It cannot be read.
    """
    try:
        with open_source(str(video)) as source:
            return source.info.size
    except SourceError as e:
        raise TrainDataError(str(e)) from None
