"""A batch from its plan to its data set: what is left to do is given to the workers, what comes back is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import tracker
from tracker.answers.clock import parse_interval
from tracker.answers.writer import recount
from tracker.app.answering import clock_of, scene_of
from tracker.app.batch.cluster import Answer, Cluster
from tracker.app.batch.dataset import write_dataset
from tracker.app.batch.plan import Part, Video, cut
from tracker.app.batch.rows import Rows, stitch
from tracker.app.batch.store import DATASET, Store, key_of
from tracker.app.batch.worker import Choice, Task, Tracked
from tracker.app.config import RunConfig
from tracker.app.report import FEW_FRAMES, as_json
from tracker.app.run_folder import SCHEMA
from tracker.app.signals import Signals
from tracker.core.files import write_whole
from tracker.core.interfaces import Say
from tracker.errors import SourceError, TrackerError
from tracker.video.sinks import CsvSink, MotSink
from tracker.video.timeline import Timeline, read_timeline

CHOICE = "choice"
"""In place of a part's number: the task that chooses how a video's parts are looked at."""


@dataclass
class Job:
    """A video that is not finished.

    Attributes
    ----------
    video, key : Video, str
        What, and the hash of all that its results depend on.
    parts : list of Part
        In order.
    timeline : Timeline, optional
        Of the file, where it was read.
    choice : Choice, optional
        How all parts of a cut video are looked at; None: not chosen yet.
    done : dict of int to Tracked
        Parts by number, as they come; those of a cut video are kept on disk instead.
    left : set of int
        Numbers of parts that are not done.
    notes : list of str
        For the summary.
    """

    video: Video
    key: str
    parts: list[Part]
    timeline: Timeline | None = None
    choice: Choice | None = None
    done: dict[int, Tracked] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


class Batch:
    """Videos on their way to results.

    Parameters
    ----------
    videos : list of Video
        In the order of their results.
    config : RunConfig
        For all; its sources are left aside.
    store : Store
        Where results go.
    split_s, overlap_s : float or None, float
        Length of a part and how long before it tracking starts, seconds; None: videos stay whole.
    say : Callable
        Is told what happens, a line each.

    Attributes
    ----------
    failed : dict of str to str
        Errors by the path of the video.
    jobs : dict of str to Job
        Unfinished videos by name.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        config: RunConfig,
        store: Store,
        *,
        split_s: float | None,
        overlap_s: float,
        say: Say,
    ) -> None:
        self._config, self._store, self._say = config, store, say
        self._split_s, self._overlap_s = split_s, overlap_s
        self.failed: dict[str, str] = {}
        self.jobs: dict[str, Job] = {}
        self.finished = 0
        for video in videos:
            try:
                self._plan(video)
            except (OSError, TrackerError) as e:
                self._fail(video, str(e) if isinstance(e, TrackerError) else f"{video.path}: {e.strerror}")

    def _plan(self, video: Video) -> None:
        key = key_of(video, self._config, self._split_s, self._overlap_s)
        if self._store.is_done(video, key):
            self.finished += 1
            return
        c = self._config
        timeline = read_timeline(str(video.path)) if self._split_s is not None else None
        parts = cut(
            timeline, self._split_s, self._overlap_s, start=c.start, max_frames=c.max_frames, stride=c.stride
        )  # fmt: skip
        job = Job(video, key, parts, timeline, self._store.kept_choice(video, key))
        job.left = {n for n, p in enumerate(parts) if job.choice is None or self._store.kept(video, key, p) is None}
        self.jobs[video.name] = job

    # ---- tasks ----------------------------------------------------------------------------------

    def tasks(self) -> list[Task]:
        """What can be done now, the longest files first, so that no worker is alone at the end."""
        jobs = sorted(self.jobs.values(), key=lambda j: -j.video.path.stat().st_size)
        return [task for job in jobs for task in self._tasks(job)]

    def _tasks(self, job: Job) -> list[Task]:
        """The parts of a video that are left; of one in several, first how all of them are looked at."""
        config = replace(self._config, sources=(str(job.video.path.resolve()),))
        if len(job.parts) > 1 and job.choice is None:
            return [Task(f"{CHOICE}:{job.video.name}", config, None)]
        chosen = job.choice.settings if job.choice is not None else {}
        return [Task(f"{n}:{job.video.name}", config, job.parts[n], chosen) for n in sorted(job.left)]

    def run(self, cluster: Cluster, watch: Callable[[int, int], None]) -> None:
        """Give everything to the workers; `watch` is told how many parts are done, of how many."""
        for job in [j for j in self.jobs.values() if not j.left]:
            self._finish(job)
        tasks = deque(self.tasks())
        done, total = 0, len(tasks)
        for key, answer in cluster.run(tasks):
            again = self._take(key, answer)
            tasks.extendleft(reversed(again))
            done, total = done + 1, total + len(again)
            watch(done, total)

    def _take(self, key: str, answer: Answer) -> list[Task]:
        """Take an answer; tasks that it makes possible or necessary."""
        number, _, name = key.partition(":")
        job = self.jobs.get(name)
        if job is None:  # another part of it failed
            return []
        if isinstance(answer, TrackerError):
            self._fail(job.video, str(answer))
            del self.jobs[name]
            return []
        if isinstance(answer, Choice):
            job.choice = answer
            self._store.keep_choice(job.video, job.key, answer)
            return self._tasks(job)
        return self._take_part(job, int(number), answer)

    def _take_part(self, job: Job, number: int, answer: Tracked) -> list[Task]:
        part = job.parts[number]
        if len(job.parts) > 1:
            if not self._is_whole(job, part, answer):
                note = f"frames {part.start} to {part.last or 'the end'} are not all readable: tracked in one piece"
                self._say(f"{job.video.name}: {note}")
                last = job.parts[-1].last
                job.parts, job.left, job.notes = [Part(self._config.start, self._config.start, last)], {0}, [note]
                return self._tasks(job)
            self._store.keep(job.video, job.key, part, answer)
        else:
            job.done[number] = answer
        job.left.discard(number)
        if not job.left:
            self._finish(job)
        return []

    def _is_whole(self, job: Job, part: Part, answer: Tracked) -> bool:
        """Whether a part read as many frames as its packets promise: else its frames are not numbered as in a run."""
        if job.timeline is None:
            return False
        return answer.frames == len(range(part.start, (part.last or len(job.timeline)) + 1, self._config.stride))

    # ---- endings --------------------------------------------------------------------------------

    def _fail(self, video: Video, error: str) -> None:
        self.failed[str(video.path)] = error
        self._store.write_failed(self.failed)
        self._say(f"error: {error if str(video.path) in error else f'{video.path}: {error}'}")

    def _finish(self, job: Job) -> None:
        """Write a video's folder and its files of the data set."""
        del self.jobs[job.video.name]
        found = [job.done.get(n) or self._store.kept(job.video, job.key, p) for n, p in enumerate(job.parts)]
        parts = [p for p in found if p is not None]
        if len(parts) != len(job.parts):
            self._fail(job.video, f"{job.video.path}: a part that was kept cannot be read; start again with --resume")
            return
        try:
            self._write(job, parts)
        except TrackerError as e:
            self._fail(job.video, str(e))
            return
        self.finished += 1

    def _write(self, job: Job, parts: list[Tracked]) -> None:
        first, video, c = parts[0], job.video, self._config
        if not sum(p.frames for p in parts):
            raise SourceError(f"{video.path}: has no frame in the range that was asked for")
        rows = stitch([p.rows for p in parts], [p.first for p in job.parts])
        folder = self._store.draft(video)
        with MotSink(folder / "tracks.txt") as mot, CsvSink(folder / "tracks.csv", first.class_names) as table:
            for frame, tracks in rows.frames(first.size):
                mot.write(frame, tracks)
                table.write(frame, tracks)
        clock = clock_of(c.start_time, video.path)
        answers = recount(
            folder, scene_of(c, first.size), first.size, clock=clock, interval_s=parse_interval(c.interval),
            first_s=first.first_time_s, last_s=parts[-1].last_time_s,
        )  # fmt: skip
        summary = self._summary(job, parts, rows) | answers.summary()
        write_whole(folder / "summary.json", as_json(summary))
        chosen = first.chosen | (job.choice.settings if job.choice is not None else {})
        effective = replace(c, sources=(str(video.path.resolve()),), **chosen)
        write_whole(folder / "config.toml", effective.to_toml())
        crossings = folder / "crossings.csv"
        write_dataset(self._store.root / DATASET, video, rows, first.class_names, crossings, clock.at(0.0))
        self._store.publish(video)
        self._say(f"{video.name}: {summary['frames']} frames, {summary['tracks']} tracks, {summary['elapsed_s']:.0f} s")
        for warning in summary["warnings"]:
            self._say(f"{video.name}: warning: {warning}")

    def _summary(self, job: Job, parts: list[Tracked], rows: Rows) -> dict[str, Any]:
        first, last = parts[0], parts[-1]
        leads = [(p.first - p.start) // self._config.stride for p in job.parts]
        frames = sum(t.frames - lead for t, lead in zip(parts, leads, strict=True))
        elapsed = sum(p.elapsed_s for p in parts)
        found = f"the detector {first.facts['detector']['name']} found no object in {frames} frames; try another one"
        chosen = job.choice.warnings if job.choice is not None else []
        nothing = [] if len(rows) or frames < FEW_FRAMES else [found]
        return {
            "schema": SCHEMA,
            "version": tracker.__version__,
            "key": job.key,
            "source": job.video.name,
            "camera": job.video.camera,
            "source_path": str(job.video.path),
            "size": list(first.size),
            "frame_rate": round(first.fps, 3),
            "frames": frames,
            "duration_s": round(last.last_time_s - first.first_time_s + 1 / first.fps, 3),
            "first_s": round(first.first_time_s, 3),
            "last_s": round(last.last_time_s, 3),
            "elapsed_s": round(elapsed, 3),
            "parts": len(parts),
            "tracks": len(np.unique(rows.id)),
            **first.facts,
            "error": None,
            "warnings": list(dict.fromkeys([*job.notes, *chosen, *nothing, *(w for p in parts for w in p.warnings)])),
        }


def track_videos(
    videos: Sequence[Video],
    config: RunConfig,
    output: Path,
    *,
    address: str,
    workers: int | None,
    split_s: float | None,
    overlap_s: float,
    resume: bool,
    overwrite: bool,
    say: Say,
    watch: Callable[[int, int], None],
    signals: Signals,
) -> Batch:
    """Track all videos and write their results; returns the batch, whose `failed` says which could not be.

    Raises
    ------
    TrackerError
        Nothing can be done at all: the output, the models or the cluster are not to be had.
    """
    from tracker.app.batch.bundle import pack

    store = Store(output, resume=resume, overwrite=overwrite)
    batch = Batch(videos, config, store, split_s=split_s, overlap_s=overlap_s, say=say)
    if batch.jobs:
        bundle = pack(config, say)
        with Cluster(address, workers) as cluster:
            say(f"{cluster.workers} workers on {cluster.nodes} machine{'s' if cluster.nodes > 1 else ''}")
            cluster.ship(bundle)
            signals.attach(cluster)
            batch.run(cluster, watch)
    store.write_failed(batch.failed)
    store.write_summary(videos)
    return batch
