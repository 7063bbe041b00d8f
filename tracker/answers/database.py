"""Tracks, crossings and visits in one SQLite file, for whoever asks with SQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracker.answers.events import Events
from tracker.core.classes import class_name
from tracker.core.types import Tracks
from tracker.errors import OutputError

SCHEMA = 2
"""`PRAGMA user_version` of the file, and `schema` in its table `run`."""
COMMIT_ROWS = 2000

TABLES = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT) STRICT;
CREATE TABLE tracks (
    frame INTEGER NOT NULL, time_s REAL NOT NULL, id INTEGER NOT NULL, class TEXT NOT NULL,
    left REAL NOT NULL, top REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL, score REAL NOT NULL,
    PRIMARY KEY (frame, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE crossings (
    time_s REAL NOT NULL, clock TEXT, line TEXT NOT NULL, direction TEXT NOT NULL, class TEXT NOT NULL,
    id INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL, speed REAL
) STRICT;
CREATE TABLE visits (
    zone TEXT NOT NULL, id INTEGER NOT NULL, class TEXT NOT NULL, entered_s REAL NOT NULL, left_s REAL NOT NULL,
    seen_to_enter INTEGER NOT NULL, seen_to_leave INTEGER NOT NULL
) STRICT;
CREATE TABLE objects (
    id INTEGER PRIMARY KEY, class TEXT NOT NULL, first_s REAL NOT NULL, last_s REAL NOT NULL, seen REAL NOT NULL,
    counted INTEGER NOT NULL, standing INTEGER NOT NULL, metres REAL, speed REAL, earlier_ids TEXT NOT NULL
) STRICT;
CREATE INDEX tracks_by_id ON tracks (id, frame);
CREATE INDEX crossings_by_line ON crossings (line, time_s);
"""


class Database:
    """Writes a run into a new SQLite file; it is whole after an interruption, up to the last commit.

    Parameters
    ----------
    path : Path
        The file; it must not be there yet.
    class_names : Iterable[str]
        Names by class id.

    Raises
    ------
    OutputError
        The file is there, or cannot be made.
    """

    def __init__(self, path: Path, class_names: Iterable[str]) -> None:
        if os.path.lexists(path):  # a link to nowhere, too: SQLite would make what it leads to
            raise OutputError(f"{path}: is there already; give another --database, or remove it")
        self.path, self._names, self._waiting = path, tuple(class_names), 0
        try:
            # Frames come from the thread that writes, the end from whichever closes; never two at a time.
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.executescript(f"PRAGMA user_version = {SCHEMA};" + TABLES)
        except sqlite3.Error as e:
            raise self._failed(e) from None

    def _failed(self, error: sqlite3.Error) -> OutputError:
        return OutputError(f"{self.path}: cannot be written ({error}); free space or give another --database")

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        marks = ",".join("?" * len(rows[0]))
        try:
            self._connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 (our own names)
            self._waiting += len(rows)
            if self._waiting >= COMMIT_ROWS:
                self._connection.commit()
                self._waiting = 0
        except sqlite3.Error as e:
            raise self._failed(e) from None

    def write_tracks(self, frame_index: int, time_s: float, tracks: Tracks) -> None:
        """Add the rows of a frame, rounded as `tracks.csv` holds them.

        Raises
        ------
        OutputError
            The disk is full.
        """
        numbers = zip(
            tracks.id.tolist(), tracks.class_id.tolist(), tracks.xyxy.tolist(), tracks.score.tolist(), strict=True
        )
        now = (frame_index, round(time_s, 3))
        rows = [
            (*now, i, class_name(self._names, c), *(round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)), round(s, 4))
            for i, c, (x1, y1, x2, y2), s in numbers
        ]
        self._insert("tracks", rows)

    def write_events(self, events: Events, clock: Any) -> None:
        """Add what a frame brought; `clock` tells the local time of crossings.

        Raises
        ------
        OutputError
            The disk is full.
        """
        self._insert(
            "crossings",
            [(c.time_s, clock.text(c.time_s) or None, c.line, c.direction, c.class_name, c.id, c.x, c.y, c.speed)
             for c in events.crossings],
        )  # fmt: skip
        self._insert(
            "visits",
            [(v.zone, v.id, v.class_name, v.entered_s, v.left_s, int(v.begun), int(v.ended)) for v in events.visits],
        )
        self._insert(
            "objects",
            [(o.id, o.class_name, o.first_s, o.last_s, o.seen, int(o.counted), int(o.standing), o.metres, o.speed,
              " ".join(map(str, o.earlier)))
             for o in events.objects],
        )  # fmt: skip

    def describe(self, values: dict[str, Any]) -> None:
        """What the table `run` holds.

        Raises
        ------
        OutputError
            The disk is full.
        """
        told = {"schema": SCHEMA, **values}
        self._insert("run", [(k, None if v is None else str(v)) for k, v in told.items()])

    def close(self) -> None:
        """Commit and close; a second call does nothing.

        Raises
        ------
        OutputError
            The disk is full.
        """
        try:
            self._connection.commit()
        except sqlite3.ProgrammingError:
            return
        except sqlite3.Error as e:
            raise self._failed(e) from None
        finally:
            with suppress(sqlite3.Error):
                self._connection.close()
