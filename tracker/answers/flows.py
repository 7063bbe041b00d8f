"""Flows found without drawing anything: where objects come into the picture, where they go, and how many do.

Where ways begin is clustered (DBSCAN), and where they end; clusters in one place are one gate. A flow is what goes from
one gate to another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.answers.scene import Line, Size
from tracker.answers.ways import Way

LEAST_WAY = 0.15
"""Share of the frame's shorter side that an object must get ahead to be part of a flow."""
LEAST_ENDS, LEAST_SHARE = 3, 0.03
"""A gate has at least so many ends of ways, and this share of all."""
GATE = 0.05
"""Ends nearer to each other than this share of the frame's diagonal belong to one gate."""
LEAST_WAYS = 5
"""Fewer are no flows."""
POINTS = 24
"""Of a flow's middle line."""
MOST_GATES = 26
ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Gate:
    """A place where objects come or go: `name` a letter, `place` (2,) pixels, `where` in words, `ends` how many."""

    name: str
    place: np.ndarray
    where: str
    ends: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Objects that went from one gate to another.

    Attributes
    ----------
    origin, destination : str
        Names of gates.
    classes : Counter[str]
        Objects by class.
    middle : (24,2) ndarray of float64
        The median of their ways, pixels.
    width : float
        Pixels across, so that nine of ten ways lie within.
    """

    origin: str
    destination: str
    classes: Counter[str]
    middle: np.ndarray
    width: float

    @property
    def count(self) -> int:
        """Objects, all classes together."""
        return self.classes.total()


@dataclass(frozen=True, slots=True)
class Flows:
    """Gates, flows between them by size, and how many objects went from or to elsewhere."""

    gates: list[Gate]
    flows: list[Flow]
    others: Counter[str]


def find_flows(ways: Sequence[Way], size: Size) -> Flows:
    """The flows of objects that got ahead in the picture.

    Parameters
    ----------
    ways : Sequence[Way]
        Of objects that count.
    size : Size
        (width, height) of the frames, pixels.
    """
    least = LEAST_WAY * min(size)
    moved = [w for w in ways if np.linalg.norm(w.points[-1, :2] - w.points[0, :2]) >= least]
    if len(moved) < LEAST_WAYS:
        return Flows([], [], Counter(w.class_name for w in moved))
    starts, ends = (np.array([w.points[at, :2] for w in moved], np.float64) for at in (0, -1))
    start_labels, end_labels = (_clusters(places, size) for places in (starts, ends))
    # Labels of ends go on where those of starts stop, so that both live in one list of gates.
    end_labels = np.where(end_labels >= 0, end_labels + start_labels.max() + 1, -1)
    places, labels = np.concatenate([starts, ends]), np.concatenate([start_labels, end_labels])
    gates, names = _gates(places, labels, size)
    groups: defaultdict[tuple[str, str], list[Way]] = defaultdict(list)
    others: Counter[str] = Counter()
    for way, start, end in zip(moved, start_labels.tolist(), end_labels.tolist(), strict=True):
        if start in names and end in names:
            groups[names[start], names[end]].append(way)
        else:
            others[way.class_name] += 1
    flows = [_flow(*key, members) for key, members in groups.items()]
    return Flows(gates, sorted(flows, key=lambda f: (-f.count, f.origin, f.destination)), others)


def _clusters(ends: np.ndarray, size: Size) -> np.ndarray:
    """A label for each end (N,); -1: of no cluster.

    DBSCAN (Ester et al. 1996): ends with enough others around them are cores, cores near to each other are one cluster,
    and what is near a core belongs to the nearest one's.
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # late: half a second, before the first frame
    from scipy.spatial import KDTree

    near = GATE * float(np.hypot(*size))
    least = max(LEAST_ENDS, round(LEAST_SHARE * len(ends)))
    reach, _ = KDTree(ends).query(ends, [least])  # to the last of the ends that a core must see, itself the first
    cores = ends[reach[:, 0] <= near]
    if len(cores) == 0:
        return np.full(len(ends), -1)
    single = np.ones(1, int)
    labels = fcluster(linkage(cores, "single"), near, "distance") if len(cores) > 1 else single
    distance, core = KDTree(cores).query(ends)
    return np.where(distance <= near, labels[core], -1)


