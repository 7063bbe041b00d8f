"""Choices made by measuring, cached per machine: which arithmetic or runtime is fastest for a graph here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.files import cache_folder, write_atomic
from tracker.core.text import parse_json
from tracker.errors import OutputError


def cached(kind: str, key: str, measure: Callable[[], dict[str, Any]], *, most: int | None = None) -> dict[str, Any]:
    """The outcome of `measure` for a key, from the cache where it was measured before.

    `key` names everything the outcome depends on: processor, versions, the graph's hash. A cache that cannot be read or
    written costs a measurement, nothing more. `most`: of how many keys the outcome is kept; None: of all.
    """
    try:
        path: Path | None = cache_folder("autotune") / f"{kind}.json"
    except OutputError:
        path = None
    known = _read(path)
    cached = known.get(key)
    if isinstance(cached, dict):
        return cached
    outcome = measure()
    if path is not None:
        with suppress(OSError):
            kept = {**_read(path), key: outcome}
            write_atomic(path, json.dumps(dict(list(kept.items())[-most if most else 0 :]), indent=1).encode())
    return outcome


def _read(path: Path | None) -> dict[str, Any]:
    with suppress(OSError, ValueError, TypeError):
        found = parse_json(path.read_text()) if path is not None else {}
        return found if isinstance(found, dict) else {}
    return {}


_ALONE = threading.RLock()


@contextmanager
def alone() -> Iterator[None]:
    """While the block runs, no measurement does: what a thread spends beside one would be taken for part of it."""
    with _ALONE:
        yield


def compare(calls: Mapping[str, Callable[[], Any]], repeats: int = 9, *, busy: bool = True) -> dict[str, float]:
    """Median seconds of calls that do the same, run in turn after one run each to warm up.

    busy : count processor time, which other programs disturb less and which a pipeline pays for; False: time by the
        clock, for work done elsewhere than on the processor.
    """
    clock = time.process_time if busy else time.perf_counter
    with alone():
        return _compared(calls, repeats, clock)


def _compared(calls: Mapping[str, Callable[[], Any]], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: float(np.median(s)) for name, s in seconds.items()}
