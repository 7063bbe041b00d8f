"""Disks that fill up, for tests."""

import errno

from tracker.core import files
from tracker.video import writer


class Full:
    """A file on a disk with room for `limit` bytes: what fits of a write is written."""

    def __init__(self, file, limit):
        self._file, self._limit = file, limit

    def write(self, data):
        room = self._limit - self._file.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data[:room])

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *exc):
        return self._file.__exit__(*exc)


def fill_up(monkeypatch, name, limit):
    """Let files of this name hold `limit` bytes, and no more."""
    create = files.create

    def created(path, *args):
        file = create(path, *args)
        return Full(file, limit) if path == files.part_of(path.with_name(name)) else file

    for module in (files, writer):
        monkeypatch.setattr(module, "create", created)
