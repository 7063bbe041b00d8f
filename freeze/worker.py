"""Freezes in a process of its own: `python -m freeze.worker` reads a `Request` as JSON from its standard input."""

from __future__ import annotations

import gc
import sys

from freeze.cli import run
from freeze.request import Request

if __name__ == "__main__":
    gc.disable()  # what it loads stays until it ends
    sys.exit(run(Request.from_json(sys.stdin.read())))
