"""How speed falls with the number of objects and the size of the picture: the whole pipeline on drawn footage."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.fps_rounds import BASE, Worker, frozen, machine, matplotlib_axes, write_json

OBJECTS = (5, 10, 25, 50, 100, 200)
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
AT_SIZE, AT_OBJECTS = "720p", 25


def sweep(args: argparse.Namespace) -> int:
    """Vary objects at 720p, then the size at 25 objects; `appearance always`, the worst case."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        videos = {name: footage(Path(scratch) / f"{name}.mp4", size, args.frames) for name, size in SIZES.items()}
        common = {**BASE, "frames": args.frames, "detector": args.detector, "tiles": args.tiles, "device": args.device,
                  "encoder": frozen(args)}  # fmt: skip
        cases = [(AT_SIZE, n) for n in OBJECTS] + [(s, AT_OBJECTS) for s in SIZES if s != AT_SIZE]
        for size, objects in cases:
            for appearance in ("auto", "always"):
                task = {**common, "video": str(videos[size]), "objects": objects, "appearance": appearance}
                worker = Worker(f"{size} {objects}", task)
                try:
                    runs = [worker.run() for _ in range(args.rounds + 1)][1:]
                finally:
                    worker.close()
                fps = float(np.median([r["frames"] / r["wall_s"] for r in runs]))
                cpu = float(np.median([1e3 * r["cpu_s"] / r["frames"] for r in runs]))
                share = runs[-1]["embedded"] / runs[-1]["objects"]
                row = {"size": size, "objects": objects, "appearance": appearance, "fps": fps, "cpu_ms_per_frame": cpu}
                rows.append({**row, "share_embedded": share, "peak_mb": max(r["peak_mb"] for r in runs)})
                print(line(rows[-1]), flush=True)
    plot(rows, args.plot)
    print(f"plot: {args.plot}")
    if args.json:
        write_json(args.json, {"machine": machine(), "sweep": rows})
    return 0


def line(row: dict[str, Any]) -> str:
    """One row of the sweep as text."""
    return (
        f"{row['size']:>6} {row['objects']:4d} objects  {row['appearance']:6}  {row['fps']:6.1f} FPS  "
        f"{row['cpu_ms_per_frame']:7.1f} CPU ms/frame  {row['share_embedded']:4.0%} embedded  {row['peak_mb']:5.0f} MB"
    )


def footage(path: Path, size: tuple[int, int], frames: int) -> Path:
    """A textured street on which nothing moves but the light; the boxes are scripted."""
    from tracker.video.writer import VideoSink

    generator = np.random.default_rng(1)
    coarse = generator.integers(40, 200, (size[1] // 40, size[0] // 40, 3)).astype(np.uint8)
    still = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    with VideoSink(path, size, 25.0, threads=2) as sink:
        for index in range(frames):
            sink.write_image(cv2.add(still, np.full_like(still, index % 8)), index / 25)
    return path


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """FPS over objects at 720p and over the picture's size at 25 objects."""
    pyplot = matplotlib_axes()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for appearance in ("auto", "always"):
        mine = [r for r in rows if r["appearance"] == appearance]
        by_objects = [r for r in mine if r["size"] == AT_SIZE]
        label = f"--appearance {appearance}"
        left.plot([r["objects"] for r in by_objects], [r["fps"] for r in by_objects], "o-", label=label)
        by_size = sorted((r for r in mine if r["objects"] == AT_OBJECTS), key=lambda r: SIZES[r["size"]])
        right.plot([r["size"] for r in by_size], [r["fps"] for r in by_size], "o-")
    left.set(xscale="log", xlabel=f"objects per frame ({AT_SIZE})", ylabel="frames per second", ylim=(0, None))
    left.set_xticks(OBJECTS, [str(n) for n in OBJECTS])
    right.set(xlabel=f"size of the frames ({AT_OBJECTS} objects)")
    left.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
