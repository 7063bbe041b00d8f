"""Requests to end: Ctrl-C, SIGTERM and SIGHUP, answered whatever the program is doing."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, Self

from tracker.core.command_line import INTERRUPTED

LEAVE_S = 1.6
"""Seconds after which a request that must be answered at once ends the process."""


class Stoppable(Protocol):
    """What a request stops: once in good order, twice at once."""

    def stop(self) -> None:
        """Begin nothing new; finish what is on its way."""

    def abort(self) -> None:
        """Give up what is on its way, too."""


class Signals:
    """Once: finish the frames on their way; twice: give them up and end within two seconds.

    Before there is anything to finish, the first request ends the program. A thread of its own reads the signals, since
    Python answers none while its main thread is inside foreign code: connecting to a camera, loading a network.

    Attributes
    ----------
    count : int
        Requests so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._running: Stoppable | None = None
        self._deadline: float | None = None
        self._old: dict[int, Any] = {}
        self._old_wakeup = -1
        self._read, self._write = socket.socketpair()

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may set handlers: the caller's stay
        self._write.setblocking(False)
        self._old_wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP; under nohup it is ignored, and stays so
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._handle)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()
        return self

    def attach(self, running: Stoppable) -> None:
        """From now on, stop this instead of the program."""
        self._running = running

    def _handle(self, number: int, frame: Any) -> None:
        """In the main thread: nothing, once there is something to stop that the listening thread stops."""
        if self._running is None:
            raise KeyboardInterrupt

    def _listen(self) -> None:
        while True:
            left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            try:
                if not select.select([self._read], [], [], left)[0]:
                    _leave()
                numbers = self._read.recv(64)
            except (OSError, ValueError):  # closed
                return
            if not numbers:
                return
            for number in numbers:
                if number in self._old:
                    self._request()

    def _request(self) -> None:
        self.count += 1
        act: Callable[[], None] | None = None
        if self._running is not None:
            act = self._running.stop if self.count == 1 else self._running.abort
        if act is None or self.count > 1:
            self._deadline = self._deadline or time.monotonic() + LEAVE_S
        if act is not None:
            threading.Thread(target=act, name="stop", daemon=True).start()

    def __exit__(self, *exc: object) -> None:
        self._deadline = None
        if self._old:
            signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._old.items():
            # Who asked for the end is getting it: one more request must not break off the exit with its code.
            signal.signal(number, signal.SIG_IGN if self.count else handler)
        for end in (self._write, self._read):
            with suppress(OSError):
                end.close()


def _leave() -> None:
    """End the process at once: its main thread does not come back."""
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
