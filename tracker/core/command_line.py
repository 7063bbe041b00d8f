"""Command lines: a wrong word, and what goes wrong later, are answered in one line and an exit code."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from tracker.core.text import warn
from tracker.errors import TrackerError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


def program(module: str) -> str:
    """How this program was called: as `python -m MODULE`, or by the name of its command."""
    name = Path(sys.argv[0]).stem if sys.argv else ""
    return module if name == module else f"python -m {module}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'car'?` for a word close to a known one, else nothing."""
    spelled = {name.lower().lstrip("-"): name for name in known}  # dashes would make any two options alike
    close = get_close_matches(word.lower().lstrip("-"), spelled, 1, 0.6)
    return f"; did you mean {spelled[close[0]]!r}?" if close else ""


def guarded(act: Callable[[], int], *, interrupted: str = "interrupted", traceback: bool = False) -> int:
    """The exit code of `act`, or of what ended it, which is told in one line on the error output.

    Parameters
    ----------
    act : callable
        Does what the command line asks for.
    interrupted : str, optional
        Told on Ctrl-C; nothing where it is empty.
    traceback : bool, optional
        Faults of the program are raised. The environment asks for the same with `TRACKER_TRACEBACK=1`.
    """
    try:
        return act()
    except KeyboardInterrupt:
        if interrupted:
            warn(interrupted)
        return INTERRUPTED
    except BrokenPipeError:
        silence()
        return FAILED
    except Exception as error:
        if not isinstance(error, TrackerError) and (traceback or os.environ.get("TRACKER_TRACEBACK")):
            raise
        warn(f"error: {in_a_line(error)}")
        return FAILED


def in_a_line(error: BaseException) -> str:
    """An error as one line: ours as they are, others with their type and where to look."""
    if isinstance(error, TrackerError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; free space, or check that it is there and may be used"
    if isinstance(error, MemoryError):
        return "no memory is left; track fewer sources at once, or smaller frames"
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}; this is a fault of the program: TRACKER_TRACEBACK=1 shows where"


def silence() -> None:
    """Keep the interpreter from writing to pipes that nobody reads when it ends."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        if sys.stderr is not None:
            os.dup2(null, sys.stderr.fileno())


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line: what is wrong, what was probably meant, where help is."""

    _below: Any = None

    def add_subparsers(self, **given: Any) -> Any:
        """As argparse does, and remembers the commands."""
        self._below = super().add_subparsers(**given)
        return self._below

    @property
    def commands(self) -> tuple[str, ...]:
        """Names of the commands below this parser."""
        return () if self._below is None else tuple(self._below.choices)

    def error(self, message: str) -> NoReturn:
        """Print a usage error and exit with code 2."""
        warn(f"error: {self._explained(message)} (see {self.prog} --help)")
        self.exit(2)

    def _explained(self, message: str) -> str:
        if found := re.fullmatch(r"unrecognized arguments: (.*)", message):
            word = next((word for word in found[1].split() if word.startswith("-")), "").split("=")[0]
            if not word:
                return f"unexpected {found[1]!r}"
            if word in self.option_names():
                return f"{word} is an option of another command"
            return f"unknown option {word}{did_you_mean(word, self.option_names())}"
        if found := re.fullmatch(r"(argument .*?: )?invalid choice: '?(.*?)'? \(choose from (.*)\)", message):
            choices = [choice.strip("' ") for choice in found[3].split(",")]
            where = (found[1] or "").removeprefix("argument ")
            return f"{where}{found[2]!r}; expected {', '.join(choices)}{did_you_mean(found[2], choices)}"
        if found := re.fullmatch(r"argument (.*?): invalid (int|float) value: (.*)", message):
            return f"{found[1]}: {found[3]}; expected a {'whole number' if found[2] == 'int' else 'number'}"
        return message.removeprefix("argument ")

    def option_names(self) -> Iterator[str]:
        """All options, those of commands too: what a command does not know is told by the parser above it."""
        for action in self._actions:
            if action.help != argparse.SUPPRESS:
                yield from action.option_strings
        for name in self.commands:
            yield from self._below.choices[name].option_names()
