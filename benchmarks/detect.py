"""How well and how fast detectors see: average precision, best F1, recall by size and processor time, by input."""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.footage import frames, has_pixels, primer
from benchmarks.fps_rounds import machine, write_json
from benchmarks.metrics import Truth, read_truth
from tracker.core.boxes import iou, tlwh_to_xyxy
from tracker.core.tensorflow import processor
from tracker.core.types import Detections, Frame
from tracker.errors import TrackerError

PEOPLE, VEHICLES = ("person",), ("bicycle", "car", "motorcycle", "bus", "truck")
FAINTEST = 0.002
"""Least score of boxes: what scores less hardly moves the average precision."""
SIZES, TALL = ("small", "middle", "large"), (32, 96)
"""Boxes by the square root of their area, pixels, as COCO divides them."""
WINDOW = 10
"""Frames that each detector sees before the next one's turn."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="holds mot/ (default: TRACKER_DATA)")
    parser.add_argument(
        "--only", default="", metavar="NAME,...", help="sequences (default: all with pixels and ground truth)"
    )
    parser.add_argument(
        "--detectors", default="coco", metavar="D[@OPTION=VALUE[;...]],...",
        help="in turns on the same frames, such as coco,coco@input_size=512x384,ssdlite@tiles=off (default: coco)",
    )  # fmt: skip
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each N-th frame (default: 1)")
    parser.add_argument("--peers", action="store_true", help="the same networks in a whole-graph session and in OpenCV")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")


@dataclass
class Entrant:
    """A detector on a sequence: its boxes of the frames so far and the processor time of each."""

    name: str
    look: Callable[[Frame], Detections | None]
    about: Callable[[], str] = str
    found: list[Detections] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def main(args: argparse.Namespace) -> int:
    """Measure and print one row a sequence and detector."""
    root = args.data or (Path(os.environ["TRACKER_DATA"]) if "TRACKER_DATA" in os.environ else None)
    if root is None or not (root / "mot").is_dir():
        raise TrackerError("no data; give --data DIR, or set TRACKER_DATA: a folder that holds mot/")
    wanted = [n for n in args.only.split(",") if n]
    folders = [f for f in sorted((root / "mot").iterdir()) if has_pixels(f) and (not wanted or f.name in wanted)]
    if not folders:
        raise TrackerError(f"{root / 'mot'} holds no sequence with pixels named {args.only or 'anything'}")
    cv2.setNumThreads(1)
    print(f"{processor()}; processor time, one thread")
    print(HEAD)
    rows = []
    for folder in folders:
        truth = read_truth(folder)
        for entrant in measure(folder, args.detectors.split(","), args.every, people=truth.people, peers=args.peers):
            rows.append({"sequence": folder.name, "detector": entrant.name, **figures(truth, entrant, args.every)})
            print(line(rows[-1]), flush=True)
    if args.json:
        write_json(args.json, {"machine": machine(), "rows": rows})
    return 0


HEAD = (
    f"{'sequence':16} {'detector':36} {'AP50':>6} {'F1':>6} {'at':>5} {'small':>6} {'middle':>6} {'large':>6} {'ms':>7}"
)


def line(row: dict[str, Any]) -> str:
    """A row of the table; sizes without ground truth stay empty."""
    sizes = " ".join(f"{row[k]:6.3f}" if row[k] is not None else " " * 6 for k in SIZES)
    return (
        f"{row['sequence']:16} {row['detector']:36} {row['ap50']:6.3f} {row['f1']:6.3f} {row['at']:5.2f} {sizes} "
        f"{row['ms']:7.1f}  {row['view']}"
    )


def measure(
    folder: Path, specs: Sequence[str], every: int, *, people: bool = True, peers: bool = False
) -> list[Entrant]:
    """Run detectors over a sequence, some frames each in turn, so that what else the machine does hits all alike."""
    first, classes = primer(folder), PEOPLE if people else VEHICLES
    entrants = [_open(spec, first, classes) for spec in specs]
    if peers:
        entrants += [p for spec in specs for p in _peers(spec, first, classes)]
    numbered = (Frame(i, i / 25, im, (im.shape[1], im.shape[0])) for i, im in enumerate(frames(folder), 1))
    chosen = (f for f in numbered if (f.index - 1) % every == 0)
    while window := list(itertools.islice(chosen, WINDOW)):
        for entrant in entrants:
            entrant.look(window[0])  # caches are warm, as in a run
            for frame in window:
                start = time.process_time()
                found = entrant.look(frame)
                entrant.seconds.append(time.process_time() - start)
                entrant.found.append(found if found is not None else Detections.empty())
    return entrants


def _open(spec: str, first: Sequence[Frame], classes: Sequence[str], **given: Any) -> Entrant:
    """`coco@input_size=512x384;nms=0.6` and the like; numbers are read as such."""
    from detectors.registry import open_detector

    name, _, rest = spec.partition("@")
    options: dict[str, Any] = {"confidence": FAINTEST, "threads": 1, "device": "cpu", "faint": True, **given}
    for part in filter(None, rest.split(";")):
        key, _, value = part.partition("=")
        options[key] = float(value) if value.replace(".", "", 1).isdecimal() else value
    detector = open_detector(name, frames=first, classes=classes if name in ("auto", "coco") else None, **options)
    size = first[0].size
    return Entrant(spec, detector, lambda: f"{detector.runtime}, {_view(detector, size)}")


def _view(detector: Any, size: tuple[int, int]) -> str:
    return str(detector.view(size)) if hasattr(detector, "view") else "whole frames"


def _peers(spec: str, first: Sequence[Frame], classes: Sequence[str]) -> Iterator[Entrant]:
    """The same network as most programs run it: `ssdlite`'s whole graph in a session; `coco`'s and ONNX in others."""
    from benchmarks import naive

    name = spec.partition("@")[0]
    if name == "ssdlite":
        from detectors.tf_graph import ssdlite_path

        run = naive.whole_graph_detector(ssdlite_path(), FAINTEST)
        yield Entrant(
            "ssdlite, whole graph in a session",
            lambda frame: run(frame.image) if frame.image is not None else None,
            lambda: "whole frames",
        )
    elif name == "coco":
        yield replace(_open(spec, first, classes, runtime="tensorflow"), name=f"{spec}, TensorFlow session")


def figures(truth: Truth, entrant: Entrant, every: int) -> dict[str, Any]:
    """Average precision at IoU 0.5, best F1 and its score, recall by size at that score, median milliseconds."""
    scores, right, sides, hit = [], [], [], []
    for number, found in enumerate(entrant.found):
        given, ignored = _boxes(truth, 1 + number * every)
        owner, counted = match(found, given, ignored)
        scores.append(found.score[counted])
        right.append(owner[counted] >= 0)
        best = np.zeros(len(given))
        best[owner[owner >= 0]] = found.score[owner >= 0]
        sides.append(np.sqrt((given[:, 2:] - given[:, :2]).prod(axis=1)))
        hit.append(best)
    ap, f1, at = precision_recall(np.concatenate(scores), np.concatenate(right), sum(map(len, hit)))
    side, seen = np.concatenate(sides), np.concatenate(hit) >= at
    size = np.digitize(side, TALL)
    recall = {name: float(seen[size == i].mean()) if (size == i).any() else None for i, name in enumerate(SIZES)}
    return {
        "ap50": ap, "f1": f1, "at": at, **recall, "ms": 1e3 * float(np.median(entrant.seconds)),
        "view": entrant.about(), "frames": len(entrant.found),
    }  # fmt: skip


def _boxes(truth: Truth, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners (G,4) that count in a frame, and (I,4) that neither count nor are wrong."""
    there = truth.rows[:, 0] == frame
    corners = tlwh_to_xyxy(truth.rows[there, 2:6])
    return corners[truth.counts[there]], corners[truth.ignored[there]]


