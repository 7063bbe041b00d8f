"""MOT sequences: a folder with `seqinfo.ini` and images, one video, or no pixels at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tracker.core.interfaces import Source, SourceInfo
from tracker.core.mot import SequenceInfo, read_seqinfo
from tracker.core.types import Frame
from tracker.video.files import VideoFile
from tracker.video.frame_source import VIDEOS, FrameRange, FrameSource
from tracker.video.images import ImageFiles, sorted_images


class BareSequence(FrameSource):
    """A MOT sequence whose pixels are missing: frames with a size and a time, for detections from a file."""

    def __init__(self, sequence: SequenceInfo, span: FrameRange) -> None:
        super().__init__()
        self._sequence, self._span = sequence, span
        self.info = SourceInfo(
            sequence.name,
            sequence.size,
            sequence.fps / span.stride,
            span.count(sequence.frames),
            live=False,
            pixels=False,
        )

    def __iter__(self) -> Iterator[Frame]:
        for index in range(1, self._sequence.frames + 1):
            if self._span.over(index):
                return
            if self._span.wants(index):
                yield Frame(index, (index - 1) / self._sequence.fps, None, self._sequence.size)


def open_sequence(folder: Path, span: FrameRange) -> Source:
    """A MOT sequence: its images, else the one video in its folder, else frames without pixels."""
    info = read_seqinfo(folder)
    images = folder / info.images
    paths = sorted_images(images.iterdir()) if os.path.isdir(images) else []  # a name that no system holds is none
    if paths:
        return ImageFiles(paths, info.name, span, where=f"sequence {folder}", fps=info.fps, length=info.frames)
    videos = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEOS]
    if len(videos) == 1:
        return VideoFile(str(videos[0]), info.name, span)
    return BareSequence(info, span)
