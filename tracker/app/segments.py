"""A run for days: its rows, events and video in folders by the hour, and no more of the past than there is room for."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tracker.answers.clock import Clock
from tracker.core.files import failed, part_of

PLACE, RECORDINGS, EARLIER = "segments", "recordings", "earlier"
NAMED = re.compile(r"\d{4}-\d\d-\d\d_\d{6}.*")
"""Names that are ours: nothing else is ever removed."""
LOOK_S = 60.0
"""Between two looks at how much there is."""


@dataclass(frozen=True)
class Keeping:
    """How long a segment is, seconds, and how much of the past is kept: seconds and bytes; None: all of it."""

    segment_s: float
    keep_s: float | None = None
    keep_bytes: float | None = None


class Segments:
    """The segments of one stream.

    Parameters
    ----------
    folder : Path
        Of the run; segments are folders in `segments/` there.
    keeping : Keeping
        How long a segment is, and what is kept.
    now : Callable
        The wall clock.

    Attributes
    ----------
    warnings : list of str
        What could not be removed.
    """

    def __init__(self, folder: Path, keeping: Keeping, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._keeping, self._now = folder, keeping, now
        self.warnings: list[str] = []
        self._current: Path | None = None
        self._end = now()
        self._looked_s = 0.0

    def due(self) -> bool:
        """Whether the next segment is to begin."""
        if self._current is not None and time.monotonic() - self._looked_s > LOOK_S:
            self.make_room()
        return self._now() >= self._end

    def begin(self) -> Path:
        """The folder of the segment that begins now; they change at whole hours, or what the length is, of the day.

        Raises
        ------
        OutputError
            It cannot be made.
        """
        now = self._now()
        _, left_s = Clock(now).interval(0.0, self._keeping.segment_s)
        self._end = datetime.fromtimestamp(now.timestamp() + left_s, UTC)
        name = now.astimezone().strftime("%Y-%m-%d_%H%M%S")
        self._current = folder = self._free(self._folder / PLACE / name)
        try:
            folder.mkdir(parents=True)
        except OSError as e:
            raise failed(folder, e) from None
        self.make_room()
        return folder

    @staticmethod
    def _free(path: Path) -> Path:
        number, wanted = 1, path
        while path.exists():
            number += 1
            path = wanted.with_name(f"{wanted.name}-{number}")
        return path

    def make_room(self) -> None:
        """Remove the oldest segments and recordings until what is left is neither too old nor too much."""
        self._looked_s = time.monotonic()
        kept = sorted(self._past(), key=lambda p: p.name)
        sizes = {path: _size(path) for path in kept}
        total = sum(sizes.values()) + (_size(self._current) if self._current is not None else 0)
        oldest = None if self._keeping.keep_s is None else self._now().timestamp() - self._keeping.keep_s
        for path in kept:
            too_old = oldest is not None and _changed(path) < oldest
            too_much = self._keeping.keep_bytes is not None and total > self._keeping.keep_bytes
            if not too_old and not too_much:
                continue
            try:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                total -= sizes[path]
            except OSError as e:
                text = f"{path}: is past what --keep and --keep-gb allow and cannot be removed ({e.strerror})"
                self.warnings += [text] if text not in self.warnings else []

    def _past(self) -> Iterator[Path]:
        """Finished segments and recordings, and what earlier runs left."""
        for place in (PLACE, RECORDINGS, EARLIER):
            with suppress(OSError):
                for path in (self._folder / place).iterdir():
                    if NAMED.fullmatch(path.name) and path != self._current and not path.is_symlink():
                        yield path


def set_aside(folder: Path, names: tuple[str, ...], now: datetime) -> None:
    """Move what an earlier run left, unfinished files too, into `earlier/`, so that another can write to the folder.

    Raises
    ------
    OutputError
        It cannot be moved.
    """
    found = [(path, name) for name in names for path in (folder / name, part_of(folder / name)) if path.exists()]
    if not found:
        return
    stamp = now.astimezone().strftime("%Y-%m-%d_%H%M%S")
    place = folder / EARLIER / stamp
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path, name in found:
            os.replace(path, place / name)
    except OSError as e:
        raise failed(place, e) from None


def finish_cut_off(folder: Path) -> None:
    """Give what a run that was killed left unfinished in its segments the names it would have had.

    Rows are whole up to the last line, and a video plays as far as it goes.
    """
    for path in (folder / PLACE).glob("*/.*.part"):
        whole = path.with_name(path.name.removeprefix(".").removesuffix(".part"))
        if NAMED.fullmatch(path.parent.name) and part_of(whole) == path and not whole.exists():
            with suppress(OSError):
                path.rename(whole)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    total = 0
    for each in (path, *path.rglob("*")) if path.is_dir() else (path,):
        with suppress(OSError):
            total += each.stat().st_size if each.is_file() else 0
    return total


def _changed(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
