"""What a live page costs a run: nobody serves, nobody looks, one looks, and one who reads slowly looks.

Each is a run of its own, in turn; the viewer is another process's thread, so that the run's processor time is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from statistics import median
from urllib.error import HTTPError
from urllib.request import urlopen

from tracker.errors import TrackerError

WAYS = ("no page", "nobody looks", "one looks", "one reads slowly")
SLOW_BYTES = 20_000
"""A second, by the slow reader: a tenth of a picture or less."""


@dataclass(frozen=True)
class Run:
    """Processor time of a frame, milliseconds; frames a second; pictures that the viewer got a second."""

    cpu_ms: float
    fps: float
    pictures_s: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options on a parser."""
    parser.add_argument("video", help="what is tracked")
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="of it (default: 300)")
    parser.add_argument("--detector", default="auto", metavar="D", help="as for run (default: auto)")
    parser.add_argument("--encoder", default="default", metavar="E", help="as for run (default: default)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each kind, in turn (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")


def main(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way in WAYS:
            runs[way].append(measured(args, way))
    base = median(r.cpu_ms for r in runs[WAYS[0]])
    print(f"{'':18}  ms a frame   of that without  FPS    pictures a second")
    for way, found in runs.items():
        cpu, fps, pictures = (median(getattr(r, name) for r in found) for name in ("cpu_ms", "fps", "pictures_s"))
        print(f"{way:18}  {cpu:10.1f}   {cpu / base:15.1%}  {fps:5.1f}  {pictures:.1f}")
    if args.json:
        args.json.write_text(json.dumps({w: [asdict(r) for r in found] for w, found in runs.items()}, indent=1) + "\n")
    return 0


def measured(args: argparse.Namespace, way: str) -> Run:
    """One run of the command; its start is in the processor time of all alike."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tracker", "run", args.video, "--max-frames", str(args.frames), "--no-video"]
        command += ["--detector", args.detector, "--encoder", args.encoder, "--output", f"{folder}/out"]
        command += [] if way == WAYS[0] else ["--serve", "0"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=environment) as run:  # fmt: skip
            got: list[int] = []
            for line in run.stdout or ():
                if line.startswith("live page: ") and way in WAYS[2:]:
                    url = line.split()[-1] + "stream.mjpg"
                    threading.Thread(target=_look, args=(url, way == WAYS[3], got), daemon=True).start()
            _, status, used = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode:
            raise TrackerError(f"{' '.join(command)} ended with {run.returncode}")
        told = json.loads(Path(folder, "out", "summary.json").read_text())
    return Run((used.ru_utime + used.ru_stime) * 1e3 / args.frames, told["fps"], sum(got) / told["elapsed_s"])


def _look(url: str, slow: bool, got: list[int]) -> None:
    """Read pictures until the run ends; counts them."""
    pause = threading.Event()
    while True:  # the page is there before its first stream is
        try:
            stream = urlopen(url)  # noqa: S310 (of a run that this started)
            break
        except HTTPError:
            pause.wait(0.05)
        except OSError:
            return
    with suppress(OSError, HTTPException), stream:  # the run's end cuts it off
        while data := stream.read1(SLOW_BYTES if slow else 1 << 16):
            got.append(data.count(b"Content-Type: image/jpeg"))
            if slow:
                pause.wait(1.0)
