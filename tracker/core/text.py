"""Text from outside (names of files and classes, messages of libraries), made safe for a terminal and for tables."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, TextIO

SHOWN_BYTES = 100
"""Longest name that a file, a class or a stream shows."""
_LEAD = r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]+"
_CREDENTIALS = re.compile(rf"({_LEAD})\S*@|(?<!\w)(?!USER:)[^\s@:'\"]+:[^\s'\"]*@")
"""What stands before the last `@` of an address, or of what somebody typed in the place of one."""
_QUERY = re.compile(rf"{_LEAD}[^\s'\"]*?[?&][^\s'\"]*")
_VALUE = re.compile(r"(?<==)(?:[^&\s'\":]|:(?=\S))+")
HIDDEN = "***"
FORMULA = ("=", "+", "-", "@")
"""What makes a spreadsheet take a field for a formula."""


def printable(text: object) -> str:
    """Text on one line: control and direction characters escaped, and what no encoding can write, too."""
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def label(text: object) -> str:
    """A name as it is shown, drawn and written: printable, of one line and limited length."""
    shown = printable(text)
    return shown if len(shown.encode()) <= SHOWN_BYTES else shorten(shown, SHOWN_BYTES - 3) + "…"


def shorten(text: str, most: int) -> str:
    """The beginning of a text, of at most so many bytes in UTF-8."""
    return text.encode()[:most].decode(errors="ignore")


def parse_json(text: str | bytes) -> Any:
    """The value that a text of strangers holds; raises ValueError where it holds none, or one nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def quoted(text: str) -> str:
    """A CSV field, quoted where RFC 4180 asks for it."""
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text


def csv_field(text: str) -> str:
    """A name as a CSV field: printable, quoted where it must be, and no formula to a spreadsheet."""
    shown = printable(text)
    return quoted("'" + shown if shown.lstrip().startswith(FORMULA) else shown)


def without_secrets(line: str) -> str:
    """A line that is told, whoever wrote it, without the users, passwords and query values of addresses in it.

    The last net: `Address` hides what it knows of, but an address may be mistyped, or given to an option for files.
    """
    if "@" in line:
        line = _CREDENTIALS.sub(lambda m: f"{m[1] or ''}{HIDDEN}@", line)
    return _QUERY.sub(lambda m: _VALUE.sub(HIDDEN, m[0]), line) if "?" in line else line


def tell(text: object, file: TextIO | None = None, *, hides: bool = True) -> None:
    """Print lines to the standard output, or to `file`: printable, no secrets; nothing where the stream is closed.

    Parameters
    ----------
    text : object
        The lines.
    file : TextIO, optional
        In place of the standard output.
    hides : bool
        False for an address of our own whose secret its reader needs.

    Raises
    ------
    OSError
        Nobody reads the stream any more, or its disk is full.
    """
    stream = sys.stdout if file is None else file
    if stream is None or stream.closed:  # cron jobs and daemons may have none
        return
    for line in str(text).split("\n"):
        shown = without_secrets(printable(line)) if hides else printable(line)
        safe = shown.encode(stream.encoding or "utf-8", "backslashreplace")
        stream.write(safe.decode(stream.encoding or "utf-8") + "\n")
    stream.flush()


def warn(text: object) -> None:
    """Tell lines on the error output; what cannot be told there is dropped, since nothing else hangs on it."""
    try:
        tell(text, sys.stderr)
    except (OSError, ValueError):
        return
