"""ms per frame of motion and association by number of objects: ours beside the installed peers, interleaved.

Every tracker sees the same frames: objects that walk about a 1920x1080 frame, 5% of them missed and 2% false boxes,
with features of 128 dimensions for those that take them. Measurement starts once galleries are full. Trackers take
turns every ten frames, so that whatever else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from tracker import DeepSort, Detections
from tracker.core.vectors import unit_vectors

WIDTH, HEIGHT = 1920, 1080
DIMENSION = 128
BLOCK = 10
"""Frames that a tracker is given in a row before it is the next one's turn: caches are then as in a run."""
COVERAGE = 0.5
"""Boxes shrink with their number so that together they cover at most this part of the frame."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options on a parser."""
    parser.add_argument("--objects", default="10,50,100,300,1000", help="numbers of objects (%(default)s)")
    parser.add_argument("--frames", type=int, default=60, help="frames measured per number of objects (%(default)s)")
    parser.add_argument("--warm", type=int, default=110, help="frames before those, to fill galleries (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="most time for a tracker and number (%(default)s)")
    parser.add_argument("--peers", action="store_true", help="run the installed peers too")
    parser.add_argument("--soak", type=int, metavar="FRAMES", help="instead: run so many frames and watch the memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")


@dataclass
class Runner:
    """A tracker under measurement: its call for one frame, and what each frame after the warm-up took.

    `ms` is time by the clock; `cpu_ms` what the process worked, which other work on the machine disturbs less.
    """

    name: str
    appearance: bool
    step: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], object]
    ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    warm: int = 0
    spent: float = 0.0

    def run(self, frame: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], measured: bool) -> None:
        """Take one frame; its time counts unless it warms up."""
        start, work = time.perf_counter(), time.process_time()
        self.step(*frame)
        work, taken = time.process_time() - work, time.perf_counter() - start
        self.spent += taken
        if measured:
            self.ms.append(1e3 * taken)
            self.cpu_ms.append(1e3 * work)
        else:
            self.warm += 1


