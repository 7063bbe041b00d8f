"""The options of `python -m tracker run`, written by hand from the configuration; a test compares both."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectors.registry import NAMES, SUFFIXES
from freeze.request import options as freeze_options
from tracker import __version__
from tracker.answers.scene import UNITS
from tracker.app import afterwards
from tracker.app.batch import command as batch
from tracker.app.batch.command import length
from tracker.app.config import ENCODERS, RunConfig, read_toml
from tracker.core.command_line import Parser, did_you_mean, program
from tracker.core.text import warn
from tracker.errors import ConfigError
from tracker.tracking.config import DeepSortConfig, OverlapConfig
from tracker.tracking.trackers import TRACKERS, configure, setting_names


def parser() -> Parser:
    """Options are left out of the namespace unless given, so that a file of `--config` stands below them."""
    top = Parser(
        prog=program("tracker"), description="Multi-object tracking from video to numbered tracks.",
        epilog="A command may be left out: what is no command is a SOURCE to run.",
    )  # fmt: skip
    top.add_argument("--version", action="version", version=f"tracker {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run", help="track the objects of a video", argument_default=argparse.SUPPRESS,
        usage="%(prog)s [options] SOURCE [SOURCE ...]",
        description="Track the people and vehicles of one or several sources.",
    )  # fmt: skip
    run.add_argument(
        "sources", nargs="*", metavar="SOURCE",
        help="video file, camera index, rtsp:// or http:// address, folder or glob of videos or images, "
        "MOT sequence folder",
    )  # fmt: skip
    _output_options(run.add_argument_group("output"))
    scene_options(run.add_argument_group("what is asked"))
    _detector_options(run.add_argument_group("detector and encoder"))
    _tracker_options(run.add_argument_group("tracker"))
    _frame_options(run.add_argument_group("frames and speed"))
    _freeze_options(
        run.add_argument_group("an encoder of your own, frozen, proved and cached first (python -m freeze)")
    )
    batch.add_command(commands, _batch_options)
    afterwards.add_commands(commands, scene_options)
    return top


def _batch_options(command: Any) -> None:
    """Options of `batch` that `run` has, too."""
    scene_options(command.add_argument_group("what is asked"))
    _detector_options(command.add_argument_group("detector and encoder"))
    _freeze_options(command.add_argument_group("an encoder of your own, frozen and proved first"))
    _tracker_options(command.add_argument_group("tracker"))
    _range_options(command.add_argument_group("frames"))


def with_command(arguments: Sequence[str], commands: Sequence[str]) -> list[str]:
    """The arguments with `run` before them where they begin with no command: `tracker VIDEO` tracks a video."""
    if not arguments or arguments[0] in (*commands, "-h", "--help", "--version"):
        return list(arguments)
    if did_you_mean(arguments[0], commands) and not os.path.exists(arguments[0]):
        return list(arguments)  # a slip of the pen, which the parser names
    return ["run", *arguments]


def _output_options(group: Any) -> None:
    group.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="folder for the results (default: runs/<name of the source>)"
    )
    group.add_argument("--overwrite", action="store_true", help="replace results in that folder")
    group.add_argument("--video", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--no-video", dest="video", action="store_false", help="write no tracks.mp4")
    group.add_argument("--show", action="store_true", help="show the frames in a window; q or Esc there ends the run")
    group.add_argument("--database", metavar="FILE", help="write tracks, crossings and visits to a new SQLite file")
    group.add_argument("--scores", action="store_true", help="write scores beside the names on the video")
    group.add_argument("--blur", choices=("person", "all"), help="make people, or all objects, unrecognisable")
    group.add_argument("--serve", metavar="[HOST:]PORT", help="a live page with pictures, counts and health")
    group.add_argument(
        "--publish", metavar="TARGET", action=_Append,
        help="send crossings to mqtt://HOST/TOPIC, https://HOST/PATH, jsonl:FILE or jsonl:- (may be repeated)",
    )  # fmt: skip
    group.add_argument("--segment", metavar="TIME", type=length, help="begin new files every 1h, 1d ..., for long runs")
    group.add_argument("--keep", metavar="TIME", type=length, help="remove segments and recordings older than 7d ...")
    group.add_argument("--keep-gb", metavar="N", type=float, help="remove the oldest beyond so many gigabytes")
    group.add_argument("--smooth", action="store_true", help="smooth and fill the tracks when the run is over")
    group.add_argument(
        "--config", metavar="FILE.toml", type=Path, help="start from a configuration, as a run's config.toml"
    )
    level = group.add_mutually_exclusive_group()
    level.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    level.add_argument("-v", "--verbose", action="store_true", help="print the time of every stage at the end")


def scene_options(group: Any) -> None:
    """Options of `run` and `count` that say what is asked."""
    d = RunConfig()
    group.add_argument("--scene", metavar="FILE.toml", help="lines, zones, ignored areas and ground from a file")
    group.add_argument(
        "--line", metavar="NAME=X1,Y1,X2,Y2", action=_Append,
        help='count at a line, pixels; with names of directions: "gate=300,515,900,515:in/out" (may be repeated)',
    )  # fmt: skip
    group.add_argument(
        "--zone", metavar="NAME=X1,Y1,...", action=_Append, help="watch a zone, three corners or more (may be repeated)"
    )
    group.add_argument(
        "--ignore", metavar="NAME=X1,Y1,...", action=_Append, help="count nothing in an area (may be repeated)"
    )
    group.add_argument(
        "--ground", metavar="WxL=X1,Y1,...", help="for speeds: a rectangle on the ground, W by L metres, four corners"
    )
    group.add_argument("--unit", choices=tuple(UNITS), help="unit of speeds (default: the scene's, else km/h)")
    group.add_argument("--interval", metavar="TIME", help=f"count by 30s, 15min, 1h ... (default: {d.interval})")
    group.add_argument(
        "--start-time",
        metavar="WHEN",
        help="time of the first frame, 2026-11-27T08:00+01:00 (default: guessed)",
    )


class _Append(argparse.Action):
    """Collects the values of an option into a tuple."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest, ()), values))


