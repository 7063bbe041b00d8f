"""Processes that tests start and interrupt."""

import signal
import subprocess
from functools import partial


def start_hearing(command, **options):
    """A process that hears Ctrl-C, which all that a shell started in the background ignores."""
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, preexec_fn=heard, **options)  # noqa: PLW1509
