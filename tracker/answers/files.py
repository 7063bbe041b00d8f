"""The tables that answers are written to, and the rows of tracks that they are read from."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tracker.answers.clock import Clock
from tracker.answers.counts import Counts, Way
from tracker.answers.events import Events
from tracker.answers.flows import ELSEWHERE, Flows
from tracker.core.files import FileSink, write_whole
from tracker.core.text import csv_field
from tracker.core.types import Tracks
from tracker.errors import DetectionsError, OutputError, TrackerError, first_line

CROSSINGS = "time_s,clock,line,direction,class,id,x,y,speed\n"
VISITS = "zone,id,class,entered,left,seconds,entered_s,left_s,seen_to_enter,seen_to_leave\n"
OBJECTS = (
    "id,class,first_s,last_s,seconds,seen,counted,standing,start_x,start_y,end_x,end_y,"
    "left,top,width,height,metres,speed,earlier_ids\n"
)
COUNTS = "start,end,line,direction,class,count\n"
OCCUPANCY = "start,end,zone,entries,exits,mean,most\n"
HOURS = "hour,line,direction,class,count\n"

FLOWS = "from,to,from_where,to_where,class,count\n"

SUMS = {"counts.csv": COUNTS, "occupancy.csv": OCCUPANCY, "hours.csv": HOURS}
"""Tables of sums and their headers."""
WRITE_S = 60.0
"""Seconds of the video after which sums are written anew at the latest: so much a crash may cost."""
TABLES = ("crossings.csv", "counts.csv", "visits.csv", "occupancy.csv", "hours.csv", "objects.csv", "flows.csv")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


class EventFiles:
    """Tables that events are appended to as they come: crossings, visits, objects.

    Parameters
    ----------
    folder : Path
        Where they go.
    counts : Counts
        Its scene says which tables there are, its clock when something happened.
    """

    def __init__(self, folder: Path, counts: Counts) -> None:
        self._folder, self._clock = folder, counts.clock
        scene = counts.scene
        with ExitStack() as opened:  # closes those that are open where a later one fails

            def sink(name: str, header: str) -> FileSink:
                return opened.enter_context(FileSink(folder / name, header))

            self._crossings = sink("crossings.csv", CROSSINGS) if scene.lines else None
            self._visits = sink("visits.csv", VISITS) if scene.zones else None
            self._objects = sink("objects.csv", OBJECTS)
            opened.pop_all()

    def write(self, events: Events) -> None:
        """Append a frame's events; raises OutputError when the disk is full."""
        if self._crossings is not None and events.crossings:
            self._crossings.append("".join(self._crossing_rows(events)).encode())
        if self._visits is not None and events.visits:
            self._visits.append("".join(self._visit_rows(events)).encode())
        if events.objects:
            self._objects.append("".join(_object_rows(events)).encode())

    def _crossing_rows(self, events: Events) -> Iterator[str]:
        for c in events.crossings:
            yield (
                f"{c.time_s:.3f},{self._clock.text(c.time_s)},{csv_field(c.line)},{csv_field(c.direction)},"
                f"{csv_field(c.class_name)},{c.id},{c.x:.1f},{c.y:.1f},{_number(c.speed, 1)}\n"
            )

    def _visit_rows(self, events: Events) -> Iterator[str]:
        for v in events.visits:
            entered, left = (_moment(self._clock, t) for t in (v.entered_s, v.left_s))
            yield (
                f"{csv_field(v.zone)},{v.id},{csv_field(v.class_name)},{entered},{left},{v.left_s - v.entered_s:.3f},"
                f"{v.entered_s:.3f},{v.left_s:.3f},{_yes(v.begun)},{_yes(v.ended)}\n"
            )

    def close(self) -> None:
        """Move every table to its place, the others too where one fails; raises OutputError."""
        errors: list[TrackerError] = []
        for sink in (self._crossings, self._visits, self._objects):
            try:
                if sink is not None:
                    sink.close()
            except TrackerError as e:
                errors.append(e)
        if errors:
            raise errors[0]


