"""What a run tells: progress while it runs, a table and `summary.json` when it is over."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import tracker
from tracker.app.steps import Stream
from tracker.app.timing import Timing
from tracker.core.address import shown
from tracker.core.text import warn

LINE_EVERY_S = 10.0
"""Between progress lines where the error output is no terminal."""


class Progress:
    """A bar on a terminal, else a line now and then, on the error output."""

    def __init__(self, streams: Sequence[Stream], *, quiet: bool = False) -> None:
        self._streams, self._quiet = streams, quiet
        self._started = self._last = time.perf_counter()
        self._bar: Any = None
        totals = [s.source.info.frames for s in streams]
        self._total = None if None in totals else sum(t or 0 for t in totals)
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            self._bar = self._make_bar()
            self._bar.start()

    def _make_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        bar = RichProgress(
            TextColumn("{task.completed:.0f}" + (f"/{self._total}" if self._total else "") + " frames"),
            BarColumn(bar_width=30),
            TaskProgressColumn(), TextColumn("{task.fields[fps]:.1f} FPS  {task.fields[objects]} objects"),
            TimeElapsedColumn(), TimeRemainingColumn(),
            console=Console(stderr=True), refresh_per_second=5, transient=True,
        )  # fmt: skip
        self._task = bar.add_task("run", total=self._total, fps=0.0, objects=0)
        return bar

    def update(self) -> None:
        """Show how far the run is."""
        frames = sum(s.counts.frames for s in self._streams)
        now = time.perf_counter()
        fps = frames / max(now - self._started, 1e-9)
        objects = sum(s.counts.visible for s in self._streams)
        if self._bar is not None:
            self._bar.update(self._task, completed=frames, fps=fps, objects=objects)
        elif not self._quiet and now - self._last >= LINE_EVERY_S:
            self._last = now
            share = f" of {self._total} ({100 * frames / self._total:.0f}%)" if self._total else ""
            states = "".join(f"; {s.source.info.name}: {state}" for s in self._streams if (state := s.source.state))
            warn(f"{frames} frames{share}, {fps:.1f} FPS, {objects} objects{states}")

    def close(self) -> None:
        """Show it a last time and free the terminal."""
        if self._bar is not None:
            self.update()
            self._bar.stop()


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


SCHEMA = 2
"""Of `summary.json`; 2: objects that count instead of all tracks."""
FEW_FRAMES = 25
"""A run of fewer frames is not told that it found nothing."""


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
        "elapsed_s": round(ending.elapsed_s, 3),
        "fps": round(counts.frames / ending.elapsed_s, 2) if ending.elapsed_s > 0 else 0.0,
        "stages": timing.summary(),
        "latency_ms": {f"p{q}": round(timing.latency.quantile(q / 100) * 1e3, 1) for q in (50, 95)},
        "tracks": stream.numbering.count,
        **(stream.output.answers.summary() if stream.output.answers is not None else {}),
        "objects_per_frame": round(counts.objects / counts.frames, 2) if counts.frames else 0.0,
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


def table(streams: Sequence[Stream]) -> str:
    """The end of a run as a short table: objects, counts at lines, and what stood all the time."""
    rows = [("source", "frames", "FPS", "objects", "files")]
    for s in streams:
        frames, seconds = s.counts.frames, s.ending.elapsed_s
        fps = f"{frames / seconds:.1f}" if seconds > 0 else "-"
        objects = s.output.answers.answers.counts.objects.most_common() if s.output.answers else []
        found = ", ".join(f"{name} {n}" for name, n in objects) or "none"
        rows.append((s.source.info.name, str(frames), fps, found, f"{s.output.folder}{os.sep}"))
    told = [columns(rows)]
    for s in streams:
        if s.output.answers is not None:
            name = f"{s.source.info.name}: " if len(streams) > 1 else ""
            told += [name + line for line in s.output.answers.told()]
    return "\n".join(told)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, padded to columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
