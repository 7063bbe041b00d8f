"""Rounds of a variant in a process of its own, and what is made of them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from tracker.core.tensorflow import processor
from tracker.errors import BackendMissingError, TrackerError

BASE: dict[str, Any] = {
    "kind": "ours", "threads": True, "cut_graph": True, "batches": True, "appearance": "auto", "precision": None,
    "objects": 0,
}  # fmt: skip


class Worker:
    """A variant's process."""

    def __init__(self, name: str, task: dict[str, Any]) -> None:
        self.name, self.rounds = name, []  # type: str, list[dict[str, Any]]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fps_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            self.about = self._ask(json.dumps(task))
        except BaseException:
            self.close()
            raise

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
        with self._process as process, suppress(BrokenPipeError):
            process.communicate(timeout=30)


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
