"""`python -m videos make crossing` draws a scene with ground truth; `python -m videos fetch vtest` gets a real clip."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from tracker.core.command_line import DONE, Parser, guarded
from videos import crossing
from videos.fetch import CLIPS, fetch


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}; expected WIDTHxHEIGHT, for example 640x360")
    return int(found[1]), int(found[2])


def parser() -> Parser:
    """The options of every command."""
    top = Parser(prog="python -m videos", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="draw a scene with exact ground truth")
    make.add_argument("scene", choices=["crossing"])
    make.add_argument("--frames", type=int, default=300)
    make.add_argument("--seed", type=int, default=0)
    make.add_argument("--size", type=_size, default=(640, 360), metavar="WxH")
    make.add_argument("--fps", type=int, default=crossing.FPS)
    get = commands.add_parser("fetch", help="get a real clip, checked by its hash")
    get.add_argument("clip", choices=sorted(CLIPS))
    for command in (make, get):
        command.add_argument("--output", type=Path, metavar="DIR", help="default: clips/NAME")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(arguments)
    return guarded(lambda: _done(options))


def _done(options: argparse.Namespace) -> int:
    """Do what is asked for; the exit code. Raises TrackerError."""
    if options.command == "make":
        folder = options.output or Path("clips") / options.scene
        crossing.make(folder, options.frames, options.seed, options.size, options.fps)
        print(f"{folder / 'crossing.mp4'} with ground truth in {folder / 'gt' / 'gt.txt'}")
    else:
        print(fetch(options.clip, options.output or Path("clips") / options.clip))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
