"""Where frames come from: a name of a source to the source, and a look at its first frames."""

from __future__ import annotations

import glob
import re
import time
from pathlib import Path

from tracker.core.address import Address
from tracker.core.interfaces import Source
from tracker.core.types import Frame
from tracker.errors import SourceError
from tracker.video.files import IMAGES, FrameRange, ImageFiles, VideoFile, open_sequence, sorted_images
from tracker.video.live import LiveSource, open_live


def open_source(text: str, span: FrameRange | None = None, *, reconnect_s: float = 30.0) -> Source:
    """Open a video file, a camera index, an address, an image folder or glob, or a MOT sequence folder.

    Raises
    ------
    SourceError
        Nothing there, or nothing that can be read.
    """
    span = span or FrameRange()
    path = Path(text).expanduser()
    if path.is_dir():
        if (path / "seqinfo.ini").exists():
            return open_sequence(path, span)
        return ImageFiles(sorted_images(path.iterdir()), path.resolve().name, span, where=f"folder {path}")
    if path.exists():
        if path.suffix.lower() in IMAGES:
            return ImageFiles([path], path.stem, span, where=str(path))
        return VideoFile(str(path), path.stem, span)
    if text.isdecimal() or Address.parse(text):
        return open_live(text, span, reconnect_s=reconnect_s)
    if glob.has_magic(text):
        found = [Path(p) for p in glob.glob(str(path), recursive=True)]
        stem = re.sub(r"[*?\[\]]+", "", path.stem).strip("._- ") or path.parent.resolve().name
        return ImageFiles(sorted_images(found), stem, span, where=f"pattern {text}")
    raise SourceError(
        f"{text}: no such file or folder; expected a video file, a camera index, an rtsp:// or http:// address, "
        "a folder or pattern of images, or a MOT sequence folder"
    )


def sample(text: str, source: Source, count: int = 8, seconds: float = 4.0) -> list[Frame]:
    """A few frames spread over a source's first seconds, to look at before the run.

    A file is opened a second time for that; of a live source the frames of about two seconds are taken.
    """
    if isinstance(source, LiveSource):
        return source.look(count, 2.0)
    fps = source.info.fps
    count_of_seconds = max(1, round(seconds * fps))
    if source.info.frames:
        count_of_seconds = min(count_of_seconds, source.info.frames)
    started = time.monotonic()
    frames = []
    with open_source(text, FrameRange(1, count, max(1, count_of_seconds // count))) as probe:
        for frame in probe:
            frames.append(frame)
            if time.monotonic() - started > 10:
                break
    return frames
