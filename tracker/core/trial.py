"""The first trial of a model from outside, in a process of its own: endless graphs and crashes end there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracker.core import child
from tracker.core.autotune import cached
from tracker.errors import TrackerError


def try_once(
    path: Path, key: str, module: str, arguments: Sequence[str], *, seconds: float, error: type[TrackerError]
) -> None:
    """Run a module on a model under limits of time and memory, once for a key, which is remembered.

    What is wrong with the model otherwise is told where it is opened in this process.

    Parameters
    ----------
    key : str
        Names the file's bytes, and what runs them.
    seconds : float
        Time by the clock.
    error : type
        Raised where the module does not end, or the model kills the process that runs it.
    """

    def measure() -> dict[str, Any]:
        try:
            done = child.run(module, arguments, seconds=seconds)
        except child.EndedError as e:
            raise error(
                f"{path}: opening it in a process of its own failed: {e}; the file is damaged or made to do harm: "
                "get it again from its source"
            ) from None
        return {"code": done.returncode}

    cached("trials", key, measure)
