"""Packaged DeepSORTs end to end on the same frames and detections, with the embedder that they bring."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from benchmarks.fps_rounds import Worker, per_frame, summary
from tracker.errors import TrackerError


def add_peers(found: dict[str, dict[str, Any]], task: dict[str, Any], rounds: int) -> None:
    """Measure each peer that is installed against ours, in turn; one that is not is named with what installs it."""
    if find_spec("deep_sort_realtime") is None:
        print("peer deep-sort-realtime is not installed; run `pip install deep-sort-realtime`", file=sys.stderr)
        return
    workers = [Worker("ours again", task)]
    try:
        for embedder in ("tensorflow", "torch"):
            if embedder == "torch" and find_spec("torch") is None:
                print(
                    "peer deep-sort-realtime (torch): torch is not installed; run `pip install torch`", file=sys.stderr
                )
                continue
            try:
                workers.append(Worker(f"realtime {embedder}", {**task, "kind": "realtime", "embedder": embedder}))
            except TrackerError as error:  # its weights are not part of the package, for example
                print(f"peer deep-sort-realtime ({embedder}) is left out: {error}", file=sys.stderr)
        for number in range(rounds + 1):
            for worker in workers:
                fps = 1 / per_frame(worker.run(), "wall_s")
                print(f"round {number} {worker.name}: {fps:.1f} FPS", file=sys.stderr, flush=True)
        for worker in workers[1:]:
            mine = summary(worker, workers[0])
            base = next(iter(found.values()))
            ours = found.get("ours", base)
            # Ratios to ours in these rounds, carried over to the table's first variant.
            mine["fps_ratio"] *= ours["fps_ratio"]
            mine["cpu_ratio"] *= ours["cpu_ratio"]
            found[worker.name] = mine
    finally:
        for worker in workers:
            worker.close()
