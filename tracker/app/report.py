"""What a run tells: progress while it runs, a table and `summary.json` when it is over."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import tracker
from tracker.app.run_folder import SCHEMA
from tracker.app.stream import Stream
from tracker.app.timing import Timing
from tracker.core.address import shown
from tracker.core.text import warn

LINE_EVERY_S = 10.0
"""Between progress lines where the error output is no terminal."""
RECENT_S = 5.0
"""Of which the current frame rate is the mean."""


class Progress:
    """A bar on a terminal, else a line now and then, on the error output."""

    def __init__(
        self, streams: Sequence[Stream], *, quiet: bool = False, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._streams, self._quiet, self._clock = streams, quiet, clock
        self._started = self._last = clock()
        self._recent = deque([(self._started, 0)])
        self._bar: Any = None
        totals = [s.source.info.frames for s in streams]
        self._total = None if None in totals else sum(t or 0 for t in totals)
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            self._bar = self._make_bar()
            self._bar.start()

    def _make_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        bar = RichProgress(
            BarColumn(bar_width=30), TextColumn("{task.description}"),
            console=Console(stderr=True), refresh_per_second=5, transient=True,
        )  # fmt: skip
        self._task = bar.add_task("", total=self._total)
        return bar

    def update(self) -> None:
        """Show how far the run is."""
        now, frames = self._clock(), sum(s.counts.frames for s in self._streams)
        self._recent.append((now, frames))
        while len(self._recent) > 2 and now - self._recent[1][0] >= RECENT_S:
            self._recent.popleft()
        if self._bar is not None:
            self._bar.update(self._task, completed=frames, description=self._line(now, frames))
        elif not self._quiet and now - self._last >= LINE_EVERY_S:
            self._last = now
            warn(self._line(now, frames))

    def _line(self, now: float, frames: int) -> str:
        """Frames done, the rate of the last seconds, objects in view, time spent and time left."""
        since, before = self._recent[0]
        fps = (frames - before) / max(now - since, 1e-9)
        total = self._total if self._total and frames <= self._total else None  # containers promise what they like
        share = f" of {total} ({100 * frames / total:.0f}%)" if total else ""
        left = f", {clock_time((total - frames) / fps)} left" if total and fps > 0 else ""
        objects = sum(s.counts.visible for s in self._streams)
        states = "".join(f"; {s.source.info.name}: {state}" for s in self._streams if (state := s.source.state))
        done = f"{frames} frames{share}, {fps:.1f} FPS, {objects} objects"
        return f"{done}, {clock_time(now - self._started)}{left}{states}"

    def close(self) -> None:
        """Show it a last time and free the terminal."""
        if self._bar is not None:
            self.update()
            self._bar.stop()


def clock_time(seconds: float) -> str:
    """`0:07`, `12:30` or `1:02:03`."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def reader_gone() -> bool:
    """Nobody reads the standard or error output any more: the other end of a pipe was closed."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            poll.register(stream.fileno(), 0)
    try:
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except OSError:
        return False


FEW_FRAMES = 25
"""A run of fewer frames is not told that it found nothing."""
MOVING = 0.2
"""Share of the frames looked at in which the camera must have moved for that to be told."""


def summary(
    stream: Stream, timing: Timing, *, encoder: dict[str, Any] | None, warnings: list[str], **more: Any
) -> dict[str, Any]:
    """What `summary.json` holds for one stream."""
    detector, counts, ending = stream.detector, stream.counts, stream.ending
    return {
        "schema": SCHEMA,
        "version": tracker.__version__,
        "source": stream.source.info.name,
        "source_path": shown(stream.text),
        "size": list(stream.source.info.size),
        "frame_rate": round(stream.source.info.fps, 3),
        "frames": counts.frames,
        "duration_s": round(counts.last_time_s - counts.first_time_s + 1 / stream.source.info.fps, 3)
        if counts.frames
        else 0.0,
        "startup_s": round(max(0.0, ending.first_s - timing.began_s), 3),
        "elapsed_s": round(ending.elapsed_s, 3),
        "wall_s": round(ending.started_s + ending.elapsed_s - timing.began_s, 3),
        "fps": round(counts.frames / ending.elapsed_s, 2) if ending.elapsed_s > 0 else 0.0,
        "stages": timing.summary(),
        "latency_ms": {f"p{q}": round(timing.latency.quantile(q / 100) * 1e3, 1) for q in (50, 95)},
        "tracks": stream.numbering.count,
        **(stream.output.answers.summary() if stream.output.answers is not None else {}),
        "objects_per_frame": round(counts.objects / counts.looked, 2) if counts.looked else 0.0,
        "frames_detected": counts.looked,
        "share_embedded": round(counts.embedded / counts.objects, 4) if counts.objects else 0.0,
        "detector": {"name": detector.name, "path": str(detector.path), "runtime": detector.runtime}
        | detector.settings(stream.source.info.size),
        "encoder": encoder,
        **more,
        "error": str(ending.error) if ending.error is not None else None,
        "warnings": warnings,
    }


def as_json(data: dict[str, Any]) -> str:
    """Text of a JSON file, readable by people too."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def saw_nothing(stream: Stream) -> str | None:
    """What to try where a detector found next to nothing; None where it found something."""
    answers = stream.output.answers
    if answers is None or stream.counts.frames < FEW_FRAMES:
        return None
    counts = answers.answers.counts
    if counts.objects or counts.standing:
        return None
    name = stream.detector.name
    others = "--detector coco, or a smaller --confidence" if name == "motion" else (
        "--detector motion (for a camera at rest), --detail fine (for small objects), or a smaller --confidence"
    )  # fmt: skip
    return f"the detector {name} found no object in {stream.counts.frames} frames; try {others}"


def camera_moved(stream: Stream) -> str | None:
    """What answers then mean, where the camera moved in many of the frames looked at; None where it hardly did."""
    counts = stream.counts
    if stream.output.answers is None or counts.frames < FEW_FRAMES or counts.moved <= MOVING * counts.looked:
        return None
    return (
        f"the camera moved in {counts.moved} of {counts.looked} frames: lines, zones, ways and what never moved are of "
        "places in the picture, not on the ground"
    )


def table(streams: Sequence[Stream], began_s: float) -> str:
    """The end of a run as a short table: objects, counts at lines, and what stood all the time.

    Parameters
    ----------
    began_s : float
        `time.perf_counter()` when the program began: the start-up goes on to the first frame written, the wall time to
        the last file closed.
    """
    rows = [("source", "frames", "FPS", "start-up", "wall", "objects", "files")]
    for s in streams:
        frames, seconds, ending = s.counts.frames, s.ending.elapsed_s, s.ending
        startup = f"{ending.first_s - began_s:.1f} s" if frames else "-"
        wall = f"{ending.started_s + seconds - began_s:.1f} s"
        fps = f"{frames / seconds:.1f}" if seconds > 0 else "-"
        objects = s.output.answers.answers.counts.objects.most_common() if s.output.answers else []
        found = ", ".join(f"{name} {n}" for name, n in objects) or "none"
        rows.append((s.source.info.name, str(frames), fps, startup, wall, found, f"{s.output.folder}{os.sep}"))
    told = [columns(rows)]
    for s in streams:
        name = f"{s.source.info.name}: " if len(streams) > 1 else ""
        if s.pace is not None and s.counts.looked < s.counts.frames:
            told.append(
                f"{name}the detector looked at {s.counts.looked} frames; in between boxes go straight from one to the "
                "next (--detect-every 1 looks at all)"
            )
        if s.output.answers is not None:
            told += [name + line for line in s.output.answers.told()]
    return "\n".join(told)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, padded to columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
