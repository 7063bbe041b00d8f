"""What containers of video tell, and what of it can be believed: names, streams, lengths, clocks."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from tracker.core.text import printable

MOST_FPS = 1000.0
"""Clocks that imply more frames per second are not believed."""
FALLBACK_FPS = 25.0
PLAYLIST = "hls"
PIECE_S = 5.0
"""Seconds that a playlist on disk is waited for."""
MOST_TEXT = 10_000_000
"""Bytes of a playlist that are searched for its end: a day of pieces has a fifth of that."""
ELSEWHERE = frozenset(
    ("concat", "dash", "image2", "image2pipe", "lavfi", "rtp", "rtsp", "sap", "sdp", "video4linux2,v4l2", "x11grab")
)
"""Formats that a file may claim to be, and that lead to other files, to devices or to the network."""


def local(path: str | Path) -> str:
    """A path as FFmpeg opens a file, whatever colons it has: `2026-11-27T12:00:05.mp4` is no protocol."""
    return f"file:{path}"


def open_file(path: str | Path) -> Any:
    """A PyAV container for a video file; a playlist may name files of its own folder alone.

    One of a stranger would otherwise have any video of this machine, or of its network, read into the results.

    Raises
    ------
    av.FFmpegError, OSError, ValueError
        No video that can be read, or it names a file elsewhere.
    """
    import av

    newer = int(av.__version__.partition(".")[0]) >= 19  # keeps undecodable metadata, and has no option for it
    given: dict[str, Any] = {} if newer else {"metadata_errors": "replace"}
    whole = ",".join(sorted(av.formats_available - ELSEWHERE - {PLAYLIST}))
    try:
        return av.open(local(path), **given, options={"format_whitelist": whole})
    except av.error.ArgumentError:  # of a format that is not in the list
        pass
    opened: list[IO[bytes]] = []
    try:
        # One without an end is a recording that was cut off: it is read from its first piece, and not waited for.
        options = {"format_whitelist": f"{PLAYLIST},{whole}", "live_start_index": "0", "max_reload": "1"}
        beside = _beside(Path(path), opened)
        container = av.open(local(path), **given, options=options, io_open=beside, timeout=PIECE_S)
        if container.format.name == PLAYLIST:  # its own file has been read whole, and FFmpeg leaves it open
            opened[0].close()
        return container
    except (av.FFmpegError, OSError) as e:
        for file in opened:
            file.close()
        if isinstance(e, av.error.ArgumentError):
            raise ValueError("a list of other files, devices or addresses") from None
        raise


def _beside(playlist: Path, opened: list[IO[bytes]]) -> Callable[[str, int, dict[str, str]], IO[bytes]]:
    """Opens for FFmpeg what a playlist names, and remembers it."""
    folder = playlist.resolve().parent

    def take(url: str, flags: int, options: dict[str, str]) -> IO[bytes]:
        path = Path(url.removeprefix("file:"))
        if not path.resolve().is_relative_to(folder):
            raise PermissionError(errno.EACCES, f"a playlist that names {printable(url)}, outside its folder")
        opened.append(open(path, "rb"))  # noqa: SIM115 (FFmpeg closes it)
        return opened[-1]

    return take


def pick_stream(container: Any) -> tuple[Any, str]:
    """The video stream to track, or None, and a line about the choice where there was one.

    The one flagged as the default, else the largest; never a cover picture or a thumbnail.
    """
    streams = container.streams.video
    moving = [s for s in streams if not _is_picture(s)]
    known = [s for s in moving if s.codec_context is not None]
    if not known:
        why = "holds video of an unknown codec" if moving else "holds a cover picture and no video"
        return None, why if streams else "holds no video stream"
    moving = known
    chosen = max(moving, key=lambda s: (_has(s, "default"), s.width * s.height))
    if len(moving) == 1:
        return chosen, ""
    return chosen, (
        f"holds {len(moving)} video streams; number {streams.index(chosen) + 1} is tracked, "
        f"{chosen.width}x{chosen.height}"
    )


def _is_picture(stream: Any) -> bool:
    return any(_has(stream, flag) for flag in ("attached_pic", "still_image", "timed_thumbnails"))


def _has(stream: Any, flag: str) -> bool:
    flags = type(stream.disposition)
    return flag in flags.__members__ and bool(stream.disposition & flags[flag])


def believed_rate(stream: Any, first: Sequence[float | None]) -> tuple[float, bool]:
    """Frames per second of a stream, and whether its clock can be believed.

    Parameters
    ----------
    stream : av.video.stream.VideoStream
        It tells an average over the whole file.
    first : sequence of float
        Times of its first frames in seconds; None where a frame has none.
    """
    times = [t for t in first if t is not None]
    too_fast = len(times) > 2 and all(0 < b - a < 1 / MOST_FPS for a, b in pairwise(times))
    average = float(stream.average_rate or 0)
    if average > MOST_FPS or too_fast:
        return FALLBACK_FPS, False
    guessed = float(stream.guessed_rate or 0)
    return next((r for r in (average, guessed) if 0 < r <= MOST_FPS), FALLBACK_FPS), True


def cut_off(path: Path) -> bool:
    """The file ends before its own structure says: a recorder lost power, or a download is incomplete.

    MP4 and QuickTime, AVI and Matroska tell their length, playlists their end; other containers do not.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(12)
            if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return _boxes(file, size)[1]
            if head.startswith(b"#EXTM3U"):
                return b"#EXT-X-ENDLIST" not in head + file.read(MOST_TEXT)
            if head[:4] == b"RIFF":
                return int.from_bytes(head[4:8], "little") + 8 > size + 1
            if head[:4] == b"\x1a\x45\xdf\xa3":
                return _segment_end(file) > size
    except OSError:
        return False
    return False


def without_index(path: Path) -> bool:
    """An MP4 or QuickTime file whose index (moov) is missing, without which nothing in it can be found."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            if head[4:8] not in (b"ftyp", b"mdat", b"wide", b"free", b"skip"):
                return False
            kinds, _ = _boxes(file, path.stat().st_size)
            return not kinds & {b"moov", b"moof"}
    except OSError:
        return False


def _boxes(file: IO[bytes], size: int) -> tuple[set[bytes], bool]:
    """Kinds of an MP4's top-level boxes, and whether the last one reaches beyond the file."""
    kinds: set[bytes] = set()
    at = 0
    while at + 8 <= size and len(kinds) < 1000:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:16], "big")
        if length == 0:  # to the end of the file
            length = size - at
        if length < 8:
            break
        kinds.add(header[4:8])
        at += length
    return kinds, at > size


def _segment_end(file: IO[bytes]) -> int:
    """Where a Matroska file's segment ends by its own header; 0 where it does not say, as live recordings do."""
    file.seek(4)
    length = _ebml_size(file)
    if length is None:
        return 0
    file.seek(length, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    length = _ebml_size(file)
    return 0 if length is None else file.tell() + length


def _ebml_size(file: IO[bytes]) -> int | None:
    """A variable-length size (RFC 8794, section 4); None where it is unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & ((1 << (7 - more)) - 1)]) + file.read(more), "big")
    return None if value == (1 << (7 * (more + 1))) - 1 else value
