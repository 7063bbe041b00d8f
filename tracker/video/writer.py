"""`tracks.mp4`: what was drawn, playable up to the last second whatever ended the run."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Self

import cv2
import numpy as np

from tracker.core.files import create, failed, is_under, part_of, write_all
from tracker.errors import OutputError


class NoVideoError(OutputError):
    """A video that cannot be written, whatever is free on the disk: the codec is missing or knows no such size."""


class VideoSink:
    """`tracks.mp4`: H.264 with the source's times.

    Written in fragments of a second or so that can be played as they are, and turned into a plain MP4 when closed:
    where the disk fills or the process dies, what was written before can be played.

    Parameters
    ----------
    path : Path
        The file.
    size : tuple[int, int]
        (width, height) of the frames, pixels; an odd side gets one more row or column, as 4:2:0 colour needs.
    fps : float
        Nominal rate, for players that show one.
    """

    CLOCK = 90_000

    def __init__(
        self, path: Path, size: tuple[int, int], fps: float, threads: int = 1, pixel_aspect: Fraction = Fraction(1)
    ) -> None:
        import av

        self.path, self._size, self._av = path, size, av
        self._file = _Output(path)
        self._first: float | None = None
        self._last_pts = -1
        self._begun = False
        self._fps = fps
        options = {"movflags": "hybrid_fragmented+frag_keyframe+empty_moov+default_base_moof"}
        try:
            self._container = av.open(self._file, "w", format="mp4", options=options)
            self._stream = self._container.add_stream("libx264", rate=max(1, round(fps)))
        except (av.FFmpegError, ValueError, OSError) as e:
            self._file.close(keep=False)
            raise NoVideoError(f"{path}: no H.264 video can be written ({e}); use --no-video") from None
        stream: Any = self._stream
        stream.width, stream.height = size[0] + size[0] % 2, size[1] + size[1] % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, self.CLOCK)
        stream.codec_context.gop_size = max(1, min(60, round(fps)))
        stream.codec_context.thread_count = threads
        stream.options = {"preset": "ultrafast", "crf": "27", "bf": "0", "x264-params": "colormatrix=smpte170m"}
        if pixel_aspect != 1:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        try:
            stream.codec_context.open()
        except (av.FFmpegError, ValueError, OSError):
            with suppress(av.FFmpegError, OSError):
                self._container.close()
            self._file.close(keep=False)
            raise self._impossible() from None

    def _impossible(self) -> NoVideoError:
        width, height = self._size
        return NoVideoError(
            f"{self.path}: H.264 cannot hold frames of {width}x{height}: its limits are 16384 pixels a side (fewer "
            "where frames are large) and three rows; --no-video leaves the video out"
        )

    def write_image(self, image: np.ndarray, time_s: float) -> None:
        """Append a uint8 (H,W,3) BGR image shown from `time_s` on; raises OutputError when the disk is full."""
        width, height = self._stream.width, self._stream.height
        if image.shape[1] != width or image.shape[0] != height:
            image = cv2.copyMakeBorder(
                image, 0, height - image.shape[0], 0, width - image.shape[1], cv2.BORDER_REPLICATE
            )
        # OpenCV converts twice as fast as FFmpeg, by BT.601; the stream says so.
        planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame = self._av.VideoFrame.from_numpy_buffer(planes, format="yuv420p")
        self._first = time_s if self._first is None else self._first
        frame.pts = max(self._last_pts + 1, round((time_s - self._first) * self.CLOCK))
        frame.time_base = Fraction(1, self.CLOCK)
        self._last_pts = frame.pts
        self._mux(frame)

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                if not packet.duration:
                    packet.duration = round(self.CLOCK / self._fps)
                self._container.mux(packet)
                self._begun = True
        except (self._av.FFmpegError, OSError) as e:
            if not self._begun and self._file.error is None:  # some sizes are refused with the first picture only
                self._last_pts = -1
                raise self._impossible() from None
            raise failed(self.path, self._file.error or e) from None
        if self._file.error is not None:
            raise failed(self.path, self._file.error)

    @property
    def in_place(self) -> bool:
        """The file is still the one under its name."""
        return self._file.in_place

    def close(self) -> None:
        """Finish the video and move it to its place; a second call does nothing."""
        if self._file.closed:
            return
        error = None
        try:
            if self._file.error is None and self._last_pts >= 0:
                self._mux(None)
        except OutputError as e:
            error = e
        with suppress(self._av.FFmpegError, OSError):
            self._container.close()
        self._file.close(keep=self._last_pts >= 0)
        if error is None and self._file.error is not None:
            error = failed(self.path, self._file.error)
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Output:
    """The file FFmpeg writes to: remembers the system's error, and after one keeps only whole MP4 boxes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self.closed = False
        try:
            self._file = create(part_of(path))
        except OSError as e:
            raise failed(path, e) from None

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                write_all(self._file, data)
            except OSError as e:
                self.error = e
        return len(data)

    @property
    def in_place(self) -> bool:
        return self.closed or is_under(self._file, part_of(self.path))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self, keep: bool = True) -> None:
        if self.closed:
            return
        self.closed = True
        try:
            with self._file:
                if self.error is not None:
                    self._file.truncate(whole_boxes(self._file))
            if keep:
                os.replace(part_of(self.path), self.path)
            else:
                part_of(self.path).unlink(missing_ok=True)
        except OSError as e:
            self.error = self.error or e


def whole_boxes(file: IO[bytes]) -> int:
    """Bytes of a fragmented MP4 up to the end of the last fragment (moof, mdat) that is there as a whole."""
    end = file.seek(0, os.SEEK_END)
    position = good = 0
    while position + 8 <= end:
        file.seek(position)
        header = file.read(16)
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1 and len(header) == 16:
            size = int.from_bytes(header[8:16], "big")
        if size < 8 or position + size > end:
            break
        position += size
        if kind in (b"mdat", b"moov", b"ftyp"):
            good = position
    return good
