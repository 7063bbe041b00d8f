"""What a worker does: chooses how a video is looked at, or tracks one part of it, with networks kept for the next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.app.batch.plan import Part
from tracker.app.batch.rows import Gather, Rows
from tracker.app.config import RunConfig
from tracker.app.models import Models
from tracker.core.interfaces import SourceInfo
from tracker.errors import TrackerError

if TYPE_CHECKING:
    from tracker.app.session import MakeViewers, Session


@dataclass(frozen=True)
class Task:
    """One thing for a worker to do.

    Attributes
    ----------
    key : str
        That its answer is given under.
    config : RunConfig
        With one source.
    part : Part, optional
        What to track; None: how the video is looked at is to be chosen first.
    chosen : dict
        What was chosen for the whole video, settings in place of the configuration's.
    """

    key: str
    config: RunConfig
    part: Part | None
    chosen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """How all parts of a video are looked at.

    Attributes
    ----------
    settings : dict
        Of a configuration: the detector, its input size and tiles, as `Session.chosen` gives them.
    warnings : list of str
        What went wrong with the choice and was survived.
    """

    settings: dict[str, Any]
    warnings: list[str]


@dataclass(frozen=True, eq=False)
class Tracked:
    """A part that was tracked.

    Attributes
    ----------
    rows : Rows
        What is written, the frames before the part's first one included.
    frames : int
        How many frames were read.
    first_time_s, last_time_s : float
        Seconds of the first and the last one.
    size, fps, class_names
        Of the source, pixels and frames per second, and of the detector.
    facts : dict
        Detector, encoder and device as `summary.json` tells of them.
    chosen : dict
        Settings that were chosen by what the video shows.
    warnings : list of str
        What went wrong and was survived.
    elapsed_s : float
        Of the worker's time.
    """

    rows: Rows
    frames: int
    first_time_s: float
    last_time_s: float
    size: tuple[int, int]
    fps: float
    class_names: tuple[str, ...]
    facts: dict[str, Any]
    chosen: dict[str, Any]
    warnings: list[str]
    elapsed_s: float


@cache
def models() -> Models:
    """The networks of this process."""
    return Models()


def choose(config: RunConfig) -> Choice:
    """Choose how the configuration's one source is looked at, by the first frames that are wanted of it.

    Raises
    ------
    TrackerError
        The video cannot be read, or a model not opened.
    """
    with closing(_session(config)) as session:
        stream = session.streams[0]
        return Choice(session.chosen(stream), list(stream.detector.warnings))


def track_part(config: RunConfig, part: Part) -> Tracked:
    """Track a part of the configuration's one source.

    Parameters
    ----------
    config : RunConfig
        Settings; its `start` and `max_frames` give way to the part's.
    part : Part
        Which frames.

    Raises
    ------
    TrackerError
        The video cannot be read or tracked to its end.
    """
    from tracker.app.pipeline import Pipeline

    began = time.perf_counter()
    gather = Gather()

    def viewers(info: SourceInfo, names: Sequence[str], folder: Path | None) -> list[Gather]:
        return [gather]

    count = None if part.last is None else (part.last - part.start) // config.stride + 1
    wanted = replace(config, start=part.start, max_frames=count)
    with closing(_session(wanted, viewers)) as session:
        pipeline = Pipeline(session.streams, session.steps, threads=config.threads)
        pipeline.run()
        stream = session.streams[0]
        if stream.ending.error is not None:
            raise as_ours(stream.ending.error, config.sources[0], stream.counts.frames)
        detector, info = stream.detector, stream.source.info
        facts = {
            "detector": {"name": detector.name, "path": str(detector.path), "runtime": detector.runtime},
            "encoder": session.encoder_summary(),
            "device": session.device(),
        }
        warnings = [*session.warnings(stream), *pipeline.warnings]
        counts = stream.counts
        return Tracked(
            gather.rows(), gather.frames, counts.first_time_s, counts.last_time_s, info.size, info.fps,
            tuple(detector.class_names), facts, session.chosen(stream), warnings, time.perf_counter() - began,
        )  # fmt: skip


def _session(config: RunConfig, viewers: MakeViewers | None = None) -> Session:
    """A session that writes nothing, with this process's networks."""
    from tracker.app.session import Session

    return Session(
        replace(config, video=False, show=False), None, overwrite=False, say=lambda line: None, files=False,
        models=models(), viewers=viewers,
    )  # fmt: skip


def as_ours(error: BaseException, source: str, frames: int) -> TrackerError:
    """An error of ours as it is, another one as one line."""
    if isinstance(error, TrackerError):
        return error
    text = " ".join(str(error).split())[:300]
    return TrackerError(f"{source}: stopped after {frames} frames: {type(error).__name__}: {text}")
