"""What happens in a scene: crossings, visits, and objects that are over."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Crossing:
    """An object crossed a line.

    Attributes
    ----------
    time_s : float
        Seconds since the clip's first frame, between two frames.
    line, direction, class_name : str
        Names; the class by the votes so far.
    x, y : float
        Where, pixels.
    speed : float or None
        In the unit of the scene's ground; None where none could be measured.
    """

    time_s: float
    line: str
    direction: str
    class_name: str
    id: int
    x: float
    y: float
    speed: float | None


@dataclass(frozen=True, slots=True)
class ZoneVisit:
    """An object was in a zone; `begun`, `ended`: it was seen to enter, to leave."""

    zone: str
    id: int
    class_name: str
    entered_s: float
    left_s: float
    begun: bool
    ended: bool


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """A track that is over.

    Attributes
    ----------
    class_name : str
        By a vote over its boxes, weighted by their scores.
    first_s, last_s : float
        When it was first and last seen.
    seen : float
        Share of the frames of its life in which the detector saw it.
    standing : bool
        It never left its place.
    counted : bool
        It lived and was seen for long enough, and did not stand.
    start, end : tuple[float, float]
        Foot points where it was first and last seen, pixels.
    box : tuple[float, float, float, float]
        The last box, corners in pixels.
    metres, speed : float or None
        Way on the ground and mean speed there; None where nothing was measured.
    earlier : tuple[int, ...]
        Numbers that the object had before and that broke.
    """

    id: int
    class_name: str
    first_s: float
    last_s: float
    seen: float
    standing: bool
    counted: bool
    start: tuple[float, float]
    end: tuple[float, float]
    box: tuple[float, float, float, float]
    metres: float | None
    speed: float | None
    earlier: tuple[int, ...] = ()


@dataclass(slots=True)
class Events:
    """What one frame brought: crossings that count from now on, visits and objects that are over."""

    crossings: list[Crossing] = field(default_factory=list)
    visits: list[ZoneVisit] = field(default_factory=list)
    objects: list[ObjectRow] = field(default_factory=list)

    def extend(self, other: Events) -> None:
        """Append what happened later."""
        self.crossings += other.crossings
        self.visits += other.visits
        self.objects += other.objects
