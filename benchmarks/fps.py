"""End-to-end speed: variants in processes of their own, run in turn on the same frames, compared within each round."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tracker.app.timing import STAGES
from tracker.core.tensorflow import processor
from tracker.errors import BackendMissingError, TrackerError

BASE: dict[str, Any] = {
    "kind": "ours", "threads": True, "cut_graph": True, "batches": True, "appearance": "auto", "precision": None,
    "objects": 0,
}  # fmt: skip
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


class Worker:
    """A variant's process."""

    def __init__(self, name: str, task: dict[str, Any]) -> None:
        self.name, self.rounds = name, []  # type: str, list[dict[str, Any]]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fps_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.about = self._ask(json.dumps(task))

    def run(self) -> dict[str, Any]:
        """Run one round and return its figures."""
        self.rounds.append(self._ask("go"))
        return self.rounds[-1]

    def _ask(self, line: str) -> dict[str, Any]:
        process = self._process
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise TrackerError(f"variant {self.name!r} has no pipes")
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            last = (process.stderr.read().strip().splitlines() or ["no message"])[-1]
            raise TrackerError(f"variant {self.name!r} ended: {last}")
        result: dict[str, Any] = json.loads(answer)
        return result

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)


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


def common_task(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """What all variants share: footage, detector and the encoder's frozen graph."""
    video = args.video
    if video is None:
        subprocess.run([sys.executable, "-m", "videos", "make", "crossing", "--output", str(scratch)], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        video = str(scratch / "crossing.mp4")
    return {**BASE, "video": str(video), "frames": args.frames, "detector": args.detector, "tiles": args.tiles,
            "device": args.device, "encoder": frozen(args), "objects": args.objects}  # fmt: skip


def frozen(args: argparse.Namespace) -> str | None:
    """Path of the frozen encoder, or None."""
    from freeze.api import freeze_cached, frozen_default
    from freeze.request import Request

    if args.freeze:
        return str(freeze_cached(Request(network=args.network, checkpoint=Path(args.freeze))))
    if args.encoder == "none":
        return None
    return str(frozen_default(args.encoder)) if args.encoder in ("default", "colour") else str(Path(args.encoder))


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


def summary(worker: Worker, first: Worker) -> dict[str, Any]:
    """Medians over the rounds, and ratios to the first variant within each round."""
    rounds, others = worker.rounds[1:], first.rounds[1:]
    last = rounds[-1]
    pairs = list(zip(rounds, others, strict=True))
    totals = {k: median(r["totals"][k] for r in rounds) for k in last["totals"]}
    return {
        **worker.about,
        "fps": median(r["frames"] / r["wall_s"] for r in rounds),
        "cpu_ms_per_frame": median(1e3 * r["cpu_s"] / r["frames"] for r in rounds),
        "fps_ratio": median(per_frame(o, "wall_s") / per_frame(r, "wall_s") for r, o in pairs),
        "cpu_ratio": median(per_frame(o, "cpu_s") / per_frame(r, "cpu_s") for r, o in pairs),
        "peak_mb": max(r["peak_mb"] for r in rounds),
        "objects_per_frame": last["objects"] / last["frames"],
        "share_embedded": last["embedded"] / max(last["objects"], 1),
        "ids": last["ids"],
        "warm_up_s": worker.rounds[0]["wall_s"],
        "outside": median(1 - r["networks_s"] / r["wall_s"] for r in rounds),
        "other_stages": 1 - (totals["detect"] + totals["encode"]) / sum(totals.values()),
        "stages": last["stages"],
        "tracks": last["rows"],
    }


def per_frame(round_: dict[str, Any], key: str) -> float:
    """A figure of a round divided by its frames."""
    return float(round_[key] / round_["frames"])


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


def machine() -> dict[str, Any]:
    """Processor and versions that figures depend on."""
    from importlib.metadata import PackageNotFoundError, version

    packages: dict[str, str | None] = {}
    for name in ("tensorflow", "openvino", "opencv-python", "numpy", "av"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {"processor": processor(), "python": sys.version.split()[0], "packages": packages}


def about_machine() -> str:
    """The same in one line."""
    m = machine()
    packages = ", ".join(f"{name} {version}" for name, version in m["packages"].items() if version)
    return f"{m['processor']}; Python {m['python']}, {packages}"


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write the figures, or say why that failed."""
    try:
        path.write_text(json.dumps(data, indent=1) + "\n")
    except OSError as e:
        raise TrackerError(f"{path}: cannot be written ({e.strerror})") from None


def matplotlib_axes() -> Any:
    """`matplotlib.pyplot` without a display."""
    try:
        import matplotlib
    except ImportError as e:
        raise BackendMissingError(f"the plot needs matplotlib ({e}); run `pip install '.[eval]'`") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
