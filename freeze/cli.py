"""The command line of the freeze stage: its options are the fields of `Request`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from freeze.errors import Log, UsageError, unexpected
from freeze.request import GROUPS, Request, options
from tracker.core.command_line import DONE, Parser, did_you_mean, guarded
from tracker.core.text import tell
from tracker.errors import TrackerError

EPILOG = """Exit code 0: the graph, its contract (X.json) and a short report. 1: it cannot be frozen; the message says
why and what to do, and no file is left. 2: wrong usage. `python -m freeze inspect FILE` says what a file is,
`python -m freeze train` and `python -m freeze adapt VIDEO` make encoders."""
COMMANDS = {"inspect": "freeze.report.inspect", "train": "freeze.training.train", "adapt": "freeze.training.adapt"}


def parser() -> Parser:
    """Only what is given is in the namespace, as text: `Request.from_options` reads it."""
    p = Parser(
        prog="python -m freeze",
        description="Freeze a trained encoder into one proved graph.",
        epilog=EPILOG,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups = {key: p.add_argument_group(title) for key, title in GROUPS.items()}
    for name, (_, option) in options().items():
        if option.kind in ("flag", "off"):
            groups[option.group].add_argument(f"--{name}", dest=name, action="store_true", help=option.help)
        else:
            action = "append" if option.kind == "pairs" else "store"
            groups[option.group].add_argument(
                f"--{name}", dest=name, action=action, metavar=option.metavar, help=option.help
            )
    return p


def main(argv: list[str]) -> int:
    """Exit code: 0 done, 1 cannot be frozen, 2 wrong usage, 130 interrupted."""
    if argv[:1] and argv[0] in COMMANDS:
        return int(import_module(COMMANDS[argv[0]]).main(argv[1:]))
    p = parser()
    if argv[:1] and not argv[0].startswith("-"):
        p.error(f"{argv[0]!r}; expected {', '.join(COMMANDS)} or options{did_you_mean(argv[0], COMMANDS)}")
    given = vars(p.parse_args(argv))
    try:
        asked = Request.from_options(given)
        if asked.out is None:
            raise UsageError("say where the graph goes: --out X.pb")
    except UsageError as e:
        p.error(str(e))
    return run(asked)


def run(asked: Request) -> int:
    """Freezes and says how it went; exit code 0, 1 or 130."""
    return guarded(lambda: _frozen(asked))


def _frozen(asked: Request) -> int:
    """Freeze and tell what was met; where that fails, tell what was met until then. Raises TrackerError."""
    from freeze.report.text import findings, text

    log = Log()
    _environment()
    try:
        from freeze.api import freeze
        from freeze.proof.reload import FreshProcess

        with FreshProcess() as fresh:
            contract = freeze(asked, log, fresh)
        tell(text(asked, contract, log))
    except BrokenPipeError:
        raise
    except Exception as e:
        for line in findings(log):
            tell(line, sys.stderr)
        if isinstance(e, TrackerError) or os.environ.get("TRACKER_TRACEBACK"):
            raise
        raise unexpected(e) from e  # a defect here, or TensorFlow's on this model: still no traceback and no file
    return DONE


def _environment() -> None:
    """Freezing is done on the CPU: the same figures everywhere, and no GPU memory taken."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
