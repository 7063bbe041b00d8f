"""When each frame of a video file is shown and which can be jumped to, read from the packets without decoding them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.video.containers import open_file, pick_stream


@dataclass(frozen=True)
class Timeline:
    """The frames of a file.

    Attributes
    ----------
    pts : numpy.ndarray
        (N,) int64, ascending: when each frame is shown, in units of the stream's time base.
    keys : numpy.ndarray
        (K,) int64, ascending: numbers (1-based) of the frames from which decoding can start.
    time_base : float
        Seconds of a unit.
    """

    pts: np.ndarray
    keys: np.ndarray
    time_base: float

    def __len__(self) -> int:
        return len(self.pts)

    def before(self, index: int) -> tuple[int, int] | None:
        """Number and pts of the last key frame up to frame `index`; None where the file's start is the best."""
        place = int(np.searchsorted(self.keys, index, side="right")) - 1
        if place < 1:
            return None
        key = int(self.keys[place])
        return key, int(self.pts[key - 1])

    def seconds(self) -> np.ndarray:
        """(N,) float64: seconds since the first frame."""
        seconds: np.ndarray = (self.pts - self.pts[0]) * self.time_base
        return seconds


def read_timeline(path: str, number: int | None = None) -> Timeline | None:
    """The timeline of a video file; None where it cannot be relied upon.

    That is where packets have no times, share one, or are damaged: then only decoding tells which frame is which.
    """
    import av

    pts: list[int] = []
    keys: list[int] = []
    try:
        with open_file(path) as container:
            stream = pick_stream(container)[0] if number is None else container.streams[number]
            if stream is None:
                return None
            base = float(stream.time_base or 0)
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None or packet.is_corrupt:
                    return None
                pts.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return None
    shown = np.unique(np.array(pts, np.int64))
    if len(shown) != len(pts) or not len(shown) or not base:
        return None
    return Timeline(shown, np.searchsorted(shown, np.sort(np.array(keys, np.int64))) + 1, base)
