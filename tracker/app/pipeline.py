"""Runs the steps, each group of them in a thread of its own or all in one; the tracks are the same.

Decoders (one thread per stream) put frames into the first channel; each group of steps takes from one channel and puts
into the next; every stream has a thread that draws and writes. All channels are bounded, and first in, first out within
a stream. Where all detectors allow it, several threads detect, each on a frame of its own, and pass on in order. A
stream ends by an item without a frame, which carries the error where there was one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from tracker.app.channel import Channel, Closed, OrderedWorkers
from tracker.app.steps import Group, Step, Steps
from tracker.app.stream import Item, Stream
from tracker.core.types import Frame

ROOM_BYTES = 25_000_000
"""Pixels that may wait between two stages: three frames up to full HD, one of 4K."""
STALL_S = 10.0
"""A stage that works on one frame for longer is named."""
STANDSTILL_S = 60.0
"""A run of files in which no stage is at work and no frame comes out for so long will not end by itself."""
ROOT = str(Path(__file__).parents[2])
"""Of this program: where a thread stands in a library, the line that called it is told."""
GRACE_S = 5.0
"""After a request to stop, frames on their way are given up when none was finished for so long."""


class Pipeline:
    """Streams through steps.

    Parameters
    ----------
    streams : Sequence[Stream]
        Numbered from 0.
    steps : Steps
        Shared by all streams.
    threads : bool
        A thread per group of steps; False: one thread takes all steps of a frame before the next frame.
    clock : Callable
        Seconds, by which a run that does not move is told from one that does.

    Attributes
    ----------
    warnings : list[str]
        Stages that stalled.
    concurrency : int
        Threads that detect: as many frames as every detector takes at a time.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        steps: Steps,
        *,
        threads: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self.streams, self.steps, self.threaded = list(streams), steps, threads
        self.warnings: list[str] = []
        self._told = 0
        self.concurrency = min((s.detector.concurrency for s in streams), default=1) if threads else 1
        self._stop = threading.Event()
        self._abort = threading.Event()
        self._idle = threading.Condition()
        self._unfinished = len(self.streams)
        self._stalled: set[str] = set()
        self._live = frozenset(s.number for s in streams if s.source.info.live)
        room = 1 if self._live else max(1, min(3, ROOM_BYTES // max(_bytes(s) for s in self.streams)))
        lanes = len(self.streams)
        self._groups = steps.groups()
        self._channels: list[Channel[Item]] = [Channel(lanes, room, self._live)]
        self._channels += [Channel(lanes, max(room, self._frames(group))) for group in self._groups[1:]]
        self._outlets: list[Channel[Item]] = [Channel(1, room) for _ in streams]
        self._workers = [
            *(self._thread(f"decode {s.number}", self._decode, s) for s in streams),
            *self._step_threads(),
            *(self._thread(f"write {s.number}", self._finish, s) for s in streams),
        ]
        if not threads:
            self._workers = [self._thread("all steps", self._sequential)]

    def _step_threads(self) -> list[threading.Thread]:
        threads: list[threading.Thread] = []
        for number, group in enumerate(self._groups):
            admit = {"admit": group.admit} if group.admit is not None else {}
            workers = OrderedWorkers(self._channels[number], count=self._frames(group), **admit)
            count = self.concurrency if group.admit is not None else 1
            threads += [self._thread(group.name, self._work, number, group, workers) for _ in range(count)]
        return threads

    def _thread(self, name: str, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        """A thread whose failure is the run's: whatever it raises ends the streams that it leaves unfinished."""

        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as e:
                self._fail(e)

        return threading.Thread(target=guarded, name=name, daemon=True)

    def _fail(self, error: BaseException) -> None:
        """Something of the pipeline itself broke: give every unfinished stream the error, and all frames up."""
        for stream in self.streams:
            if not stream.ending.finished:
                stream.ending.error = stream.ending.error or error
        self.abort()

    def _frames(self, group: Group) -> int:
        """Frames of a stream that a group takes at once; one where a live source may not wait for the next."""
        return 1 if self._live else group.frames

    def stage_groups(self) -> list[tuple[str, ...]]:
        """Stages, by the names they are timed under, that share a thread."""
        groups = [*(group.stages for group in self._groups), ("draw", "write")]
        return groups if self.threaded else [tuple(stage for group in groups for stage in group)]

    # ---- from outside ---------------------------------------------------------------------------

    def run(self, watch: Callable[[], None] | None = None, every_s: float = 0.1) -> None:
        """Run to the end of all streams, or until stopped; errors stand in each stream's `error`.

        `watch` is called about every `every_s` seconds from the calling thread, which otherwise only waits, so that
        signals reach it.
        """
        for stream in self.streams:
            stream.ending.started_s = time.perf_counter()
        for worker in self._workers:
            worker.start()
        done, stopping, progress_s = -1, False, self._clock()
        while self._unfinished:
            with self._idle:
                self._idle.wait_for(lambda: not self._unfinished, every_s)
            if watch is not None:
                watch()
            self._look_for_stalls()
            before, done = done, sum(s.counts.frames for s in self.streams)
            asked, stopping = stopping, self._stop.is_set()
            if done != before or stopping != asked or (self._busy() and not stopping):
                progress_s = self._clock()
            idle_s = self._clock() - progress_s
            if self._abort.is_set() or (self._stop.is_set() and idle_s > GRACE_S):
                self._give_up()
            elif idle_s > STANDSTILL_S and not any(s.source.info.live for s in self.streams):
                self._fail(RuntimeError(f"nothing has moved for {idle_s:.0f} s: {self._positions()}"))
        for worker in self._workers:
            worker.join(0.5)

    def _busy(self) -> bool:
        """A stage is at work on a frame, or whoever looks is at one."""
        return self.steps.timing.busy() or any(s.output.waits for s in self.streams)

    def _positions(self) -> str:
        """Where the threads stand in this program, as `name in file:line function`."""
        innermost = sys._current_frames()  # noqa: SLF001 (documented, for debuggers)
        found = []
        for worker in self._workers:
            frame = innermost.get(worker.ident or 0)
            while frame is not None and frame.f_back and not frame.f_code.co_filename.startswith(ROOT):
                frame = frame.f_back
            if frame is not None:
                place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
                found.append(f"{worker.name} in {place}")
        return "; ".join(found)

    def news(self) -> list[str]:
        """Warnings that have come since the last call, to be told at once."""
        told, self._told = self._told, len(self.warnings)
        return self.warnings[told : self._told]

    def stop(self) -> None:
        """Read no further frames; those on their way are finished."""
        self._stop.set()
        for stream in self.streams:
            stream.source.interrupt()
            if self.threaded:
                self._channels[0].end(stream.number, Item(stream, None))

    def abort(self) -> None:
        """Give up the frames on their way, too; what was written is finished."""
        self.stop()
        self._abort.set()

    @property
    def dropped(self) -> list[int]:
        """Frames of each live stream that gave way to newer ones."""
        return self._channels[0].dropped

    @property
    def stuck(self) -> bool:
        """A thread is still at work after the end: only leaving the process ends it."""
        return any(w.is_alive() for w in self._workers)

    # ---- threads --------------------------------------------------------------------------------

    def _decode(self, stream: Stream) -> None:
        error: BaseException | None = None
        inlet = self._channels[0]
        try:
            with stream.source:
                frames = iter(stream.source)
                while not self._stop.is_set() and stream.ending.fails_at == inf:
                    with self.steps.timing.measure("decode"):
                        frame = next(frames, None)
                    if frame is None:
                        break
                    inlet.put(Item(stream, frame, time.perf_counter()), stream.number)
        except Closed:
            pass
        except BaseException as e:
            error = e
        inlet.end(stream.number, Item(stream, None, error=error))

    def _work(self, number: int, group: Group, workers: OrderedWorkers[Item]) -> None:
        following = self._channels[number + 1] if number + 1 < len(self._channels) else None
        while True:
            try:
                turn, items = workers.take()
            except Closed:
                return
            for step in group.steps:
                step(items)
            with workers.turn(turn):
                for item in items:
                    with suppress(Closed):
                        self._pass_on(item, following)

    def _pass_on(self, item: Item, following: Channel[Item] | None) -> None:
        lane = item.stream.number
        channel, lane = (following, lane) if following is not None else (self._outlets[lane], 0)
        if item.frame is None:
            channel.end(lane, item)
        else:
            channel.put(item, lane)

    def _finish(self, stream: Stream) -> None:
        outlet = self._outlets[stream.number]
        while True:
            try:
                items = outlet.take()
            except Closed:
                return
            self.steps.write(items)
            for item in items:
                if item.frame is None or item.error is not None:
                    self._close(stream, item.error)
            if stream.output.stop_wanted:
                self.stop()

    def _sequential(self) -> None:
        """All streams in turn, a frame of each through all steps, or as many as are encoded together."""
        steps: list[Step] = []
        for group in self._groups:
            steps += [group.admit, *group.steps] if group.admit is not None else group.steps
        sources = {s.number: iter(s.source) for s in self.streams}
        while sources and not self._stop.is_set():
            items = [item for n, frames in sources.items() for item in self._next(self.streams[n], frames)]
            for step in (*steps, self.steps.write):
                step(items)
            for item in items:
                if item.frame is None or item.error is not None:
                    sources.pop(item.stream.number, None)
                    self._close(item.stream, item.error)
            if any(s.output.stop_wanted for s in self.streams):
                break
        for number in sources:
            self._close(self.streams[number], None)

    def _next(self, stream: Stream, frames: Iterator[Frame]) -> Iterator[Item]:
        """The next items of a stream, the last one without a frame where it ends."""
        for _ in range(max(self._frames(group) for group in self._groups)):
            try:
                with self.steps.timing.measure("decode"):
                    frame = next(frames, None)
                item = Item(stream, frame, time.perf_counter())
            except Exception as e:
                item = Item(stream, None, error=e)
            yield item
            if item.frame is None:
                return

    # ---- endings --------------------------------------------------------------------------------

    def _close(self, stream: Stream, error: BaseException | None) -> None:
        """Finish a stream's files, once."""
        ending = stream.ending
        with self._idle:
            if ending.finished:
                return
            ending.finished = True
        ending.error = ending.error or error
        with suppress(Exception):
            if not self.threaded:
                stream.source.close()
        try:
            stream.output.close()
        except BaseException as e:
            ending.error = ending.error or e
        finally:
            ending.elapsed_s = time.perf_counter() - ending.started_s
            with self._idle:
                self._unfinished -= 1
                self._idle.notify_all()

    def _give_up(self) -> None:
        for channel in (*self._channels, *self._outlets):
            channel.abort()
        for stream in self.streams:
            self._close(stream, None)

    def _look_for_stalls(self) -> None:
        for stage, seconds in self.steps.timing.stalled(STALL_S).items():
            if stage == "decode" and self._live:  # a camera that keeps its reader waiting tells itself
                continue
            if stage not in self._stalled:
                self._stalled.add(stage)
                self.warnings.append(f"stage {stage} has been at one frame for {seconds:.0f} s")


def _bytes(stream: Stream) -> int:
    """Of a frame's pixels."""
    width, height = stream.source.info.size
    return max(1, 3 * width * height)
