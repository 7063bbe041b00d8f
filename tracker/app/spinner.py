"""What a run is doing before its first frame, named once it takes longer than a second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tracker.core.text import warn

AFTER_S = 1.0
"""Seconds after which a step is named."""


class Spinner:
    """Names the steps of the start: with a spinner on a terminal, else in a line of the error output.

    Parameters
    ----------
    quiet : bool, optional
        Name nothing.
    after_s : float, optional
        Seconds that a step may take without being named.
    tell : Callable, optional
        Takes the line where there is no terminal.
    """

    def __init__(self, *, quiet: bool = False, after_s: float = AFTER_S, tell: Callable[[str], None] = warn) -> None:
        self._quiet, self._after_s, self._tell = quiet, after_s, tell
        self._lock = threading.Lock()
        self._live: Any = None
        self._step = ""

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """While the block runs, be ready to name it; a step within a step takes its place."""
        before = self._step
        timer = threading.Timer(self._after_s, self._name, (step,))
        timer.daemon = True
        self._step = step
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._step = before
                if self._live is not None:
                    self._live.stop()
                    self._live = None

    def _name(self, step: str) -> None:
        with self._lock:
            if self._quiet or self._step != step:
                return
            if sys.stderr is None or not sys.stderr.isatty():
                self._tell(f"{step} ...")
                return
            from rich.console import Console
            from rich.live import Live
            from rich.spinner import Spinner as Wheel

            self._live = Live(
                Wheel("dots", step), console=Console(stderr=True), transient=True, redirect_stdout=False,
                redirect_stderr=False,
            )  # fmt: skip
            self._live.start()
