"""`python -m detectors list` shows the networks that are here; `python -m detectors fetch coco` gets one."""

from __future__ import annotations

import argparse
import sys

import numpy as np

from detectors import store
from tracker.core import child
from tracker.core.command_line import DONE, Parser, guarded
from tracker.core.types import Frame

LOOK_SECONDS = 60.0
"""For a network of a stranger; the slowest that are about take a sixth of that."""


def parser() -> Parser:
    """The options of every command."""
    top = Parser(prog="python -m detectors", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what is here, from where, under which licence")
    fetch = commands.add_parser("fetch", help="get a network into the cache")
    fetch.add_argument("name", choices=sorted(store.MODELS))
    attempt = commands.add_parser("try", help="open a network and look at a black picture")
    attempt.add_argument("path", metavar="NAME|PATH")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    return guarded(lambda: _done(options))


def _done(options: argparse.Namespace) -> int:
    """Do what is asked for; the exit code. Raises TrackerError."""
    if options.command == "list":
        print("\n".join(store.listing()))
    elif options.command == "try":
        _try(options.path)
    else:
        path = store.fetch(options.name)
        print(f"{options.name}: {path} ({store.MODELS[options.name].licence}, licence beside it)")
    return DONE


def _try(spec: str) -> None:
    """Open a detector on the CPU and let it look once.

    Raises
    ------
    TrackerError
        It cannot be opened or run.
    """
    from detectors.registry import open_detector

    frame = Frame(1, 0.0, np.zeros((360, 640, 3), np.uint8), (640, 360))
    detector = open_detector(spec, device="cpu", precision="f32", frames=[frame])  # nothing to measure
    with child.limited(LOOK_SECONDS, f"one look at a picture did not end within {LOOK_SECONDS:g} s"):
        found = detector(frame)
    detector.close()
    print(
        f"{spec}: {detector.runtime}, {len(detector.class_names)} classes, {len(found or ())} boxes in a black picture"
    )


if __name__ == "__main__":
    sys.exit(main())
