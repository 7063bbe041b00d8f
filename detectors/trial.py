"""The first trial of a network from outside, in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tracker.core import child
from tracker.core.autotune import cached
from tracker.core.files import model_bytes, sha256_of
from tracker.errors import DetectorError

SECONDS = 300.0
"""Transformers of a hundred megabytes take a minute to compile on a busy machine."""


def tried(path: Path) -> None:
    """Open a network and look at a black picture under limits of time and memory; once per file, which is remembered.

    What is wrong with it otherwise is told where it is opened in this process.

    Raises
    ------
    DetectorError
        It does not end, or it kills the process that runs it.
    """
    if child.MARK in os.environ:
        return

    def measure() -> dict[str, Any]:
        try:
            done = child.run("detectors", ["try", str(path)], seconds=SECONDS)
        except child.EndedError as e:
            raise DetectorError(
                f"{path}: opening it in a process of its own failed: {e}; the file is damaged or made to do harm: "
                "get it again from its source"
            ) from None
        return {"code": done.returncode}

    model_bytes(path)
    cached("trials", f"detector {sha256_of(path)}", measure)