def _gates(places: np.ndarray, labels: np.ndarray, size: Size) -> tuple[list[Gate], dict[int, str]]:
    """Gates named A, B, C ... around the picture, clockwise from the top left; and the name of each label."""
    near = GATE * float(np.hypot(*size))
    groups: list[list[int]] = []
    middles: list[np.ndarray] = []
    for label in np.unique(labels[labels >= 0]).tolist():
        middle = np.median(places[labels == label], axis=0)
        found = next((n for n, other in enumerate(middles) if np.linalg.norm(other - middle) <= near), None)
        if found is None:
            groups.append([label])
            middles.append(middle)
        else:
            groups[found].append(label)
    centre = np.array(size) / 2
    turn = [float((np.arctan2(*((m - centre) / centre)[::-1]) + 0.75 * np.pi) % (2 * np.pi)) for m in middles]
    gates: list[Gate] = []
    names: dict[int, str] = {}
    for number, group in enumerate(np.argsort(turn, kind="stable").tolist()[:MOST_GATES]):
        letter = chr(ord("A") + number)
        names |= dict.fromkeys(groups[group], letter)
        mine = places[np.isin(labels, groups[group])]
        gates.append(Gate(letter, np.median(mine, axis=0), _where(np.median(mine, axis=0), size), len(mine)))
    return gates, names


def _where(place: np.ndarray, size: Size) -> str:
    column = ("left", "middle", "right")[min(2, int(3 * place[0] / size[0]))]
    row = ("top", "middle", "bottom")[min(2, int(3 * place[1] / size[1]))]
    return (
        "middle" if row == column else column if row == "middle" else row if column == "middle" else f"{row} {column}"
    )


def _flow(origin: str, destination: str, ways: Sequence[Way]) -> Flow:
    lines = np.array([resample(w.points[:, :2], POINTS) for w in ways])
    middle = np.median(lines, axis=0)
    half = POINTS // 2
    along = middle[min(half + 3, POINTS - 1)] - middle[half - 3]
    across = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-9)
    aside = np.abs((lines[:, half] - middle[half]) @ across)
    return Flow(origin, destination, Counter(w.class_name for w in ways), middle, 2 * float(np.quantile(aside, 0.9)))


def resample(points: np.ndarray, count: int) -> np.ndarray:
    """(count,2) points at equal distances along a polyline (N,2)."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, length[-1], count)
    return np.column_stack([np.interp(at, length, points[:, i]) for i in (0, 1)])


def suggest_lines(flows: Sequence[Flow], size: Size, most: int = 4) -> list[Line]:
    """Lines across the middle of the largest flows; one that lies on another's line is left out."""
    lines: list[Line] = []
    least = 0.08 * min(size)
    for flow in flows:
        half = len(flow.middle) // 2
        place, along = flow.middle[half], flow.middle[half + 3] - flow.middle[half - 3]
        norm = float(np.linalg.norm(along))
        if norm < 1e-6 or any(_touches(line, flow.middle, size) for line in lines):
            continue
        # To the right hand of one who looks along the line is where the flow goes.
        across = np.array([along[1], -along[0]]) / norm
        reach = max(0.75 * flow.width, least)
        ends = np.clip(np.array([place - reach * across, place + reach * across]), 0, size)
        name = f"{flow.origin}{flow.destination}"
        lines.append(Line(name, ends / size, (f"{flow.origin} to {flow.destination}", "back")))
        if len(lines) == most:
            break
    return lines


def _touches(line: Line, middle: np.ndarray, size: Size) -> bool:
    from shapely import LineString

    return bool(LineString(line.points * size).intersects(LineString(middle)))