def _detector_options(group: Any) -> None:
    d = RunConfig()
    known = f"{', '.join(NAMES)}, or a file: {', '.join(SUFFIXES)}"
    group.add_argument("--detector", metavar="NAME|PATH", help=f"{known} (default: {d.detector})")
    group.add_argument(
        "--confidence",
        "--conf",
        metavar="F",
        type=float,
        help="smallest score of a detection (default: the detector's)",
    )
    group.add_argument(
        "--nms", metavar="F", type=float, help="overlap above which the weaker box goes (default: the detector's)"
    )
    group.add_argument("--classes", metavar="NAME,...", type=_names, help="classes to track (default: the detector's)")
    group.add_argument("--tiles", metavar="off|auto|CxR", help=f"overlapping tiles to detect in (default: {d.tiles})")
    group.add_argument(
        "--detail", choices=("auto", "fast", "fine"), help=f"how large a network sees a frame (default: {d.detail})"
    )
    group.add_argument(
        "--input-size",
        metavar="WxH[+WxH@ROW]",
        help="that size itself, in multiples of 32, for networks that take any; for rows from ROW on another",
    )
    group.add_argument("--unsafe", action="store_true",
                       help="run model files with operations or code that may touch files")  # fmt: skip
    group.add_argument("--offline", action="store_true", help="fetch no model")
    group.add_argument("--encoder", metavar="NAME|PATH",
                       help=f"default, colour, none, or frozen: .pb, .onnx, .xml (default: {d.encoder})")  # fmt: skip
    group.add_argument(
        "--appearance", choices=("always", "auto", "off"), help=f"which boxes to encode (default: {d.appearance})"
    )
    group.add_argument("--device", metavar="auto|cpu|gpu|gpu:N", help=f"where networks run (default: {d.device})")


FREEZE = tuple(n for n, (_, o) in freeze_options().items() if o.group != "result" and o.kind != "flag")
"""Options of `python -m freeze` that a run passes on; two have other names here, where --output is the folder."""


def _freeze_options(group: Any) -> None:
    for name in FREEZE:
        _, option = freeze_options()[name]
        dashed = f"--freeze-{name}" if name in ("input", "output") else f"--{name}"
        group.add_argument(dashed, dest=f"freeze:{name}", metavar=option.metavar, help=option.help)


def _tracker_options(group: Any) -> None:
    default, paper = OverlapConfig(), DeepSortConfig()
    group.add_argument(
        "--preset", choices=tuple(TRACKERS), help=f"the tracker to start from (default: {RunConfig().preset})"
    )
    group.add_argument(
        "--max-age", metavar="N", type=int,
        help=f"frames a track survives unseen (default: {default.max_lost_s:g} seconds; paper: {paper.max_age})",
    )  # fmt: skip
    group.add_argument("--n-init", metavar="N", type=int, help=f"hits that confirm a track (default: {default.n_init})")
    group.add_argument(
        "--max-cosine-distance", metavar="F", type=float,
        help=f"largest distance of features in a match, of preset paper (default: {paper.max_cosine_distance})",
    )  # fmt: skip
    group.add_argument("--min-iou", metavar="F", type=float,
                       help=f"least IoU of a match, of preset default (default: {default.min_iou})")  # fmt: skip
    group.add_argument(
        "--max-iou-distance", metavar="F", type=float,
        help=f"largest 1 - IoU of a match, of preset paper (default: {paper.max_iou_distance})",
    )  # fmt: skip
    group.add_argument(
        "--budget", metavar="N", type=int,
        help=f"features kept of a track, of preset paper (default: {paper.budget})",
    )  # fmt: skip


