"""Where frames come from: the name of a source to the source."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote
from urllib.request import url2pathname

from tracker.core.address import Address
from tracker.core.interfaces import Say, Source
from tracker.errors import SourceError
from tracker.video.files import VideoFile
from tracker.video.frame_source import IMAGES, VIDEOS, FrameRange
from tracker.video.images import ImageFiles, sorted_images
from tracker.video.live import open_live
from tracker.video.pictures import without_times
from tracker.video.sequences import open_sequence

PRINTF = re.compile(r"(%0?\d*d)")
"""A frame's number in a name, as FFmpeg and OpenCV write it."""
FRAMES_A_VIDEO = 10
"""Images to a video of the same folder, from which on they are frames and not previews of the videos."""


def expand_source(text: str, say: Say) -> list[str]:
    """The sources that a text names: the videos of a folder or a pattern, one by one; anything else is one source.

    A folder may hold both videos and images, and `say` is told what is left out.
    """
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):
        inside = [] if (path / "seqinfo.ini").exists() else list(path.iterdir())
    elif glob.has_magic(text) and not os.path.exists(path) and Address.parse(text) is None:
        inside = [Path(p) for p in glob.glob(str(path), recursive=True)]
    else:
        return [text]
    inside = [p for p in inside if p.is_file() and not p.name.startswith(".")]
    videos = sorted(str(p) for p in inside if p.suffix.lower() in VIDEOS)
    images = [p for p in inside if p.suffix.lower() in IMAGES]
    if not videos or not images:
        return videos or [text]
    if len(images) < FRAMES_A_VIDEO * len(videos):
        say(f"{text}: the {len(videos)} videos are tracked, the {len(images)} images beside them are left out")
        return videos
    say(f"{text}: the {len(images)} images are tracked as frames, the {len(videos)} videos beside them are left out")
    return [text]


def open_source(
    text: str, span: FrameRange | None = None, *, reconnect_s: float = 30.0, transport: str = "tcp"
) -> Source:
    """Open a video file, a camera index, an address, an image folder or glob, or a MOT sequence folder.

    Raises
    ------
    SourceError
        Nothing there, or nothing that can be read.
    """
    span = span or FrameRange()
    if (address := Address.parse(text)) is not None and address.scheme == "file":
        text = url2pathname(unquote("/" + text.partition("://")[2].partition("/")[2]))
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):
        if (path / "seqinfo.ini").exists():
            return open_sequence(path, span)
        return ImageFiles(_images(path.iterdir(), text), path.resolve().name, span, where=f"folder {path}")
    if os.path.exists(path):
        if path.suffix.lower() in IMAGES or without_times(path):
            return ImageFiles([path], path.stem, span, where=str(path))
        return VideoFile(str(path), path.stem, span)
    if text.isdecimal() or Address.parse(text):
        return open_live(text, span, reconnect_s=reconnect_s, transport=transport)
    if glob.has_magic(text) or PRINTF.search(path.name):
        return _pattern(text, path, span)
    raise SourceError(
        f"{text}: no such file or folder; expected a video file, a camera index, an rtsp:// or http:// address, "
        "a folder or pattern of videos or images, or a MOT sequence folder"
    )


def _images(found: Iterable[Path], text: str) -> list[Path]:
    """The images among files, in their order; SourceError where there are videos alone, of which one is a source."""
    found = list(found)
    images = sorted_images(found)
    videos = sorted(p for p in found if p.suffix.lower() in VIDEOS and p.is_file())
    if videos and not images:
        raise SourceError(f"{text}: names {len(videos)} videos; expected one of them here, such as {videos[0]}")
    return images


def _pattern(text: str, path: Path, span: FrameRange) -> Source:
    """The images that a pattern names: `*`, `?`, `[...]`, or a number as C writes it, such as `%05d`."""
    numbered = None
    if PRINTF.search(path.name):
        name = "".join(r"\d+" if PRINTF.fullmatch(t) else re.escape(t) for t in PRINTF.split(path.name))
        numbered = re.compile(name)
        path = path.with_name(PRINTF.sub("*", path.name))
    found = [Path(p) for p in glob.glob(str(path), recursive=True)]
    if numbered is not None:
        found = [p for p in found if numbered.fullmatch(p.name)]
    stem = re.sub(r"[*?\[\]]+", "", path.stem).strip("._- ")
    folder = next((p for p in path.parents if not glob.has_magic(p.name)), path.parent)
    return ImageFiles(_images(found, text), stem or folder.resolve().name, span, where=f"pattern {text}")
