"""Where tracks go: rows, video, window. Every file is whole after an interruption, and in its place when closed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from tracker.core.boxes import xyxy_to_tlwh
from tracker.core.classes import class_name
from tracker.core.files import FileSink
from tracker.core.mot import format_rows
from tracker.core.text import csv_field, label
from tracker.core.types import Frame, Tracks

CSV_HEADER = "frame,time_s,id,class,left,top,width,height,score\n"


class MotSink(FileSink):
    """`tracks.txt`: MOT rows, a frame's rows written together."""

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Append a MOT row a track."""
        if len(tracks):
            self.append(format_rows(frame.index, tracks).encode())


class CsvSink(FileSink):
    """`tracks.csv`: the rows of `tracks.txt` with the time in seconds and the class's name."""

    def __init__(self, path: Path, class_names: Sequence[str] = ()) -> None:
        super().__init__(path, CSV_HEADER)
        self._names = tuple(class_names)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Append a line a track."""
        boxes = xyxy_to_tlwh(tracks.xyxy)
        lines = [
            f"{frame.index},{frame.time_s:.3f},{i},{csv_field(class_name(self._names, c))},"
            f"{x:.2f},{y:.2f},{w:.2f},{h:.2f},{s:.4f}\n"
            for i, c, (x, y, w, h), s in zip(
                tracks.id.tolist(), tracks.class_id.tolist(), boxes.tolist(), tracks.score.tolist(), strict=True
            )
        ]
        if lines:
            self.append("".join(lines).encode())


class WindowSink:
    """Shows frames in a window; Esc or q in it asks the run to stop.

    Where none can be opened (no display, or an OpenCV without windows) it says so in `warning` and does nothing.
    """

    def __init__(self, title: str) -> None:
        self._title = label(title)  # OpenCV dies of what is not UTF-8
        self.warning = ""
        self.stop_wanted = False
        if (
            os.name == "posix"
            and os.uname().sysname == "Linux"
            and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
        ):
            self.warning = "--show: no display here; the run goes on without a window"

    def show(self, image: np.ndarray) -> None:
        """Show a picture; without a screen, warn once and go on."""
        if self.warning:
            return
        try:
            cv2.imshow(self._title, image)
            self.stop_wanted |= cv2.waitKey(1) & 0xFF in (27, ord("q"))
        except cv2.error as e:
            self.warning = f"--show: no window can be opened ({str(e).splitlines()[0]}); the run goes on without"

    def close(self) -> None:
        """Close the window."""
        if not self.warning:
            with suppress(cv2.error):
                cv2.destroyWindow(self._title)