def _range_options(group: Any) -> None:
    d = RunConfig()
    group.add_argument("--start", metavar="N", type=int, help=f"first frame to track, 1-based (default: {d.start})")
    group.add_argument("--max-frames", metavar="N", type=int, help="frames to track (default: all)")
    group.add_argument("--stride", metavar="N", type=int, help=f"track every N-th frame (default: {d.stride})")
    group.add_argument("--detect-every", metavar="N", type=_every,
                       help="detect on every N-th tracked frame; auto: on as few of a recording's as its objects' "
                            f"speeds allow, on none that repeats one (default: {d.detect_every})")  # fmt: skip


def _frame_options(group: Any) -> None:
    d = RunConfig()
    _range_options(group)
    group.add_argument(
        "--target-fps", metavar="F", type=float, help="hold F frames per second by detecting and encoding less"
    )
    group.add_argument("--threads", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--sequential", dest="threads", action="store_false", help="one thread for all stages")
    group.add_argument("--rtsp-transport", choices=("tcp", "udp"),
                       help=f"how RTSP cameras send (default: {d.rtsp_transport})")  # fmt: skip
    group.add_argument("--reconnect", metavar="S", type=float,
                       help=f"seconds to try a lost live source again (default: {d.reconnect:g})")  # fmt: skip


def _every(text: str) -> int | str:
    """A number where it is one; what else it may be is for the configuration to say."""
    try:
        return int(text)
    except ValueError:
        return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _cure(text: str) -> str:
    """What to do with a model that is no encoder yet, by what it is; empty where nothing is there."""
    from freeze.errors import FreezeError
    from freeze.sniff import sniff

    try:
        kind = sniff(Path(text))
    except (FreezeError, OSError, ValueError):
        return ""
    if kind.option is None:
        return f": it is {kind.text}; {kind.remedy}"
    more = {"--checkpoint": " --meta M.meta", "--meta": " --checkpoint CKPT"}.get(kind.option, "")
    name = Path(text).resolve().stem or "encoder"
    return (
        f": it is {kind.text}; freeze it first: python -m freeze {kind.option} {text}{more} --out {name}.pb "
        f"(or run with {kind.option} {text}{more} in place of --encoder)"
    )


CODE = ("builder", "custom-objects")
"""Options to freeze that run a Python file."""


def _listed(sources: Sequence[str]) -> tuple[str, ...]:
    """The sources, folders and patterns of videos taken apart."""
    from tracker.video.sources import expand_source

    return tuple(one for text in sources for one in expand_source(text, lambda line: warn(f"warning: {line}")))


def build_config(given: dict[str, Any]) -> RunConfig:
    """Defaults, below the preset, below the file of `--config`, below the options.

    Raises
    ------
    ConfigError
        An unknown key, a value out of range, or no source.
    """
    given = dict(given)
    run, tracker = read_toml(given["config"]) if "config" in given else ({}, {})
    if not given.get("unsafe") and (code := [k for k in CODE if k in run.get("freeze", {})]):
        raise ConfigError(
            f"{given['config']}: [freeze] names Python code to run ({code[0]}); "
            "give --unsafe where you trust who wrote it"
        )
    tracker |= {k: v for k, v in given.items() if k in setting_names()}
    run |= {
        k: _listed(v) if k == "sources" else v
        for k, v in given.items()
        if k in RunConfig.__dataclass_fields__ and v != []
    }
    if given_freeze := {k.removeprefix("freeze:"): v for k, v in given.items() if k.startswith("freeze:")}:
        run["freeze"] = {**run.get("freeze", {}), **given_freeze}
    preset = run.get("preset", RunConfig().preset)
    encoder = run.get("encoder", RunConfig().encoder)
    own = isinstance(encoder, str) and encoder not in ("default", "colour", "none")
    if own and not encoder.lower().endswith(ENCODERS) and (cure := _cure(encoder)):
        raise ConfigError(f"encoder {encoder}{cure}")
    return RunConfig(**run, tracker=configure(preset, **tracker))
