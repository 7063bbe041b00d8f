"""Live and fault drills with real parts: servers, cameras that go away, disks that fill up, signals; what was survived.

Each drill runs `python -m tracker run` as a process and looks at its exit code, its words and its files. RTSP needs the
packages `gir1.2-gst-rtsp-server-1.0` and `python3-gi` of Debian, and GStreamer's x264 encoder; without them those
drills are left out, and said to be.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drill_parts import LIMIT_S, RTSPCamera, Run, camera, clip, command

# Each drill returns "" where it was survived, else what went wrong.


def interrupted(number: int, times: int) -> Callable[[Path], str]:
    """A signal, once or twice, in the middle of a run."""

    def drill(folder: Path) -> str:
        run = Run(folder, clip(folder, 4000))
        run.wait_for_rows()
        asked = time.monotonic()
        run.send(*[number] * times)
        done = run.end()
        took = time.monotonic() - asked
        if done.code != 130 or (times > 1 and took > 3) or took > 15:
            return f"code {done.code} after {took:.1f} s"
        return "" if times > 1 or (done.whole() and done.summary) else "files are not whole"

    return drill


def killed(folder: Path) -> str:
    """The process dies without warning; the next run finds nothing in its way."""
    run = Run(folder, clip(folder, 4000))
    run.wait_for_rows()
    run.send(signal.SIGKILL)
    run.end()
    again = Run(folder, clip(folder, 50, "short.avi")).end()
    return "" if again.code == 0 and again.whole() else f"the next run ends with {again.code}: {again.said[-200:]}"


def crashed(folder: Path) -> str:
    """A library kills the process, as a decoder can: what was written can be read, and the next run goes."""
    import av

    run = Run(folder, clip(folder, 4000))
    run.wait_for_rows(minimum=20_000)
    run.send(signal.SIGSEGV)
    done = run.end()
    rows = (run.folder / ".tracks.txt.part").read_text()
    try:
        with av.open(str(run.folder / ".tracks.mp4.part")) as video:
            frames = sum(1 for _ in video.decode(video=0))
    except (av.FFmpegError, OSError) as e:
        return f"its video cannot be read: {e}"
    again = Run(folder, clip(folder, 50, "short.avi")).end()
    last = int(rows.splitlines()[-2].split(",")[0])
    fine = done.code == -signal.SIGSEGV and frames > last - 120 and again.code == 0 and again.whole()
    return "" if fine else f"code {done.code}, {frames} frames of {last} in its video, then {again.code}"


def folder_removed(folder: Path) -> str:
    """The output folder is removed in the middle of a run."""
    run = Run(folder, clip(folder, 6000))
    run.wait_for_rows()
    shutil.rmtree(run.folder)
    done = run.end()
    return "" if done.code == 1 and "was removed" in done.said else f"code {done.code}: {done.said[-200:]}"


def one_folder_two_runs(folder: Path) -> str:
    """A second run is given the folder of one that is at work."""
    path = clip(folder, 4000)
    first = Run(folder, path)
    first.wait_for_rows()
    other = command(path, first.folder)
    first.send(signal.SIGINT)
    done = first.end()
    fine = other.returncode == 1 and "another run writes there" in other.stderr and done.whole()
    return "" if fine else f"codes {done.code}, {other.returncode}: {other.stderr[-200:]}"


def disk_full(folder: Path) -> str:
    """The disk fills in the middle of a run."""
    small = folder / "small"
    small.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)], check=False).returncode
    ):
        return "left out: mounting a small disk needs root"
    try:
        done = command(clip(folder, 2000), small / "out")
        fine = done.returncode == 1 and "No space left" in done.stderr and (small / "out" / "tracks.txt").exists()
        return "" if fine else f"code {done.returncode}: {done.stderr[-200:]}"
    finally:
        subprocess.run(["umount", str(small)], check=False)


def camera_back(folder: Path) -> str:
    """A camera is lost, comes back, and is lost for good."""
    with camera((60, 0.04), (60, 0.04)) as address:
        done = Run(folder, address, "--reconnect", "3").end()
    told = "lost after frame" in done.said and "back after" in done.said and "s3cret" not in done.said
    return "" if done.code == 3 and told and done.whole() else f"code {done.code}: {done.said[-300:]}"


def camera_interrupted(folder: Path) -> str:
    """A camera run is interrupted."""
    with camera((2000, 0.04)) as address:
        run = Run(folder, address)
        run.wait_for_rows()
        run.send(signal.SIGINT)
        done = run.end()
    return "" if done.code == 130 and done.whole() and done.summary else f"code {done.code}: {done.said[-300:]}"


def nobody_answers(folder: Path) -> str:
    """A peer takes the connection and says nothing; the user has enough."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        run = Run(folder, f"rtsp://user:s3cret@127.0.0.1:{deaf.getsockname()[1]}/cam")
        time.sleep(4)
        asked = time.monotonic()
        run.send(signal.SIGINT)
        done = run.end()
    took = time.monotonic() - asked
    return "" if done.code == 130 and took < 3 and "s3cret" not in done.said else f"code {done.code} after {took:.1f} s"


def rtsp_lost_and_back(folder: Path) -> str:
    """A camera loses power for some seconds."""
    server = RTSPCamera()
    server.start()
    try:
        run = Run(folder, server.address, "--reconnect", "30")
        run.wait_for_rows()
        server.stop()
        time.sleep(4)
        server.start()
        time.sleep(8)
        run.send(signal.SIGINT)
        done = run.end()
    finally:
        server.stop()
    told = "lost after frame" in done.said and "back after" in done.said
    return "" if done.code == 130 and told and done.whole() else f"code {done.code}: {done.said[-300:]}"


