"""The folder that a run writes: claimed by one process at a time."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from tracker.core.files import failed
from tracker.errors import OutputError

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What file systems without locks answer; a run goes on there as before."""


class FolderLock:
    """Holds a folder until `release`, or until the process ends, however it ends.

    Parameters
    ----------
    folder : Path
        It is there and can be written.

    Raises
    ------
    OutputError
        Another run holds it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._fd = -1
        try:
            while self._fd < 0:
                self._fd = self._held()
        except BlockingIOError:
            raise OutputError(
                f"{folder}: another run writes there; wait for its end or give another --output"
            ) from None
        except OSError as e:
            raise failed(folder, e) from None

    def _held(self) -> int:
        """A descriptor of the locked file, or -1 where its last holder removed it meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        fd = os.open(self._path, flags, 0o666)
        try:
            try:
                import fcntl
            except ImportError:  # Windows: the open file itself cannot be removed by another
                return fd
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as e:
                if e.errno in NO_LOCKS:
                    return fd
                raise
            if os.path.samestat(os.fstat(fd), os.stat(self._path)):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return -1

    def release(self) -> None:
        """Give the folder back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(fd)