class SumFiles:
    """Tables of sums, written whole: when a new interval begins, once a minute, and at the end.

    Parameters
    ----------
    folder : Path
        Where they go.
    counts : Counts
        The sums.
    goes_on : bool, optional
        Sums that an earlier run left there go on: its rows stay, those of this run come after them.

    Raises
    ------
    OutputError
        What stands there is no such table.
    """

    def __init__(self, folder: Path, counts: Counts, *, goes_on: bool = False) -> None:
        self._folder, self._counts = folder, counts
        self._earlier = {name: _earlier_rows(folder / name, header) for name, header in SUMS.items() if goes_on}
        self._interval: tuple[float, float] | None = None
        self._written_s = 0.0

    def update(self) -> None:
        """A frame was counted; raises OutputError when the disk is full."""
        now, interval = self._counts.last_s, self._counts.interval(self._counts.last_s)
        if self._interval is None:
            self._interval, self._written_s = interval, now
        elif interval != self._interval or now - self._written_s >= WRITE_S:
            self._interval, self._written_s = interval, now
            self.write()

    def write(self) -> None:
        """The tables of sums, whole."""
        counts, scene = self._counts, self._counts.scene
        if scene.lines:
            self._write("counts.csv", self._count_rows())
        if scene.zones:
            self._write("occupancy.csv", self._zone_rows())
        if scene.lines and counts.clock.start is not None:
            self._write("hours.csv", self._hour_rows())

    def _write(self, name: str, rows: Iterator[str]) -> None:
        write_whole(self._folder / name, SUMS[name] + "".join(rows))

    def _count_rows(self) -> Iterator[str]:
        clock = self._counts.clock
        yield from (f"{','.join(map(csv_field, row))}\n" for row in self._earlier.get("counts.csv", ()))
        for (start, end), way, count in self._counts.rows():
            yield f"{_moment(clock, start)},{_moment(clock, end)},{','.join(map(csv_field, way))},{count}\n"

    def _zone_rows(self) -> Iterator[str]:
        clock = self._counts.clock
        yield from (f"{','.join(map(csv_field, row))}\n" for row in self._earlier.get("occupancy.csv", ()))
        for (start, end), zone, entries, exits, mean, most in self._counts.zone_rows():
            moments = f"{_moment(clock, start)},{_moment(clock, end)}"
            yield f"{moments},{csv_field(zone)},{entries},{exits},{mean:.3f},{most}\n"

    def _hour_rows(self) -> Iterator[str]:
        """By hour of the day, those of earlier runs included."""
        sums: Counter[tuple[int, Way]] = Counter()
        for row in self._earlier.get("hours.csv", ()):
            sums[int(row[0]), (row[1], row[2], row[3])] += int(row[4])
        for hour, way, count in self._counts.hour_rows():
            sums[hour, way] += count
        for (hour, way), count in sorted(sums.items(), key=lambda s: s[0][0]):
            yield f"{hour},{','.join(map(csv_field, way))},{count}\n"


def _moment(clock: Clock, time_s: float) -> str:
    """Local time where the clock is known, else seconds since the first frame."""
    return clock.text(time_s) or f"{time_s:.3f}"


