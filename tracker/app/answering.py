"""What a run's configuration means for its answers: scene, clock, intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tracker.answers.clock import Clock, parse_interval, start_in_name
from tracker.answers.database import Database
from tracker.answers.scene import Scene, SceneOptions, Size
from tracker.answers.writer import AnswerWriter
from tracker.app.config import RunConfig
from tracker.core.interfaces import Say, Source
from tracker.errors import ConfigError
from tracker.video.files import creation_time


def scene_of(config: RunConfig, size: Size) -> Scene:
    """The scene of a run for frames of `size`; raises ConfigError."""
    file = Path(config.scene) if config.scene else None
    return SceneOptions(file, config.line, config.zone, config.ignore, config.ground, config.unit).scene(size)


def clock_of(start_time: str | None, path: Path) -> Clock:
    """The clock of a recording: as told, else as its name or its container tells, else none."""
    if start_time is not None:
        return Clock.told(start_time)
    if (named := start_in_name(path.name)) is not None:
        return Clock(named, None, "file name", guessed=True)
    if (created := creation_time(path)) is not None:
        return Clock(created, None, "creation time in the file", guessed=True)
    return Clock()


def answer_writer(
    config: RunConfig,
    text: str,
    source: Source,
    class_names: Sequence[str],
    folder: Path | None,
    say: Say,
    *,
    segmented: bool = False,
) -> Callable[[], AnswerWriter]:
    """A function that makes the writer of a stream's answers when its first frame is there.

    Raises
    ------
    ConfigError
        The scene, the interval or the start time makes no sense; now, not at the first frame.
    """
    info = source.info
    scene, interval_s = scene_of(config, info.size), parse_interval(config.interval)
    if config.database and Path(config.database).exists():
        raise ConfigError(f"{config.database}: is there already; give another --database, or remove it")
    live = info.live and config.start_time is None
    clock = Clock() if live else clock_of(config.start_time, Path(text))
    if clock.guessed:
        say(f"clock: starts at {clock.text(0.0, 0)}, guessed from the {clock.source}; --start-time sets it")
    if clock.doubt:
        say(f"clock: {clock.doubt}")

    def make() -> AnswerWriter:
        told = Clock(_start_of(source), None, "wall clock") if live else clock
        database = Database(Path(config.database), class_names) if config.database else None
        return AnswerWriter(
            folder, scene, info.size, class_names, clock=told, interval_s=interval_s, database=database,
            segmented=segmented,
        )  # fmt: skip

    return make


def _start_of(source: Source) -> datetime:
    """When a live source's time began: some while ago where its first frame was long on its way."""
    since_s = time.monotonic() - source.started_s if source.started_s is not None else 0.0
    return datetime.now(UTC) - timedelta(seconds=since_s)
