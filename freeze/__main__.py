"""`python -m freeze`: what reads a model runs in a process of its own, with limits of time and memory."""

import os
import sys

from freeze.cli import COMMANDS, main
from freeze.errors import FreezeError
from tracker.core import child
from tracker.core.command_line import guarded


def supervised(argv: list[str]) -> int:
    """The command line in a process under limits, so that no model hangs or kills this one; its exit code.

    Raises
    ------
    FreezeError
        MODEL_KILLED.
    """
    training = argv[:1] and argv[0] in COMMANDS and argv[0] != "inspect"
    if child.MARK in os.environ or training:
        return main(argv)
    try:
        return child.pass_on("freeze", argv)
    except child.EndedError as e:
        raise FreezeError(
            "MODEL_KILLED",
            f"reading and proving the model in a process of its own failed: {e}; no file is written",
            "the model is damaged, made to do harm, or too large for this machine: get it again",
        ) from None


sys.exit(guarded(lambda: supervised(sys.argv[1:]), interrupted=""))  # the child says it
