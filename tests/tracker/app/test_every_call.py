"""Every call that touches a file fails once, in turn, on a small run: it ends, says so, and leaves whole files.

The way SQLite is tested (https://www.sqlite.org/testing.html, section 3.2): fail the first call, then the second, until
a run goes through. The run writes everything there is to write: rows, video, answers, pictures, report and database.
"""

import builtins
import errno
import os
import sqlite3
import threading

import cv2
import numpy as np
import pytest

from tests.scenes import decodable, image, write_detections
from tracker.answers import database
from tracker.app.cli import main
from tracker.core import files
from tracker.video import writer

FRAMES = 6
CALLS = ("open", "replace", "mkdir", "unlink", "rmdir")
"""Of `os`, each with the path first; those of a run alone count."""
TABLES = ("tracks.txt", "tracks.csv", "crossings.csv", "counts.csv", "visits.csv", "occupancy.csv", "objects.csv")


class Faults:
    """Counts the calls below a folder and fails one of them; with `number` 0 none."""

    def __init__(self, monkeypatch, below, number, code):
        self.count, self.failed, self.calls = 0, "", []
        self._below, self._number, self._error = str(below), number, OSError(code, os.strerror(code))
        self._lock = threading.Lock()
        for name in CALLS:
            self._wrap(monkeypatch, os, name)
        self._wrap(monkeypatch, builtins, "open")
        self._wrap(monkeypatch, np, "fromfile")
        for module in (files, writer):
            real = module.create
            monkeypatch.setattr(module, "create", lambda *a, real=real: Watched(real(*a), self, ("write", "close")))
        connect = sqlite3.connect
        monkeypatch.setattr(database.sqlite3, "connect", lambda *a, **k: Watched(
            connect(*a, **k), self, ("executescript", "executemany", "commit", "close")))  # fmt: skip

    def meet(self, name, path=None, database=False):
        """Count a call; raise where its turn has come."""
        with self._lock:
            self.count += 1
            self.calls.append(name)
            fails = self.count == self._number
        if fails:
            self.failed = f"{name} {path or ''}"
            if database:
                raise sqlite3.OperationalError("database or disk is full")
            raise OSError(self._error.errno, self._error.strerror, str(path) if path else None)

    def _wrap(self, monkeypatch, module, name):
        real = getattr(module, name)

        def call(first, *rest, **more):
            if isinstance(first, str | os.PathLike) and str(first).startswith(self._below):
                self.meet(name, first)
            return real(first, *rest, **more)

        monkeypatch.setattr(module, name, call)


class Watched:
    """A file or a connection some of whose calls count."""

    def __init__(self, real, faults, names):
        self._real, self._faults, self._names = real, faults, names

    def __getattr__(self, name):
        real = getattr(self._real, name)
        if name not in self._names:
            return real

        def call(*given):
            if name == "close":  # what was written is lost, and the file is closed all the same
                real()
            self._faults.meet(name, database=isinstance(self._real, sqlite3.Connection))
            return None if name == "close" else real(*given)

        return call

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._real.__exit__(*exc)


def run(clip, out, *more):
    given = ["run", str(clip), "--detector", str(clip / "det.txt"), "--encoder", "none", "--output", str(out)]
    scene = ["--line", "gate=40,0,40,120", "--zone", "left=1,1,80,1,80,119,1,119", "--interval", "1s"]
    return main([*given, *scene, "--start-time", "2026-11-27T08:00Z", "--database", f"{out}.db", *more])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    for index in range(1, FRAMES + 1):
        cv2.imwrite(str(folder / f"{index}.png"), image(index))
    write_detections(folder / "det.txt", FRAMES)
    assert run(folder, folder / "whole") == 0
    return folder


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=["full", "broken", "forbidden"])
def test_whichever_call_fails_the_run_ends_and_leaves_whole_files(clip, tmp_path, capsys, code):
    """Every call once with one reason or another; the last run, in which none fails, is whole."""
    whole = {name: (clip / "whole" / name).read_text() for name in TABLES}
    codes = (errno.ENOSPC, errno.EIO, errno.EACCES)
    number = 1 + codes.index(code)
    while True:
        out = tmp_path / f"run{number}"
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, out, number, code)
            ended = run(clip, out)
        told = capsys.readouterr().err
        if not faults.failed:
            break
        where = f"call {number}, {faults.failed}: {told}"
        assert ended in (0, 1), where
        assert "Traceback" not in told and "fault of the program" not in told, where
        assert ended == 0 or "error: " in told, where
        assert not [t for t in threading.enumerate() if t.name.startswith(("decode", "write"))], where
        check(out, whole, ended == 0, where)
        number += len(codes)
    assert ended == 0 and number > 60, "the run touches files more often than this"
    assert {"write", "close", "executemany", "commit", "replace", "mkdir", "open"} <= set(faults.calls)
    check(out, whole, True, "no call failed")


def check(out, whole, complete, where):
    """Every table that is in its place is whole or, where the run ended before, its beginning up to a row's end."""
    for name, expected in whole.items():
        path = out / name
        text = path.read_text() if path.exists() else ""
        assert expected == text if complete else not text or text.endswith("\n"), f"{name}, {where}"
        assert name not in ("tracks.txt", "tracks.csv") or expected.startswith(text), f"{name}, {where}"
    if complete:
        assert decodable(out / "tracks.mp4") == FRAMES, where
        assert not list(out.glob(".*.part")) and (out / "report.html").exists() and (out / "summary.json").exists(), (
            where
        )
        with sqlite3.connect(f"{out}.db") as kept:
            assert kept.execute("SELECT COUNT(*) FROM tracks").fetchone()[0] == len(whole["tracks.txt"].splitlines()), (
                where
            )
