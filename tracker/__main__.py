"""`python -m tracker`, and the command `tracker`."""

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn

from tracker.app.cli import main


def command() -> NoReturn:
    """Run the command line and leave with its exit code.

    All is closed and written by then. The process ends without taking down the threads of native libraries, which now
    and then abort it on a busy machine, and turn the code of a good run into that of a crash.
    """
    code = main()
    with suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001 (what is left to do at the end: temporary folders, logs)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
