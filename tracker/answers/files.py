"""The tables that answers are written to, and the rows of tracks that they are read from."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from tracker.answers.counts import Counts
from tracker.answers.events import Events
from tracker.answers.flows import ELSEWHERE, Flows
from tracker.core.files import FileSink, write_whole
from tracker.core.text import csv_field
from tracker.core.types import Tracks
from tracker.errors import DetectionsError, TrackerError

CROSSINGS = "time_s,clock,line,direction,class,id,x,y,speed\n"
VISITS = "zone,id,class,entered,left,seconds,entered_s,left_s,seen_to_enter,seen_to_leave\n"
OBJECTS = (
    "id,class,first_s,last_s,seconds,seen,counted,standing,start_x,start_y,end_x,end_y,"
    "left,top,width,height,metres,speed\n"
)
COUNTS = "start,end,line,direction,class,count\n"
OCCUPANCY = "start,end,zone,entries,exits,mean,most\n"
HOURS = "hour,line,direction,class,count\n"

FLOWS = "from,to,from_where,to_where,class,count\n"

TABLES = ("crossings.csv", "counts.csv", "visits.csv", "occupancy.csv", "hours.csv", "objects.csv", "flows.csv")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


class AnswerFiles:
    """Writes events as they come, and tables of counts when a new interval begins and at the end.

    Tables that a scene asks nothing for are not written; those that an earlier scene left in the folder are removed.

    Parameters
    ----------
    folder : Path
        Where they go.
    counts : Counts
        Sums over the events that `write` is given.
    """

    def __init__(self, folder: Path, counts: Counts) -> None:
        self._folder, self._counts = folder, counts
        scene = counts.scene
        self._crossings = self._open("crossings.csv", CROSSINGS) if scene.lines else None
        self._visits = self._open("visits.csv", VISITS) if scene.zones else None
        self._objects = self._open("objects.csv", OBJECTS)
        self._interval: tuple[float, float] | None = None

    def _open(self, name: str, header: str) -> FileSink:
        sink = FileSink(self._folder / name)
        sink.append(header.encode())
        return sink

    def write(self, events: Events) -> None:
        """Append a frame's events; raises OutputError when the disk is full."""
        if self._crossings is not None and events.crossings:
            self._crossings.append("".join(self._crossing_rows(events)).encode())
        if self._visits is not None and events.visits:
            self._visits.append("".join(self._visit_rows(events)).encode())
        if events.objects:
            self._objects.append("".join(_object_rows(events)).encode())
        interval = self._counts.clock.interval(self._counts.last_s, self._counts.interval_s)
        if self._interval is not None and interval != self._interval:
            self.write_counts()
        self._interval = interval

    def _crossing_rows(self, events: Events) -> Iterator[str]:
        for c in events.crossings:
            yield (
                f"{c.time_s:.3f},{self._counts.clock.text(c.time_s)},{csv_field(c.line)},{csv_field(c.direction)},"
                f"{csv_field(c.class_name)},{c.id},{c.x:.1f},{c.y:.1f},{_number(c.speed, 1)}\n"
            )

    def _visit_rows(self, events: Events) -> Iterator[str]:
        for v in events.visits:
            entered, left = (self._moment(t) for t in (v.entered_s, v.left_s))
            yield (
                f"{csv_field(v.zone)},{v.id},{csv_field(v.class_name)},{entered},{left},{v.left_s - v.entered_s:.3f},"
                f"{v.entered_s:.3f},{v.left_s:.3f},{_yes(v.begun)},{_yes(v.ended)}\n"
            )

    def _moment(self, time_s: float) -> str:
        """Local time where the clock is known, else seconds since the first frame."""
        return self._counts.clock.text(time_s) or f"{time_s:.3f}"

    def write_counts(self) -> None:
        """The tables of sums, whole."""
        counts, scene = self._counts, self._counts.scene
        if scene.lines:
            rows = (
                f"{self._moment(start)},{self._moment(end)},{','.join(map(csv_field, way))},{count}\n"
                for (start, end), way, count in counts.rows()
            )
            write_whole(self._folder / "counts.csv", COUNTS + "".join(rows))
        if scene.zones:
            rows = (
                f"{self._moment(start)},{self._moment(end)},{csv_field(zone)},{entries},{exits},{mean:.3f},{most}\n"
                for (start, end), zone, entries, exits, mean, most in counts.zone_rows()
            )
            write_whole(self._folder / "occupancy.csv", OCCUPANCY + "".join(rows))
        if scene.lines and counts.clock.start is not None:
            rows = (f"{hour},{','.join(map(csv_field, way))},{count}\n" for hour, way, count in counts.hour_rows())
            write_whole(self._folder / "hours.csv", HOURS + "".join(rows))

    def close(self) -> None:
        """Move every table to its place, the others too where one fails; raises OutputError."""
        errors: list[TrackerError] = []
        written = {"objects.csv", "flows.csv"}
        for sink in (self._crossings, self._visits, self._objects):
            try:
                if sink is not None:
                    sink.close()
                    written.add(sink.path.name)
            except TrackerError as e:
                errors.append(e)
        try:
            self.write_counts()
        except TrackerError as e:
            errors.append(e)
        scene = self._counts.scene
        written |= {"counts.csv"} if scene.lines else set()
        written |= {"occupancy.csv"} if scene.zones else set()
        written |= {"hours.csv"} if scene.lines and self._counts.clock.start is not None else set()
        for name in set(TABLES) - written:
            with suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)
        if errors:
            raise errors[0]


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
            f"{_number(o.metres, 1)},{_number(o.speed, 1)}\n"
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
        frame, time_s = 0, 0.0
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
