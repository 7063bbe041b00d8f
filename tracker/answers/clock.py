"""What time it is in a video: where it starts, which moments divide it into intervals, how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tracker.errors import ConfigError

LOCAL = "local"
"""The time zone of the machine that a run was made on, in `summary.json`."""
DAY_S = 86400.0
EARLIEST, LATEST = 1900, 2999
"""Years in which a video may start: Python's end with 9999, and a day is looked ahead."""
MICROSECOND = timedelta(microseconds=1)
SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": DAY_S}


def parse_interval(text: str) -> float:
    """`15min`, `1h`, `30s` or `1d` in seconds.

    Raises
    ------
    ConfigError
        No number with a unit, or not from a second to a day.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text.lower())
    seconds = float(match[1]) * SECONDS.get(match[2], 0.0) if match else 0.0
    if not 1 <= seconds <= DAY_S:
        raise ConfigError(f"interval is {text!r}; expected a length from 1s to 1d, such as 30s, 15min or 1h")
    return seconds


def parse_start(text: str) -> tuple[datetime, tzinfo | None]:
    """A moment and its time zone: `2026-11-27T08:00+01:00`, `2026-11-27T08:00 Europe/Paris`, or local time without one.

    The zone is None for local time, which `astimezone` takes as such.

    Of an hour that clocks show twice it is the first; see `doubt`.

    Raises
    ------
    ConfigError
        No such text, or clocks were put forward over that time.
    """
    when, zone = _read(text)
    if when.tzinfo is None:
        first, second = _moments(when, zone)
        if first > second:
            raise ConfigError(
                f"start time is {text!r}, which no clock showed: they were put forward over it; expected such as "
                f"{_written(first, zone)}"
            )
        return first.astimezone(zone), zone
    return when.astimezone(zone), zone


def doubt(text: str) -> str:
    """What to tell of a start time that clocks show twice, as they are put back; empty for all others."""
    when, zone = _read(text)
    first, second = _moments(when, zone) if when.tzinfo is None else (when, when)
    if first >= second:
        return ""
    taken, other = _written(first, zone), _written(second, zone)
    return f"clocks show {text.strip()} twice; {taken} is taken, --start-time {other} is the other"


def _moments(when: datetime, zone: tzinfo | None) -> tuple[datetime, datetime]:
    """Both readings of a time without an offset, UTC: one moment mostly, two in their order where clocks are put back.

    Where they are put forward over it, the first reading is the later one.
    """
    # Not by `astimezone`, which takes local times the other way round where clocks are put forward.
    first, second = (when.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(second, UTC)


def _written(when: datetime, zone: tzinfo | None) -> str:
    """A moment as `parse_start` reads it, with its offset."""
    text = when.astimezone(zone).isoformat(timespec="minutes" if when.second == when.microsecond == 0 else "auto")
    return f"{text} {zone.key}" if isinstance(zone, ZoneInfo) else text


def _read(text: str) -> tuple[datetime, tzinfo | None]:
    """A date and time, with an offset or without, and its zone."""
    match = re.fullmatch(r"\s*(\S+?(?:[ T]\d\d:\d\d\S*?)?)(?:\s*\[?([A-Z][A-Za-z]+(?:/[\w+-]+)*)\]?)?\s*", text)
    try:
        when = datetime.fromisoformat(match[1] if match else text)
        zone = ZoneInfo(match[2]) if match and match[2] else when.tzinfo
        if not EARLIEST <= when.year <= LATEST:
            raise ValueError
        _moments(when, zone)  # which raises near the ends of what can be told
        return when, zone
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):  # a zone may be the name of a folder
        raise ConfigError(
            f"start time is {text!r}; expected such as 2026-11-27T08:00+01:00, or with a time zone: "
            "2026-11-27T08:00 Europe/Paris"
        ) from None


NAMED = re.compile(
    r"(?<!\d)(20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])[-_.T ]{0,3}"
    r"([01]\d|2[0-3])[-_.:h]?([0-5]\d)(?:[-_.:m]?([0-5]\d))?(?!\d)"
)
"""Date and time as cameras and phones put them into file names, such as VID_20261127_080000."""


def start_in_name(name: str) -> datetime | None:
    """The moment that a file's name tells, in local time; None where it tells none."""
    if not (match := NAMED.search(name)):
        return None
    try:
        return datetime(*(int(g or 0) for g in match.groups())).astimezone()  # type: ignore[arg-type]
    except ValueError:
        return None


@dataclass(frozen=True)
class Clock:
    """The moment of a video's first frame, where it is known, and how it is known.

    Attributes
    ----------
    start : datetime or None
        With its offset to UTC, in whole milliseconds, as it is written: a run that is counted again begins at the very
        same moment. None: only seconds since the first frame are known.
    zone : tzinfo or None
        In which times are told; None: that of this machine.
    source : str
        Such as `--start-time`, `file name`, `creation time of the file`, `wall clock`.
    guessed : bool
        Nobody said so.
    doubt : str
        What to tell of a start that could be two moments.
    """

    start: datetime | None = None
    zone: tzinfo | None = None
    source: str = ""
    guessed: bool = False
    doubt: str = ""

    @classmethod
    def told(cls, text: str) -> Clock:
        """By what the user says; raises ConfigError."""
        return cls(*parse_start(text), source="--start-time", doubt=doubt(text))

    def __post_init__(self) -> None:
        if self.start is not None:
            whole = self.start.microsecond // 1000 * 1000
            object.__setattr__(self, "start", self.start.replace(microsecond=whole))

    def at(self, time_s: float) -> datetime | None:
        """The local time at a moment of the video."""
        if self.start is None:
            return None
        return (self.start.astimezone(UTC) + timedelta(seconds=time_s)).astimezone(self.zone)

    def text(self, time_s: float, digits: int = 3) -> str:
        """ISO 8601 with the offset to UTC; empty where the clock is not known."""
        when = self.at(time_s)
        return when.isoformat(timespec="milliseconds" if digits else "seconds") if when else ""

    def interval(self, time_s: float, length_s: float) -> tuple[float, float]:
        """The interval around a moment: seconds of its start and end.

        Intervals count from the first frame, or, where the clock is known, from local midnight, whatever daylight
        saving does that day; the last one of a day ends at midnight.
        """
        when = self.at(time_s)
        if when is None:
            number = time_s // length_s
            return number * length_s, (number + 1) * length_s
        day = when.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=self.zone, fold=0)
        # In whole microseconds, as `at` rounds: every moment of an interval must give the very same numbers.
        now, length = (round(timedelta(seconds=s) / MICROSECOND) for s in (float(time_s), length_s))
        first, last = (now + round(_between(when, day + timedelta(days=d)) / MICROSECOND) for d in (0, 1))
        start = first + (now - first) // length * length
        # A day is a day, though daylight saving makes it an hour longer.
        return start / 1e6, (last if length_s == DAY_S else min(start + length, last)) / 1e6

    def intervals(self, first_s: float, last_s: float, length_s: float) -> Iterator[tuple[float, float]]:
        """All intervals that share time with [first_s, last_s], in order."""
        start, end = self.interval(first_s, length_s)
        yield start, end
        while end < last_s:
            start, end = self.interval(end + 1e-6, length_s)
            yield start, end


def _between(start: datetime, end: datetime) -> timedelta:
    """From one moment to another, whatever offsets they are told in."""
    return end.astimezone(UTC) - start.astimezone(UTC)
