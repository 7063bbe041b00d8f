"""Charts as numbers that a template draws as SVG: where each bar and label stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDE, HIGH = 720, 200
LEFT, BOTTOM, TOP = 40, 24, 10
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442")
"""Okabe and Ito's colours, which people with any colour vision tell apart."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a stacked bar, pixels of the chart; `said` is its tooltip."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    said: str


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of stacked bars: parts, ticks (y, text), labels (x, text), and a legend (colour, name)."""

    bars: list[Bar]
    ticks: list[tuple[float, str]]
    labels: list[tuple[float, str]]
    legend: list[tuple[str, str]]
    size: tuple[int, int] = (WIDE, HIGH)


@dataclass(frozen=True, slots=True)
class Steps:
    """A chart of a number over time: points of a line, ticks and labels."""

    points: str
    ticks: list[tuple[float, str]]
    labels: list[tuple[float, str]]
    size: tuple[int, int] = (WIDE, HIGH)


def bars(labels: Sequence[str], heights: Sequence[Sequence[int]], names: Sequence[str]) -> Bars:
    """Stacked bars, one for each label; `heights` holds a number for each name."""
    most = max((sum(h) for h in heights), default=0)
    top, ticks = _ticks(most)
    room = (WIDE - LEFT) / max(1, len(labels))
    width = max(1.0, min(0.8 * room, 60.0))
    parts: list[Bar] = []
    for n, stack in enumerate(heights):
        base = 0
        for k, height in enumerate(stack):
            if height:
                y0, y1 = _y(base, top), _y(base + height, top)
                said = f"{labels[n]}: {names[k]} {height}"
                x = LEFT + (n + 0.5) * room - width / 2
                parts.append(Bar(round(x, 1), round(y1, 1), round(width, 1), round(y0 - y1, 1), COLOURS[k % 8], said))
                base += height
    every = -(-len(labels) // 8)
    shown = [(round(LEFT + (n + 0.5) * room, 1), text) for n, text in enumerate(labels) if n % every == 0]
    return Bars(parts, ticks, shown, [(COLOURS[k % 8], name) for k, name in enumerate(names)])


def steps(spans: Sequence[tuple[float, float]], first: float, last: float) -> Steps:
    """How many of some spans of time hold each moment from `first` to `last`."""
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    level, most, track = 0, 0, [(first, 0)]
    for time_s, change in changes:
        track.append((time_s, level))
        level += change
        most = max(most, level)
        track.append((time_s, level))
    track.append((max(last, track[-1][0]), level))
    top, ticks = _ticks(most)
    length = max(track[-1][0] - first, 1e-9)
    x = [LEFT + (WIDE - LEFT - 10) * (t - first) / length for t, _ in track]
    points = " ".join(f"{px:.1f},{_y(v, top):.1f}" for px, (_, v) in zip(x, track, strict=True))
    labels = [
        (LEFT + (WIDE - LEFT - 10) * share, f"{first + share * length:.1f} s") for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    return Steps(points, ticks, labels)


def _y(value: float, top: float) -> float:
    return HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * value / top


def _ticks(most: int) -> tuple[float, list[tuple[float, str]]]:
    """The upper end of an axis of whole numbers, and a few of them with their heights."""
    step = next(s for s in (k * 10**p for p in range(12) for k in (1, 2, 5)) if most <= 5 * s)
    top = step * max(1, -(-most // step))
    return float(top), [(round(_y(v, top), 1), str(v)) for v in np.arange(0, top + 1, step).tolist()]
