"""The first trial of an encoder from outside, in a process of its own: endless graphs and crashes end there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.core import child
from tracker.core.autotune import cached
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import sha256
from tracker.encoder.foreign import SUFFIXES
from tracker.errors import EncoderError

SECONDS = 90.0


def tried(path: Path) -> None:
    """Load and run a graph as a run does, under limits of time and memory; once per graph, which is remembered.

    What the graph lacks otherwise is told where it is loaded in this process.

    Raises
    ------
    EncoderError
        It does not end, or it kills the process that runs it.
    """

    def measure() -> dict[str, Any]:
        try:
            done = child.run("tracker.encoder.runtime", [str(path)], seconds=SECONDS)
        except child.EndedError as e:
            raise EncoderError(
                f"{path}: running it in a process of its own failed: {e}; the graph is damaged or made to do harm: "
                "get it again from its source"
            ) from None
        return {"code": done.returncode}

    if path.is_file():
        runtime = "other" if path.suffix in SUFFIXES else f"tensorflow {import_tensorflow().__version__}"
        cached("trials", f"{runtime}, {sha256(path)}", measure)
