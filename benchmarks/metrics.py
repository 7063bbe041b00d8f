"""HOTA, CLEAR and identity metrics of MOT result rows, computed by TrackEval from boxes in memory.

Ground truth is read as TrackEval's MOTChallenge path reads it: in MOT15 files boxes of confidence 0 do not exist; in
MOT16 and MOT17 files pedestrians of confidence 1 count, and results that match a bystander (on a vehicle, static, a
distractor or a reflection) are taken out first. Files that know no pedestrians count all classes, and results that
match a box of confidence 0 are taken out.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracker.core.boxes import iou, tlwh_to_xyxy
from tracker.core.mot import read_rows, read_seqinfo
from tracker.errors import BackendMissingError

COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "FP", "FN")
_PEDESTRIAN, _BYSTANDERS = 1, (2, 7, 8, 12)
_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Truth:
    """Ground truth of a sequence: rows (N,6) frame, id, left, top, width, height; which count, which are ignored."""

    name: str
    frames: int
    rows: np.ndarray
    counts: np.ndarray
    ignored: np.ndarray
    people: bool = True
    """The objects are people; else vehicles and others."""


def read_truth(folder: Path) -> Truth:
    """Reads `gt/gt.txt` and `seqinfo.ini` of a sequence folder.

    Raises
    ------
    SourceError, DetectionsError
        A file is missing or is not in MOT format.
    """
    path = folder / "gt" / "gt.txt"
    rows = read_rows(path, 10)
    sure = rows[:, 6] != 0
    mot15 = bool(np.isfinite(rows[:, 9]).all())
    people = mot15 or bool((rows[:, 7] == _PEDESTRIAN).any())
    if mot15:
        rows, counts, ignored = rows[sure], np.ones(sure.sum(), bool), np.zeros(sure.sum(), bool)
    elif people:
        counts, ignored = sure & (rows[:, 7] == _PEDESTRIAN), np.isin(rows[:, 7], _BYSTANDERS)
    else:
        counts, ignored = sure, ~sure
    return Truth(folder.name, read_seqinfo(folder).frames, rows[:, :6], counts, ignored, people)


@cache
def _metrics() -> tuple[Any, ...]:
    try:
        import trackeval
    except ImportError:
        raise BackendMissingError("accuracy needs TrackEval; install it with: pip install 'trackeval>=1.3'") from None
    with contextlib.redirect_stdout(io.StringIO()):
        quiet = {"PRINT_CONFIG": False}
        return trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet)


def evaluate(truth: Truth, rows: np.ndarray) -> dict[str, Any]:
    """TrackEval's results by metric of rows (N,6+) frame, id, left, top, width, height."""
    rows = np.asarray(rows, float).reshape(-1, rows.shape[1] if np.ndim(rows) == 2 else 6)[:, :6]
    frames = [_frame(truth, rows, frame) for frame in range(1, truth.frames + 1)]
    true_ids, true = _numbered([f[0] for f in frames])
    ids, found = _numbered([f[1] for f in frames])
    data = dict(
        num_timesteps=truth.frames, gt_ids=true_ids, tracker_ids=ids, similarity_scores=[f[2] for f in frames],
        gt_dets=true_ids, tracker_dets=ids, num_gt_ids=true, num_tracker_ids=found,
        num_gt_dets=sum(map(len, true_ids)), num_tracker_dets=sum(map(len, ids)),
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        return {type(metric).__name__: metric.eval_sequence(data) for metric in _metrics()}


def _frame(truth: Truth, rows: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids of what counts (G,) and of results (R,), and their IoU (G,R), results that match what is ignored left out."""
    mine, there = rows[rows[:, 0] == frame], truth.rows[:, 0] == frame
    given, counts, ignored = truth.rows[there], truth.counts[there], truth.ignored[there]
    similarity = iou(tlwh_to_xyxy(given[:, 2:6]), tlwh_to_xyxy(mine[:, 2:6]))
    if ignored.any() and len(mine):
        value = np.where(similarity < 0.5 - _EPS, 0, similarity)
        t, r = linear_sum_assignment(-value)
        kept = np.ones(len(mine), bool)
        kept[r[(value[t, r] > _EPS) & ignored[t]]] = False
        mine, similarity = mine[kept], similarity[:, kept]
    return given[counts, 1], mine[:, 1], similarity[counts]


def _numbered(ids: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """Ids of each frame as numbers from 0, and how many there are."""
    distinct = np.unique(np.concatenate(ids)) if ids else np.zeros(0)
    return [np.searchsorted(distinct, i) for i in ids], len(distinct)


def combine(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Results of several sequences as TrackEval combines them."""
    with contextlib.redirect_stdout(io.StringIO()):
        return {
            name: metric.combine_sequences({k: v[name] for k, v in results.items()})
            for metric in _metrics()
            for name in [type(metric).__name__]
        }


def figures(result: dict[str, Any]) -> dict[str, float]:
    """The columns of the table; shares in percent, HOTA averaged over its thresholds."""
    hota, clear, identity = result["HOTA"], result["CLEAR"], result["Identity"]
    shares = {name: 100 * float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA")}
    shares |= {"MOTA": 100 * float(clear["MOTA"]), "IDF1": 100 * float(identity["IDF1"])}
    return shares | {"IDSW": int(clear["IDSW"]), "FP": int(clear["CLR_FP"]), "FN": int(clear["CLR_FN"])}


def oracle(truth: Truth, boxes: list[np.ndarray]) -> np.ndarray:
    """Rows (N,6) of the best association: boxes (N,4) tlwh of each frame that match ground truth take its id."""
    out = []
    for frame, tlwh in enumerate(boxes, 1):
        there = (truth.rows[:, 0] == frame) & truth.counts
        given = truth.rows[there]
        similarity = iou(tlwh_to_xyxy(given[:, 2:6]), tlwh_to_xyxy(tlwh))
        t, d = linear_sum_assignment(-np.where(similarity >= 0.5, similarity, 0))
        good = similarity[t, d] >= 0.5
        out.append(np.column_stack([np.full(good.sum(), frame), given[t[good], 1], tlwh[d[good]]]))
    return np.concatenate(out) if out else np.zeros((0, 6))
