"""Counts against the truth: clips counted by eye, sequences with ground truth, and a drawn scene that is exact.

Clips (`DATA/counts/*.json`) go through the whole run with the default detector. Sequences (`DATA/*/NAME/gt`) give
truth by their own tracks over lines through the scene. The drawn scene tells crossings, speeds and dwell exactly.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tracker import DeepSort, Detections, Tracks
from tracker.answers.engine import Answers
from tracker.answers.scene import Line, Scene, Size
from tracker.core.mot import read_rows, read_seqinfo
from tracker.errors import BackendMissingError, SourceError

TOLERANCE_S = 0.5
"""A crossing of a sequence is right within so many seconds."""
SPAN = 5
"""Frames before and after an object lies on the line in which a crossing of a clip is right."""
LOW: dict[str, Any] = {"track_activation_threshold": 0.25, "high_conf_det_threshold": 0.25}
"""Of ByteTrack, as supervision had it; its own of today, 0.7 and 0.6, leave nothing of this detector's scores."""
SEGMENTS = 10
"""Parts of a clip whose running totals nwRMSE compares."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--data", type=Path, help="folder with counts/, videos/ and MOT sequences")
    parser.add_argument("--seeds", type=int, default=20, help="drawn scenes (%(default)s)")
    parser.add_argument("--only", default="", help="run only cases whose name contains one of these (A,B)")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="keep the runs of clips there, or use those kept")
    parser.add_argument("--peers", action="store_true", help="run supervision's LineZone over its ByteTrack too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")


@dataclass(frozen=True)
class Passing:
    """A crossing, counted or true: `first_s` to `last_s` is when it is right; `also` are classes that are right too."""

    line: str
    direction: str
    class_name: str
    first_s: float
    last_s: float
    doubtful: bool = False
    also: tuple[str, ...] = ()

    def is_a(self, class_name: str) -> bool:
        """Whether that class is right."""
        return class_name in (self.class_name, *self.also)


@dataclass(frozen=True)
class Score:
    """How counts compare with the truth.

    Attributes
    ----------
    geh : float
        GEH of the totals by line and direction, the largest: below 5 passes among traffic engineers (of hourly flows;
        here of what the clip shows).
    nwrmse : float
        1 - weighted error of running totals / total: 1 is exact, as the AI City Challenge counts.
    """

    case: str
    who: str
    true: int
    counted: int
    f1: float
    classes: float
    geh: float
    nwrmse: float


def judge(case: str, who: str, counted: Sequence[Passing], truth: Sequence[Passing], duration_s: float) -> Score:
    """Match crossings one to one by line, direction and time; those in doubt are neither missed nor wrong.

    Of the matches that are equally many, those with most classes right are taken.
    """
    from scipy.optimize import linear_sum_assignment

    sure = [t for t in truth if not t.doubtful]
    fits = np.array(
        [[_fits(c, t) * ((1 if t.doubtful else 2) + 1e-3 * t.is_a(c.class_name)) for t in truth] for c in counted]
    )
    fits = fits.reshape(len(counted), len(truth))
    pairs = [(n, k) for n, k in zip(*linear_sum_assignment(-fits), strict=True) if fits[n, k]]
    right = [(n, k) for n, k in pairs if not truth[k].doubtful]
    wrong, missed = len(counted) - len(pairs), len(sure) - len(right)
    f1 = 2 * len(right) / max(1, 2 * len(right) + wrong + missed)
    by_class = sum(truth[k].is_a(counted[n].class_name) for n, k in right)
    ours = [counted[n] for n in range(len(counted)) if not any(n == m and truth[k].doubtful for m, k in pairs)]
    share = by_class / max(1, len(right))
    return Score(case, who, len(sure), len(ours), f1, share, geh(ours, sure), nwrmse(ours, sure, duration_s))


def _fits(counted: Passing, true: Passing) -> bool:
    same = (counted.line, counted.direction) == (true.line, true.direction)
    return same and true.first_s <= counted.first_s <= true.last_s


def geh(counted: Sequence[Passing], truth: Sequence[Passing]) -> float:
    """The largest GEH statistic, sqrt(2 (m - c)^2 / (m + c)), over lines and directions."""
    m, c = (Counter((p.line, p.direction) for p in found) for found in (counted, truth))
    return max((float(np.sqrt(2 * (m[k] - c[k]) ** 2 / (m[k] + c[k]))) for k in m | c), default=0.0)


def nwrmse(counted: Sequence[Passing], truth: Sequence[Passing], duration_s: float) -> float:
    """Mean over lines, directions and true classes, weighted by their totals, as of the AI City Challenge's track 1."""
    ends = duration_s * np.arange(1, SEGMENTS + 1) / SEGMENTS
    weights = np.arange(1, SEGMENTS + 1) / (SEGMENTS * (SEGMENTS + 1) / 2)
    score = total = 0.0
    keys = Counter((t.line, t.direction, t.class_name) for t in truth)
    for (line, direction, name), count in keys.items():
        times = [
            np.sort([p.first_s if p in counted else (p.first_s + p.last_s) / 2 for p in found
                     if (p.line, p.direction) == (line, direction) and name in (p.class_name, *p.also)])
            for found in (counted, truth)
        ]  # fmt: skip
        mine, true = (np.searchsorted(t, ends) for t in times)
        error = float(np.sqrt((weights * (mine - true) ** 2).sum()))
        score, total = score + count * max(0.0, 1 - error / count), total + count
    return score / total if total else 1.0


