"""`python -m benchmarks NAME ...`: dispatches to benchmarks/NAME.py."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from tracker.core.command_line import Parser, guarded

BENCHMARKS = {
    "association": "ms per frame of motion and association, by number of objects, beside the peers",
    "accuracy": "HOTA, IDF1, MOTA and identity switches on sequences with ground truth, beside the peers",
    "capacity": "cameras a core and a machine from processor time a frame and a crop; what many cameras need",
    "counting": "crossings, speeds and dwell against hand counts, ground truth and a drawn scene, beside the peers",
    "detect": "average precision, recall by size and processor time of detectors, by the size at which they see",
    "drills": "live and fault drills with real servers, disks and signals: what is survived",
    "encoder": "re-identification accuracy and speed of encoders",
    "fps": "end-to-end frames per second and the share of each stage",
    "viewers": "what a live page and those who look at it cost a run",
}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:12} {text}" for name, text in BENCHMARKS.items())
    raw = argparse.RawDescriptionHelpFormatter
    top = Parser(prog="python -m benchmarks", formatter_class=raw, epilog=f"benchmarks:\n{listing}")
    top.add_argument("name", choices=BENCHMARKS, metavar="NAME", help="which benchmark; NAME --help shows its options")
    name = top.parse_args(argv[:1]).name
    if name == "association":  # one thread of linear algebra for all: on small matrices more only wait for each other
        for library in ("OPENBLAS", "MKL", "OMP"):
            os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    module = import_module(f"benchmarks.{name}")
    parser = Parser(prog=f"python -m benchmarks {name}", description=BENCHMARKS[name])
    module.add_arguments(parser)
    options = parser.parse_args(argv[1:])
    return guarded(lambda: int(module.main(options)))


if __name__ == "__main__":
    sys.exit(main())
