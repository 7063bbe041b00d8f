"""`python -m tracker batch`: many videos and long ones on all processors of a machine or a cluster."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracker.answers.clock import SECONDS, doubt
from tracker.app.config import RunConfig
from tracker.app.signals import Signals
from tracker.core.command_line import DONE, FAILED, INTERRUPTED
from tracker.core.text import printable, tell, warn
from tracker.errors import ConfigError

OVERLAP_S = 10.0
"""A part starts so long before its first frame; lost tracks are kept for less, standing ones for up to nine seconds."""
SHORTEST_SPLIT_S = 4 * OVERLAP_S
"""Parts that are shorter would spend more than a quarter of the time on what the part before tracks, too."""


def add_command(commands: Any, groups: Callable[[Any], None]) -> None:
    """Add the parser; `groups` adds the options that `run` has, too."""
    batch = commands.add_parser(
        "batch", help="track many videos, and long ones in parts", argument_default=argparse.SUPPRESS,
        description="Track videos on all processors of this machine or of a Ray cluster. Writes a folder a video, "
        "failed.csv, summary.csv and a Parquet data set; pictures are not written. Needs Ray: pip install "
        "'deepsort-tracker[batch]'.",
    )  # fmt: skip
    batch.add_argument("sources", nargs="+", metavar="VIDEO|FOLDER|LIST.txt", help="videos, folders, lists of paths")
    own = batch.add_argument_group("batch")
    own.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="folder for all results")
    own.add_argument("--resume", action="store_true", help="take up what an earlier call left; skip what it finished")
    own.add_argument("--overwrite", action="store_true", help="do again what is in the output folder")
    own.add_argument("--split", metavar="TIME", type=length, help="track long videos in parts: 10min, 1h ...")
    own.add_argument(
        "--overlap", metavar="TIME", type=length, help=f"parts begin so much earlier (default: {OVERLAP_S:g}s)"
    )
    own.add_argument("--ray", metavar="auto|ADDRESS", help="this machine, or a running cluster (default: auto)")
    own.add_argument("--workers", metavar="N", type=_count, help="parts at a time (default: one a processor)")
    own.add_argument("--config", metavar="FILE.toml", type=Path, help="start from a configuration")
    own.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    groups(batch)


def main(config: RunConfig, given: dict[str, Any], signals: Signals) -> int:
    """Run the command; returns the exit code: 1 where a video failed, 130 where it was interrupted.

    Raises
    ------
    TrackerError
        Nothing can be done at all.
    """
    from tracker.app.batch.cluster import LOCAL
    from tracker.app.batch.driver import track_videos
    from tracker.app.batch.plan import find_videos
    from tracker.app.batch.store import FAILURES

    split_s, overlap_s = given.get("split"), given.get("overlap", OVERLAP_S)
    if split_s is not None and split_s < max(SHORTEST_SPLIT_S, 4 * overlap_s):
        raise ConfigError(f"--split is {split_s:g}s; expected at least {max(SHORTEST_SPLIT_S, 4 * overlap_s):g}s")
    quiet = given.get("quiet", False)
    output: Path = given["output"]
    began = time.monotonic()
    videos, notes = find_videos(given["sources"])
    if config.start_time is not None and (told := doubt(config.start_time)):
        notes.append(told)
    for note in notes:
        warn(f"warning: {note}")
    progress = _Progress(quiet)
    try:
        batch = track_videos(
            videos, config, output, address=given.get("ray", LOCAL), workers=given.get("workers"), split_s=split_s,
            overlap_s=overlap_s, resume=given.get("resume", False), overwrite=given.get("overwrite", False),
            say=progress.say, watch=progress.watch, signals=signals,
        )  # fmt: skip
    finally:
        progress.close()
    if quiet:  # else they have been told
        for error in batch.failed.values():
            warn(f"error: {error}")
    else:
        failed = f", {len(batch.failed)} failed ({output / FAILURES})" if batch.failed else ""
        seconds = time.monotonic() - began
        tell(f"{batch.finished} of {len(videos)} videos are in {output}{failed}; {seconds:.0f} s")
    if signals.count:
        warn(f"interrupted; --resume goes on from here: {batch.finished} of {len(videos)} videos are done")
        return INTERRUPTED
    return FAILED if batch.failed else DONE


class _Progress:
    """A bar on a terminal, else lines, on the error output."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._began = time.monotonic()
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("parts"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
                TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("parts", total=None)
            self._bar.start()

    def say(self, line: str) -> None:
        """A line of what happens."""
        if not self._quiet:
            self._bar.console.print(printable(line), markup=False) if self._bar is not None else warn(line)

    def watch(self, done: int, total: int) -> None:
        """So many parts are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif not self._quiet and total > 1:
            left = (time.monotonic() - self._began) / done * (total - done)
            warn(f"{done} of {total} parts, about {left:.0f} s left")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def length(text: str) -> float:
    """A length of time such as 10min in seconds."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = SECONDS.get(text[len(number) :] or "s")
    with suppress(ValueError):
        if unit is not None and float(number) > 0:
            return float(number) * unit
    raise argparse.ArgumentTypeError(f"{text!r}; expected a length such as 90s, 10min or 1h")


def _count(text: str) -> int:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number from 1")