# ---- clips counted by eye ---------------------------------------------------------------------------


def clips(args: argparse.Namespace) -> Iterator[Score]:
    """Score every clip of `DATA/counts`."""
    for path in sorted((args.data / "counts").glob("*.json")):
        told = json.loads(path.read_text())
        if not _asked(path.stem, args.only):
            continue
        fps, duration_s = told["fps"], told["frames"] / told["fps"]
        truth = [
            Passing(
                c["line"], c["direction"], c["class"], (c["span"][0] - SPAN) / fps, (c["span"][1] + SPAN) / fps,
                c["doubtful"], tuple(c.get("also", ())),
            )
            for c in told["crossings"]
        ]  # fmt: skip
        folder = (args.runs or Path("runs") / "counting") / path.stem
        kept = args.runs is not None and (folder / "tracks.csv").is_file()
        lines = [(line["name"], line["points"]) for line in told["lines"]]
        yield judge(path.stem, "ours", _run(args.data / told["video"], folder, lines, kept=kept), truth, duration_s)
        if args.peers:
            for name, counted in _peers(args.data / told["video"], lines).items():
                yield judge(path.stem, name, counted, truth, duration_s)


def _run(video: Path, folder: Path, lines: Sequence[tuple[str, Any]], *, kept: bool) -> list[Passing]:
    """Crossings of a whole run, or of one that was kept, counted anew."""
    from tracker.app.cli import main

    asked = [f"--line={name}={x1},{y1},{x2},{y2}:right/left" for name, ((x1, y1), (x2, y2)) in lines]
    given = (
        ["count", str(folder)] if kept else ["run", str(video), "--output", str(folder), "--overwrite", "--no-video"]
    )
    if code := main([*given, *asked, "-q"]):
        raise SourceError(f"{video}: the run ended with code {code}")
    with open(folder / "crossings.csv", newline="") as file:
        return [
            Passing(c["line"], c["direction"], c["class"], float(c["time_s"]), float(c["time_s"]))
            for c in csv.DictReader(file)
        ]


def _peers(video: Path, lines: Sequence[tuple[str, Any]]) -> dict[str, list[Passing]]:
    """supervision's line counter over its ByteTrack, with our default detector's boxes."""
    import supervision as sv
    from trackers import ByteTrackTracker

    from detectors.registry import open_detector
    from tracker.video.sources import open_source

    anchors: dict[str, dict[str, Any]] = {
        "LineZone": {},
        "LineZone BOTTOM_CENTER": {"triggering_anchors": [sv.Position.BOTTOM_CENTER]},
    }
    with open_source(str(video)) as source:
        detector = open_detector("auto", faint=True, frames=source.primer())  # as the run opens it
        zones = {
            who: [sv.LineZone(sv.Point(*a), sv.Point(*b), **options) for _, (a, b) in lines]
            for who, options in anchors.items()
        }
        tracker = ByteTrackTracker(frame_rate=source.info.fps, **LOW)
        found: dict[str, list[Passing]] = defaultdict(list)
        for frame in source:
            boxes = detector(frame) or Detections.empty()
            seen: Any = tracker.update(
                sv.Detections(boxes.xyxy.copy(), confidence=boxes.score.copy(), class_id=boxes.class_id.astype(int))
            )
            seen = seen[seen.tracker_id >= 0]
            for who, those in zones.items():
                for (name, _), zone in zip(lines, those, strict=True):
                    for direction, mask in zip(("left", "right"), zone.trigger(seen), strict=True):
                        found[who] += [
                            Passing(name, direction, detector.class_names[c], frame.time_s, frame.time_s)
                            for c in seen.class_id[mask].tolist()
                        ]
        detector.close()
    return {who: found[who] for who in anchors}


# ---- sequences with ground truth --------------------------------------------------------------------


