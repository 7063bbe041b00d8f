"""Every call that touches a file fails once, in turn, on a small run: it ends, says so, and leaves whole files.

The way SQLite is tested (https://www.sqlite.org/testing.html, section 3.2): fail the first call, then the second, until
a run goes through.
"""

import builtins
import errno
import os
import threading
import time

import cv2
import numpy as np
import pytest

from tests.scenes import image, write_detections
from tracker.app.cli import main
from tracker.core import files
from tracker.video import writer

FRAMES = 6
CALLS = ("open", "replace", "mkdir", "unlink", "rmdir")
"""Of `os`, each with the path first; those of a run alone count."""


class Faults:
    """Counts the calls below a folder and fails one of them."""

    def __init__(self, monkeypatch, below, number, code):
        self.count, self.failed = 0, ""
        self._below, self._number, self._error = str(below), number, OSError(code, os.strerror(code))
        self._lock = threading.Lock()
        for name in CALLS:
            self._wrap(monkeypatch, os, name)
        self._wrap(monkeypatch, builtins, "open")
        self._wrap(monkeypatch, np, "fromfile")
        for module in (files, writer):
            self._wrap(monkeypatch, module, "write_all", always=True)

    def _wrap(self, monkeypatch, module, name, always=False):
        real = getattr(module, name)

        def call(first, *rest, **more):
            if always or (isinstance(first, str | os.PathLike) and str(first).startswith(self._below)):
                with self._lock:
                    self.count += 1
                    fails = self.count == self._number
                if fails:
                    self.failed = f"{name} {first}"
                    path = first if isinstance(first, str | os.PathLike) else None
                    raise OSError(self._error.errno, self._error.strerror, str(path) if path else None)
            return real(first, *rest, **more)

        monkeypatch.setattr(module, name, call)


def run(clip, out):
    return main(["run", str(clip), "--detector", str(clip / "det.txt"), "--encoder", "none", "--output", str(out)])


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
    whole = (clip / "whole" / "tracks.txt").read_text()
    number, step = 1, 1 if code == errno.ENOSPC else 7
    while True:
        out = tmp_path / f"run{number}"
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, out, number, code)
            started = time.monotonic()
            ended = run(clip, out)
            took = time.monotonic() - started
        told = capsys.readouterr().err
        if not faults.failed:
            break
        where = f"call {number}, {faults.failed}: {told}"
        assert took < 10 and ended in (0, 1), where
        assert "Traceback" not in told and "fault of the program" not in told, where
        assert ended == 0 or "error: " in told, where
        assert not [t for t in threading.enumerate() if t.name.startswith(("decode", "write"))], where
        rows = (out / "tracks.txt").read_text() if (out / "tracks.txt").exists() else ""
        assert whole.startswith(rows) and (not rows or rows.endswith("\n")), where
        if ended == 0:
            assert rows == whole and (out / "summary.json").exists(), where
        number += step
    assert number > 25, "the run touches files more often than this"
