"""Readers of labelled crops, one per kind of source: each yields its items in a fixed order."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from freeze.training import mine
from freeze.training.errors import TrainDataError
from tracker.core.mot import read_rows
from tracker.errors import DetectionsError
from tracker.video.sources import open_source

IMAGES = (".jpg", ".jpeg", ".png", ".bmp")
SMALLEST = 16
"""Height in pixels below which a box of a sequence is not used."""
EVERY, BESIDE = 3, 2
"""Of a sequence without labels every which frame is read, and how many boxes beside each detection, as a worse detector
might have drawn them."""


@dataclass(frozen=True)
class Item:
    """One crop: `image` is None where it cannot be read; `frame` is -1 where it is not known."""

    name: str
    image: np.ndarray | None
    identity: str
    camera: int
    frame: int = -1


def decode(data: bytes) -> np.ndarray | None:
    """BGR image of a file's bytes; None where they hold none."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None


def split_name(name: str) -> tuple[str, int] | None:
    """(identity, camera) of `0002_c1s1_000451_03.jpg`; None for junk (-1, 0000) and other names."""
    parts = Path(name).stem.split("_")
    if len(parts) < 2 or not parts[0].isdigit() or int(parts[0]) == 0 or parts[1][:1] != "c":
        return None
    camera = parts[1][1:].split("s")[0]
    return (parts[0], int(camera)) if camera.isdigit() else None


def read_names(path: Path) -> Iterator[Item]:
    """A folder or .tar of images named <identity>_c<camera>..., as Market-1501 has them."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGES)
        yield from _named((p.name, p.read_bytes()) for p in files)
        return
    try:
        with tarfile.open(path) as archive:
            members = [m for m in archive if m.isfile() and m.name.lower().endswith(IMAGES)]
            files_in = ((m, archive.extractfile(m)) for m in sorted(members, key=lambda m: m.name))
            yield from _named((m.name, f.read()) for m, f in files_in if f is not None)
    except (tarfile.TarError, OSError) as e:
        raise TrainDataError(f"{path} is neither a folder nor a readable .tar archive ({e})") from e


def _named(files: Iterable[tuple[str, bytes]]) -> Iterator[Item]:
    for name, data in files:
        if (split := split_name(name)) is not None:
            yield Item(name, decode(data), *split)


def read_folders(path: Path) -> Iterator[Item]:
    """A folder per identity; the camera is taken from names such as x_c2_..., else it is 0."""
    for folder in sorted(p for p in path.iterdir() if p.is_dir()):
        for file in sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES):
            split = split_name(file.name)
            yield Item(f"{folder.name}/{file.name}", decode(file.read_bytes()), folder.name, split[1] if split else 0)


def read_tracklets(path: Path) -> Iterator[Item]:
    """A folder per track, images named by frame number; the first half of a track is camera 0, the second camera 1."""
    for folder in sorted(p for p in path.iterdir() if p.is_dir()):
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.stem.isdigit())
        for index, file in enumerate(files):
            yield Item(
                f"{folder.name}/{file.name}",
                decode(file.read_bytes()),
                folder.name,
                int(index >= len(files) / 2),
                int(file.stem),
            )


def read_mot(path: Path) -> Iterator[Item]:
    """A MOTChallenge sequence with gt/gt.txt and images in img1/; rows with confidence 0 are left out."""
    rows = _rows(path / "gt" / "gt.txt")
    rows = rows[(rows[:, 6] != 0) & (rows[:, 5] >= SMALLEST)]
    images = {int(p.stem): p for p in (path / "img1").glob("*") if p.suffix.lower() in IMAGES and p.stem.isdigit()}
    if len(rows) and not images:
        raise TrainDataError(f"{path} has no images in img1/; a sequence to train on needs its frames there")
    middle = {i: np.median(rows[rows[:, 1] == i, 0]) for i in np.unique(rows[:, 1])}
    for frame in np.unique(rows[:, 0]):
        if int(frame) not in images:
            continue
        image = decode(images[int(frame)].read_bytes())
        for row in rows[rows[:, 0] == frame]:
            crop = None if image is None else cut(image, row[2:6])
            yield Item(
                f"{path.name}/{int(frame)}/{int(row[1])}",
                crop,
                str(int(row[1])),
                int(frame > middle[row[1]]),
                int(frame),
            )


def read_unlabelled(path: Path) -> Iterator[Item]:
    """Boxes of det/det.txt, and some beside them, in a sequence with img1/ or one video, for a teacher to tell of."""
    rows = _rows(path / "det" / "det.txt")
    rng = np.random.default_rng(0)
    for frame, image in _frames(path):
        for row in np.flatnonzero((rows[:, 0] == frame) & (rows[:, 5] >= SMALLEST)) if frame % EVERY == 0 else ():
            for k in range(1 + BESIDE):
                box = rows[row, 2:6] if k == 0 else beside(rows[row, 2:6], rng)
                yield Item(f"{path.name}/{frame}/{row}/{k}", cut(image, box), "", 0, frame)


def _rows(path: Path) -> np.ndarray:
    """MOT rows (N,7)."""
    try:
        return read_rows(path)
    except DetectionsError as e:
        raise TrainDataError(str(e)) from None


def beside(tlwh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A box that overlaps another by about two thirds."""
    size = tlwh[2:4] * np.exp(rng.normal(0, 0.2, 2))
    centre = tlwh[:2] + tlwh[2:4] * (0.5 + rng.normal(0, 0.15, 2))
    return np.concatenate([centre - size / 2, size])


def read_footage(path: Path) -> Iterator[Item]:
    """A video: the tracker follows what moves, and what it followed long and well seen are tracklets."""
    with tempfile.TemporaryDirectory() as folder:
        found = mine.footage(path, Path(folder), "auto")
    for i, k, crop in mine.cut_out(path, found):
        t = found[i]
        yield Item(f"{path.name}/{i}/{t.frames[k]}", crop, str(i), int(k >= len(t.frames) / 2), int(t.frames[k]))


def _frames(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(number from 1, image) of a sequence folder; without seqinfo.ini, of its img1/ or its video."""
    whole = path
    if not (path / "seqinfo.ini").exists():
        videos = (p for p in sorted(path.iterdir()) if p.suffix in (".avi", ".mp4"))
        whole = path / "img1" if (path / "img1").is_dir() else next(videos, path)
    with open_source(str(whole)) as source:
        if not source.info.pixels:
            raise TrainDataError(f"{path} has neither images nor a video")
        yield from ((frame.index, frame.image) for frame in source if frame.image is not None)


def cut(image: np.ndarray, tlwh: np.ndarray) -> np.ndarray | None:
    """The part of an image inside a box; None where that is under two pixels wide or high."""
    left, top = np.maximum(np.round(tlwh[:2]).astype(int), 0)
    right, bottom = np.maximum(np.round(tlwh[:2] + tlwh[2:4]).astype(int), 0)
    crop = image[top:bottom, left:right]
    return crop.copy() if min(crop.shape[:2]) >= 2 else None


READERS = {
    "folders": read_folders,
    "names": read_names,
    "tracklets": read_tracklets,
    "mot": read_mot,
    "footage": read_footage,
    "unlabelled": read_unlabelled,
}
GLOBAL = ("folders", "names", "mot")
"""Kinds whose identities are all different objects; a track may be part of another's way."""
