"""Memory over a long run: the whole pipeline on a video played over and over, rows and video written as in any run."""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.fps_rounds import about_machine, common_task, machine, write_json
from benchmarks.fps_worker import Ours
from tracker.app.timing import Timing
from tracker.core.interfaces import SourceInfo
from tracker.video.files import VideoFile
from tracker.video.frame_source import FrameRange, FrameSource

LOOKS = 20
"""Times at which memory is looked at."""


class Looped(FrameSource):
    """A video over and over until it gave `frames` frames, numbered and timed as one."""

    def __init__(self, path: str, frames: int) -> None:
        super().__init__()
        self._path, self._frames = path, frames
        with VideoFile(path, "loop", FrameRange()) as video:
            size, fps = video.info.size, video.info.fps
        self.info = SourceInfo("loop", size, fps, frames, live=False)

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while index < self._frames:
            with VideoFile(self._path, "loop", FrameRange(max_frames=self._frames - index)) as video:
                for frame in video:
                    index += 1
                    yield replace(frame, index=index, time_s=(index - 1) / self.info.fps)


def soak(args: argparse.Namespace) -> int:
    """Run and print resident memory as it goes: after the first looks it should stay where it is."""
    looks: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        task = common_task(args, Path(scratch))
        runner = Ours(task)
        print(f"{about_machine()}\n{runner.about()}", flush=True)
        started = time.perf_counter()

        def watch(frames: int) -> None:
            if frames * LOOKS >= args.soak * (len(looks) + 1):
                looks.append({"frames": frames, "mb": resident_mb(), "seconds": time.perf_counter() - started})
                print(f"{frames:8d} frames {looks[-1]['mb']:8.1f} MB {looks[-1]['seconds']:8.1f} s", flush=True)

        found = runner.run(Path(scratch), Timing(), Looped(task["video"], args.soak), watch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found['frames']} frames, {found['objects']} objects, {found['ids']} ids, peak {peak:.0f} MB")
    if args.json:
        write_json(args.json, {"machine": machine(), "task": task, "looks": looks, "peak_mb": peak, **found})
    return 0


def resident_mb() -> float:
    """Memory of this process that is in use now (Linux)."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