def _earlier_rows(path: Path, header: str) -> list[list[str]]:
    """The rows of a table that an earlier run left; raises OutputError where it is no such table."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            first, *rows = csv.reader(file)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as e:
        raise OutputError(f"{path}: cannot be read ({first_line(e)}); its counts cannot go on: move it away") from None
    fields = header.strip().split(",")
    numbers = [fields.index(name) for name in ("hour", "count", "entries", "exits", "most") if name in fields]
    if first != fields or not all(len(r) == len(fields) and all(r[n].isdecimal() for n in numbers) for r in rows):
        raise OutputError(f"{path}: is no table of {header.strip()}; its counts cannot go on: move it away")
    return rows


def write_flows(folder: Path, flows: Flows) -> None:
    """`flows.csv`: how many objects went from where to where, and those from or to elsewhere."""
    where = {g.name: g.where for g in flows.gates}
    rows = [
        f"{f.origin},{f.destination},{where[f.origin]},{where[f.destination]},{csv_field(name)},{count}\n"
        for f in flows.flows
        for name, count in f.classes.most_common()
    ]
    rows += [f"{ELSEWHERE},{ELSEWHERE},,,{csv_field(name)},{count}\n" for name, count in flows.others.most_common()]
    write_whole(folder / "flows.csv", FLOWS + "".join(rows))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _object_rows(events: Events) -> Iterator[str]:
    for o in events.objects:
        x1, y1, x2, y2 = o.box
        numbers = (*o.start, *o.end, x1, y1, x2 - x1, y2 - y1)
        yield (
            f"{o.id},{csv_field(o.class_name)},{o.first_s:.3f},{o.last_s:.3f},{o.last_s - o.first_s:.3f},{o.seen:.2f},"
            f"{_yes(o.counted)},{_yes(o.standing)},{','.join(f'{v:.1f}' for v in numbers)},"
            f"{_number(o.metres, 1)},{_number(o.speed, 1)},{' '.join(map(str, o.earlier))}\n"
        )


# ---- rows of tracks -----------------------------------------------------------------------------------


class TrackRows:
    """The rows of a `tracks.csv`, frame by frame.

    Attributes
    ----------
    class_names : list[str]
        Of the ids in the `Tracks` that iteration yields, filled as it goes.
    """

    FIELDS = ("frame", "time_s", "id", "class", "left", "top", "width", "height", "score")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.class_names: list[str] = []
        self._number: dict[str, int] = {}

    def __iter__(self) -> Iterator[tuple[int, float, Tracks]]:
        """Frame number, its seconds, and its tracks; frames without tracks have no rows.

        Raises
        ------
        DetectionsError
            The file cannot be read, or a line is no row of tracks; the message names it.
        """
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                yield from self._frames(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as e:
            reason = getattr(e, "strerror", None) or e
            raise DetectionsError(f"{self.path}: cannot be read ({reason}); expected a run's tracks.csv") from None

    def _frames(self, lines: Iterable[list[str]]) -> Iterator[tuple[int, float, Tracks]]:
        frame, time_s, number = 0, 0.0, 0
        rows: list[list[float]] = []
        for number, line in enumerate(lines, 1):
            if number == 1 and tuple(line) == self.FIELDS:
                continue
            row = self._row(line, number)
            if row[0] != frame and rows:
                yield frame, time_s, _tracks(rows)
                rows = []
            frame, time_s = int(row[0]), row[1]
            rows.append(row)
        if not number:
            raise DetectionsError(f"{self.path}: is empty; expected {','.join(self.FIELDS)} and rows")
        if rows:
            yield frame, time_s, _tracks(rows)

    def _row(self, line: list[str], number: int) -> list[float]:
        try:
            name = line[3]
            values = [float(v) for v in (*line[:3], *line[4:9])]
            if len(values) != 8 or not np.isfinite(values).all() or values[2] < 1:
                raise ValueError
        except (IndexError, ValueError):
            raise DetectionsError(
                f"{self.path}:{number}: {','.join(line)[:60]!r}; expected {','.join(self.FIELDS)}"
            ) from None
        if name not in self._number:
            self._number[name] = len(self.class_names)
            self.class_names.append(name)
        return [*values, self._number[name]]


def _tracks(rows: list[list[float]]) -> Tracks:
    table = np.array(rows)
    count, tlwh = len(table), table[:, 3:7]
    return Tracks(
        table[:, 2].astype(np.int64), np.column_stack([tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]]),
        table[:, 7].astype(np.float32), table[:, 8].astype(np.int32), np.full(count, -1),
        np.ones(count, bool), np.zeros(count, np.int64), np.ones(count, bool),
    )  # fmt: skip
