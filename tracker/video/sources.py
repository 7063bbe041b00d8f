"""Where frames come from: the name of a source to the source."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from tracker.core.address import Address
from tracker.core.interfaces import Source
from tracker.errors import SourceError
from tracker.video.files import IMAGES, FrameRange, ImageFiles, VideoFile, open_sequence, sorted_images
from tracker.video.live import open_live


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
        text = url2pathname(unquote(urlsplit(text).path))
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
        return open_live(text, span, reconnect_s=reconnect_s, transport=transport)
    if glob.has_magic(text):
        found = [Path(p) for p in glob.glob(str(path), recursive=True)]
        stem = re.sub(r"[*?\[\]]+", "", path.stem).strip("._- ") or path.parent.resolve().name
        return ImageFiles(sorted_images(found), stem, span, where=f"pattern {text}")
    raise SourceError(
        f"{text}: no such file or folder; expected a video file, a camera index, an rtsp:// or http:// address, "
        "a folder or pattern of images, or a MOT sequence folder"
    )
