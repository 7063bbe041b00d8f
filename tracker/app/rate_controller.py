"""Holds a number of frames per second by doing less: fewer embeddings, then no tiles, then fewer detections."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tracker.app.steps import Steps
from tracker.app.timing import Timing
from tracker.core.interfaces import Detector

WINDOW_S = 1.0
"""Between two looks at the clock."""
SPARE = 1.3
"""So much more than the target must be possible, three looks in a row, before more is done again."""


@dataclass(frozen=True)
class Effort:
    """What is done: detection on every n-th frame, embedding on every n-th of those, tiles or the whole frame alone."""

    detect_every: int
    embed_every: int = 1
    tiles: bool = True


def efforts(detect_every: int) -> list[Effort]:
    """From everything to least, each cheaper than the one before."""
    first = [Effort(detect_every), Effort(detect_every, 3), Effort(detect_every, 3, tiles=False)]
    return first + [Effort(detect_every + n, 3, tiles=False) for n in range(1, 10)]


class RateController:
    """Watches what the stages cost and sets the effort; call `watch` often from one thread.

    What could be done per second follows from the stages' times, not from the frames finished: a camera that sends 10
    frames a second must not look like a machine that can do no more.

    Parameters
    ----------
    target_fps : float
        Frames per second to hold, all streams together.
    groups : Sequence[Sequence[str]]
        Stages that share a thread; one frame's time is that of the slowest group.
    cores : int
        Processors; all groups together cannot do more than these.
    concurrency : int
        Frames that are detected at the same time.
    detectors : Sequence[Detector]
        Told whether to look at tiles.
    """

    def __init__(
        self,
        target_fps: float,
        steps: Steps,
        groups: Sequence[Sequence[str]],
        cores: int,
        detectors: Sequence[Detector] = (),
        concurrency: int = 1,
    ) -> None:
        self.target_fps, self.changes = target_fps, 0
        self._steps, self._groups, self._cores, self._detectors = steps, groups, cores, detectors
        self._concurrency = concurrency
        self._efforts, self._level, self._ample = efforts(steps.detect_every), 0, 0
        self._looked, self._before = time.perf_counter(), _totals(steps.timing)

    @property
    def effort(self) -> Effort:
        """What frames are given now."""
        return self._efforts[self._level]

    def watch(self, now: float | None = None) -> None:
        """Look, at most once in a while, and change the effort by one where the target asks for it."""
        now = time.perf_counter() if now is None else now
        if now - self._looked < WINDOW_S:
            return
        totals = _totals(self._steps.timing)
        frames = totals["frames"] - self._before["frames"]
        if frames < 3:
            return
        spent = {k: (totals[k] - self._before[k]) / frames for k in totals if k != "frames"}
        self._looked, self._before = now, totals
        self._decide(1 / max(self._seconds(spent), 1e-9))

    def _seconds(self, spent: dict[str, float]) -> float:
        """Seconds a frame takes when frames follow each other without a gap."""
        in_turn = {**spent, "detect": spent.get("detect", 0.0) / self._concurrency}
        slowest = max(sum(in_turn.get(stage, 0.0) for stage in group) for group in self._groups)
        return max(slowest, sum(spent.values()) / min(self._cores, len(self._groups) + self._concurrency - 1))

    def _decide(self, possible_fps: float) -> None:
        self._ample = self._ample + 1 if possible_fps > SPARE * self.target_fps else 0
        level = self._level
        if possible_fps < self.target_fps:
            level = min(level + 1, len(self._efforts) - 1)
        elif self._ample >= 3:
            level, self._ample = max(level - 1, 0), 0
        if level != self._level:
            self._level = level
            self.changes += 1
            self._apply()

    def _apply(self) -> None:
        effort = self.effort
        self._steps.detect_every, self._steps.embed_every = effort.detect_every, effort.embed_every
        for detector in self._detectors:
            detector.tiled = effort.tiles


def _totals(timing: Timing) -> dict[str, float]:
    """Seconds per stage so far, and frames written. Decoding waits for a live source: it is left out."""
    found = {name: h.total for name, h in timing.stages.items() if name != "decode"}
    return {**found, "frames": float(timing.stages["write"].count)}
