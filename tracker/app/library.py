"""The pipeline as an iterator: `for frame in tracker.track("traffic.mp4")`."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.answers.events import Crossing, Events
from tracker.app.channel import Channel, Closed
from tracker.app.config import RunConfig
from tracker.core.interfaces import SourceInfo
from tracker.core.types import Detections, Frame, Tracks
from tracker.errors import ConfigError, TrackerError, first_line
from tracker.tracking.trackers import configure, setting_names

log = logging.getLogger("tracker")

AHEAD = 2
"""Frames that are finished before they are asked for: the caller's work and ours go on side by side."""
END_S = 1.0
"""How long an iteration that is broken off may take to close everything."""


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """A frame and the objects in it.

    Attributes
    ----------
    index : int
        1-based number of the frame in its source.
    time_s : float
        Seconds since the source's first frame.
    image : numpy.ndarray or None
        uint8 (H,W,3) BGR, yours to draw on; None where a sequence's pixels are missing.
    tracks : Tracks
        The objects that are written for this frame: `id` (T,), `xyxy` (T,4) pixels, `score`, `class_id`.
    class_names : tuple of str
        Names by class id.
    crossings : list of Crossing
        Crossings of the scene's lines that count from this frame on; with the last frame also those that only the end
        settles. All together are those of `crossings.csv`.
    """

    index: int
    time_s: float
    image: np.ndarray | None
    tracks: Tracks
    class_names: tuple[str, ...]
    crossings: list[Crossing]


class _Outlet:
    """Hands frames from the thread that writes to the one that iterates; bounded, so that memory stays flat.

    A frame is held back until the next is there: what only the end settles comes with the last.
    """

    draws, keeps = False, True

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self.warnings: list[str] = []
        self._channel: Channel[TrackedFrame] = Channel(1, AHEAD)
        self._held: TrackedFrame | None = None

    def view(self, frame: Frame, tracks: Tracks, drawn: np.ndarray | None, events: Events) -> None:
        done, self._held = self._held, TrackedFrame(
            frame.index, frame.time_s, frame.image, tracks, self._names, events.crossings
        )  # fmt: skip
        if done is not None:
            with suppress(Closed):
                self._channel.put(done)

    def settle(self, events: Events) -> None:
        if self._held is not None:
            self._held = replace(self._held, crossings=[*self._held.crossings, *events.crossings])

    def close(self) -> None:
        self._channel.end(last=self._held)

    def give_up(self) -> None:
        self._channel.abort()

    def __iter__(self) -> Iterator[TrackedFrame]:
        with suppress(Closed):
            while True:
                yield from self._channel.take()


def track(
    source: str | Path | int,
    *,
    detector: str | Path | Callable[[np.ndarray], Detections | None] = "auto",
    output: str | Path | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> Iterator[TrackedFrame]:
    """Track the objects of a source, frame by frame; the same rows as `python -m tracker run` writes.

    Nothing is opened before the first frame is asked for. Breaking out of the loop closes everything.

    Parameters
    ----------
    source : str, Path or int
        Video file, camera number, `rtsp://` or `http://` address, folder or glob of images, MOT sequence folder.
    detector : str, Path or callable
        A detector's name or file, or a callable that takes a uint8 (H,W,3) BGR picture and returns its `Detections`.
        Its attribute `class_names`, where it has one, names the class ids. Frames come to it in order, one at a time.
    output : str or Path, optional
        Folder for the files that `run` writes; by default none are written. Where the loop is left, they hold what was
        tracked until then, without the pictures and the report.
    overwrite : bool
        Whether results in that folder may be replaced.
    **settings
        Any other field of `RunConfig`, such as `encoder`, `classes`, `max_frames` or `preset`, and any parameter of
        the tracker, such as `max_age`.

    Yields
    ------
    TrackedFrame

    Raises
    ------
    ConfigError
        The source is no path, or a setting is unknown or out of range (at once, before the first frame).
    TrackerError
        The source cannot be read, or something failed on the way; frames before that were yielded.

    Examples
    --------
    >>> for frame in track("traffic.mp4", detector="coco", max_frames=100):
    ...     print(frame.index, frame.tracks.id, frame.tracks.xyxy)
    """
    if not isinstance(source, str | os.PathLike | int):
        raise ConfigError(f"source is a {type(source).__name__}; expected one path, address or camera number")
    custom = detector if callable(detector) else None
    named = "auto" if custom is not None else str(detector)
    config = _config(source=str(source), detector=named, files=output is not None, settings=settings)
    return _frames(config, custom, None if output is None else Path(output), overwrite)


def _config(*, source: str, detector: str, files: bool, settings: dict[str, Any]) -> RunConfig:
    """The settings as the command line would have made them."""
    run_names = {f.name for f in fields(RunConfig)} - {"sources", "tracker"}
    tracker_names = setting_names()
    if unknown := sorted(set(settings) - run_names - tracker_names):
        raise ConfigError(f"unknown setting {unknown[0]!r}; expected one of {', '.join(sorted(run_names))}")
    run = {k: v for k, v in settings.items() if k in run_names}
    for name in ("classes", "line", "zone", "ignore"):
        if name in run:
            run[name] = (run[name],) if isinstance(run[name], str) else tuple(run[name])
    own = {k: v for k, v in settings.items() if k in tracker_names - run_names}
    preset = run.get("preset", RunConfig().preset)
    run.setdefault("video", files)
    return RunConfig(sources=(source,), detector=detector, **run, tracker=configure(preset, **own))


def _frames(
    config: RunConfig,
    custom: Callable[[np.ndarray], Detections | None] | None,
    output: Path | None,
    overwrite: bool,
) -> Iterator[TrackedFrame]:
    from tracker.app.finish import finish
    from tracker.app.pipeline import Pipeline
    from tracker.app.session import Session

    began_s = time.perf_counter()
    outlets: list[_Outlet] = []

    def viewers(info: SourceInfo, names: Sequence[str], folder: Path | None) -> list[_Outlet]:
        outlets.append(_Outlet(names))
        return outlets

    session = Session(
        config, output, overwrite=overwrite, say=log.info, files=output is not None, detector=custom, viewers=viewers
    )
    session.timing.began_s = began_s
    stream, outlet = session.streams[0], outlets[0]
    pipeline = Pipeline(session.streams, session.steps, threads=config.threads)
    runner = threading.Thread(target=pipeline.run, name="pipeline", daemon=True)
    runner.start()
    stops = 2  # where the caller leaves the loop: no time for pictures
    try:
        yield from outlet
        stops = 0
    finally:
        outlet.give_up()
        pipeline.abort()
        runner.join(END_S)
        if output is not None and stream.ending.finished:
            warnings = finish(session, pipeline, stream, stops=stops)
        else:
            warnings = [*session.warnings(stream), *pipeline.warnings]
        for warning in warnings:
            log.warning("%s", warning)
        if not runner.is_alive() and not pipeline.stuck:  # what a stuck thread still uses is left to it
            session.close()
    error = stream.ending.error
    if isinstance(error, TrackerError):
        raise error
    if error is not None:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise TrackerError(f"{config.sources[0]}: stopped after {stream.counts.frames} frames ({why})") from error