def match(found: Detections, given: np.ndarray, ignored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Greedy by score at IoU 0.5, as for VOC and COCO.

    Returns
    -------
    tuple of np.ndarray
        (N,) the row of `given` that each box found first, -1 for none; (N,) bool, those that are right or wrong: not
        what overlaps something ignored.
    """
    overlap, beside = iou(found.xyxy, given), iou(found.xyxy, ignored).max(axis=1, initial=0)
    owner, free = np.full(len(found), -1), np.ones(len(given), bool)
    for i in np.argsort(-found.score, kind="stable"):
        row = np.where(free, overlap[i], 0)
        if len(row) and row.max() >= 0.5:
            owner[i] = row.argmax()
            free[owner[i]] = False
    return owner, (owner >= 0) | (beside < 0.5)


def precision_recall(score: np.ndarray, right: np.ndarray, positives: int) -> tuple[float, float, float]:
    """Area under the falling precision over recall, the best F1 and the score that gives it."""
    order = np.argsort(-score, kind="stable")
    true = np.cumsum(right[order])
    if not positives or not len(true) or not true[-1]:
        return 0.0, 0.0, 1.0
    precision, recall = true / np.arange(1, len(true) + 1), true / positives
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    return float((np.diff(recall, prepend=0) * falling).sum()), float(f1[best]), float(score[order[best]])
