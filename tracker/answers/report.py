"""`report.html`: everything a run answers on one page that needs nothing but itself and the video beside it."""

from __future__ import annotations

import base64
import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from tracker.answers.charts import Bars, bars, steps
from tracker.answers.scene import DIRECTIONS
from tracker.core.files import write_whole
from tracker.core.images import read_picture
from tracker.core.text import parse_json
from tracker.errors import SourceError

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_BYTES = 2_000_000
"""Of a page, the video aside."""
PICTURE_BYTES = 320_000
MOST_CROSSINGS = 5_000
"""Crossings that a click can jump to; later ones are counted all the same."""
MOST_INTERVALS = 96
"""Rows of a table and bars of a chart; more intervals are added up into fewer."""
MOST_VISITS = 200
LONG_S = 120.0
"""Seconds from which a length is told in minutes and hours."""
TITLES = {
    "flows.png": "Flows: where objects come from and go to",
    "paths.png": "The way of every object, coloured by its direction",
    "heatmap.png": "How long objects were where (seconds in each cell, logarithmic)",
    "birds_eye.png": "The calibrated ground from above, metres",
}

ASKED = (
    "source", "start_time", "start_time_guessed", "start_time_from", "duration_s", "frames", "size", "warnings",
    "error", "version", "objects", "standing", "speed_unit", "speeds",
)  # fmt: skip
"""What the page takes from `summary.json`; an old run may lack any of it."""

Row = dict[str, str]


