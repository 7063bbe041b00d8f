"""Cameras and network streams: frames stamped on arrival, lost connections taken up again with back-off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import cv2
import numpy as np

from tracker.core.address import Address, shown
from tracker.core.interfaces import Source, SourceInfo
from tracker.core.types import Frame
from tracker.errors import SourceError
from tracker.video.files import FrameRange, FrameSource, VideoFile

PRIMER_S = 2.0
"""Seconds of a live source that are looked at before the run, and lost to it."""
OPEN_S, READ_S = 10.0, 12.0
"""Seconds to wait for a connection, and for the next frame of one."""


class Feed(Protocol):
    """One connection. `read` returns an image, or None when the connection is lost."""

    fps: float

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

    def read(self) -> np.ndarray | None:
        """The next picture, uint8 (H,W,3) BGR; None when the camera gives none."""
        try:
            return self._capture.read()[1]
        except cv2.error:
            return None

    def release(self) -> None:
        """Free the camera."""
        self._capture.release()


class AddressFeed:
    """A network stream through PyAV, RTSP over TCP."""

    def __init__(self, address: Address, container: Any = None) -> None:
        import av

        self._av = av
        self._container = container or connect(address)
        try:
            stream = self._container.streams.video[0]
        except IndexError:
            self._container.close()
            raise SourceError(f"{address}: sends no video; check the address") from None
        self._frames = self._container.decode(stream)
        rate = float(stream.average_rate or 25)
        self.fps = rate if 0 < rate <= 240 else 25.0

    def read(self) -> np.ndarray | None:
        """The next picture, uint8 (H,W,3) BGR; None when the stream has ended or failed."""
        try:
            image: np.ndarray = next(self._frames).to_ndarray(format="bgr24")
            return image
        except (StopIteration, self._av.FFmpegError, OSError):
            return None

    def release(self) -> None:
        """Close the connection."""
        self._container.close()


def connect(address: Address) -> Any:
    """A PyAV container for an address; raises SourceError where nothing answers or nothing known is sent."""
    import av

    options = {"rtsp_transport": "tcp"} if address.scheme.startswith("rtsp") else {}
    started = time.monotonic()
    try:
        return av.open(address.connect(), options=options, timeout=(OPEN_S, READ_S))
    except (av.FFmpegError, OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or type(e).__name__
        if time.monotonic() - started > 0.9 * OPEN_S:  # FFmpeg says that the data are invalid, which never came
            reason = f"no answer within {OPEN_S:g} s"
        raise SourceError(f"{address}: cannot be opened ({reason}); check the address and the network") from None


class LiveSource(FrameSource):
    """Frames from a feed as they come, with the seconds since the first by the clock.

    A lost feed is opened again after 0.5, 1, 2, 4, 8, 8, ... seconds; after `reconnect_s` without one the source ends.
    Frames are numbered as they are received; those that the pipeline has no time for are dropped by its channel.
    """

    def __init__(
        self,
        text: str,
        span: FrameRange,
        *,
        reconnect_s: float,
        feed: Feed | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._text, self._span, self._reconnect_s = text, span, reconnect_s
        self._stop = threading.Event()
        self._feed: Feed | None = feed or self._open()
        self._head = self._feed.read()
        if self._head is None:
            self._feed.release()
            raise SourceError(f"{shown(text)}: opened, but no frame came; check that it is sending")
        self.reconnects = 0
        size = (self._head.shape[1], self._head.shape[0])
        frames = span.count(span.start - 1 + (span.max_frames or 0) * span.stride) if span.max_frames else None
        self.info = SourceInfo(stem(text), size, self._feed.fps / span.stride, frames, live=True)

    def _open(self) -> Feed:
        return CameraFeed(int(self._text)) if self._text.isdecimal() else AddressFeed(Address(self._text))

    def __iter__(self) -> Iterator[Frame]:
        index, start = 0, self._clock()
        image = self._head
        while image is not None and not self._stop.is_set():
            index += 1
            if self._span.over(index):
                break
            if self._span.wants(index):
                yield Frame(index, self._clock() - start, self.fit(image, index), self.info.size)
            image = self._feed.read() if self._feed is not None else None
            if image is None and not self._stop.is_set():
                image = self._again(index)
        self._release()
        self.report()

    def _again(self, index: int) -> np.ndarray | None:
        """Reconnect with back-off; the next image, or None when time is up."""
        self._release()
        lost, wait = self._clock(), 0.5
        while (left := lost + self._reconnect_s - self._clock()) > 0 and not self._stop.wait(min(wait, left)):
            wait = min(wait * 2, 8.0)
            try:
                self._feed = self._open()
            except SourceError:
                continue
            if (image := self._feed.read()) is not None:
                self.reconnects += 1
                self.warnings.append(f"lost after frame {index}, connected again after {self._clock() - lost:.1f} s")
                return image
            self._release()
        if not self._stop.is_set():
            self.warnings.append(
                f"lost after frame {index} and not back within {self._reconnect_s:g} s: the run ends here"
            )
        return None

    def _release(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
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


def open_live(text: str, span: FrameRange, *, reconnect_s: float) -> Source:
    """A camera or an address; a file behind http with a known length is read like a file, no frame dropped."""
    if text.isdecimal():
        return LiveSource(text, span, reconnect_s=reconnect_s)
    address = Address(text)
    container = connect(address)
    if address.scheme in ("http", "https") and container.duration and container.size > 0:
        return VideoFile(str(address), address.name(), span, container)
    return LiveSource(text, span, reconnect_s=reconnect_s, feed=AddressFeed(address, container))


def stem(text: str) -> str:
    """A name for the output folder: `camera0`, or the host and path of an address."""
    return f"camera{text}" if text.isdecimal() else Address(text).name()
