"""Time between frames in frames: one, unless a stream dropped some or its rate changed."""

from __future__ import annotations

from collections import Counter, deque
from math import isfinite
from statistics import median

_MEMORY = 30
_FEW = 3
_TOLERANCE = 0.3
_LONGEST = 30.0
_NOMINAL = 30.0


class Clock:
    """Turns times of frames into steps of the filter, whose noise is per frame.

    A usual step is the median of the latest ones, so that a stride, a rate the container states wrongly, or the jitter
    of a camera change nothing: only steps that differ from the usual by more than 30% count as what they are.
    """

    def __init__(self, warnings: Counter[str]) -> None:
        self.warnings = warnings
        self._last_s: float | None = None
        self._steps: deque[float] = deque(maxlen=_MEMORY)

    @property
    def frames_per_second(self) -> float:
        """Of the usual step; 30 where times are not given."""
        return 1 / median(self._steps) if self._steps else _NOMINAL

    def step(self, time_s: float | None) -> float:
        """Frames from the last frame to the one at `time_s`, in 0.25..30; 1 where times are not given or fall."""
        if time_s is not None and not isfinite(time_s):
            self.warnings["time is no number"] += 1
            time_s = None
        last, self._last_s = self._last_s, time_s if time_s is not None else self._last_s
        if time_s is None or last is None:
            return 1.0
        step = time_s - last
        if step <= 0:
            self.warnings["time ran backwards"] += step < 0
            return 1.0
        usual = median(self._steps) if len(self._steps) >= _FEW else step
        self._steps.append(step)
        ratio = step / usual
        return 1.0 if abs(ratio - 1) <= _TOLERANCE else min(max(ratio, 0.25), _LONGEST)
