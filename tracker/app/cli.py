"""`python -m tracker run`: options, signals, exit codes."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from detectors.registry import check_classes
from tracker.app import afterwards
from tracker.app.batch import command as batch
from tracker.app.config import RunConfig
from tracker.app.options import build_config, parser, with_command
from tracker.app.signals import INTERRUPTED, Signals
from tracker.core.address import shown
from tracker.core.command_line import Parser
from tracker.core.opencv import check_opencv
from tracker.core.tensorflow import preload, preloading
from tracker.core.text import tell, warn
from tracker.errors import BackendMissingError, ConfigError, DetectorError, LostError, TrackerError

if TYPE_CHECKING:
    from tracker.app.segments import Keeping
    from tracker.app.serving import Serving
    from tracker.app.session import Say, Session

DONE, FAILED, USAGE, LOST = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    began_s = time.perf_counter()
    _standard_streams()
    top = parser()
    given = vars(top.parse_args(with_command(sys.argv[1:] if arguments is None else arguments, top.commands)))
    code = _started(top, given, began_s) if given["command"] in ("run", "batch") else _guarded(given, afterwards.main)
    if arguments is None and preloading():  # an end before it was needed: the interpreter would wait for it
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
    return code


def _started(top: Parser, given: dict[str, Any], began_s: float) -> int:
    """`run` or `batch`; returns the exit code."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    try:
        check_opencv()
        with warnings.catch_warnings(record=True, action="always", category=FutureWarning) as old_names:
            config = build_config(given)
        for warning in old_names:
            warn(f"warning: {warning.message}")
        if not config.sources:
            top.error("run needs a SOURCE")
        check_classes(config.detector, config.classes)
    except (ConfigError, DetectorError) as e:
        warn(f"error: {e}")
        return FAILED if "config" in given and not os.path.isfile(given["config"]) else USAGE
    except BackendMissingError as e:
        warn(f"error: {e}")
        return FAILED

    def run(signals: Signals) -> int:
        if given["command"] == "batch":
            return batch.main(config, given, signals)
        if config.wants_encoder and all(map(os.path.exists, config.sources)):
            preload()
        return _run(config, given, signals, began_s)

    with Signals() as signals:
        return _guarded(given, lambda _: run(signals), signals)


def _guarded(given: dict[str, Any], act: Callable[[dict[str, Any]], int], signals: Signals | None = None) -> int:
    """Do something; its exit code, or that of what ended it, told in one line."""
    try:
        return act(given)
    except KeyboardInterrupt:
        warn("interrupted" if signals is None else "interrupted before the first frame")
        return INTERRUPTED
    except BrokenPipeError:
        _silence()
        return FAILED
    except Exception as e:
        if given.get("verbose") and not isinstance(e, TrackerError):
            raise
        if signals is not None and signals.count:  # what was asked to end says that it was interrupted
            return INTERRUPTED
        warn(f"error: {_said(e)}")
        return FAILED


def _run(config: RunConfig, given: dict[str, Any], signals: Signals, began_s: float) -> int:
    from tracker.app.pipeline import Pipeline
    from tracker.app.rate_controller import RateController
    from tracker.app.report import Progress, reader_gone
    from tracker.app.session import Session
    from tracker.app.spinner import Spinner
    from tracker.core.tensorflow import cores

    quiet = given.get("quiet", False)
    unsaid: list[str] = []

    def say(line: str) -> None:
        if not quiet and (reason := _say(line)) is not None:
            unsaid.append(reason)

    serving = _serving(config, given, say)
    try:
        run = Session(
            config, given.get("output"), overwrite=given.get("overwrite", False), say=say, doing=Spinner(quiet=quiet),
            viewers=serving.viewers if serving is not None else None, keeping=_keeping(config, given),
        )  # fmt: skip
    except BaseException:
        if serving is not None:
            serving.close()
        raise
    run.timing.began_s = began_s
    pipeline = Pipeline(run.streams, run.steps, threads=config.threads)
    for text, error in run.failed:
        warn(f"error: {shown(text)} is left out: {error}")
    controller = None
    if config.target_fps is not None:
        controller = RateController(
            config.target_fps, run.steps, pipeline.stage_groups(), cores(), run.detectors, pipeline.concurrency
        )
    lost_reader = False
    progress = Progress(run.streams, quiet=quiet)

    def watch() -> None:
        nonlocal lost_reader
        if reader_gone():
            lost_reader = True
            pipeline.stop()
            return
        for stream in run.streams:
            for line in stream.source.news():
                warn(f"{stream.source.info.name}: {line}")
        for line in pipeline.news():
            warn(line)
        progress.update()
        if controller is not None:
            controller.watch()

    signals.attach(pipeline)
    if serving is not None:
        serving.attach(pipeline)
    pipeline.run(watch)
    progress.close()
    if serving is not None:
        serving.close()
    verbose = given.get("verbose", False)
    code = _finish(run, pipeline, signals, lost_reader, unsaid, quiet=quiet, verbose=verbose)
    if pipeline.stuck:  # a thread inside foreign code would hold up the interpreter's end
        os._exit(code)
    run.close()
    return code


