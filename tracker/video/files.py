"""Video files through PyAV."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.interfaces import SourceInfo
from tracker.core.types import Frame
from tracker.errors import SourceError
from tracker.video.containers import MOST_FPS, believed_rate, cut_off, open_file, pick_stream, without_index
from tracker.video.frame_source import FrameRange, FrameSource
from tracker.video.pictures import Converter, GreyRange
from tracker.video.timeline import read_timeline

PRIMER_BYTES, PICTURES_BYTES, FEWEST_PICTURES = 300_000_000, 150_000_000, 6
"""Decoded frames that wait while a source is looked at, and pictures made of some of them; of larger ones the first
seconds are fewer, and so are the pictures, though never fewer than these."""
SEEK_FROM = 100
"""A first frame with a higher number is jumped to; reading up to a lower one takes no longer than looking for it."""


class VideoFile(FrameSource):
    """A video file through PyAV: container timestamps, rotation applied, broken packets skipped and counted."""

    def __init__(self, path: str, name: str, span: FrameRange, container: Any = None) -> None:
        super().__init__()
        import av

        self._path, self._span, self._av = path, span, av
        self._skipped, self._damaged, self._first_broken = 0, 0, 0
        self._grey: GreyRange | None = None
        self._container = self._opened() if container is None else container
        self._stream = self._picked()
        self._is_file = container is None
        self._stream.thread_type = "AUTO"
        self._converter = Converter()
        self._decoded = self._decode()
        self._index = 0
        self._first_pts: float | None = None
        self._last_time = 0.0
        first = self._first_frames()
        self._rate, self._clock_believed = believed_rate(self._stream, [f.time for f in first])
        if not self._clock_believed:
            self.warnings.append(self._disbelief())
        self._frames, self._ahead = self._numbered(first), deque[tuple[int, float, Any]]()
        height, width = self._image(first[0]).shape[:2]
        self._expected = self._count()
        self.info = SourceInfo(
            name,
            (width, height),
            self._rate / span.stride,
            span.count(self._expected),
            live=False,
            pixel_aspect=self._pixel_aspect(first[0]),
        )

    def _opened(self) -> Any:
        try:
            return open_file(self._path)
        except (self._av.FFmpegError, OSError, ValueError) as e:
            raise self._unreadable(_reason(e)) from None

    def _picked(self) -> Any:
        """The stream of pictures; raises SourceError where there is none."""
        stream, choice = pick_stream(self._container)
        if stream is None:
            self._container.close()
            raise SourceError(f"{self._path}: {choice}; expected a video file")
        if choice:
            self.warnings.append(f"{self._path} {choice}")
        return stream

    def _first_frames(self) -> list[Any]:
        """Up to three frames from where the span begins, or from the file's start; raises SourceError for none."""
        head = self._seek() if self._span.start > SEEK_FROM and self._is_file else None
        if head is None:
            head = next(self._decoded, None)
        if head is None:
            self._container.close()
            raise SourceError(f"{self._path}: no frame can be read; the file is empty, broken or of an unknown codec")
        return [head, *(f for f in (next(self._decoded, None) for _ in range(2)) if f is not None)]

    def _unreadable(self, reason: str) -> SourceError:
        path = Path(self._path)
        if path.is_file() and not path.stat().st_size:
            reason = "the file is empty"
        elif path.suffix.lower()[1:] in self._av.ContainerFormat("rawvideo").extensions:
            reason = (
                "raw pixels, without their size and rate; convert it: ffmpeg -f rawvideo -video_size WIDTHxHEIGHT "
                f"-framerate 25 -i {shlex.quote(path.name)} {shlex.quote(path.stem)}.mp4"
            )
        elif without_index(path):
            reason = (
                "its index, moov, is missing: the recording was cut off or the download is incomplete; copy the file "
                "again, or rebuild the index with a repair tool such as untrunc"
            )
        return SourceError(f"{self._path}: not a video that can be read ({reason})")

    def _disbelief(self) -> str:
        return (
            f"{self._path}: its times imply more than {MOST_FPS:g} frames per second and are not believed: "
            f"{self._rate:g} are assumed"
        )

    def _pixel_aspect(self, frame: Any) -> Fraction:
        """Width of a pixel by its height, as it is shown."""
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        if not Fraction(1, 100) < aspect < 100:
            return Fraction(1)
        return 1 / aspect if round(getattr(frame, "rotation", 0) / 90) % 2 else Fraction(aspect)

    def _seek(self) -> Any:
        """The first frame after a jump to close before the first one wanted; None: read from the start."""
        timeline = read_timeline(self._path, self._stream.index)
        point = timeline.before(self._span.start) if timeline is not None else None
        if timeline is None or point is None:
            return None
        index, pts = point
        self._container.seek(pts, stream=self._stream)
        for frame in self._decoded:
            if frame.pts == pts:
                self._damaged = self._first_broken = 0  # what refers to pictures before the jump
                base = timeline.time_base
                self._index, self._first_pts = index - 1, timeline.pts[0] * base
                self._last_time = (timeline.pts[index - 2] - timeline.pts[0]) * base
                return frame
            if frame.pts is None or frame.pts > pts:
                break
        self._container.seek(timeline.pts[0], stream=self._stream)
        self._decoded = self._decode()
        return None

    def _count(self) -> int | None:
        """Frames that the header promises."""
        if self._stream.frames > 0:
            return int(self._stream.frames)
        if self._stream.duration and self._stream.time_base:
            return round(float(self._stream.duration * self._stream.time_base) * self._rate)
        if self._container.duration:
            return round(float(self._container.duration / self._av.time_base) * self._rate)
        return None

    def _decode(self) -> Iterator[Any]:
        """Decoded frames; a packet that the decoder refuses is skipped, an error of the file ends them."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                frames = packet.decode()
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    self._damaged += 1
                    self._first_broken = self._first_broken or self._index + 1
            except StopIteration:
                return
            except self._av.error.EOFError:
                return
            except self._av.error.InvalidDataError:
                self._skipped += 1
                self._first_broken = self._first_broken or self._index + 1
                if self._skipped > 1000:
                    return
                continue
            except (self._av.FFmpegError, OSError) as e:
                self.warnings.append(f"{self._path} breaks off after frame {self._index} ({_reason(e)})")
                self._expected = None
                return
            yield from frames

    def _image(self, frame: Any) -> np.ndarray:
        image = self._pixels(frame)
        turns = round(getattr(frame, "rotation", 0) / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def _pixels(self, frame: Any) -> np.ndarray:
        if frame.format.name.startswith("gray16"):
            if self._grey is None:
                self._grey = GreyRange()
            return self._grey.eight_bits(self._converter(frame, "gray16le"))
        return self._converter(frame)

    def _time(self, frame: Any) -> float:
        """Seconds since the first frame by the container, by the frame rate where it is silent or runs backwards."""
        pts = frame.time if self._clock_believed else None
        if pts is not None and self._first_pts is None:
            self._first_pts = pts
        time_s = pts - self._first_pts if pts is not None and self._first_pts is not None else -1.0
        if self._index > 1 and time_s <= self._last_time:
            time_s = self._last_time + 1 / self._rate
        self._last_time = max(time_s, 0.0)
        return self._last_time

    def _numbered(self, first: list[Any]) -> Iterator[tuple[int, float, Any]]:
        """Number, time in seconds and picture of the first frames and all that follow, each decoded once."""
        for picture in chain(first, self._decoded):
            self._index += 1
            yield self._index, self._time(picture), picture

    def primer(self, count: int = 12, seconds: float = 4.0) -> list[Frame]:
        """A few frames spread over the first seconds, to be looked at before the run; they come again in it."""
        start, spread = self._span.start, max(1, round(seconds * self._rate))
        if self._expected:
            spread = max(1, min(spread, self._expected - start + 1))
        pixels = self.info.size[0] * self.info.size[1]
        spread = max(1, min(spread, PRIMER_BYTES * 2 // (3 * pixels)))
        count = min(count, max(FEWEST_PICTURES, PICTURES_BYTES // (3 * pixels)))
        step, room = max(1, spread // count), PRIMER_BYTES
        frames: list[Frame] = []
        while len(frames) < count and room > 0 and (item := next(self._frames, None)) is not None:
            index, time_s, picture = item
            if index < start:
                continue
            self._ahead.append(item)
            room -= sum(plane.buffer_size for plane in picture.planes)
            if (index - start) % step == 0:
                frames.append(Frame(index, time_s, self._at_size(self._image(picture)), self.info.size))
        return frames

    def _replayed(self) -> Iterator[tuple[int, float, Any]]:
        """First what was decoded for the primer, then the rest."""
        while self._ahead:
            yield self._ahead.popleft()
        yield from self._frames

    def __iter__(self) -> Iterator[Frame]:
        for index, time_s, picture in self._replayed():
            if self._span.over(index):
                break
            if self._span.wants(index):
                yield Frame(index, time_s, self.fit(self._image(picture), index), self.info.size)
        else:
            self._check_end()
        self.report()

    def _check_end(self) -> None:
        """Say where the file broke, after its last frame."""
        for number, how in ((self._skipped, "broken packets skipped"), (self._damaged, "damaged packets or pictures")):
            if number:
                self.warnings.append(f"{self._path}: {number} {how}, the first after frame {self._first_broken}")
        self._skipped = self._damaged = 0
        # Only the file's own structure tells: rates vary, edit lists trim, and headers promise what they like.
        if self._is_file and cut_off(Path(self._path)):
            of = f" of {self._expected}" if self._expected and self._expected > self._index else ""
            self.warnings.append(
                f"{self._path} breaks off after frame {self._index}{of}: everything before was tracked"
            )
        if self._index < self._span.start:
            self.warnings.append(f"{self._path} has {self._index} frames, fewer than --start {self._span.start}")

    def close(self) -> None:
        """Free decoder and file, and report what was counted."""
        self._ahead.clear()
        self._decoded.close()  # type: ignore[attr-defined]
        self._container.close()
        super().close()


def creation_time(path: Path) -> datetime | None:
    """When a recording began, as its container tells; None where it tells nothing that can be true."""
    import av

    try:
        with open_file(path) as container:
            told = container.metadata.get("creation_time", "")
        when = datetime.fromisoformat(told)
    except (av.FFmpegError, OSError, ValueError):
        return None
    # Cameras without a clock write the epoch of their system, strangers what no calendar ends with.
    return when if when.tzinfo is not None and 2000 <= when.year < 3000 else None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
