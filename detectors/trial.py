"""The first trial of a network from outside, in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

from tracker.core import child
from tracker.core.files import model_bytes, sha256_of
from tracker.core.trial import try_once
from tracker.errors import DetectorError

SECONDS = 300.0
"""Transformers of a hundred megabytes take a minute to compile on a busy machine."""


def tried(path: Path) -> None:
    """Open a network and look at a black picture under limits of time and memory; once per file, which is remembered.

    Raises
    ------
    DetectorError
        It does not end, or it kills the process that runs it.
    """
    if child.MARK in os.environ:
        return
    model_bytes(path)
    key = f"detector {sha256_of(path)}"
    try_once(path, key, "detectors", ["try", str(path)], seconds=SECONDS, error=DetectorError)
