"""The real parts of the drills: runs as processes of their own, and cameras that can be taken away."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

SIZE = (320, 180)
LIMIT_S = 120.0
"""A run that takes longer has hung."""
RTSP = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer(); server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory(); factory.set_shared(True)
factory.set_launch("( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=25/1 ! "
                   "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay pt=96 mtu=400 ! "
                   f"identity name=pay0 drop-probability={sys.argv[2]} )")
server.get_mount_points().add_factory("/cam", factory); server.attach(None)
GLib.MainLoop().run()
"""
"""A camera: a ball that moves, 25 frames a second; it may lose a share of its packets. Run by the system's Python."""
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass
class Result:
    """How a run went: exit code, seconds, what it said, its folder."""

    code: int
    seconds: float
    said: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds; empty where there is none."""
        path = self.folder / "summary.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def whole(self) -> bool:
        """No half file is left, and every row is whole."""
        parts = list(self.folder.glob(".*.part"))
        rows = (self.folder / "tracks.txt").read_text() if (self.folder / "tracks.txt").exists() else ""
        return not parts and all(line.count(",") == 9 for line in rows.splitlines())


class Run:
    """A run of the command in a process of its own."""

    def __init__(
        self, folder: Path, *arguments: str, detector: str = "motion", environment: dict[str, str] | None = None
    ) -> None:
        self.folder = folder / "out"
        self._log = open(folder / "log.txt", "w+b")  # noqa: SIM115 (closed by end)
        command = [sys.executable, "-m", "tracker", "run", "--detector", detector, "--encoder", "none",
                   "--output", str(self.folder), "--overwrite", *arguments]  # fmt: skip
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
            preexec_fn=_heard,  # noqa: PLW1509
        )

    def wait_for_rows(self, seconds: float = 30.0, minimum: int = 60) -> None:
        """Until so many bytes of rows are written."""
        part, end = self.folder / ".tracks.csv.part", time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError):
                if part.stat().st_size > minimum:
                    return
            time.sleep(0.05)

    def send(self, *numbers: int) -> None:
        """Signals, half a second apart."""
        for number in numbers:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)
            time.sleep(0.5)

    def end(self) -> Result:
        """Wait for the end; one that hangs is killed, and its code is -9."""
        try:
            code = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")
        self._log.close()
        return Result(code, time.monotonic() - self.started, said, self.folder)


def _heard() -> None:
    """Signals that a shell or nohup has what it starts in the background ignore are heard."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def command(source: str, output: Path) -> subprocess.CompletedProcess[str]:
    """A run from beginning to end."""
    arguments = ["run", source, "--detector", "motion", "--encoder", "none", "--output", str(output), "--overwrite"]
    return subprocess.run(
        [sys.executable, "-m", "tracker", *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def picture(index: int) -> np.ndarray:
    """A bright box that moves over a still ground."""
    image = np.full((SIZE[1], SIZE[0], 3), 70, np.uint8)
    x = index * 3 % (SIZE[0] - 50)
    image[60:120, x : x + 40] = 225
    return image


def clip(folder: Path, frames: int, name: str = "clip.avi") -> str:
    """A drawn video; its path."""
    path = str(folder / name)
    video = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 25, SIZE)
    for index in range(frames):
        video.write(picture(index))
    video.release()
    return path


class Camera(http.server.BaseHTTPRequestHandler):
    """MJPEG over HTTP; `plan` says how many frames each connection gets, in seconds how long apart."""

    plan: ClassVar[list[tuple[int, float]]] = []

    def do_GET(self) -> None:
        """Send what the plan says for this connection; 503 where it is over."""
        if not Camera.plan:
            self.send_error(503)
            return
        frames, pause = Camera.plan.pop(0)
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with suppress(OSError):
            for index in range(frames):
                data = cv2.imencode(".jpg", picture(index))[1].tobytes()
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                self.wfile.write(head + data + b"\r\n")
                time.sleep(pause)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the base class's name)
        """Say nothing."""


@contextmanager
def camera(*plan: tuple[int, float]) -> Iterator[str]:
    """An MJPEG camera; its address."""
    Camera.plan = list(plan)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://admin:s3cret@127.0.0.1:{server.server_port}/cam.mjpg"
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class RTSPCamera:
    """A real RTSP server in a process of its own, which can be taken away and brought back."""

    def __init__(self, lost: float = 0.0) -> None:
        self.port, self._lost = free_port(), lost
        self.address = f"rtsp://127.0.0.1:{self.port}/cam"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Listen, and wait until it does."""
        command = [SYSTEM_PYTHON, "-c", RTSP, str(self.port), str(self._lost)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            time.sleep(0.1)

    def stop(self) -> None:
        """Go away as a camera does that loses power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @staticmethod
    def there() -> bool:
        """The bindings are installed."""
        test = ("import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0');"
                "from gi.repository import Gst; Gst.init(None); assert Gst.ElementFactory.find('x264enc')")  # fmt: skip
        with suppress(OSError):
            return subprocess.run([SYSTEM_PYTHON, "-c", test], capture_output=True, check=False).returncode == 0
        return False
