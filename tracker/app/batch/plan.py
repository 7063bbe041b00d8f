"""Which videos there are, and the parts into which long ones are cut."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.core.address import shown
from tracker.core.files import path_component, unique
from tracker.core.text import shorten
from tracker.errors import SourceError
from tracker.video.frame_source import VIDEOS
from tracker.video.timeline import Timeline

LONGEST = 90
"""Bytes of a video's name among the results, before what tells long ones apart."""


@dataclass(frozen=True)
class Video:
    """A file to track.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Its folder among the results; no other video of the batch has it.
    camera : str
        The folder below the one that was given, where recordings lie in one folder a camera, else the file's stem.
    """

    path: Path
    name: str
    camera: str


@dataclass(frozen=True)
class Part:
    """A stretch of a video for one worker, frames counted from 1.

    Attributes
    ----------
    start : int
        First frame that is tracked: tracks gather over the overlap before `first`.
    first : int
        First frame that counts.
    last : int or None
        Last frame; None: to the end.
    """

    start: int
    first: int
    last: int | None


def find_videos(inputs: Sequence[str]) -> tuple[list[Video], list[str]]:
    """The videos of folders (and the folders in them), of lists (.txt, one path a line) and given one by one.

    Returns
    -------
    videos : list of Video
        In the order of the inputs, sorted within a folder; one that is there under two names is taken once.
    notes : list of str
        What was left out, and why.

    Raises
    ------
    SourceError
        An input is not there, or there is no video at all.
    """
    found = [pair for text in inputs for pair in _of_input(text, ())]
    if not found:
        raise SourceError(f"{', '.join(inputs)}: no videos; expected files that end in {', '.join(VIDEOS)}")
    videos: list[Video] = []
    notes: list[str] = []
    same = _Same()
    taken: set[str] = set()
    for path, root in found:
        if (other := same.as_before(path)) is not None:
            notes.append(f"{path} is the same video as {other}: tracked once")
            continue
        below = path.relative_to(root).parts if root is not None else (path.name,)
        name = unique(_component("_".join((*below[:-1], path.stem))), taken)
        videos.append(Video(path, name, below[0] if len(below) > 1 else path.stem))
    return videos, notes


def _of_input(text: str, lists: tuple[Path, ...]) -> list[tuple[Path, Path | None]]:
    """Files, each with the folder that was given; `lists` name this input, one in the other."""
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):
        inside = (p for p in path.rglob("*") if p.suffix.lower() in VIDEOS and not p.name.startswith("."))
        return [(p, path) for p in sorted(inside) if p.is_file()]
    if path.suffix.lower() == ".txt" and path.is_file():
        if path.resolve() in lists:
            raise SourceError(f"{path}: a list that names itself; expected one path to a video a line")
        deeper = (*lists, path.resolve())
        return [pair for line in _lines(path) for pair in _of_input(str(path.parent / line), deeper)]
    if not os.path.exists(path):
        raise SourceError(
            f"{shown(text)}: no such file or folder; expected a video, a folder of videos, or a list (.txt)"
        )
    return [(path, None)]


def _lines(path: Path) -> Iterable[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise SourceError(f"{path}: cannot be read ({e}); expected one path a line") from None
    return (line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


class _Same:
    """Tells files of the same bytes: by their place, else by size, and by hash only where sizes agree."""

    def __init__(self) -> None:
        self._by_size: dict[int, list[Path]] = {}
        self._hashes: dict[Path, str] = {}

    def as_before(self, path: Path) -> Path | None:
        """An earlier path to the same video."""
        try:
            size = path.stat().st_size
        except OSError:  # said when it is opened
            return None
        earlier = self._by_size.setdefault(size, [])
        for other in earlier:
            if other.resolve() == path.resolve() or self._hash(other) == self._hash(path):
                return other
        earlier.append(path)
        return None

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            try:
                with path.open("rb") as file:
                    self._hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                self._hashes[path] = str(path)
        return self._hashes[path]


def _component(name: str) -> str:
    """A folder's name for a video; what is cut off a long one still tells it from others."""
    given = os.fsencode(name)
    clean = path_component(name, "video")
    return clean if len(given) <= LONGEST else shorten(clean, LONGEST) + hashlib.sha256(given).hexdigest()[:8]


def cut(
    timeline: Timeline | None,
    split_s: float | None,
    overlap_s: float,
    *,
    start: int = 1,
    max_frames: int | None = None,
    stride: int = 1,
) -> list[Part]:
    """The parts of a video, each at least half of `split_s` long; one part where it cannot be cut.

    Parameters
    ----------
    timeline : Timeline, optional
        Of the file; None: its frames can only be counted by decoding them, and it stays whole.
    split_s, overlap_s : float
        Seconds of a part, and how long before it tracking starts.
    start, max_frames, stride : int
        Frames that are wanted, as for `FrameRange`; parts begin on frames that are.
    """
    last = None if max_frames is None else start + (max_frames - 1) * stride
    if timeline is None or split_s is None:
        return [Part(start, start, last)]
    frames = np.arange(start, min(len(timeline), last or len(timeline)) + 1, stride)
    if not len(frames):
        return [Part(start, start, last)]
    seconds = timeline.seconds()[frames - 1]
    length = seconds[-1] - seconds[0]
    count = max(1, int(np.floor(length / split_s + 0.5)))
    bounds = np.searchsorted(seconds, seconds[0] + split_s * np.arange(1, count))
    leads = np.searchsorted(seconds, seconds[bounds] - overlap_s) if len(bounds) else bounds
    firsts = [start, *frames[bounds].tolist()]
    starts = [start, *frames[leads].tolist()]
    lasts = [*(f - stride for f in firsts[1:]), int(frames[-1]) if last is not None else None]
    return [Part(*bounds) for bounds in zip(starts, firsts, lasts, strict=True)]
