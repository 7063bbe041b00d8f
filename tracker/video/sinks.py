"""Where tracks go: rows, video, window. Every file is whole after an interruption, and in its place when closed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import cv2
import numpy as np

from tracker.core.boxes import xyxy_to_tlwh
from tracker.core.mot import format_rows
from tracker.core.types import Frame, Tracks
from tracker.errors import OutputError

CSV_HEADER = "frame,time_s,id,class,left,top,width,height,score\n"


def part_of(path: Path) -> Path:
    """The name under which a file is written until it is whole."""
    return path.with_name(f".{path.name}.part")


def write_whole(path: Path, text: str) -> None:
    """Replace a file's text at once; raises OutputError and leaves the old file where that fails."""
    try:
        part_of(path).write_text(text, encoding="utf-8")
        os.replace(part_of(path), path)
    except OSError as e:
        with suppress(OSError):
            part_of(path).unlink(missing_ok=True)
        raise failed(path, e) from None


def failed(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}); "
        "free space or choose another --output folder"
    )


class FileSink:
    """A file written beside its place and moved there when closed; what a full disk cut off is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._good = 0
        try:
            self._file: IO[bytes] | None = open(part_of(path), "w+b", buffering=0)  # noqa: SIM115 (closed by close)
        except OSError as e:
            raise failed(path, e) from None

    def append(self, data: bytes) -> None:
        """Write a whole record; on failure the file ends with the record before."""
        if self._file is None:
            raise OutputError(f"{self.path}: is closed")
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
            self._good += len(data)
        except OSError as e:
            with suppress(OSError):
                self._file.truncate(self._good)
                self._file.seek(self._good)
            raise failed(self.path, e) from None

    def close(self) -> None:
        """Move the file to its place; a second call does nothing."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
            os.replace(part_of(self.path), self.path)
        except OSError as e:
            raise failed(self.path, e) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class MotSink(FileSink):
    """`tracks.txt`: MOT rows, a frame's rows written together."""

    def write(self, frame: Frame, tracks: Tracks) -> None:
        if len(tracks):
            self.append(format_rows(frame.index, tracks).encode())


class CsvSink(FileSink):
    """`tracks.csv`: the rows of `tracks.txt` with the time in seconds and the class's name."""

    def __init__(self, path: Path, class_names: Sequence[str] = ()) -> None:
        super().__init__(path)
        self._names = tuple(class_names)
        self.append(CSV_HEADER.encode())

    def write(self, frame: Frame, tracks: Tracks) -> None:
        boxes = xyxy_to_tlwh(tracks.xyxy)
        lines = [
            f"{frame.index},{frame.time_s:.3f},{i},{quoted(class_name(self._names, c))},"
            f"{x:.2f},{y:.2f},{w:.2f},{h:.2f},{s:.4f}\n"
            for i, c, (x, y, w, h), s in zip(
                tracks.id.tolist(), tracks.class_id.tolist(), boxes.tolist(), tracks.score.tolist(), strict=True
            )
        ]
        if lines:
            self.append("".join(lines).encode())


def class_name(names: Sequence[str], class_id: int) -> str:
    return names[class_id] if 0 <= class_id < len(names) else f"class {class_id}"


def quoted(text: str) -> str:
    """A CSV field, quoted where RFC 4180 asks for it."""
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text


class WindowSink:
    """Shows frames in a window; Esc or q in it asks the run to stop.

    Where none can be opened (no display, or an OpenCV without windows) it says so in `warning` and does nothing.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self.warning = ""
        self.stop_wanted = False
        if (
            os.name == "posix"
            and os.uname().sysname == "Linux"
            and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
        ):
            self.warning = "--show: no display here; the run goes on without a window"

    def show(self, image: np.ndarray) -> None:
        if self.warning:
            return
        try:
            cv2.imshow(self._title, image)
            self.stop_wanted |= cv2.waitKey(1) & 0xFF in (27, ord("q"))
        except cv2.error as e:
            self.warning = f"--show: no window can be opened ({str(e).splitlines()[0]}); the run goes on without"

    def close(self) -> None:
        if not self.warning:
            with suppress(cv2.error):
                cv2.destroyWindow(self._title)
