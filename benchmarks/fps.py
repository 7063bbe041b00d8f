"""End-to-end speed: variants in processes of their own, run in turn on the same frames, compared within each round."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.fps_rounds import Worker, about_machine, common_task, machine, summary, write_json
from tracker.app.timing import STAGES
from tracker.errors import TrackerError

VARIANTS: dict[str, dict[str, Any]] = {
    "naive": {"kind": "naive"},
    "ours": {},
    "sequential": {"threads": False},
    "whole graph": {"cut_graph": False},
    "one crop a time": {"batches": False},
    "embed everything": {"appearance": "always"},
    "float32": {"precision": "f32"},
    "25 objects": {"objects": 25},
}
"""After the naive loop and ours: ours with each lever off, and with 25 scripted boxes a frame."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options on a parser."""
    parser.add_argument("video", nargs="?", metavar="VIDEO", help="default: the crossing scene, drawn")
    parser.add_argument("--frames", type=int, default=150, metavar="N", help="frames of a round (default: 150)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds, for the medians (default: 3)")
    parser.add_argument("--detector", default="ssdlite", metavar="D", help="as for run (default: ssdlite)")
    parser.add_argument("--tiles", default="off", help="as for run (default: off)")
    parser.add_argument("--encoder", default="default", metavar="E", help="default, colour, none or PATH.pb")
    parser.add_argument("--device", default="auto", help="as for run (default: auto)")
    parser.add_argument("--variants", default="", metavar="NAME,...", help=f"of: {', '.join(VARIANTS)} (default: all)")
    parser.add_argument("--peers", action="store_true", help="the packaged DeepSORTs beside, where they are installed")
    parser.add_argument("--sweep", action="store_true", help="5 to 200 objects and 360p to 4K, a table and a plot")
    parser.add_argument("--soak", type=int, metavar="N", help="N frames in one run, the video over and over: memory")
    parser.add_argument("--objects", type=int, default=0, metavar="N", help="scripted boxes a frame instead")
    parser.add_argument("--plot", type=Path, default=Path("fps_sweep.png"), metavar="FILE.png", help="of the sweep")
    parser.add_argument("--freeze", metavar="CKPT", help="freeze this checkpoint first and take it as encoder")
    parser.add_argument("--network", default="wrn", help="network of that checkpoint (default: wrn)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")


def main(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if args.sweep:
        from benchmarks.fps_sweep import sweep

        return sweep(args)
    if args.soak:
        from benchmarks.fps_soak import soak

        return soak(args)
    names = [n.strip() for n in args.variants.split(",") if n.strip()] or list(VARIANTS)
    if unknown := [n for n in names if n not in VARIANTS]:
        raise TrackerError(f"variant {unknown[0]!r}; expected of: {', '.join(VARIANTS)}")
    with tempfile.TemporaryDirectory() as scratch:
        task = common_task(args, Path(scratch))
        found = compare(names, task, args.rounds)
        if args.peers:
            from benchmarks.fps_peers import add_peers

            add_peers(found, task, args.rounds)
    print(about_machine())
    print(table(found))
    print(stage_table(found))
    print(setting_table(found))
    if args.json:
        write_json(args.json, {"machine": machine(), "task": task, "variants": found})
    return 0


def compare(names: list[str], task: dict[str, Any], rounds: int) -> dict[str, dict[str, Any]]:
    """Measure variants in turn, round by round."""
    workers: list[Worker] = []
    try:
        for name in names:
            print(f"loading {name}", file=sys.stderr, flush=True)
            workers.append(Worker(name, {**task, **VARIANTS[name]}))
        for number in range(rounds + 1):  # the first warms up and is forgotten
            for worker in workers:
                result = worker.run()
                fps = result["frames"] / result["wall_s"]
                print(f"round {number} {worker.name}: {fps:.1f} FPS", file=sys.stderr, flush=True)
        return {w.name: summary(w, workers[0]) for w in workers}
    finally:
        for worker in workers:
            worker.close()


def table(found: dict[str, dict[str, Any]]) -> str:
    """Speed of the variants.

    `outside` is the share of wall time in which neither detector nor encoder is at work, `others` that of the other
    stages in the time of all stages, added up as if they ran one after the other.
    """
    first = next(iter(found))
    head = f"{'':18} {'FPS':>7} {'x ' + first:>9} {'CPU ms/fr':>10} {'x ' + first:>9} {'objects':>8} {'embedded':>9} "
    lines = [f"{head}{'ids':>4} {'outside':>8} {'others':>7} {'peak MB':>8}"]
    for name, v in found.items():
        lines.append(
            f"{name:18} {v['fps']:7.1f} {v['fps_ratio']:9.2f} {v['cpu_ms_per_frame']:10.1f} {v['cpu_ratio']:9.2f} "
            f"{v['objects_per_frame']:8.1f} {v['share_embedded']:9.0%} {v['ids']:4d} {v['outside']:8.1%} "
            f"{v['other_stages']:7.1%} {v['peak_mb']:8.0f}"
        )
    return "\n".join(lines)


def stage_table(found: dict[str, dict[str, Any]]) -> str:
    """p50 and p95 of each stage, milliseconds a frame."""
    stages = [s for s in STAGES if any(s in v["stages"] for v in found.values())]
    lines = ["", f"{'p50 / p95 ms':18} " + " ".join(f"{s:>13}" for s in stages)]
    for name, v in found.items():
        cells = (v["stages"].get(s) for s in stages)
        lines.append(f"{name:18} " + " ".join(
            f"{c['p50_ms']:6.1f}/{c['p95_ms']:6.1f}" if c else f"{'':>13}" for c in cells))  # fmt: skip
    return "\n".join(lines)


def setting_table(found: dict[str, dict[str, Any]]) -> str:
    """What is not part of the rates: loading, the first run, and where the networks run."""
    lines = ["", f"{'':18} {'start-up s':>10} {'warm-up s':>10}  detector | encoder (all else on the CPU)"]
    for name, v in found.items():
        runs = f"{v['detector']} | {v['encoder'] or 'none'}"
        lines.append(f"{name:18} {v['start_s']:10.1f} {v['warm_up_s']:10.1f}  {runs}")
    return "\n".join(lines)