def rows_of(path: Path) -> list[Row]:
    """The rows of a table; none where it is missing.

    Raises
    ------
    SourceError
        It is there and cannot be read.
    """
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [{k: _name(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise SourceError(f"{path}: cannot be read ({getattr(e, 'strerror', None) or e}); count again") from None


def _name(field_text: str | None) -> str:
    """A field without the mark that keeps spreadsheets from taking it for a formula."""
    text = field_text or ""
    return text.removeprefix("'")


@dataclass(frozen=True)
class Folder:
    """What a run's folder holds, as its report tells it."""

    path: Path
    summary: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def counts(self) -> list[Row]:
        """Rows of `counts.csv`."""
        return rows_of(self.path / "counts.csv")

    @cached_property
    def crossings(self) -> list[Row]:
        """Rows of `crossings.csv`, by time."""
        return sorted(rows_of(self.path / "crossings.csv"), key=lambda r: float(r["time_s"]))

    @cached_property
    def visits(self) -> list[Row]:
        """Rows of `visits.csv`, by time."""
        return sorted(rows_of(self.path / "visits.csv"), key=lambda r: float(r["entered_s"]))

    @cached_property
    def objects(self) -> list[Row]:
        """Rows of `objects.csv`."""
        return rows_of(self.path / "objects.csv")

    @property
    def first_s(self) -> float:
        """Seconds of the first frame, where the video begins."""
        return float(self.summary.get("first_s") or 0.0)


# ---- parts of the page ------------------------------------------------------------------------------


def moments(texts: Iterable[str]) -> dict[str, str]:
    """`start` and `end` of rows as a reader wants them: 08:15:00, or 0:06.6 and 1:15:00 into the video.

    With month and day where there are several days, and with the offset to UTC where daylight saving begins or ends.
    """
    known = list(texts)
    days, offsets = len({t[:10] for t in known}) > 1, len({t[23:] for t in known}) > 1
    return {t: _moment(t, day=days, offset=offsets) for t in known}


def _moment(text: str, *, day: bool, offset: bool) -> str:
    if "T" in text:
        return (f"{text[5:10]} " if day else "") + text[11:19] + (f" {text[23:]}" if offset else "")
    tenths = round(10 * float(text))
    minutes, rest = divmod(tenths, 600)
    into = f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else str(minutes)
    return f"{into}:{rest // 10:02}" + (f".{rest % 10}" if rest % 10 else "")


def plain_time(text: str) -> str:
    """A moment of ISO 8601 as a reader wants it: 2026-11-28 08:15:00 +01:00."""
    return f"{text[:10]} {text[11:19]} {text[23:]}".rstrip() if "T" in text else text


def length(seconds: float) -> str:
    """Of a video: 6.7 s, or 1:15:00 for a longer one."""
    return f"{seconds:.1f} s" if seconds < LONG_S else _moment(f"{seconds:.0f}", day=False, offset=False)


def _together(rows: Sequence[Row]) -> list[list[str]]:
    """Starts of the intervals in groups, so that there are not too many rows."""
    starts = list(dict.fromkeys(r["start"] for r in rows))
    size = -(-len(starts) // MOST_INTERVALS)
    return [starts[i : i + size] for i in range(0, len(starts), max(1, size))]


def count_tables(folder: Folder) -> list[dict[str, Any]]:
    """Of each line and direction: a table of intervals by classes, its sums, and bars of the same numbers."""
    rows = folder.counts
    groups = _together(rows)
    ends = {r["start"]: r["end"] for r in rows}
    told = moments([*ends, *ends.values()])
    found = []
    for line, direction in dict.fromkeys((r["line"], r["direction"]) for r in rows):
        mine = [r for r in rows if (r["line"], r["direction"]) == (line, direction)]
        classes = list(dict.fromkeys(r["class"] for r in mine))
        by: Counter[tuple[str, str]] = Counter()
        for r in mine:
            by[r["start"], r["class"]] += int(r["count"])
        heights = [[sum(by[start, name] for start in group) for name in classes] for group in groups]
        labels = [f"{told[group[0]]} – {told[ends[group[-1]]]}" for group in groups]
        table = [{"label": label, "counts": h} for label, h in zip(labels, heights, strict=True)]
        totals = [sum(h[n] for h in heights) for n in range(len(classes))]
        chart = bars([told[group[0]] for group in groups], heights, classes) if len(groups) > 1 else None
        found.append(
            {"line": line, "direction": direction, "classes": classes, "rows": table, "totals": totals,
             "total": sum(totals), "chart": chart}
        )  # fmt: skip
    return found


def crossing_data(folder: Folder, tables: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Of each crossing that can be jumped to: second in the video, table, row of it, class, and what to say."""
    place = {(t["line"], t["direction"]): n for n, t in enumerate(tables)}
    starts = list(dict.fromkeys(r["start"] for r in folder.counts))
    first = {start: n for n, group in enumerate(_together(folder.counts)) for start in group}
    clocked = any("T" in s for s in starts)
    numbers = [_seconds(s) for s in starts] if clocked else [float(s) for s in starts]
    data = []
    for c in folder.crossings[:MOST_CROSSINGS]:
        n = place.get((c["line"], c["direction"]))
        if n is None or c["class"] not in tables[n]["classes"]:
            continue
        when = _seconds(c["clock"]) if clocked else float(c["time_s"])
        row = first[starts[max(0, int(np.searchsorted(numbers, when, side="right")) - 1)]]
        speed = f", {c['speed']} {folder.summary.get('speed_unit', '')}" if c["speed"] else ""
        into, column = round(float(c["time_s"]) - folder.first_s, 3), tables[n]["classes"].index(c["class"])
        data.append([into, n, row, column, f"{c['class']} {c['id']}{speed}"])
    return data


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def zone_parts(folder: Folder) -> list[dict[str, Any]]:
    """Of each zone: visits, how long they were, and how many objects were inside over time."""
    found = []
    last = float(folder.summary.get("last_s") or 0.0)
    occupancy = rows_of(folder.path / "occupancy.csv")
    for zone in dict.fromkeys(r["zone"] for r in occupancy):
        visits = [v for v in folder.visits if v["zone"] == zone]
        seconds = sorted(float(v["seconds"]) for v in visits)
        found.append(
            {
                "zone": zone, "visits": visits[:MOST_VISITS], "count": len(visits),
                "median": float(np.median(seconds)) if seconds else 0.0, "longest": seconds[-1] if seconds else 0.0,
                "most": max((int(r["most"]) for r in occupancy if r["zone"] == zone), default=0),
                "entries": sum(int(r["entries"]) for r in occupancy if r["zone"] == zone),
                "exits": sum(int(r["exits"]) for r in occupancy if r["zone"] == zone),
                "chart": steps([(float(v["entered_s"]), float(v["left_s"])) for v in visits], folder.first_s, last),
                "dwell": _dwell(seconds),
            }
        )  # fmt: skip
    return found


def _dwell(seconds: Sequence[float]) -> Bars | None:
    """How many visits took how long, in bins that double."""
    edges = [0.0, *(2.0**k for k in range(12))]
    edges = edges[: next((n for n, e in enumerate(edges) if not seconds or e > seconds[-1]), len(edges) - 1) + 1]
    if len(edges) < 3:  # one bar tells nothing
        return None
    heights, _ = np.histogram(seconds, [*edges[:-1], max(edges[-1], seconds[-1] + 1e-9)])
    labels = [f"{a:g}–{b:g} s" for a, b in pairwise(edges)]
    return bars(labels, [[int(h)] for h in heights], ["visits"])


def flow_table(folder: Folder) -> dict[str, Any] | None:
    """The origin-destination table; None where no flow was found."""
    rows = [r for r in rows_of(folder.path / "flows.csv") if r["from_where"]]
    if not rows:
        return None
    where = {r["from"]: r["from_where"] for r in rows} | {r["to"]: r["to_where"] for r in rows}
    origins, destinations = (sorted({r[end] for r in rows}) for end in ("from", "to"))
    by: Counter[tuple[str, str]] = Counter()
    for r in rows:
        by[r["from"], r["to"]] += int(r["count"])
    others = sum(int(r["count"]) for r in rows_of(folder.path / "flows.csv") if not r["from_where"])
    return {
        "destinations": [(d, where[d]) for d in destinations], "others": others,
        "rows": [((o, where[o]), [by[o, d] for d in destinations]) for o in origins],
    }  # fmt: skip


def hour_chart(folder: Folder) -> Bars | None:
    """Crossings by hour of the day, where they cover more than one."""
    by: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for r in rows_of(folder.path / "hours.csv"):
        by[int(r["hour"])][r["class"]] += int(r["count"])
    if sum(1 for hour in by.values() if hour.total()) < 2:
        return None
    classes = list(dict.fromkeys(name for hour in by.values() for name in hour))
    return bars([f"{h}" for h in range(24)], [[by[h][c] for c in classes] for h in range(24)], classes)


def trust(folder: Folder) -> list[tuple[str, str]]:
    """What tells how far the numbers can be trusted."""
    s, objects = folder.summary, folder.objects
    counted = [o for o in objects if o["counted"] == "yes"]
    detector = s.get("detector") or {}
    found = [
        ("Detector", ", ".join(
            str(v) if k in ("name", "runtime") else f"{k.replace('_', ' ')} {v}"
            for k, v in detector.items() if v and k != "path"
        )),
        ("Boxes that the detector missed and the tracker filled in", _coasted(folder.path / "tracks.csv")),
        ("Objects seen in less than 80 % of the frames of their life",
         f"{sum(float(o['seen']) < 0.8 for o in counted)} of {len(counted)} that count"),
        ("Numbers that broke and were joined to one object", str(s.get("joined", 0))),
        ("Tracks too short or too seldom seen to count", str(s.get("too_short", 0))),
        ("Frames", f"{s.get('frames', '?')} in {length(float(s.get('duration_s') or 0))}"),
    ]  # fmt: skip
    if s.get("start_time"):
        guessed = ", a guess" if s.get("start_time_guessed") else ""
        start, source = plain_time(s["start_time"]), s.get("start_time_from", "")
        found.append(("Clock", f"starts at {start}, from: {source}{guessed}"))
    if s.get("dropped"):
        found.append(("Frames left out to keep up", str(s["dropped"])))
    return found


def _coasted(path: Path) -> str:
    """The share of rows with a score of 0, read line by line: a file may be large."""
    total = filled = 0
    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as file:
            next(file, None)
            for line in file:
                total += 1
                filled += line.rstrip().endswith(",0.0000")
    return f"{100 * filled / total:.1f} % of {total}" if total else "no boxes"


def picture(path: Path, most: int = PICTURE_BYTES) -> str | None:
    """A picture as a data address of at most so many bytes; None where it is missing."""
    image = read_picture(path)
    if image is None:
        return None
    for quality in (82, 65, 45, 30):
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= most:
            break
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


# ---- the page ---------------------------------------------------------------------------------------


def render(folder: Path, summary: dict[str, Any]) -> str:
    """The page of a run's folder.

    Parameters
    ----------
    folder : Path
        Holds the tables, pictures and perhaps the video.
    summary : dict
        What `summary.json` holds.

    Raises
    ------
    SourceError
        A table cannot be read.
    """
    summary = dict.fromkeys(ASKED) | summary
    it = Folder(folder, summary)
    tables, flows = count_tables(it), flow_table(it)
    shown = [name for name in TITLES if flows or name != "flows.png"]  # without flows the picture says that alone
    pages = templates()
    script = pages.get_template("report.js.jinja").render()
    return pages.get_template("report.html.jinja").render(
        name=str(summary.get("source") or folder.name), summary=summary, tables=tables,
        crossings=crossing_data(it, tables), left_out=max(0, len(it.crossings) - MOST_CROSSINGS),
        speeds=summary["speeds"] or [], unit=summary["speed_unit"] or "", zones=zone_parts(it), flows=flows,
        hours=hour_chart(it), trust=trust(it), video=(folder / "tracks.mp4").is_file(),
        pictures=[(TITLES[name], data) for name in shown if (data := picture(folder / name))],
        poster=picture(folder / "background.jpg", 120_000), drawn=picture(folder / "scene.jpg", 200_000),
        unnamed=any(t["direction"] in DIRECTIONS for t in tables), standing=summary["standing"] or [],
        objects=summary["objects"] or {}, script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(), moments=moments,
        plain=plain_time, length=length(float(summary["duration_s"] or 0)),
    )  # fmt: skip


@cache
def templates() -> Environment:
    """The page's templates, compiled once a process."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("tracker.answers", "pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


def write_report(folder: Path, summary: dict[str, Any] | None = None) -> Path:
    """Write `report.html` into a run's folder; returns its path.

    Raises
    ------
    SourceError
        A table or the summary cannot be read.
    OutputError
        The page cannot be written.
    """
    if summary is None:
        try:
            summary = parse_json((folder / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise SourceError(
                f"{folder}: holds no summary.json that can be read; expected the folder of a finished run"
            ) from None
    path = folder / "report.html"
    write_whole(path, render(folder, summary))
    return path
