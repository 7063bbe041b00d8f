"""Freezes in a process of its own: `python -m freeze.worker` reads a `Request` as JSON from its standard input."""

from __future__ import annotations

import sys

from freeze.cli import run
from freeze.request import Request

if __name__ == "__main__":
    sys.exit(run(Request.from_json(sys.stdin.read())))
