"""Where time goes: durations per stage in bounded memory, and heartbeats that show which stage is stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import log

import numpy as np

STAGES = ("decode", "detect", "optical_flow", "camera_motion", "crop", "encode", "associate", "answer", "draw", "write")
"""A frame's way, in order; `optical_flow` carries boxes through frames that the detector leaves out."""
NETWORKS = ("detect", "encode")


class Histogram:
    """Durations counted in bins that grow by 2%: quantiles within 1%, the same memory after a minute and a month."""

    LOW, GROWTH, BINS = 1e-6, 1.02, 1000

    def __init__(self) -> None:
        self.counts = np.zeros(self.BINS, np.int64)
        self.total = 0.0
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        bin_ = int(log(max(seconds, self.LOW) / self.LOW) / log(self.GROWTH))
        self.counts[min(bin_, self.BINS - 1)] += 1
        self.total += seconds
        self.count += 1

    def quantile(self, q: float) -> float:
        """Seconds below which a share q of the durations lies; 0 where nothing was added."""
        if not self.count:
            return 0.0
        bin_ = int(np.searchsorted(np.cumsum(self.counts), q * self.count))
        return float(self.LOW * self.GROWTH ** (min(bin_, self.BINS - 1) + 0.5))


class Timing:
    """Durations per stage and, for each thread's current work, since when it has been at it.

    Attributes
    ----------
    began_s : float
        `time.perf_counter()` when the program began.
    networks_s : float
        Seconds by the clock in which the detector, the encoder or both were at work.
    """

    def __init__(self) -> None:
        self.began_s = time.perf_counter()
        self.stages = {name: Histogram() for name in STAGES}
        self.latency = Histogram()
        self.networks_s = 0.0
        self._networks, self._networks_since = 0, 0.0
        self._busy: dict[int, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: str, count: int = 1, extra_s: float = 0.0) -> Iterator[None]:
        """Time a block as one stage's work on `count` frames, with `extra_s` spent before, and show it as busy."""
        start = time.perf_counter()
        key = threading.get_ident()
        self._busy[key] = (stage, start)
        if stage in NETWORKS:
            self._network(1, start)
        try:
            yield
        finally:
            end = time.perf_counter()
            self._busy.pop(key, None)
            if stage in NETWORKS:
                self._network(-1, end)
            self.add(stage, (end - start + extra_s) / count, count)

    def _network(self, change: int, now: float) -> None:
        """One more network at work, or one less."""
        with self._lock:
            if self._networks:
                self.networks_s += now - self._networks_since
            self._networks += change
            self._networks_since = now

    def add(self, stage: str, seconds: float, count: int = 1) -> None:
        """Count `count` durations of a stage."""
        with self._lock:
            for _ in range(count):
                self.stages[stage].add(seconds)

    def busy(self) -> bool:
        """Some stage is at work."""
        return bool(self._busy)

    def stalled(self, limit_s: float) -> dict[str, float]:
        """Stages that have worked on one frame for longer than `limit_s`, with seconds since they began."""
        now = time.perf_counter()
        return {stage: now - since for stage, since in list(self._busy.values()) if now - since > limit_s}

    def summary(self) -> dict[str, dict[str, float]]:
        """Per stage: p50 and p95 in milliseconds, and the share of the time of all stages together."""
        total = sum(h.total for h in self.stages.values()) or 1.0
        return {
            name: {
                "p50_ms": round(h.quantile(0.5) * 1e3, 3),
                "p95_ms": round(h.quantile(0.95) * 1e3, 3),
                "share": round(h.total / total, 4),
            }
            for name, h in self.stages.items()
            if h.count
        }
