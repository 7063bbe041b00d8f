"""What is known of a stream while it runs: its latest picture, today's counts, the last hour, its health."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.answers.events import Crossing, Events
from tracker.core.files import write_whole
from tracker.core.interfaces import SourceInfo
from tracker.core.tensorflow import cores
from tracker.core.text import parse_json
from tracker.core.types import Frame, Tracks
from tracker.errors import TrackerError
from tracker.video.writer import VideoSink

PICTURE_FPS = 10.0
"""Pictures a second that are encoded for the page, however many look: at most."""
ENCODING = 0.02
"""Share of all processors that encoding may take, else pictures are fewer: drawing and sending take as much again."""
PICTURE_WIDTH = 960
"""Wider pictures are reduced to about this: encoding costs by the pixel, and no page shows more."""
QUALITY = 75
HOUR_MIN = 60
LATEST = 50
"""Crossings that a page which is opened is shown."""
SAVE_S = 10.0
"""Seconds between two times that counts are saved, so that they go on after a restart."""
FPS_WINDOW_S = 5.0

Way = tuple[str, str, str]
"""Line, direction and class."""


@dataclass(frozen=True)
class Facts:
    """What a source tells of itself: frames dropped, reconnects, and `time.monotonic()` of time 0 where it is live."""

    dropped: int = 0
    reconnects: int = 0
    started_s: float | None = None


class Hub:
    """Is shown the frames of a stream, and answers those who ask about it from other threads.

    Parameters
    ----------
    name : str
        Of the stream.
    info : SourceInfo
        Of its source.
    folder : Path, optional
        Where recordings and saved counts go.
    ways : sequence of (str, str)
        Lines and directions that there are, counted or not.
    facts : Callable
        What the source tells of itself now.
    now : Callable
        The wall clock, local time.
    """

    keeps = False

    def __init__(
        self,
        name: str,
        info: SourceInfo,
        folder: Path | None,
        *,
        ways: Sequence[tuple[str, str]] = (),
        facts: Callable[[], Facts] = Facts,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self.name, self._info, self._folder, self._facts, self._now = name, info, folder, facts, now
        self._ways = tuple(ways)
        self.warnings: list[str] = []
        self._lock = threading.Lock()
        self._listeners: list[Callable[[dict[str, Any]], None]] = []
        self._pictures = _Pictures()
        self._recording: VideoSink | None = None
        self._record_wanted = False
        self._times: deque[float] = deque(maxlen=1000)
        self._frames = self._objects = 0
        self._last_time_s = 0.0
        self._counts: Counter[Way] = Counter()
        self._day = self._now().date()
        self._minutes: deque[tuple[int, Counter[tuple[str, str]]]] = deque(maxlen=HOUR_MIN)
        self._latest: deque[dict[str, Any]] = deque(maxlen=LATEST)
        self._saved_s = time.monotonic()
        self._restore()

    # ---- from the pipeline ----------------------------------------------------------------------

    @property
    def draws(self) -> bool:
        """Somebody looks, or the stream is recorded."""
        return self._record_wanted or self._recording is not None or self._pictures.due

    def view(self, frame: Frame, tracks: Tracks, drawn: np.ndarray | None, events: Events) -> None:
        """Take a frame in; never waits for who looks."""
        with self._lock:
            self._times.append(time.monotonic())
            self._last_time_s = frame.time_s
            self._frames += 1
            self._objects = len(tracks)
        if drawn is not None:
            self._record(drawn, frame.time_s)
            self._pictures.offer(drawn)
        self.settle(events)
        if time.monotonic() - self._saved_s > SAVE_S:
            self._save()

    def settle(self, events: Events) -> None:
        """Count crossings and tell the listeners of them."""
        for told in [self._count(crossing) for crossing in events.crossings]:
            for listener in tuple(self._listeners):
                listener(told)

    def close(self) -> None:
        """The stream is over."""
        self._save()
        self.record(False)
        self._stop_recording()
        self._pictures.close()

    def _count(self, c: Crossing) -> dict[str, Any]:
        now = self._now()
        told = {
            "event": "crossing", "source": self.name, "time": now.isoformat(timespec="milliseconds"),
            "time_s": round(c.time_s, 3), "line": c.line, "direction": c.direction, "class": c.class_name, "id": c.id,
            "x": round(c.x, 1), "y": round(c.y, 1), "speed": None if c.speed is None else round(c.speed, 1),
        }  # fmt: skip
        with self._lock:
            self._new_day(now)
            self._counts[c.line, c.direction, c.class_name] += 1
            minute = int(now.timestamp() // 60)
            if not self._minutes or self._minutes[-1][0] != minute:
                self._minutes.append((minute, Counter()))
            self._minutes[-1][1][c.line, c.direction] += 1
            self._latest.append(told)
        return told

    def _new_day(self, now: datetime) -> None:
        if now.date() != self._day:
            self._day = now.date()
            self._counts.clear()

    # ---- counts over restarts -------------------------------------------------------------------

    def _file(self) -> Path | None:
        return self._folder / "today.json" if self._folder is not None else None

    def _restore(self) -> None:
        """Go on counting where an earlier run of the same day stopped."""
        path = self._file()
        if path is None:
            return
        with suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
            data = parse_json(path.read_text(encoding="utf-8"))
            if data["day"] == self._day.isoformat():
                self._counts.update({(str(a), str(b), str(c)): int(n) for a, b, c, n in data["counts"]})

    def _save(self) -> None:
        path, self._saved_s = self._file(), time.monotonic()
        if path is None or not path.parent.is_dir():
            return
        with self._lock:
            data = {"day": self._day.isoformat(), "counts": [[*way, n] for way, n in sorted(self._counts.items())]}
        try:
            write_whole(path, json.dumps(data) + "\n")
        except TrackerError as e:
            self._warn(str(e))

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    # ---- recording ------------------------------------------------------------------------------

    def record(self, on: bool) -> bool:
        """Start or stop recording with the next frame; whether it records then."""
        self._record_wanted = on and self._folder is not None and self._info.pixels
        return self._record_wanted

    @property
    def recording(self) -> bool:
        """Whether the stream is recorded, or will be from the next frame on."""
        return self._record_wanted

    def _record(self, picture: np.ndarray, time_s: float) -> None:
        if not self._record_wanted:
            self._stop_recording()
            return
        try:
            if self._recording is None and self._folder is not None:
                place = self._folder / "recordings"
                place.mkdir(parents=True, exist_ok=True)
                name = self._now().strftime("%Y-%m-%d_%H%M%S")
                self._recording = VideoSink(place / f"{name}.mp4", self._info.size, self._info.fps)
            if self._recording is not None:
                self._recording.write_image(picture, time_s)
        except (TrackerError, OSError) as e:
            self._warn(f"recording stopped: {e}")
            self._record_wanted = False
            self._stop_recording()

    def _stop_recording(self) -> None:
        sink, self._recording = self._recording, None
        if sink is not None:
            try:
                sink.close()
            except TrackerError as e:
                self._warn(str(e))

    # ---- from who asks --------------------------------------------------------------------------

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call `listener` with every crossing, from the pipeline's thread: it must not wait. Returns what ends that."""
        self._listeners.append(listener)

        def end() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return end

    def watch(self, on_picture: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `on_picture` with every encoded picture, from a thread of ours. Returns what ends that."""
        return self._pictures.watch(on_picture)

    def snapshot(self, timeout_s: float = 3.0) -> bytes | None:
        """The next picture as JPEG; None where none comes in time."""
        came = threading.Event()
        got: list[bytes] = []

        def take(data: bytes) -> None:
            got.append(data)
            came.set()

        end = self.watch(take)
        try:
            came.wait(timeout_s)
        finally:
            end()
        return got[0] if got else None

    def counts(self) -> dict[str, Any]:
        """Today's counts by line, direction and class; crossings of the last hour by minute; the latest ones."""
        now = self._now()
        minute = int(now.timestamp() // 60)
        with self._lock:
            self._new_day(now)
            rows = [
                {"line": line, "direction": direction, "class": name, "count": n}
                for (line, direction, name), n in sorted(self._counts.items())
            ]
            by_minute = dict(self._minutes)
            latest = list(self._latest)
        ways = list(dict.fromkeys([*self._ways, *sorted({way for counts in by_minute.values() for way in counts})]))
        minutes = range(minute - HOUR_MIN + 1, minute + 1)
        hour = [
            {"line": way[0], "direction": way[1], "counts": [by_minute.get(m, Counter())[way] for m in minutes]}
            for way in ways
        ]
        return {"source": self.name, "day": self._day.isoformat(), "counts": rows, "hour": hour, "latest": latest}

    def health(self) -> dict[str, Any]:
        """Frame rate, delay, losses."""
        now, facts = time.monotonic(), self._facts()
        with self._lock:
            recent = [t for t in self._times if now - t <= FPS_WINDOW_S]
            last = self._times[-1] if self._times else None
            frames, objects, time_s = self._frames, self._objects, self._last_time_s
        delay = last - facts.started_s - time_s if last is not None and facts.started_s is not None else None
        span = recent[-1] - recent[0] if len(recent) > 1 else 0.0
        return {
            "source": self.name,
            "frames": frames,
            "fps": round((len(recent) - 1) / span, 2) if span > 0 else 0.0,
            "objects": objects,
            "last_frame_s": None if last is None else round(now - last, 3),
            "delay_s": None if delay is None else round(delay, 3),
            "dropped": facts.dropped,
            "reconnects": facts.reconnects,
            "viewers": self._pictures.watching,
            "recording": self.recording,
            "warnings": list(self.warnings),
        }


class _Pictures:
    """Encodes the newest picture for those who look, in a thread of its own, at most so many a second."""

    def __init__(self) -> None:
        self._watchers: list[Callable[[bytes], None]] = []
        self._changed = threading.Condition()
        self._waiting: np.ndarray | None = None
        self._closed = False
        self._last_s, self._every_s = 0.0, 1 / PICTURE_FPS
        self._thread: threading.Thread | None = None

    @property
    def watching(self) -> int:
        """How many look."""
        return len(self._watchers)

    @property
    def due(self) -> bool:
        """Somebody looks, and the next picture's time has come."""
        return bool(self._watchers) and time.monotonic() - self._last_s >= self._every_s

    def watch(self, watcher: Callable[[bytes], None]) -> Callable[[], None]:
        with self._changed:
            self._watchers = [*self._watchers, watcher]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="pictures", daemon=True)
                self._thread.start()

        def end() -> None:
            with self._changed:
                self._watchers = [w for w in self._watchers if w is not watcher]

        return end

    def offer(self, picture: np.ndarray) -> None:
        """A drawn picture that nobody changes any more."""
        if self.due:
            self._last_s = time.monotonic()
            with self._changed:
                self._waiting = picture
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting is not None)
                if self._closed:
                    return
                picture, self._waiting = self._waiting, None
            if picture is None:
                continue
            began_s = time.thread_time()
            data = encode(picture)
            took_s = time.thread_time() - began_s
            self._every_s = 0.8 * self._every_s + 0.2 * max(1 / PICTURE_FPS, took_s / ENCODING / cores())
            for watcher in self._watchers:
                watcher(data)


def encode(picture: np.ndarray) -> bytes:
    """A BGR picture as JPEG, not much wider than the page shows."""
    height, width = picture.shape[:2]
    if (whole := width // PICTURE_WIDTH) > 1:  # averaging is quick by whole numbers alone
        picture = cv2.resize(picture, (width // whole, height // whole), interpolation=cv2.INTER_AREA)
    elif width > PICTURE_WIDTH:
        picture = cv2.resize(picture, (PICTURE_WIDTH, round(height * PICTURE_WIDTH / width)))
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])
