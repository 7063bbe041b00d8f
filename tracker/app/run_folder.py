"""A finished run, as its folder tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.answers.clock import LOCAL, Clock, parse_start
from tracker.answers.scene import Size
from tracker.core.text import parse_json
from tracker.errors import SourceError

SCHEMA = 2
"""Of `summary.json`; 2: objects that count instead of all tracks."""


@dataclass(frozen=True)
class RunFolder:
    """A finished run, as its folder tells.

    Attributes
    ----------
    path : Path
    summary : dict
        What `summary.json` holds.
    size : (int, int)
        Width and height of the frames, pixels.
    """

    path: Path
    summary: dict[str, Any]
    size: Size

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Read what a run left; raises SourceError where it is no run's folder, or one of another version."""
        wanted = "expected the folder of a finished run, as python -m tracker run writes it"
        for name in ("tracks.csv", "summary.json"):
            if not (path / name).is_file():
                raise SourceError(f"{path}: holds no {name}; {wanted}")
        try:
            summary = parse_json((path / "summary.json").read_text(encoding="utf-8"))
            width, height = (int(v) for v in summary["size"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            raise SourceError(f"{path}: its summary.json does not tell the size of the frames; {wanted}") from None
        schema = summary.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise SourceError(f"{path}: of a later version, schema {schema}; this one reads up to schema {SCHEMA}")
        if min(width, height) < 1:
            raise SourceError(f"{path}: frames of {width}x{height} pixels; {wanted}")
        return cls(path, summary, (width, height))

    def clock(self, start_time: str | None) -> Clock:
        """As given now, else as the run knew it."""
        if start_time is not None:
            return Clock.told(start_time)
        told = self.summary.get("start_time")
        if not isinstance(told, str):
            return Clock()
        start, offset = parse_start(told)
        zone = self.summary.get("time_zone")
        named = parse_start(f"{told} {zone}")[1] if isinstance(zone, str) and zone not in ("", LOCAL) else offset
        if zone == LOCAL and start.astimezone().utcoffset() == start.utcoffset():
            named = None  # this machine's, with its daylight saving
        source = str(self.summary.get("start_time_from") or "")
        return Clock(start, named, source, bool(self.summary.get("start_time_guessed")))

    def seconds(self, key: str) -> float | None:
        """A number of seconds of the summary; None where it holds none."""
        value = self.summary.get(key)
        return float(value) if isinstance(value, int | float) else None
