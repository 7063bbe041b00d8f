"""Command lines that answer a wrong word with one line, and with the word that was probably meant."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn


def program(module: str) -> str:
    """How this program was called: as `python -m MODULE`, or by the name of its command."""
    name = Path(sys.argv[0]).stem if sys.argv else ""
    return module if name == module else f"python -m {module}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'car'?` for a word close to a known one, else nothing."""
    spelled = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), spelled, 1, 0.6)
    return f"; did you mean {spelled[close[0]]!r}?" if close else ""


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
        self.exit(2, f"error: {self._explained(message)} (see {self.prog} --help)\n")

    def _explained(self, message: str) -> str:
        if found := re.fullmatch(r"unrecognized arguments: (.*)", message):
            words = [word for word in found[1].split() if word.startswith("-")] or [found[1]]
            word = words[0].split("=")[0]
            return f"unknown option {word}{did_you_mean(word, self.option_names())}"
        if found := re.fullmatch(r"(argument .*?: )?invalid choice: '?(.*?)'? \(choose from (.*)\)", message):
            choices = [choice.strip("' ") for choice in found[3].split(",")]
            where = (found[1] or "").removeprefix("argument ")
            return f"{where}{found[2]!r}; expected {', '.join(choices)}{did_you_mean(found[2], choices)}"
        return message.removeprefix("argument ")

    def option_names(self) -> Iterator[str]:
        """All options, those of commands too: what a command does not know is told by the parser above it."""
        for action in self._actions:
            if action.help != argparse.SUPPRESS:
                yield from action.option_strings
        for name in self.commands:
            yield from self._below.choices[name].option_names()
