"""Events that wait to be sent, on disk: a broker that is away, or a run that ends, loses none."""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from tracker.core.text import parse_json
from tracker.errors import OutputError

ROOM = 200_000
"""Events that may wait, some 60 MB: a day of a busy crossing. Beyond that the oldest are dropped, and it is said."""

FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises; the second where its message quotes a damaged file."""


class Outbox:
    """A queue in a file, first in, first out; an event leaves it when it was delivered.

    Parameters
    ----------
    path : Path
        The file; what an earlier run could not deliver is in it.
    room : int
        Events that may wait.

    Attributes
    ----------
    dropped : int
        Events that found no room, or could not be written.
    error : str
        What the disk said last; empty while it works.

    Raises
    ------
    OutputError
        The file cannot be opened, or is no such queue.
    """

    def __init__(self, path: Path, room: int = ROOM) -> None:
        self.path, self._room = path, room
        self.dropped, self.error = 0, ""
        self._lock = threading.Lock()
        self.changed = threading.Event()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                raise OSError(errno.ELOOP, "it is a link")
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute("CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, event TEXT)")
            self._waiting = int(self._base.execute("SELECT COUNT(*) FROM outbox").fetchone()[0])
        except (*FAULTS, OSError) as e:
            raise OutputError(
                f"{path}: cannot hold events that wait ({e}); remove it, or choose another --output folder"
            ) from None

    def __len__(self) -> int:
        return self._waiting

    def put(self, event: dict[str, Any]) -> None:
        """Append an event; the oldest makes room. Never raises: the run goes on without what cannot be kept."""
        with self._lock:
            try:
                if self._waiting >= self._room:
                    self._base.execute("DELETE FROM outbox WHERE number = (SELECT MIN(number) FROM outbox)")
                    self._waiting -= 1
                    self.dropped += 1
                self._base.execute("INSERT INTO outbox (event) VALUES (?)", (json.dumps(event, ensure_ascii=False),))
                self._waiting += 1
                self.error = ""
            except FAULTS as e:
                self.dropped += 1
                self.error = str(e)
        self.changed.set()

    def first(self, count: int) -> list[tuple[int, dict[str, Any]]]:
        """The oldest events with their numbers; they stay. What no event is, in a damaged file, is dropped."""
        with self._lock:
            try:
                rows = self._base.execute(
                    "SELECT number, event FROM outbox ORDER BY number LIMIT ?", (count,)
                ).fetchall()
                found = [(int(number), _event(text)) for number, text in rows]
                lost = [(number,) for number, event in found if event is None]
                self._base.executemany("DELETE FROM outbox WHERE number = ?", lost)
            except FAULTS as e:
                self.error = str(e)
                return []
            if lost:
                self._waiting -= len(lost)
                self.dropped += len(lost)
                self.error = "the file was damaged"
        return [(number, event) for number, event in found if event is not None]

    def delivered(self, number: int) -> None:
        """Events up to this number were delivered."""
        with self._lock:
            try:
                done = self._base.execute("DELETE FROM outbox WHERE number <= ?", (number,)).rowcount
                self._waiting -= done
            except FAULTS as e:
                self.error = str(e)

    def close(self) -> None:
        """Close the file; it is removed where nothing waits."""
        with self._lock:
            self._base.close()
            if not self._waiting:
                for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"):
                    self.path.with_name(name).unlink(missing_ok=True)


def _event(text: object) -> dict[str, Any] | None:
    try:
        event = parse_json(text if isinstance(text, str | bytes) else "")
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