def walk(objects: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Endless frames of boxes (N,4) float32, scores (N,), classes (N,) and unit features (N,128)."""
    rng = np.random.default_rng(seed)
    h = min(110.0, np.sqrt(COVERAGE * WIDTH * HEIGHT / (0.4 * objects))) * rng.uniform(0.8, 1.2, objects)
    size = np.column_stack([0.4 * h, h])
    limit = np.array([WIDTH, HEIGHT])
    centre, velocity = rng.uniform(0, 1, (objects, 2)) * limit, rng.normal(0, 2.5, (objects, 2))
    look = rng.normal(size=(objects, DIMENSION))
    while True:
        centre += velocity
        velocity = np.where((centre < 0) | (centre > limit), -velocity, velocity)
        seen = np.flatnonzero(rng.random(objects) > 0.05)
        false = rng.poisson(0.02 * objects)
        c = np.vstack([centre[seen] + rng.normal(0, 1, (len(seen), 2)), rng.uniform(0, 1, (false, 2)) * limit])
        half = np.vstack([size[seen], size[rng.integers(0, objects, false)]]) / 2
        f = np.vstack([look[seen] + rng.normal(0, 0.3, (len(seen), DIMENSION)), rng.normal(size=(false, DIMENSION))])
        f = unit_vectors(f).astype(np.float32)
        boxes = np.hstack([c - half, c + half]).astype(np.float32)
        yield boxes, rng.uniform(0.6, 1, len(boxes)).astype(np.float32), np.zeros(len(boxes), np.int32), f


def ours(preset: str, appearance: bool) -> Runner:
    """A runner of our tracker with a preset."""
    tracker = DeepSort.from_preset(preset)

    def step(boxes: np.ndarray, score: np.ndarray, class_id: np.ndarray, features: np.ndarray) -> object:
        return tracker.update(Detections(boxes, score, class_id), features if appearance else None)

    return Runner(f"ours {preset}{'' if appearance else ', motion only'}", appearance, step)


def theirs(entry: peers.Entry, appearance: bool) -> Runner:
    """A runner of a peer."""
    peer = entry.start(peers.Sequence(size=(WIDTH, HEIGHT)), features=appearance)

    def step(boxes: np.ndarray, score: np.ndarray, class_id: np.ndarray, features: np.ndarray) -> object:
        return peer.update(boxes, score, class_id, features if appearance else None)

    motion_only = entry.takes_features and not appearance
    return Runner(f"{entry.name}{', motion only' if motion_only else ''}", appearance, step)


def runners(with_peers: bool) -> list[Runner]:
    """Everything that takes turns."""
    found = [ours("default", True), ours("default", False), ours("paper", True), ours("paper", False)]
    for entry in peers.installed() if with_peers else []:
        if not entry.needs_features and entry.name != "deep-sort-realtime":
            found.append(theirs(entry, False))
        if entry.takes_features:
            found.append(theirs(entry, True))
    return found


def measure(objects: int, frames: int, warm: int, seconds: float, with_peers: bool) -> list[dict[str, Any]]:
    """Rows of the table for one number of objects. A tracker that uses up its time warms and runs for fewer frames."""
    running, scene = runners(with_peers), walk(objects)
    for first in range(0, warm + frames, BLOCK):
        block = [(index >= warm, next(scene)) for index in range(first, min(first + BLOCK, warm + frames))]
        for runner in running:
            gc.collect()
            gc.disable()  # as timeit does: else one tracker pays for the garbage of another
            for measured, frame in block:
                if runner.spent <= (seconds if measured else 0.7 * seconds):
                    runner.run(frame, measured)
            gc.enable()
    base = next(float(np.median(r.cpu_ms)) for r in running if r.name == "ours default")
    return [row(objects, runner, base) for runner in running if runner.ms]


def row(objects: int, runner: Runner, base: float) -> dict[str, Any]:
    """The figures of one runner at one number of objects."""
    median, p95 = np.percentile(runner.ms, [50, 95])
    cpu = float(np.median(runner.cpu_ms))
    return {
        "objects": objects, "tracker": runner.name, "appearance": runner.appearance,
        "median_ms": round(float(median), 3), "p95_ms": round(float(p95), 3), "cpu_ms": round(cpu, 3),
        "times_default": round(cpu / base, 2), "frames": len(runner.ms), "warm": runner.warm,
    }  # fmt: skip


def show(rows: list[dict[str, Any]]) -> None:
    """Print the figures as a table, quickest first."""
    for objects in dict.fromkeys(r["objects"] for r in rows):
        print(f"\n{f'{objects} objects':32}   median     p95     cpu ms   x default   frames")
        for r in sorted((r for r in rows if r["objects"] == objects), key=lambda r: r["cpu_ms"]):
            figures = f"{r['median_ms']:9.3f} {r['p95_ms']:9.3f} {r['cpu_ms']:9.3f} {r['times_default']:9.2f}"
            print(f"{'+' if r['appearance'] else ' '} {r['tracker']:30} {figures} {r['frames']:8}")
    print(f"\n+ compares features; trackers take turns every {BLOCK} frames; ratios are of medians of CPU time")


def goals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How far ahead the default preset is at 100 objects, and how time grows to 1000; without what was not run."""
    ms = {(r["objects"], r["tracker"]): r["cpu_ms"] for r in rows}
    mine, out = ms.get((100, "ours default")), {}
    if mine and (100, "deep-sort-realtime") in ms:
        out["deep-sort-realtime over ours at 100"] = ms[100, "deep-sort-realtime"] / mine
    others = [r for r in rows if r["objects"] == 100 and not r["tracker"].startswith("ours")]
    motion = [r["cpu_ms"] for r in others if not r["appearance"]]
    if mine and motion:
        out["fastest motion-only peer over ours at 100"] = min(motion) / mine
    for preset in ("default", "paper"):
        if (100, f"ours {preset}") in ms and (1000, f"ours {preset}") in ms:
            out[f"{preset}: 1000 over 100 objects"] = ms[1000, f"ours {preset}"] / ms[100, f"ours {preset}"]
    return {k: round(v, 2) for k, v in out.items()}


def soak(frames: int, objects: int = 20) -> dict[str, Any]:
    """Peak memory after a tenth and after all of the frames, in MB, with objects that come and go."""
    tracker, peaks = DeepSort.from_preset("default"), []
    for index, (boxes, score, class_id, features) in zip(range(frames), walk(objects), strict=False):
        gone = (np.arange(len(boxes)) + index // 50) % 5 == 0
        tracker.update(Detections(boxes, score, class_id)[~gone], features[~gone])
        if index in (frames // 10, frames - 1):
            peaks.append(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))
            print(f"frame {index + 1}: peak {peaks[-1]} MB, {len(tracker.bank)} live tracks", flush=True)
    return {"frames": frames, "peak_mb": peaks}


def main(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if args.soak:
        result: dict[str, Any] = soak(args.soak)
    else:
        rows: list[dict[str, Any]] = []
        for objects in [int(n) for n in args.objects.split(",")]:
            rows += measure(objects, args.frames, args.warm, args.seconds, args.peers)
            show([r for r in rows if r["objects"] == objects])
        machine = platform.processor() or platform.machine()
        result = {"rows": rows, "ratios": goals(rows), "numpy": np.__version__, "processor": machine}
        for name, value in result["ratios"].items():
            print(f"{name}: {value}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0