def _keeping(config: RunConfig, given: dict[str, Any]) -> Keeping | None:
    """How a run for days divides and keeps its files, where it is one."""
    wanted = [f"--{name.replace('_', '-')}" for name in ("keep", "keep_gb") if name in given]
    if "segment" not in given:
        if wanted:
            raise ConfigError(f"{wanted[0]} removes old segments; give their length, too: --segment 1h")
        return None
    if config.smooth:
        raise ConfigError("--smooth needs a run's rows in one file; expected it without --segment")
    from tracker.app.segments import Keeping

    gigabytes = given.get("keep_gb")
    if gigabytes is not None and not gigabytes > 0:
        raise ConfigError(f"--keep-gb is {gigabytes}; expected a positive number")
    return Keeping(given["segment"], given.get("keep"), None if gigabytes is None else gigabytes * 1e9)


def _serving(config: RunConfig, given: dict[str, Any], say: Say) -> Serving | None:
    """The live page and the publishers, where they are asked for."""
    if "serve" not in given and "publish" not in given:
        return None
    from tracker.app.serving import Serving

    return Serving(config, given.get("serve"), given.get("publish", ()), say=say, warn=lambda t: warn(f"warning: {t}"))


def _finish(
    run: Session, pipeline: Any, signals: Signals, lost_reader: bool, unsaid: list[str], *, quiet: bool, verbose: bool
) -> int:
    """Write summaries and configurations, print the table; returns the exit code.

    `unsaid` holds why lines could not be told on the standard output, which goes nowhere since.
    """
    from tracker.app.finish import finish
    from tracker.app.report import table

    errors = [f"{shown(text)}: {error}" for text, error in run.failed]
    lost = 0
    for stream in run.streams:
        warnings = finish(run, pipeline, stream, stops=signals.count)
        if stream.ending.error is not None:
            errors.append(_line(stream.text, stream.ending.error, stream.counts.frames))
            lost += isinstance(stream.ending.error, LostError)
        if not quiet:
            for warning in warnings:
                warn(f"warning: {warning}")
    if not quiet and not lost_reader:
        lines = [table(run.streams, run.timing.began_s)]
        if verbose:
            lines += [
                f"{k:13} p50 {v['p50_ms']:8.2f} ms  p95 {v['p95_ms']:8.2f} ms  {v['share']:6.1%}"
                for k, v in run.timing.summary().items()
            ]
        unsaid += [reason for reason in [_say("\n".join(lines))] if reason is not None]
    if unsaid:
        errors.append(f"the standard output cannot be written ({unsaid[0]}); the results are whole")
    for error in errors:
        warn(f"error: {error}")
    if lost_reader:
        _silence()
    if errors and len(errors) == lost and not lost_reader:
        return LOST
    return FAILED if errors or lost_reader else INTERRUPTED if signals.count else DONE


def _line(source: str, error: BaseException, frames: int) -> str:
    """What ended a source, as one line."""
    text = _said(error)
    return f"{shown(source)}: stopped after {frames} frames: {text}" if frames else f"{shown(source)}: {text}"


def _said(error: BaseException) -> str:
    """An error as one line: ours as they are, others with their type and where to look."""
    if isinstance(error, TrackerError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; free space, or check that it is there and may be used"
    if isinstance(error, MemoryError):
        return "no memory is left; track fewer sources at once, or smaller frames"
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}; this is a fault of the program: -v shows where"


def _standard_streams() -> None:
    """Give the standard streams that are closed (cron, daemons) a place: else the next files opened would take it.

    What the program tells goes to a descriptor of its own from then on: 2 leads elsewhere while native code that talks
    too much is loaded.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    old = sys.stderr
    with suppress(OSError, ValueError, AttributeError):  # no stream, or one that is no file
        if old.fileno() == 2:
            sys.stderr = open(os.dup(2), "w", encoding=old.encoding, errors=old.errors, buffering=1)  # noqa: SIM115


def _say(text: str) -> str | None:
    """Tell lines on the standard output; why it cannot be written, where it cannot."""
    try:
        tell(text)
    except OSError as e:
        with suppress(OSError):  # what its buffer holds must not be tried again when the interpreter ends
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.close(null)
        return e.strerror or str(e)
    return None


def _silence() -> None:
    """Keep the interpreter from writing to pipes that nobody reads when it ends."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        if sys.stderr is not None:
            os.dup2(null, sys.stderr.fileno())
