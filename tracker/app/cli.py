"""`python -m tracker run`: options, signals, exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tracker.app.config import RunConfig
from tracker.app.options import build_config, parser
from tracker.errors import ConfigError, TrackerError

if TYPE_CHECKING:
    from tracker.app.session import Session

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    top = parser()
    given = vars(top.parse_args(arguments))
    try:
        config = build_config(given)
        if not config.sources:
            top.error("run needs a SOURCE")
    except ConfigError as e:
        print(f"error: {e}", file=sys.stderr)
        return FAILED if "config" in given and not Path(given["config"]).is_file() else USAGE
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    try:
        return _run(config, given)
    except TrackerError as e:
        print(f"error: {e}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted before the first frame", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _silence()
        return FAILED
    except Exception as e:
        if given.get("verbose"):
            raise
        text = " ".join(str(e).split())[:300]
        print(f"error: {type(e).__name__}: {text}; this is a fault of the program: -v shows where", file=sys.stderr)
        return FAILED


def _run(config: RunConfig, given: dict[str, Any]) -> int:
    from tracker.app.pipeline import Pipeline
    from tracker.app.rate_controller import RateController
    from tracker.app.report import Progress, reader_gone
    from tracker.app.session import Session
    from tracker.core.tensorflow import cores

    quiet = given.get("quiet", False)
    run = Session(config, given.get("output"), overwrite=given.get("overwrite", False),
              say=(lambda line: None) if quiet else (lambda line: print(line, flush=True)))  # fmt: skip
    pipeline = Pipeline(run.streams, run.steps, threads=config.threads)
    for text, error in run.failed:
        print(f"error: {text} is left out: {error}", file=sys.stderr)
    controller = None
    if config.target_fps is not None:
        controller = RateController(
            config.target_fps, run.steps, pipeline.stage_groups(), cores(), run.detectors, pipeline.concurrency
        )
    signals = _Signals(pipeline)
    progress = Progress(run.streams, quiet=quiet)

    def watch() -> None:
        if reader_gone():
            signals.lost_reader = True
            pipeline.stop()
            return
        progress.update()
        if controller is not None:
            controller.watch()

    with signals:
        pipeline.run(watch)
        progress.close()
        code = _finish(run, pipeline, signals, quiet=quiet, verbose=given.get("verbose", False))
    if pipeline.stuck:  # a thread inside foreign code would hold up the interpreter's end
        sys.stdout.flush()
        os._exit(code)
    run.close()
    return code


def _finish(run: Session, pipeline: Any, signals: _Signals, *, quiet: bool, verbose: bool) -> int:
    """Write summaries and configurations, print the table; returns the exit code."""
    from tracker.app.report import as_json, summary, table
    from tracker.core.files import write_whole

    errors = [f"{text}: {error}" for text, error in run.failed]
    for stream in run.streams:
        warnings = [*run.warnings(stream), *pipeline.warnings]
        if dropped := pipeline.dropped[stream.number]:
            warnings.append(f"{dropped} frames gave way to newer ones")
        try:
            if stream.counts.frames:
                data = summary(stream, run.timing, encoder=run.encoder_summary(), warnings=warnings,
                               device=run.device(), dropped=dropped, interrupted=signals.count > 0)  # fmt: skip
                write_whole(stream.output.folder / "summary.json", as_json(data))
                write_whole(stream.output.folder / "config.toml", run.effective(stream).to_toml())
                if run.config.smooth:
                    write_whole(stream.output.folder / "tracks_smooth.txt", run.smoothed(stream))
            else:
                stream.output.discard()
        except TrackerError as e:
            stream.ending.error = stream.ending.error or e
        if stream.ending.error is not None:
            errors.append(_line(stream.text, stream.ending.error, stream.counts.frames))
        if not quiet:
            for warning in warnings:
                print(f"warning: {warning}", file=sys.stderr)
    if not quiet and not signals.lost_reader:
        print(table(run.streams))
        if verbose:
            print(
                *(
                    f"{k:13} p50 {v['p50_ms']:8.2f} ms  p95 {v['p95_ms']:8.2f} ms  {v['share']:6.1%}"
                    for k, v in run.timing.summary().items()
                ),
                sep="\n",
            )
        sys.stdout.flush()
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if signals.lost_reader:
        _silence()
    return FAILED if errors or signals.lost_reader else INTERRUPTED if signals.count else DONE


def _line(source: str, error: BaseException, frames: int) -> str:
    """An error as one line: ours as they are, others with their type and where to look."""
    text = (
        str(error)
        if isinstance(error, TrackerError)
        else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    )
    return f"{source}: stopped after {frames} frames: {text}" if frames else f"{source}: {text}"


def _silence() -> None:
    """Keep the interpreter from writing to pipes that nobody reads when it ends."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)


class _Signals:
    """Ctrl-C or SIGTERM once: finish the frames on their way; twice: give them up."""

    def __init__(self, pipeline: Any) -> None:
        self.count = 0
        self.lost_reader = False
        self._pipeline = pipeline
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # not in the main thread: the caller's handlers stay
                self._old[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: Any) -> None:
        self.count += 1
        if self.count == 1:
            self._pipeline.stop()
        else:
            self._pipeline.abort()

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._old.items():
            # Who asked for the end is getting it: one more request must not break off the exit with its code.
            signal.signal(number, signal.SIG_IGN if self.count else handler)
