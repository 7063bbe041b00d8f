"""`python -m tracker`, and the command `tracker`."""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

INTERRUPTED = 130
"""As in `core.command_line`, which is not loaded yet when it is needed."""


def command() -> NoReturn:
    """Run the command line and leave with its exit code.

    All is closed and written by then. The process ends without taking down the threads of native libraries, which now
    and then abort it on a busy machine, and turn the code of a good run into that of a crash.
    """
    gc.disable()  # what is loaded stays: to look for garbage in it takes a tenth of the time
    main = _loaded()
    try:
        code = main()
    except KeyboardInterrupt:
        _leave()
    with suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001 (what is left to do at the end: temporary folders, logs)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _loaded() -> Callable[[], int]:
    """The program. Loading it takes a second or more, in which Ctrl-C ends the process: nothing is open yet."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, _leave)
    from tracker.app.cli import main

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return main


def _leave(*_: Any) -> NoReturn:
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    command()
