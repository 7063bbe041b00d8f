"""`python -m tracker run`: options, signals, exit codes."""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from detectors.registry import check_classes
from tracker.app import afterwards
from tracker.app.batch import command as batch
from tracker.app.config import RunConfig
from tracker.app.options import build_config, parser, with_command
from tracker.app.signals import Signals
from tracker.core.address import shown
from tracker.core.command_line import DONE, FAILED, INTERRUPTED, USAGE, Parser, guarded, in_a_line, silence
from tracker.core.opencv import check_opencv
from tracker.core.tensorflow import preloading
from tracker.core.text import tell, warn
from tracker.errors import BackendMissingError, ConfigError, DetectorError, LostError

if TYPE_CHECKING:
    from tracker.app.pipeline import Pipeline
    from tracker.app.segments import Keeping
    from tracker.app.serving import Serving
    from tracker.app.session import Session
    from tracker.core.interfaces import Say

LOST = 3
"""Exit code where live sources were lost and did not come back."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    began_s = time.perf_counter()
    _standard_streams()
    top = parser()
    words = sys.argv[1:] if arguments is None else arguments
    if not words:
        top.error(f"nothing to do; give a video: {top.prog} VIDEO")
    given = vars(top.parse_args(with_command(words, top.commands)))
    if given["command"] in ("run", "batch"):
        code = _started(top, given, began_s)
    else:
        gc.enable()
        code = guarded(lambda: afterwards.main(given), traceback=given.get("verbose", False))
    if arguments is None and preloading():  # an end before it was needed: the interpreter would wait for it
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
    return code


def _started(top: Parser, given: dict[str, Any], began_s: float) -> int:
    """`run` or `batch`; returns the exit code."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
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

    with Signals() as signals:
        interrupted = "interrupted before the first frame"
        act = partial(_run_or_batch, config, given, signals, began_s)
        return guarded(act, interrupted=interrupted, traceback=given.get("verbose", False))


def _run_or_batch(config: RunConfig, given: dict[str, Any], signals: Signals, began_s: float) -> int:
    try:
        if given["command"] == "batch":
            _collect()
            return batch.main(config, given, signals)
        return _run(config, given, signals, began_s)
    except Exception:
        if signals.count:  # what was asked to end says that it was interrupted
            return INTERRUPTED
        raise


def _run(config: RunConfig, given: dict[str, Any], signals: Signals, began_s: float) -> int:
    from tracker.app.pipeline import Pipeline
    from tracker.app.session import Session
    from tracker.app.spinner import Spinner

    quiet = given.get("quiet", False)
    unsaid: list[str] = []

    def say(line: str) -> None:
        if not quiet and (reason := _say(line)) is not None:
            unsaid.append(reason)

    with ExitStack() as open_meanwhile:
        serving = _serving(config, given, say)
        if serving is not None:
            open_meanwhile.callback(serving.close)
        run = Session(
            config, given.get("output"), overwrite=given.get("overwrite", False), say=say, doing=Spinner(quiet=quiet),
            viewers=serving.viewers if serving is not None else None, keeping=_keeping(config, given),
        )  # fmt: skip
        run.timing.began_s = began_s
        _collect()
        pipeline = Pipeline(run.streams, run.steps, threads=config.threads)
        for error in run.failed:
            warn(f"error: {error}; it is left out, the others are tracked")
        watch = _Watch(run, pipeline, quiet=quiet)
        signals.attach(pipeline)
        if serving is not None:
            serving.attach(pipeline)
        pipeline.run(watch)
        watch.close()
    verbose = given.get("verbose", False)
    more = serving.summary() if serving is not None else {}
    code = _finish(run, pipeline, signals, watch.lost_reader, unsaid, more, quiet=quiet, verbose=verbose)
    if pipeline.stuck:  # a thread inside foreign code would hold up the interpreter's end
        os._exit(code)
    run.close()
    return code


def _collect() -> None:
    """Look for garbage from now on, where the command put that off, but not in what has been loaded."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


class _Watch:
    """What the main thread does while a run goes on: progress, news of the sources, the rate, a reader that left.

    Attributes
    ----------
    lost_reader : bool
        Nobody reads the standard output any more.
    """

    def __init__(self, run: Session, pipeline: Pipeline, *, quiet: bool) -> None:
        from tracker.app.rate_controller import RateController
        from tracker.app.report import Progress
        from tracker.core.tensorflow import cores

        self.lost_reader = False
        self._run, self._pipeline = run, pipeline
        self._progress = Progress(run.streams, quiet=quiet)
        self._controller: RateController | None = None
        if run.config.target_fps is not None:
            self._controller = RateController(
                run.config.target_fps, run.steps, pipeline.stage_groups(), cores(), run.detectors, pipeline.concurrency
            )

    def __call__(self) -> None:
        from tracker.app.report import reader_gone

        if reader_gone():
            self.lost_reader = True
            self._pipeline.stop()
            return
        for stream in self._run.streams:
            for line in stream.source.news():
                warn(f"{stream.source.info.name}: {line}")
        for line in self._pipeline.news():
            warn(line)
        self._progress.update()
        if self._controller is not None:
            self._controller.watch()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.close()


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
    run: Session,
    pipeline: Pipeline,
    signals: Signals,
    lost_reader: bool,
    unsaid: list[str],
    more: dict[str, Any],
    *,
    quiet: bool,
    verbose: bool,
) -> int:
    """Write summaries and configurations, print the table; returns the exit code.

    `unsaid` holds why lines could not be told on the standard output, which goes nowhere since; `more` is for the
    summaries.
    """
    from tracker.app.finish import finish
    from tracker.app.report import table

    errors = list(map(str, run.failed))
    lost = 0
    for stream in run.streams:
        warnings = finish(run, pipeline, stream, stops=signals.count, more=more)
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
        silence()
    if errors and len(errors) == lost and not lost_reader:
        return LOST
    return FAILED if errors or lost_reader else INTERRUPTED if signals.count else DONE


def _line(source: str, error: BaseException, frames: int) -> str:
    """What ended a source, as one line."""
    text = in_a_line(error)
    return f"{shown(source)}: stopped after {frames} frames: {text}" if frames else f"{shown(source)}: {text}"


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
