"""The first trial of an encoder from outside, in a process of its own."""

from __future__ import annotations

from pathlib import Path

from tracker.core.tensorflow import import_runtime
from tracker.core.trial import try_once
from tracker.encoder.contract import sha256
from tracker.encoder.foreign import SUFFIXES
from tracker.errors import EncoderError

SECONDS = 90.0


def tried(path: Path) -> None:
    """Load and run a graph as a run does, under limits of time and memory; once per graph, which is remembered.

    Raises
    ------
    EncoderError
        It does not end, or it kills the process that runs it.
    """
    if path.suffix == ".xml" and path.is_file() and not path.with_suffix(".bin").is_file():
        raise EncoderError(f"{path}: its weights {path.stem}.bin are missing; put that file beside it")
    if path.is_file():
        runtime = "other" if path.suffix in SUFFIXES else f"tensorflow {import_runtime().__version__}"
        key = f"{runtime}, {sha256(path)}"
        try_once(path, key, "tracker.encoder.runtime", [str(path)], seconds=SECONDS, error=EncoderError)
