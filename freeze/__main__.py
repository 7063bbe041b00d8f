"""`python -m freeze`: what reads a model runs in a process of its own, with limits of time and memory."""

import os
import sys

from freeze.cli import COMMANDS, main
from tracker.core import child


def supervised(argv: list[str]) -> int:
    """The command line in a process under limits, so that no model hangs or kills this one; its exit code."""
    training = argv[:1] and argv[0] in COMMANDS and argv[0] != "inspect"
    if child.MARK in os.environ or training:
        return main(argv)
    try:
        return child.pass_on("freeze", argv)
    except child.EndedError as e:
        print(
            f"error: MODEL_KILLED: reading and proving the model in a process of its own failed: {e}; no file is "
            "written\n  remedy: the model is damaged, made to do harm, or too large for this machine: get it again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130


sys.exit(supervised(sys.argv[1:]))