def rtsp_gone_for_good(folder: Path) -> str:
    """A camera loses power for good."""
    server = RTSPCamera()
    server.start()
    run = Run(folder, server.address, "--reconnect", "4")
    run.wait_for_rows()
    server.stop()
    done = run.end()
    return "" if done.code == 3 and done.whole() and done.summary else f"code {done.code}: {done.said[-300:]}"


def rtsp_over_udp(folder: Path) -> str:
    """A camera is asked to send over UDP."""
    server = RTSPCamera()
    server.start()
    try:
        done = Run(folder, server.address, "--rtsp-transport", "udp", "--max-frames", "50").end()
    finally:
        server.stop()
    # A machine that is busy leaves frames out; what counts is that they came.
    left_out = re.search(r"(\d+) frames gave way", done.said)
    came = done.summary.get("frames", 0) + (int(left_out[1]) if left_out else 0)
    return (
        "" if done.code == 0 and done.summary.get("frames") and came > 40 else f"code {done.code}: {done.said[-300:]}"
    )


def rtsp_loses_packets(folder: Path) -> str:
    """A network loses a tenth of a camera's packets: the run goes on and tells."""
    server = RTSPCamera(lost=0.1)
    server.start()
    try:
        done = Run(folder, server.address, "--rtsp-transport", "udp", "--max-frames", "150").end()
    finally:
        server.stop()
    told = "packets or pictures were lost or broken" in done.said
    return "" if done.code == 0 and told and done.whole() else f"code {done.code}: {done.said[-300:]}"


def secret_in_no_process(folder: Path) -> str:
    """A camera's password comes from the environment: no process of the run shows it in its command line."""
    with camera((2000, 0.02)) as address:
        hidden = address.replace("s3cret", "{DRILL_PASSWORD}")
        given = {"DRILL_PASSWORD": "s3cret", "TRACKER_CACHE": str(folder / "cache")}
        run = Run(folder, hidden, "--encoder", "default", "--max-frames", "50", environment=given)
        seen: dict[int, str] = {}
        while run.process.poll() is None and time.monotonic() < run.started + LIMIT_S:
            seen |= command_lines(run.process.pid)
            time.sleep(0.05)
        done = run.end()
    shown = [line for line in seen.values() if "s3cret" in line]
    fine = done.code == 0 and not shown and "s3cret" not in done.said and len(seen) > 1
    return "" if fine else f"code {done.code}, {len(seen)} processes, {shown}: {done.said[-300:]}"


def command_lines(pid: int) -> dict[int, str]:
    """Those of a process and all below it, by number."""
    found: dict[int, str] = {}
    todo = [pid]
    while todo:
        number = todo.pop()
        with suppress(OSError):
            found[number] = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            for thread in Path(f"/proc/{number}/task").iterdir():
                todo += map(int, (thread / "children").read_text().split())
    return found


DRILLS: dict[str, Callable[[Path], str]] = {
    "Ctrl-C": interrupted(signal.SIGINT, 1),
    "SIGTERM": interrupted(signal.SIGTERM, 1),
    "SIGHUP": interrupted(signal.SIGHUP, 1),
    "Ctrl-C twice": interrupted(signal.SIGINT, 2),
    "kill -9, then again": killed,
    "a library crashes": crashed,
    "output folder removed": folder_removed,
    "two runs, one folder": one_folder_two_runs,
    "disk full": disk_full,
    "camera lost and back": camera_back,
    "camera interrupted": camera_interrupted,
    "peer that never answers": nobody_answers,
    "RTSP lost and back": rtsp_lost_and_back,
    "RTSP gone for good": rtsp_gone_for_good,
    "RTSP over UDP": rtsp_over_udp,
    "RTSP loses packets": rtsp_loses_packets,
    "a password in no process": secret_in_no_process,
}
"""By name; those of RTSP need the Debian packages."""


def soak(minutes: float, folder: Path) -> dict[str, Any]:
    """A run of RTSP at 25 frames a second: memory over time and latency from capture to row."""
    server = RTSPCamera()
    server.start()
    run = Run(folder, server.address)
    run.wait_for_rows()
    sizes: list[float] = []
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end and run.process.poll() is None:
        sizes.append(resident_mb(run.process.pid))
        time.sleep(min(5.0, max(0.5, 6 * minutes)))
    run.send(signal.SIGINT)
    done = run.end()
    server.stop()
    third = max(1, len(sizes) // 3)
    return {
        "minutes": minutes, "frames": done.summary.get("frames"), "latency_ms": done.summary.get("latency_ms"),
        "rss_mb": {"second third": round(float(np.median(sizes[third : 2 * third] or sizes)), 1),
                   "last third": round(float(np.median(sizes[-third:])), 1)},
        "code": done.code,
    }  # fmt: skip


def resident_mb(pid: int) -> float:
    """Memory of a process in MB; 0 where it is gone."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--only", default="", metavar="WORD", help="drills whose name holds this word")
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="MINUTES", help="also run an RTSP camera for so long"
    )


def main(options: argparse.Namespace) -> int:
    """Run the drills; prints a table and returns 1 where one was not survived."""
    failed = tried = 0
    rtsp = RTSPCamera.there()
    for name, drill in DRILLS.items():
        if options.only.lower() not in name.lower():
            continue
        with tempfile.TemporaryDirectory(prefix="drill-") as folder:
            missing = name.startswith("RTSP") and not rtsp
            outcome = "left out: no GStreamer RTSP server is installed" if missing else drill(Path(folder))
        tried += not outcome.startswith("left out")
        failed += bool(outcome) and not outcome.startswith("left out")
        print(f"{name:26}{outcome or 'survived'}", flush=True)
    print(f"{tried} drills tried, {tried - failed} survived")
    if options.soak and rtsp:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            print(json.dumps(soak(options.soak, Path(folder))))
    return 1 if failed else 0
