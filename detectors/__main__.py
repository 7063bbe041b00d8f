"""`python -m detectors list` shows the networks that are here; `python -m detectors fetch coco` gets one."""

from __future__ import annotations

import argparse
import sys

from detectors import store
from tracker.errors import TrackerError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m detectors", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what is here, from where, under which licence")
    fetch = commands.add_parser("fetch", help="get a network into the cache")
    fetch.add_argument("name", choices=sorted(store.MODELS))
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            print("\n".join(store.listing()))
        else:
            path = store.fetch(options.name)
            print(f"{options.name}: {path} ({store.MODELS[options.name].licence}, licence beside it)")
    except TrackerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
