"""Cameras and network streams: frames stamped on arrival, lost connections taken up again with back-off."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import cv2
import numpy as np

from tracker.core.address import Address, shown
from tracker.core.interfaces import Source, SourceInfo
from tracker.core.types import Frame
from tracker.errors import LostError, SourceError
from tracker.video.files import VideoFile
from tracker.video.frame_source import FrameRange, FrameSource
from tracker.video.pictures import Converter

PRIMER_S = 2.0
"""Seconds of a live source that are looked at before the run, and lost to it."""
SILENT_S = 5.0
"""Without a frame for so long, a live source is told to be silent."""
OPEN_S, READ_S = 10.0, 12.0
"""Seconds to wait for a connection, and for the next frame of one."""


class Feed(Protocol):
    """One connection. `read` returns an image, or None when the connection is lost."""

    fps: float
    broken: int
    """Packets and pictures that were lost or broken, as far as FFmpeg tells: its decoder conceals some."""

    @property
    def time(self) -> float:
        """Time of the last picture by a playlist's clock; minus infinity where there is none."""

    def read(self) -> np.ndarray | None:
        """The next picture, uint8 (H,W,3) BGR; None when the feed has ended or failed."""

    def release(self) -> None:
        """Free the camera or connection."""


class CameraFeed:
    """A local camera through OpenCV."""

    def __init__(self, index: int) -> None:
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(
                f"camera {index}: cannot be opened; check that it is connected and not in use by another program"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        self.broken = 0
        self.time = float("-inf")

    def read(self) -> np.ndarray | None:
        """The next picture, uint8 (H,W,3) BGR; None when the camera gives none."""
        try:
            return self._capture.read()[1]
        except cv2.error:
            return None

    def release(self) -> None:
        """Free the camera."""
        self._capture.release()


class MissingPictures:
    """Pictures that never came, by the gaps in an even stream's times.

    A packet that is lost over UDP may be a whole picture, which no decoder misses. An interval of about k times the
    usual one, between usual ones, is k - 1 pictures; a camera that changes its rate has no usual ones around.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=26)

    def look(self, time_s: float) -> int:
        """Pictures that are missing before the last but one, now that one of this time has come."""
        self._times.append(time_s)
        if len(self._times) < 8:
            return 0
        steps = np.diff(self._times)
        usual = float(np.median(steps))
        even = np.abs(steps - usual) < 0.25 * usual
        if usual <= 0 or not (even[-1] and even[-3]) or np.mean(even) < 0.6:
            return 0
        return max(0, round(float(steps[-2]) / usual) - 1)


class AddressFeed:
    """A network stream through PyAV; packets that are lost or broken are counted.

    Parameters
    ----------
    address : Address
        Where it comes from.
    transport : str
        Of RTSP: tcp or udp.
    container : PyAV container, optional
        Where it is open already.
    after : float
        Pictures up to this time of the stream are passed over: a dead HLS origin serves its last minute for ever.
    """

    def __init__(
        self, address: Address, transport: str = "tcp", container: Any = None, after: float = float("-inf")
    ) -> None:
        import av

        self._av = av
        self._container = container or connect(address, transport)
        try:
            stream = self._container.streams.video[0]
        except IndexError:
            self._container.close()
            raise SourceError(f"{address}: sends no video; check the address") from None
        self._packets = self._container.demux(stream)
        self._converter = Converter()
        self._waiting: list[Any] = []
        self._playlist = self._container.format.name == "hls"
        self._after = after if self._playlist else float("-inf")
        self._missing = MissingPictures()
        self.broken = 0
        rate = float(stream.average_rate or 25)
        self.fps = rate if 0 < rate <= 240 else 25.0

    @property
    def time(self) -> float:
        """Time of the last picture by a playlist's clock; minus infinity where there is none."""
        return self._after

    def read(self) -> np.ndarray | None:
        """The next picture, uint8 (H,W,3) BGR; None when the stream has ended or failed."""
        try:
            while True:
                frame = self._next()
                if self._playlist and frame.time is not None:
                    if frame.time <= self._after:
                        continue
                    self._after = frame.time
                elif frame.time is not None:
                    self.broken += self._missing.look(frame.time)
                return self._converter(frame)
        except (StopIteration, self._av.FFmpegError, OSError):
            return None

    def _next(self) -> Any:
        """The next picture; packets that lack a part, that the decoder refuses, or of a broken picture are counted."""
        while not self._waiting:
            packet = next(self._packets)
            broken = packet.is_corrupt
            try:
                self._waiting = packet.decode()
            except self._av.error.InvalidDataError:
                broken = True
            self.broken += broken or any(frame.is_corrupt for frame in self._waiting)
        return self._waiting.pop(0)

    def release(self) -> None:
        """Close the connection."""
        self._container.close()


def connect(address: Address, transport: str = "tcp") -> Any:
    """A PyAV container for an address; raises SourceError where nothing answers or nothing known is sent."""
    import av

    options = {"rtsp_transport": transport} if address.scheme.startswith("rtsp") else {}
    started = time.monotonic()
    try:
        return av.open(address.connect(), options=options, timeout=(OPEN_S, READ_S))
    except (av.FFmpegError, OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or type(e).__name__
        if time.monotonic() - started > 0.9 * OPEN_S:  # FFmpeg says that the data are invalid, which never came
            reason = f"no answer within {OPEN_S:g} s"
        advice = "check the address and the network"
        if address.ambiguous:
            advice = "in a password write %2F for /, %40 for @, %3F for ? and %23 for #"
        raise SourceError(f"{address}: cannot be opened ({reason}); {advice}") from None


class LiveSource(FrameSource):
    """Frames from a feed as they come, with the seconds since the first by the clock.

    A lost feed is opened again after 0.5, 1, 2, 4, 8, 8, ... seconds; after `reconnect_s` without one the source ends
    with LostError. Frames are numbered as they are received; those that the pipeline has no time for are dropped by
    its channel.
    """

    def __init__(
        self,
        text: str,
        span: FrameRange,
        *,
        reconnect_s: float,
        transport: str = "tcp",
        feed: Feed | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._text, self._span, self._reconnect_s, self._transport = text, span, reconnect_s, transport
        self._stop = threading.Event()
        self._after, self._broken = float("-inf"), 0
        self._feed: Feed | None = feed or self._open()
        self._head = self._feed.read()
        if self._head is None:
            self._feed.release()
            raise SourceError(f"{shown(text)}: opened, but no frame came; check that it is sending")
        self._news: deque[str] = deque()
        self._index, self._seen_s = 0, 0.0
        self._lost = self._silent = False
        size = (self._head.shape[1], self._head.shape[0])
        frames = span.count(span.start - 1 + (span.max_frames or 0) * span.stride) if span.max_frames else None
        self.info = SourceInfo(stem(text), size, self._feed.fps / span.stride, frames, live=True)

    def _open(self) -> Feed:
        if self._text.isdecimal():
            return CameraFeed(int(self._text))
        return AddressFeed(Address(self._text), self._transport, after=self._after)

    def __iter__(self) -> Iterator[Frame]:
        start = self._seen_s = self._clock()
        self.started_s = start
        image = self._head
        try:
            while image is not None and not self._stop.is_set():
                self._index += 1
                if self._span.over(self._index):
                    break
                if self._span.wants(self._index):
                    yield Frame(self._index, self._clock() - start, self.fit(image, self._index), self.info.size)
                image = self._feed.read() if self._feed is not None else None
                if image is None and not self._stop.is_set():
                    image = self._again()
                if image is not None:
                    self._seen()
        finally:
            self._release()
            self.report()
            self._seen_s = 0.0

    def _seen(self) -> None:
        """A frame has come: say so where it was missed."""
        if self._silent:
            away = self._clock() - self._seen_s
            self._news.append(f"back after {away:.0f} s")
            self.warnings.append(f"no frame for {away:.1f} s after frame {self._index}")
        self._lost = self._silent = False
        self._seen_s = self._clock()

    def _again(self) -> np.ndarray | None:
        """Reconnect with back-off; the next image, or None when the run is ended meanwhile.

        Raises
        ------
        LostError
            Time is up.
        """
        self._release()
        self._lost = self._silent = True
        self._news.append(f"lost after frame {self._index}, trying again for {self._reconnect_s:g} s")
        lost, wait = self._clock(), 0.5
        while (left := lost + self._reconnect_s - self._clock()) > 0 and not self._stop.wait(min(wait, left)):
            wait = min(wait * 2, 8.0)
            try:
                self._feed = self._open()
            except SourceError:
                continue
            if (image := self._feed.read()) is not None:
                self.reconnects += 1
                return image
            self._release()
        if self._stop.is_set():
            return None
        self._lost = self._silent = False  # told by the error
        raise LostError(f"lost after frame {self._index} and not back within {self._reconnect_s:g} s")

    def news(self) -> list[str]:
        """What has happened since the last call and should be told at once."""
        away = self._clock() - self._seen_s if self._seen_s else 0.0
        if away > SILENT_S and not self._silent:
            self._silent = True
            self._news.append(f"no frame for {away:.0f} s, waiting")
        return [self._news.popleft() for _ in range(len(self._news))]

    @property
    def state(self) -> str:
        """What is wrong now; empty where all is well."""
        if not self._silent:
            return ""
        return f"{'lost, ' if self._lost else ''}no frame for {self._clock() - self._seen_s:.0f} s"

    def report(self) -> None:
        """Turn what was counted on the way into warnings, a loss that lasts among them."""
        if self._silent:
            self.warnings.append(f"{self.state} after frame {self._index}, when the run was ended")
            self._lost = self._silent = False
        if self._broken:
            self.warnings.append(f"at least {self._broken} packets or pictures were lost or broken")
            self._broken = 0
        super().report()

    def _release(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            self._broken += feed.broken
            self._after = feed.time
            feed.release()

    def primer(self, count: int = 12, seconds: float = 4.0) -> list[Frame]:
        """Some frames spread over the next seconds, taken before the run: they are not seen again."""
        seconds = min(seconds, PRIMER_S)
        start = self._clock()
        frames: list[Frame] = []
        while len(frames) < count and self._head is not None and self._clock() - start < seconds + 1:
            now = self._clock() - start
            if now >= len(frames) * seconds / count:
                frames.append(Frame(len(frames) + 1, now, self.fit(self._head, 1), self.info.size))
            self._head = self._feed.read() if self._feed is not None else None
        return frames

    def interrupt(self) -> None:
        """End the frames soon, from any thread."""
        self._stop.set()

    def close(self) -> None:
        """Stop reading and free the camera or connection."""
        self._stop.set()
        self._release()
        super().close()


PAGES = ("youtube.com", "youtu.be", "vimeo.com")
"""Hosts whose addresses are pages about videos."""


def open_live(text: str, span: FrameRange, *, reconnect_s: float, transport: str = "tcp") -> Source:
    """A camera or an address; a recording behind an address is read like a file, no frame dropped."""
    if text.isdecimal():
        return LiveSource(text, span, reconnect_s=reconnect_s)
    address = Address(text)
    try:
        host = urlsplit(text).hostname or ""
    except ValueError:  # its own words may hold a part of the password
        raise SourceError(f"{address}: is no address; expected such as rtsp://192.0.2.7:554/stream") from None
    if host.endswith(PAGES):
        raise SourceError(f"{shown(text)}: a page of {host}, no video; save it first (yt-dlp ADDRESS), give the file")
    container = connect(address, transport)
    kind = _kind(address, container)
    if kind != "live":
        recording = VideoFile(str(address), address.name(), span, container)
        if kind == "recording" or _ahead_of_clock(recording):
            return recording
    feed = AddressFeed(address, transport, container)
    return LiveSource(text, span, reconnect_s=reconnect_s, transport=transport, feed=feed)


def _kind(address: Address, container: Any) -> str:
    """`live`, `recording`, or `either`: what a container and its length tell."""
    names = set(container.format.name.split(","))
    if not address.scheme.startswith("http") or "mpjpeg" in names:
        return "live"
    if names & {"hls", "dash"}:
        return "recording" if container.duration else "live"
    if container.size > 0:
        return "recording"
    return "either" if names & {"matroska", "webm", "mov", "mp4", "avi", "ogg", "asf", "mpegts", "flv"} else "live"


def _ahead_of_clock(recording: VideoFile) -> bool:
    """A second of it comes in less than half a second: no camera sends faster than its own clock runs."""
    started = time.monotonic()
    frames = recording.primer(8, 1.0)
    took = time.monotonic() - started
    return len(frames) < 2 or took < 0.5 * (frames[-1].time_s - frames[0].time_s)


def stem(text: str) -> str:
    """A name for the output folder: `camera0`, or the host and path of an address."""
    return f"camera{text}" if text.isdecimal() else Address(text).name()
