"""HOTA, IDF1, MOTA and identity switches of ours and the peers on the same detections and features.

Every sequence folder in `--data`, or one folder further down, is run with each of its public detection files and, where
it has pixels, with our detectors; features come from our encoder where there are pixels. The oracle gives each
detection the identity of the ground truth it matches and drops the rest: no association of these boxes can do better.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import metrics, peers
from benchmarks.causes import CAUSES, causes
from benchmarks.footage import primer
from benchmarks.groups import GROUPS, UNITS, camera_motion, group_of
from tracker import DeepSort, Detections
from tracker.core.boxes import xyxy_to_tlwh
from tracker.core.mot import read_rows, read_seqinfo
from tracker.core.types import Frame
from tracker.encoder.runtime import FrozenEncoder
from tracker.errors import SourceError, TrackerError
from tracker.tracking.trackers import configure
from tracker.video.frame_source import FrameRange
from tracker.video.sequences import open_sequence

NAMES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
PEOPLE, VEHICLES = ("person",), NAMES[1:]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options on a parser."""
    parser.add_argument("--data", type=Path, required=True, help="folder of MOT sequence folders with ground truth")
    parser.add_argument("--only", default="", help="run only cases whose name contains one of these (A,B)")
    parser.add_argument("--group", choices=GROUPS, help="run only this group of sequences")
    parser.add_argument("--without", choices=UNITS, action="append", default=[], help="leave a unit of ours out")
    parser.add_argument("--errors", action="store_true", help="print identity switches and lost tracks by cause")
    parser.add_argument("--detectors", default="ssdlite,coco,motion", help="ours, where there are pixels (%(default)s)")
    parser.add_argument("--encoder", default="default", help="default, colour, none or PATH.pb (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a tracker setting of ours")
    parser.add_argument("--peers", action="store_true", help="run the installed peers too")
    parser.add_argument(
        "--tracks", type=Path, metavar="DIR",
        help="write the tracks of each run to DIR/TRACKER/CASE.txt; files DIR/CASE.txt that are there are scored too",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")


@dataclass
class Case:
    """A sequence with one source of detections: what every tracker is given, frame by frame."""

    name: str
    folder: Path
    group: str
    frames: list[Detections]
    size: tuple[int, int]
    fps: float
    class_names: tuple[str, ...] = ()
    even_score: float | None = None
    features: list[np.ndarray] | None = None
    people: bool = True
    warps: list[np.ndarray] | None = None
    truth: metrics.Truth = field(init=False)

    def __post_init__(self) -> None:
        self.truth = metrics.read_truth(self.folder)


def sequences(data: Path) -> list[Path]:
    """Sequence folders with ground truth."""
    files = [*data.glob("*/seqinfo.ini"), *data.glob("*/*/seqinfo.ini")]
    found = sorted(p.parent for p in files if (p.parent / "gt" / "gt.txt").exists())
    if not found:
        raise SourceError(f"{data} holds no sequence folders with seqinfo.ini and gt/gt.txt; expected MOT sequences")
    return found


def cases(args: argparse.Namespace) -> Iterator[Case]:
    """Every case, with its detections and features, one at a time."""
    from detectors import store

    asked = [name for name in args.only.split(",") if name]
    encoder = open_encoder(args.encoder) if args.group in (None, "public", "own") else None
    for folder in sequences(args.data):
        with open_sequence(folder, FrameRange()) as source:
            first = next(iter(source), None)
        pixels = first is not None and first.image is not None
        files = sorted((folder / "det").glob("*.txt"), key=lambda p: ("FRCNN" not in p.name, p.name))
        detectors = [d for d in args.detectors.split(",") if d and pixels]
        detectors = [d for d in detectors if d != ("motion" if files else "ssdlite")]
        for number, spec in enumerate([*map(str, files), *detectors]):
            public = number < len(files)
            label = folder.name if public and number == 0 else f"{folder.name}@{Path(spec).stem}"
            if asked and not any(a in label for a in asked):
                continue
            group = group_of(folder, Path(spec).name, public=public, camera=False)
            if args.group not in (None, group) and not (args.group == "mot17-camera" and group == "mot17"):
                continue
            if spec == "coco" and not store.is_kept("coco"):
                print(f"{label}: left out; python -m detectors fetch coco gets the detector", file=sys.stderr)
                continue
            case = prepare(label, folder, spec, group, encoder if pixels else None, bool(files))
            if args.group != "mot17-camera":
                yield case
            if group == "mot17" and args.group != "mot17":
                warps = camera_motion(folder, len(case.frames))
                yield replace(case, name=f"{label}, camera motion", group="mot17-camera", warps=warps)


def open_encoder(name: str) -> FrozenEncoder | None:
    """The encoder of that name or file; None for `none`."""
    if name == "none":
        return None
    from freeze.api import frozen_default

    return FrozenEncoder.open(frozen_default(name) if name in ("default", "colour") else name)


def prepare(label: str, folder: Path, spec: str, group: str, encoder: FrozenEncoder | None, people: bool) -> Case:
    """Runs detector and encoder over a sequence, as `tracker run` would."""
    from detectors.registry import open_detector

    info = read_seqinfo(folder)
    own = not spec.endswith(".txt")
    first = primer(folder) if own else []
    classes = (PEOPLE if people else VEHICLES) if spec == "coco" else None
    detector = open_detector(spec, frames=first, classes=classes, faint=True)
    frames, features, size = [], [], info.size
    with open_sequence(folder, FrameRange()) as source:
        for frame in source:
            found = detector(frame) or Detections.empty()
            frames.append(found)
            size = frame.size
            if encoder is not None:
                features.append(embed(encoder, frame, found))
    even = detector.even_score(size)
    detector.close()
    case = Case(label, folder, group, frames, size, info.fps, detector.class_names, even, people=people)
    case.features = features if encoder is not None else None
    return case


def embed(encoder: FrozenEncoder, frame: Frame, found: Detections) -> np.ndarray:
    """Features of a frame's detections, (N,D); none where the frame has no pixels."""
    if frame.image is None or len(found) == 0:
        return np.zeros((0, encoder.dimension), np.float32)
    return encoder.embed(frame.image, found.xyxy)


def ours(case: Case, preset: str, settings: dict[str, Any]) -> np.ndarray:
    """Rows (N,6) of our tracks."""
    tracker = DeepSort(configure(preset, **settings), class_names=case.class_names, even_score=case.even_score)
    out = []
    for index, found in enumerate(case.frames):
        features = None if case.features is None else case.features[index]
        warp = None if case.warps is None else case.warps[index]
        tracks = tracker.update(found, features, time_s=index / case.fps, frame_size=case.size, warp=warp).written
        out.append(np.column_stack([np.full(len(tracks), index + 1), tracks.id, xyxy_to_tlwh(tracks.xyxy)]))
    return np.concatenate(out)


def theirs(case: Case, entry: peers.Entry) -> np.ndarray | None:
    """Rows (N,6) of a peer's tracks; None if it cannot do without the features that are missing."""
    with_features = case.features is not None and entry.takes_features
    if entry.needs_features and not with_features:
        return None
    peer = entry.start(peers.Sequence(case.fps, case.size), features=with_features)
    out = []
    for index, found in enumerate(case.frames):
        features = case.features[index] if with_features and case.features is not None else None
        rows = peer.update(found.xyxy, found.score, found.class_id, features)
        out.append(np.column_stack([np.full(len(rows.id), index + 1), rows.id, xyxy_to_tlwh(rows.xyxy)]))
    return np.concatenate(out)


def run_case(case: Case, args: argparse.Namespace, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Results by tracker."""
    found: dict[str, np.ndarray | None] = {}
    start = time.perf_counter()
    found["ours default"] = ours(case, "default", settings)
    print(f"{case.name}: {len(case.frames)} frames, {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    found["ours paper"] = ours(case, "paper", {})
    for entry in peers.installed() if args.peers else []:
        found[entry.name] = theirs(case, entry)
    if args.tracks is not None:
        for name, rows in found.items():
            if rows is not None:
                path = args.tracks / name.replace(" ", "-") / f"{case.name}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savetxt(path, np.column_stack([rows, np.ones(len(rows))]), "%d,%d,%.2f,%.2f,%.2f,%.2f,%g,-1,-1,-1")
        given = args.tracks / f"{case.name}.txt"
        if given.exists():
            found[args.tracks.name] = read_rows(given, 6)
    if args.errors and found["ours default"] is not None:
        print_causes(case, found["ours default"])
    found["oracle"] = metrics.oracle(case.truth, [xyxy_to_tlwh(d.xyxy) for d in case.frames])
    return {name: metrics.evaluate(case.truth, rows) for name, rows in found.items() if rows is not None}


def print_causes(case: Case, rows: np.ndarray) -> None:
    """Prints why our tracks lost identities."""
    for kind, counts in causes(case.truth, rows, [xyxy_to_tlwh(d.xyxy) for d in case.frames]).items():
        print(f"{case.name:34}{kind:10}" + "".join(f"{cause} {counts[cause]:4d}   " for cause in CAUSES))


def table(title: str, results: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Prints a table, best HOTA first, and returns its figures."""
    rows = {name: metrics.figures(result) for name, result in results.items()}
    print(f"\n{title:34}" + "".join(f"{c:>8}" for c in metrics.COLUMNS))
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["HOTA"]):
        print(f"  {name:32}" + "".join(f"{v:8.2f}" if isinstance(v, float) else f"{v:8d}" for v in row.values()))
    sys.stdout.flush()
    return rows


def main(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    settings = {k: v for unit in args.without for k, v in UNITS[unit].items()} | parse(args.set)
    configure("default", **settings)
    report: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for case in cases(args):
        results = run_case(case, args, settings)
        report[case.name] = table(f"{case.name}, {'motion alone' if case.features is None else 'with looks'}", results)
        for name, result in results.items():
            groups.setdefault(case.group, {}).setdefault(name, {})[case.name] = result
    if not report:
        raise SourceError(f"no case of {args.data} was run; expected detection files, pixels, or another --only")
    report |= summary(groups)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def summary(groups: dict[str, dict[str, dict[str, dict[str, Any]]]]) -> dict[str, dict[str, Any]]:
    """Prints the table of each group, sequences combined, and the means of the groups."""
    report: dict[str, dict[str, Any]] = {}
    for group in sorted(groups, key=GROUPS.index):
        count = len(groups[group]["oracle"])
        whole = {name: r for name, r in groups[group].items() if len(r) == count}
        combined = {name: metrics.combine(r) for name, r in whole.items()}
        report[f"group {group}"] = table(f"group {group}: {count} sequences", combined)
    names = [n for n in next(iter(report.values())) if all(n in rows for rows in report.values())]
    print(f"\n{f'mean of {len(report)} groups':34}{'HOTA':>8}{'IDF1':>8}")
    means = {n: {m: float(np.mean([rows[n][m] for rows in report.values()])) for m in ("HOTA", "IDF1")} for n in names}
    for name, row in sorted(means.items(), key=lambda item: -item[1]["HOTA"]):
        print(f"  {name:32}{row['HOTA']:8.2f}{row['IDF1']:8.2f}")
    return report | {"mean of the groups": means}


def parse(pairs: list[str]) -> dict[str, Any]:
    """`NAME=VALUE` settings; values are JSON.

    Raises
    ------
    TrackerError
        No value, or one that is not JSON.
    """
    settings = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            raise TrackerError(f"--set {pair}: expected NAME=VALUE with a number, true or false") from None
    return settings
