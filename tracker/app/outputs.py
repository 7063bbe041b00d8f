"""The folder a run writes, and the sinks of one stream in it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from tracker.answers.events import Events
from tracker.answers.overlay import blur
from tracker.answers.writer import WRITTEN, AnswerWriter
from tracker.app.segments import Segments
from tracker.core.files import create, failed, part_of, vanished
from tracker.core.interfaces import SourceInfo
from tracker.core.text import label, warn
from tracker.core.types import Frame, Tracks
from tracker.errors import OutputError
from tracker.video.draw import Painter
from tracker.video.sinks import CsvSink, MotSink, WindowSink
from tracker.video.writer import NoVideoError, VideoSink

FILES = ("tracks.mp4", "tracks.txt", "tracks.csv", "tracks_smooth.txt", "summary.json", "config.toml", *WRITTEN)
RUNS = Path("runs")
"""Where results go that nobody gave a folder for."""


def claim_folder(wanted: Path | None, name: str, *, overwrite: bool = False) -> Path:
    """Make the output folder: `wanted`, else the first free of `runs/<name>`, `runs/<name>-2`, ...

    Raises
    ------
    OutputError
        It cannot be made or written, or holds results and `overwrite` is off.
    """
    if wanted is None:
        number = 1
        while True:
            folder = RUNS / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                number += 1
            except OSError as e:
                raise failed(folder, e) from None
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        probe = wanted / f".probe-{os.getpid()}"
        create(probe).close()
        probe.unlink()
    except FileExistsError:
        raise OutputError(f"{wanted}: is a file; expected a folder for the results, give another --output") from None
    except OSError as e:
        raise failed(wanted, e) from None
    if not overwrite and (old := [f for f in FILES if (wanted / f).exists()]):
        raise OutputError(f"{wanted}: holds results already ({', '.join(old)}); give --overwrite or another --output")
    return wanted


def release_folder(folder: Path) -> None:
    """Remove a claimed folder that nothing was written to."""
    with suppress(OSError):
        folder.rmdir()


LOOK_S = 1.0
"""Between two looks whether the folder is still there."""


class Viewer(Protocol):
    """Is shown the frames of a stream, in order, by the thread that writes; a slow one slows the stream."""

    keeps: bool
    """It asks for frames that nothing was drawn on."""
    warnings: list[str]
    """What went wrong and was survived."""

    @property
    def draws(self) -> bool:
        """Whether it asks for the next frame with the tracks drawn on it."""

    def view(self, frame: Frame, tracks: Tracks, drawn: np.ndarray | None, events: Events) -> None:
        """Take the next frame with its tracks and events, and the picture drawn of it where `draws` asks."""

    def settle(self, events: Events) -> None:
        """Take what the end of the stream settled: no frame comes with it, and none after it."""

    def close(self) -> None:
        """The stream is over."""


class StreamOutput:
    """Rows, video and window of one stream; opened by the first frame, closed once, from whichever thread comes first.

    Parameters
    ----------
    folder : Path or None
        Claimed before; None: no files are written.
    info : SourceInfo
        Of the source.
    class_names : Sequence[str]
        Names by class id.
    video, show : bool
        Whether to write tracks.mp4 and to open a window.
    viewers : Sequence[Viewer]
        Who else is shown each frame.
    answers : Callable[[], AnswerWriter] or None
        Makes the writer of answers when the first frame is there; None: tracks alone.
    blur : str
        Makes `person`s or `all` unrecognisable in the pictures; empty: nobody.
    scores : bool
        Whether labels tell scores.
    segments : Segments or None
        Where rows and video go in turn, in place of the folder itself.

    Attributes
    ----------
    answers : AnswerWriter or None
        The writer of answers, once there was a frame.
    waits : bool
        A viewer is being shown a frame: whoever looks may take all the time in the world.
    """

    def __init__(
        self,
        folder: Path | None,
        info: SourceInfo,
        class_names: Sequence[str],
        *,
        video: bool,
        show: bool,
        viewers: Sequence[Viewer] = (),
        answers: Callable[[], AnswerWriter] | None = None,
        blur: str = "",
        scores: bool = False,
        segments: Segments | None = None,
    ) -> None:
        self._segments = segments
        class_names = tuple(map(label, class_names))  # drawn, written and told: of one line, printable
        self._folder, self._info, self._names = folder, info, class_names
        self._viewers = tuple(viewers)
        self.painter = Painter(class_names, scores=scores)
        self.warnings: list[str] = []
        self._video_wanted = video and info.pixels and folder is not None
        if video and folder is not None and not info.pixels:
            self.warnings.append("the sequence has no pixels: no video is written")
        self._window = WindowSink(info.name) if show and info.pixels else None
        self._rows: list[MotSink | CsvSink] = []
        self._make_answers, self._blur = answers, blur
        self.answers: AnswerWriter | None = None
        self.waits = False
        self._video: VideoSink | None = None
        self._broken: OutputError | None = None
        self._opened = self._closed = False
        self._looked_s = time.monotonic()
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the files are; raises OutputError where none are written."""
        if self._folder is None:
            raise OutputError("no files are written; give an output folder")
        return self._folder

    @property
    def stop_wanted(self) -> bool:
        """Someone pressed Esc or q in the window."""
        return self._window is not None and self._window.stop_wanted

    @property
    def draws(self) -> bool:
        """Whether pictures are wanted, in a file or a window."""
        return self._video_wanted or self._window is not None or any(v.draws for v in self._viewers)

    def draw(self, frame: Frame, tracks: Tracks) -> np.ndarray:
        """The frame's picture with its tracks; on a copy where somebody wants the picture as it was."""
        if frame.image is not None and any(v.keeps for v in self._viewers):
            frame = replace(frame, image=frame.image.copy())
        if self._blur and frame.image is not None:
            blur(frame.image, tracks, [self._blur in ("all", self.painter.name(c)) for c in tracks.class_id.tolist()])
        image = self.painter.draw(frame, tracks)
        if self.answers is not None:
            self.answers.overlay.draw(image)
        return image

    def answer(self, frame: Frame, tracks: Tracks) -> Events:
        """What the frame's tracks answer; nothing once closed. To be asked before its picture is drawn on."""
        with self._lock:
            if self._closed or self._make_answers is None:
                return Events()
            if self.answers is None:
                self.answers = self._make_answers()
            self._turn()
            self.answers.look(frame)
            return self.answers.update(tracks, frame.time_s, frame.index)

    def write(self, frame: Frame, tracks: Tracks, image: np.ndarray | None) -> None:
        """Write a frame's rows and, where it was drawn, its picture; nothing once closed."""
        with self._lock:
            if self._closed:
                return
            self._turn()
            self._look_around()
            for sink in self._rows:
                sink.write(frame, tracks)
            if image is not None and self._video is not None:
                self._write_picture(image, frame.time_s)
            if image is not None and self._window is not None:
                self._window.show(image)

    def _write_picture(self, image: np.ndarray, time_s: float) -> None:
        """Append to the video. Where that cannot go on, rows and answers do: what was asked is worth more than it.

        The next segment begins a new one; without segments the run ends with the error.
        """
        video = self._video
        if video is None:
            return
        try:
            video.write_image(image, time_s)
            return
        except NoVideoError as e:
            self.warnings.append(f"{e}; the run goes on without it")
        except OutputError as e:
            warn(f"{self._info.name}: {e}; rows and answers go on without the video")
            self._broken = self._broken or e
        self._video, self._video_wanted = None, self._segments is not None
        with suppress(OutputError):
            video.close()

    def _turn(self) -> None:
        """Open the files with the first frame, and those of the next segment where its time has come."""
        if not self._opened:
            self._open()
        elif self._segments is not None and self._segments.due():
            self._close_files()
            self._open()

    def show(self, frame: Frame, tracks: Tracks, image: np.ndarray | None, events: Events) -> None:
        """Show the viewers a frame that was written; unlike `write`, this may wait for whoever looks."""
        self.waits = True
        for viewer in self._viewers:
            viewer.view(frame, tracks, image, events)
        self.waits = False

    def _look_around(self) -> None:
        """Once a second: raise OutputError where the files being written are no longer where they belong."""
        now = time.monotonic()
        if now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        if any(not sink.in_place for sink in (*self._rows, self._video) if sink is not None):
            raise vanished(self.folder)

    def _open(self) -> None:
        self._opened = True
        if self._folder is None:
            return
        folder = self._folder if self._segments is None else self._segments.begin()
        if self._segments is not None and self.answers is not None:
            self.answers.segment(folder)
        self._rows.append(MotSink(folder / "tracks.txt"))
        self._rows.append(CsvSink(folder / "tracks.csv", self._names))
        if self._video_wanted:
            try:
                self._video = VideoSink(
                    folder / "tracks.mp4", self._info.size, self._info.fps, pixel_aspect=self._info.pixel_aspect
                )
            except NoVideoError as e:
                self._video_wanted = False
                self.warnings.append(f"{e}; the run goes on without it")

    def _close_files(self) -> None:
        """Finish rows and video; raises what the first of them raises, after the others."""
        sinks, self._rows, self._video = (*self._rows, self._video), [], None
        with ExitStack() as stack:
            for sink in sinks:
                if sink is not None:
                    stack.callback(sink.close)

    def _settle(self) -> None:
        """Tell the viewers of what only the end of the stream settles, as the files are told."""
        if self.answers is not None:
            events = self.answers.finish()
            for viewer in self._viewers:
                viewer.settle(events)

    def close(self, timeout_s: float = 3.0) -> None:
        """Finish every file, the others too where one fails.

        Raises
        ------
        OutputError
            A file could not be finished, or a stuck write holds the files for longer than `timeout_s`.
        """
        if not self._lock.acquire(timeout=timeout_s):
            raise OutputError(
                f"{self.folder}: a write has been stuck for {timeout_s:g} s; the files are left unfinished"
            )
        try:
            if self._closed:
                return
            self._closed = True
            errors: list[Exception] = []
            sinks = (*self._rows, self._video, self._window, *self._viewers, self.answers)
            for step in (self._settle, *(sink.close for sink in sinks if sink is not None)):
                try:
                    step()
                except Exception as e:  # the other files are finished whatever happens to this one
                    errors.append(e)
            errors += [self._broken] if self._broken is not None else []
            self.warnings += [w for v in self._viewers for w in v.warnings]
            self.warnings += self._segments.warnings if self._segments is not None else []
            if self._window is not None and self._window.warning:
                self.warnings.append(self._window.warning)
            if self._opened and self._video is None and self._broken is None and self._folder is not None:
                with suppress(OSError):
                    (self.folder / "tracks.mp4").unlink(missing_ok=True)
            if errors:
                raise errors[0]
        finally:
            self._lock.release()

    def discard(self) -> None:
        """Forget what is unfinished and give the folder back where it is empty."""
        if self._folder is None:
            return
        for name in FILES:
            with suppress(OSError):
                part_of(self.folder / name).unlink(missing_ok=True)
        release_folder(self.folder)