def sequences(args: argparse.Namespace) -> Iterator[Score]:
    """Score every sequence that has ground truth and detections: lines through the middle, up and across."""
    for folder in sorted(p.parent for p in args.data.glob("*/*/seqinfo.ini")):
        files = sorted((folder / "det").glob("*.txt"), key=lambda p: ("FRCNN" not in p.name, p.name))
        if not files or not (folder / "gt" / "gt.txt").is_file() or not _asked(folder.name, args.only):
            continue
        info = read_seqinfo(folder)
        truth = read_rows(folder / "gt" / "gt.txt")
        truth = truth[truth[:, 6] > 0]
        middle = float(np.median(truth[:, 3] + truth[:, 5])) / info.size[1]
        lines = (
            Line("across", np.array([[0.02, middle], [0.98, middle]])),
            Line("upright", np.array([[0.5, 0.02], [0.5, 0.98]])),
        )
        right = [Passing(p.line, p.direction, "", p.first_s - TOLERANCE_S, p.last_s + TOLERANCE_S)
                 for p in count_rows(truth, lines, info.size, info.fps)]  # fmt: skip
        ours = count_rows(_track(read_rows(files[0]), info.size, info.fps, info.frames), lines, info.size, info.fps)
        yield judge(folder.name, "ours", ours, right, info.frames / info.fps)


def _track(rows: np.ndarray, size: Size, fps: float, frames: int) -> np.ndarray:
    """Rows of tracks (M,7) from rows of detections, motion alone."""
    tracker = DeepSort()
    found = []
    for frame in range(1, frames + 1):
        mine = rows[rows[:, 0] == frame]
        mine = mine[(mine[:, 4] > 0) & (mine[:, 5] > 0)]
        boxes = Detections(np.column_stack([mine[:, 2:4], mine[:, 2:4] + mine[:, 4:6]]), mine[:, 6])
        tracks = tracker.update(boxes, time_s=(frame - 1) / fps, frame_size=size).written
        tlwh = np.column_stack([tracks.xyxy[:, :2], tracks.xyxy[:, 2:] - tracks.xyxy[:, :2]])
        found.append(np.column_stack([np.full(len(tracks), frame), tracks.id, tlwh, tracks.score]))
    return np.concatenate(found)


def count_rows(rows: np.ndarray, lines: Sequence[Line], size: Size, fps: float) -> list[Passing]:
    """Crossings of MOT rows (M,7), of one class."""
    answers = Answers(Scene(lines=tuple(lines)), size, ("object",))
    crossings = []
    for frame in np.unique(rows[:, 0]).tolist():
        mine = rows[rows[:, 0] == frame]
        crossings += answers.update(snapshot(mine[:, 1], mine[:, 2:6], mine[:, 6]), (frame - 1) / fps).crossings
    crossings += answers.finish().crossings
    return [Passing(c.line, c.direction, "", c.time_s, c.time_s) for c in crossings]


def snapshot(ids: np.ndarray, tlwh: np.ndarray, score: np.ndarray, class_id: np.ndarray | None = None) -> Tracks:
    """Rows of one frame as tracks."""
    count = len(ids)
    return Tracks(
        ids.astype(np.int64), np.column_stack([tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]]), score.astype(np.float32),
        np.zeros(count, np.int32) if class_id is None else class_id.astype(np.int32), np.full(count, -1),
        np.ones(count, bool), np.zeros(count, np.int64), np.ones(count, bool),
    )  # fmt: skip


# ---- the command ------------------------------------------------------------------------------------


def main(args: argparse.Namespace) -> int:
    """Print the figures; 0, since nothing is judged here."""
    from benchmarks import counting_cost, counting_drawn

    if args.peers and not (find_spec("supervision") and find_spec("trackers")):
        raise BackendMissingError("--peers needs supervision and its ByteTrack; pip install supervision trackers")
    scores: list[Score] = []
    if args.data is not None:
        print(f"{'case':26} {'who':24} {'true':>5} {'counted':>7} {'F1':>6} {'class':>6} {'GEH':>5} {'nwRMSE':>7}")
        for score in chain(clips(args), sequences(args)):
            scores.append(score)
            print(
                f"{score.case:26} {score.who:24} {score.true:5} {score.counted:7} {score.f1:6.3f} {score.classes:6.3f} "
                f"{score.geh:5.2f} {score.nwrmse:7.3f}", flush=True,
            )  # fmt: skip
        for who in dict.fromkeys(s.who for s in scores):
            mine = [s for s in scores if s.who == who]
            total, counted = sum(s.true for s in mine), sum(s.counted for s in mine)
            print(f"{'all':26} {who:24} {total:5} {counted:7} {np.mean([s.f1 for s in mine]):6.3f} (mean of cases)")
    drawn = counting_drawn.report(args.seeds) if args.seeds and _asked("drawn", args.only) else {}
    cost = counting_cost.report() if _asked("cost", args.only) else {}
    if args.json is not None:
        figures = {"scores": [asdict(s) for s in scores], "drawn": drawn, "cost_ms": cost}
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.stdout.flush()
    return 0


def _asked(name: str, only: str) -> bool:
    return not only or any(part in name for part in only.split(","))
