"""`python -m tracker run`: options, signals, exit codes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.config import TrackerConfig
from tracker.errors import ConfigError, TrackerError
from tracker.runconfig import RunConfig, read_toml

if TYPE_CHECKING:
    from tracker.assemble import Run

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def parser() -> argparse.ArgumentParser:
    """Options are left out of the namespace unless given, so that a file of `--config` stands below them."""
    top = argparse.ArgumentParser(
        prog="python -m tracker", description="Multi-object tracking from video to numbered tracks."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run", help="track the objects of a video", argument_default=argparse.SUPPRESS,
        description="Track the people and vehicles of one or several sources.",
    )  # fmt: skip
    run.add_argument(
        "sources", nargs="*", metavar="SOURCE",
        help="video file, camera index, rtsp:// or http:// address, folder or glob of images, MOT sequence folder",
    )  # fmt: skip
    _output_options(run.add_argument_group("output"))
    _detector_options(run.add_argument_group("detector and encoder"))
    _tracker_options(run.add_argument_group("tracker"))
    _frame_options(run.add_argument_group("frames and speed"))
    return top


def _output_options(group: Any) -> None:
    group.add_argument(
        "--output", metavar="DIR", type=Path, help="folder for the results (default: runs/<name of the source>)"
    )
    group.add_argument("--overwrite", action="store_true", help="replace results in that folder")
    group.add_argument("--video", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--no-video", dest="video", action="store_false", help="write no tracks.mp4")
    group.add_argument("--show", action="store_true", help="show the frames in a window; q or Esc there ends the run")
    group.add_argument("--smooth", action="store_true", help="smooth and fill the tracks when the run is over")
    group.add_argument(
        "--config", metavar="FILE.toml", type=Path, help="start from a configuration, as a run's config.toml"
    )
    level = group.add_mutually_exclusive_group()
    level.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    level.add_argument("-v", "--verbose", action="store_true", help="print the time of every stage at the end")


def _detector_options(group: Any) -> None:
    d = RunConfig()
    group.add_argument("--detector", metavar="NAME|PATH", type=_detector, help="auto, ssdlite, coco, motion, or a file: .onnx, .pb, or .txt "
                       f"with MOT rows (default: {d.detector})")  # fmt: skip
    group.add_argument(
        "--confidence", metavar="F", type=float, help="smallest score of a detection (default: the detector's)"
    )
    group.add_argument(
        "--nms", metavar="F", type=float, help="overlap above which the weaker box goes (default: the detector's)"
    )
    group.add_argument("--classes", metavar="NAME,...", type=_names, help="classes to track (default: the detector's)")
    group.add_argument("--tiles", metavar="off|auto|CxR", help=f"overlapping tiles to detect in (default: {d.tiles})")
    group.add_argument("--offline", action="store_true", help="fetch no model")
    group.add_argument("--encoder", metavar="NAME|PATH.pb", type=_encoder,
                       help=f"default, colour, none, or a frozen graph (default: {d.encoder})")  # fmt: skip
    group.add_argument(
        "--appearance", choices=("always", "auto", "off"), help=f"which boxes to encode (default: {d.appearance})"
    )
    group.add_argument(
        "--device", metavar="auto|cpu|gpu|gpu:N", type=_device, help=f"where networks run (default: {d.device})"
    )


def _tracker_options(group: Any) -> None:
    t = TrackerConfig()
    group.add_argument(
        "--preset", choices=("default", "paper"), help=f"settings to start from (default: {RunConfig().preset})"
    )
    group.add_argument(
        "--max-age", metavar="N", type=int, help=f"frames a track survives unseen (default: {t.max_age})"
    )
    group.add_argument("--n-init", metavar="N", type=int, help=f"hits that confirm a track (default: {t.n_init})")
    group.add_argument("--max-cosine-distance", metavar="F", type=float,
                       help="largest distance of a match by looks (default: the encoder's)")  # fmt: skip
    group.add_argument("--max-iou-distance", metavar="F", type=float,
                       help=f"largest 1 - IoU of a match by overlap (default: {t.max_iou_distance})")  # fmt: skip
    group.add_argument("--budget", metavar="N", type=int, help=f"features kept per track (default: {t.budget})")


def _frame_options(group: Any) -> None:
    d = RunConfig()
    group.add_argument("--start", metavar="N", type=int, help=f"first frame to track, 1-based (default: {d.start})")
    group.add_argument("--max-frames", metavar="N", type=int, help="frames to track (default: all)")
    group.add_argument("--stride", metavar="N", type=int, help=f"track every N-th frame (default: {d.stride})")
    group.add_argument("--detect-every", metavar="N", type=int,
                       help=f"detect on every N-th tracked frame (default: {d.detect_every})")  # fmt: skip
    group.add_argument(
        "--target-fps", metavar="F", type=float, help="hold F frames per second by detecting and encoding less"
    )
    group.add_argument("--threads", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--sequential", dest="threads", action="store_false", help="one thread for all stages")
    group.add_argument("--reconnect", metavar="S", type=float,
                       help=f"seconds to try a lost live source again (default: {d.reconnect:g})")  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _detector(text: str) -> str:
    if text in ("auto", "ssdlite", "coco", "motion") or text.lower().endswith((".onnx", ".pb", ".txt")):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r}; expected auto, ssdlite, coco, motion, or a file that ends in .onnx, .pb or .txt"
    )


def _encoder(text: str) -> str:
    if text in ("default", "colour", "none") or text.lower().endswith(".pb"):
        return text
    raise argparse.ArgumentTypeError(f"{text!r}; expected default, colour, none, or a file that ends in .pb")


def _device(text: str) -> str:
    kind, colon, number = text.partition(":")
    if text in ("auto", "cpu", "gpu") or (kind == "gpu" and colon and number.isdecimal()):
        return text
    raise argparse.ArgumentTypeError(f"{text!r}; expected auto, cpu, gpu or gpu:N")


def build_config(given: dict[str, Any]) -> RunConfig:
    """Defaults, below the preset, below the file of `--config`, below the options.

    Raises
    ------
    ConfigError : an unknown key, a value out of range, or no source.
    """
    given = dict(given)
    run, tracker = read_toml(given["config"]) if "config" in given else ({}, {})
    tracker_names = {f for f in TrackerConfig.__dataclass_fields__}
    tracker |= {k: v for k, v in given.items() if k in tracker_names}
    run |= {
        k: tuple(v) if k == "sources" else v
        for k, v in given.items()
        if k in RunConfig.__dataclass_fields__ and v != []
    }
    preset = run.get("preset", RunConfig().preset)
    return RunConfig(**run, tracker=TrackerConfig.preset(preset, **tracker))


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


def _run(config: RunConfig, given: dict[str, Any]) -> int:
    from tracker.assemble import Run
    from tracker.pipeline import Pipeline
    from tracker.report import Progress, reader_gone

    quiet = given.get("quiet", False)
    run = Run(config, given.get("output"), overwrite=given.get("overwrite", False),
              say=(lambda line: None) if quiet else (lambda line: print(line, flush=True)))  # fmt: skip
    pipeline = Pipeline(run.streams, run.steps, threads=config.threads)
    for text, error in run.failed:
        print(f"error: {text} is left out: {error}", file=sys.stderr)
    signals = _Signals(pipeline)
    progress = Progress(run.streams, quiet=quiet)

    def watch() -> None:
        if reader_gone():
            signals.lost_reader = True
            pipeline.stop()
        else:
            progress.update()

    with signals:
        pipeline.run(watch)
        progress.close()
        code = _finish(run, pipeline, signals, quiet=quiet, verbose=given.get("verbose", False))
    if pipeline.stuck:  # a thread inside foreign code would hold up the interpreter's end
        sys.stdout.flush()
        os._exit(code)
    run.close()
    return code


def _finish(run: Run, pipeline: Any, signals: _Signals, *, quiet: bool, verbose: bool) -> int:
    """Write summaries and configurations, print the table; returns the exit code."""
    from tracker.report import as_json, summary, table
    from tracker.sinks import write_whole

    errors = [f"{text}: {error}" for text, error in run.failed]
    for stream in run.streams:
        warnings = [*run.warnings(stream), *pipeline.warnings]
        if dropped := pipeline.dropped[stream.number]:
            warnings.append(f"{dropped} frames gave way to newer ones")
        try:
            if stream.frames:
                data = summary(stream, run.timing, encoder=run.encoder_summary(), warnings=warnings,
                               device=run.device(), dropped=dropped, interrupted=signals.count > 0)  # fmt: skip
                write_whole(stream.output.folder / "summary.json", as_json(data))
                write_whole(stream.output.folder / "config.toml", run.effective(stream).to_toml())
            else:
                stream.output.discard()
        except TrackerError as e:
            stream.error = stream.error or e
        if stream.error is not None:
            errors.append(_line(stream.text, stream.error, stream.frames))
        if not quiet:
            for warning in warnings:
                print(f"warning: {warning}", file=sys.stderr)
    if not quiet and not signals.lost_reader:
        print(table(run.streams))
        if verbose:
            print(
                *(
                    f"{k:10} p50 {v['p50_ms']:8.2f} ms  p95 {v['p95_ms']:8.2f} ms  {v['share']:6.1%}"
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

    def __enter__(self) -> _Signals:
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
            signal.signal(number, handler)
