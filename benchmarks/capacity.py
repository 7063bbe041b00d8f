"""How many cameras a core, a machine and a GPU take, from the processor time that frames and crops really cost here.

One process, one thread for everything, so that processor time is what a core gives; machines shared with others change
the wall's clock, not these figures. What many cameras need is then arithmetic, which the table shows line by line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tracker.errors import TrackerError

CAMERAS = (10, 1_000, 100_000)
BUSY = 0.7
"""Share of a resource that is planned with: queues grow without bound as it nears one."""
PORT_MBIT = 10_000
"""A machine's network port."""
DISK_MB_S = 200
"""What a machine's disk, or its share of a common one, takes for long."""
GB_A_CORE = 4
"""Memory of common machines."""


@dataclass(frozen=True)
class Cost:
    """What one video costs.

    Attributes
    ----------
    name, width, height, fps : str, int, int, float
        Of the video.
    frames : int
        That were tracked.
    cpu_ms : float
        Processor time of a frame, all stages together.
    stages : dict of str to float
        Of it, by stage, milliseconds a frame.
    crops : float
        Boxes that were encoded, a frame.
    crop_ms : float
        Processor time of cutting and encoding one.
    objects : float
        Boxes written, a frame.
    row_bytes : float
        Bytes of `tracks.txt` and `tracks.csv` a frame.
    picture_bytes : float
        Bytes of `tracks.mp4` a frame; 0 where it was not written.
    stream_mbit : float
        Of the video itself, megabits a second.
    memory_mb : float
        Largest resident set of the process.
    """

    name: str
    width: int
    height: int
    fps: float
    frames: int
    cpu_ms: float
    stages: dict[str, float]
    crops: float
    crop_ms: float
    objects: float
    row_bytes: float
    picture_bytes: float
    stream_mbit: float
    memory_mb: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options on a parser."""
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="default: the crossing scene, drawn in two sizes")
    parser.add_argument("--frames", type=int, default=150, metavar="N", help="frames of each video (default: 150)")
    parser.add_argument("--detector", default="coco", metavar="D", help="as for run (default: coco)")
    parser.add_argument("--encoder", default="default", metavar="E", help="as for run (default: default)")
    parser.add_argument("--device", default="cpu", help="as for run (default: cpu)")
    parser.add_argument("--video", action="store_true", help="draw and write tracks.mp4, too")
    parser.add_argument(
        "--fps", type=float, default=10.0, metavar="F", help="frames a second of a camera (default: 10)"
    )
    parser.add_argument("--cores", type=int, default=16, metavar="N", help="of a machine in the table (default: 16)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")


def main(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    os.environ["TRACKER_CORES"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        videos = args.videos or _drawn(Path(scratch))
        costs = [measure(video, args, Path(scratch) / str(n)) for n, video in enumerate(videos)]
    print(table(costs))
    worst = max(costs, key=lambda c: c.cpu_ms)
    print(
        f"\n{args.fps:g} frames a second of {worst.name} ({worst.width}x{worst.height}), {args.cores} cores a machine:"
    )
    print(sizing(worst, args.fps, args.cores))
    if args.json:
        args.json.write_text(json.dumps({"costs": [asdict(c) for c in costs], "fps": args.fps}, indent=1) + "\n")
    return 0


def _drawn(scratch: Path) -> list[str]:
    from videos.crossing import make

    return [str(make(scratch / f"{h}p", 150, size=(w, h)) / "crossing.mp4") for w, h in ((640, 360), (1920, 1080))]


def measure(video: str, args: argparse.Namespace, output: Path) -> Cost:
    """Track a video once to warm up, then once for the figures.

    Raises
    ------
    TrackerError
        It cannot be tracked.
    """
    from tracker.app.config import RunConfig
    from tracker.app.models import Models
    from tracker.app.pipeline import Pipeline
    from tracker.app.session import Session

    config = RunConfig(
        sources=(video,), detector=args.detector, encoder=args.encoder, device=args.device, video=args.video,
        max_frames=args.frames, threads=False,
    )  # fmt: skip
    models = Models()
    try:
        for warm in (True, False):
            few = replace(config, max_frames=min(20, args.frames)) if warm else config
            session = Session(few, output / str(warm), overwrite=True, say=lambda line: None, models=models)
            pipeline = Pipeline(session.streams, session.steps, threads=False)
            began = time.process_time()
            pipeline.run()
            spent = time.process_time() - began
            stream = session.streams[0]
            if stream.ending.error is not None:
                raise TrackerError(f"{video}: {stream.ending.error}")
            if not warm:
                return _cost(video, session, spent, output / str(warm))
            session.close()
    finally:
        models.close()
    raise TrackerError(f"{video}: nothing was measured")


def _cost(video: str, session: Any, spent: float, output: Path) -> Cost:
    """The figures of a run that has just ended; stages share the processor time as they shared the clock."""
    stream = session.streams[0]
    info, counts, histograms = stream.source.info, stream.counts, session.timing.stages
    clock = sum(h.total for h in histograms.values()) or 1.0
    stages = {name: 1e3 * h.total * spent / clock / counts.frames for name, h in histograms.items() if h.count}
    crops = counts.embedded / counts.frames
    crop_ms = (stages.get("crop", 0.0) + stages.get("encode", 0.0)) / crops if crops else 0.0
    session.close()
    rows = (output / "tracks.csv").read_bytes()
    size = len(rows) + (output / "tracks.txt").stat().st_size
    drawn = output / "tracks.mp4"
    path = Path(video)
    seconds = (info.frames or counts.frames) / info.fps
    return Cost(
        name=info.name, width=info.size[0], height=info.size[1], fps=round(info.fps, 2), frames=counts.frames,
        cpu_ms=1e3 * spent / counts.frames, stages=stages, crops=crops, crop_ms=crop_ms,
        objects=(rows.count(b"\n") - 1) / counts.frames, row_bytes=size / counts.frames,
        picture_bytes=drawn.stat().st_size / counts.frames if drawn.exists() else 0.0,
        stream_mbit=path.stat().st_size * 8e-6 / max(seconds, 1e-9) if path.is_file() else 0.0,
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )  # fmt: skip


def table(costs: list[Cost]) -> str:
    """A row a video: what a frame costs, and how many frames a second a core takes of it."""
    head = (
        "video",
        "size",
        "ms a frame",
        "detect",
        "crops",
        "ms a crop",
        "objects",
        "bytes a frame",
        "MB",
        "FPS a core",
    )
    return _columns([head, *(_row(c) for c in costs)])


def _row(c: Cost) -> tuple[str, ...]:
    numbers = (c.cpu_ms, c.stages.get("detect", 0.0), c.crops, c.crop_ms, c.objects)
    size = f"{c.row_bytes + c.picture_bytes:.0f}"
    rounded = (f"{n:.1f}" for n in numbers)
    return (c.name, f"{c.width}x{c.height}", *rounded, size, f"{c.memory_mb:.0f}", f"{1000 / c.cpu_ms:.1f}")


def shares(cost: Cost, fps: float, cores: int) -> dict[str, float]:
    """What one camera takes of a machine of so many cores, by resource: the largest share is short first."""
    written_mb_s = fps * (cost.row_bytes + cost.picture_bytes) / 1e6
    return {
        "cores": fps * cost.cpu_ms / 1e3 / (BUSY * cores),
        "memory": cost.memory_mb / 1e3 / (BUSY * GB_A_CORE * cores),
        "network": cost.stream_mbit * fps / cost.fps / (BUSY * PORT_MBIT),
        "disk": written_mb_s / (BUSY * DISK_MB_S),
    }


def sizing(cost: Cost, fps: float, cores: int) -> str:
    """What 10, 1,000 and 100,000 cameras need, each in a process of its own, and what a machine lacks first."""
    taken = shares(cost, fps, cores)
    short = max(taken, key=lambda k: taken[k])
    rows: list[tuple[str, ...]] = [
        ("cameras", "cores", "machines", "network in", "written a day", "memory", "short first")
    ]
    for cameras in CAMERAS:
        machines = math.ceil(cameras * taken[short])
        day = cameras * fps * 86400 * (cost.row_bytes + cost.picture_bytes)
        rows.append(
            (
                f"{cameras:,}", f"{cameras * fps * cost.cpu_ms / 1e3 / BUSY:,.0f}", f"{machines:,}",
                f"{cameras * cost.stream_mbit * fps / cost.fps / 1e3:,.2f} Gbit/s", f"{day / 1e9:,.0f} GB",
                f"{cameras * cost.memory_mb / 1e3:,.0f} GB", short,
            )
        )  # fmt: skip
    return _columns(rows)


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
