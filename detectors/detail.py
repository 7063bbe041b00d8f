"""How much detail a network needs on a source: measured on a few frames, by what several views of them agree on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from detectors.suppression import nms
from tracker.core.autotune import cached
from tracker.core.boxes import iou
from tracker.core.tensorflow import processor
from tracker.core.types import Detections, Frame

FRAMES = 6
"""Frames that are looked at."""
FEWEST = 6
"""Objects, all frames together, from which the measurement counts."""
LOSS = 0.03
"""Share of what the best view finds that a cheaper one may miss."""

REMEMBERED = 500
"""Measurements that are kept, the latest."""

Choice = tuple[int | None, str]
"""A view's number, None where too little is to be seen, and what was measured."""


def remembered(network: str, frames: Sequence[Frame], measure: Callable[[], Choice]) -> Choice:
    """What `measure` gives for a network and frames, from the cache where both were met before.

    The key is all that the outcome depends on, the pixels and this package's code as well: what is remembered is what
    would be measured.
    """
    digest = hashlib.sha256(f"{network}, {processor()}, {_code()}".encode())
    for frame in frames:
        digest.update(f"{frame.size}".encode())
        digest.update(np.ascontiguousarray(frame.image).data)
    outcome = cached(
        "views", digest.hexdigest(), lambda: dict(zip(("view", "why"), measure(), strict=True)), most=REMEMBERED
    )
    view = outcome.get("view")
    return view if isinstance(view, int) else None, str(outcome.get("why"))


@cache
def _code() -> str:
    """A digest of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def spread(frames: Sequence[Frame]) -> list[Frame]:
    """A few of the frames, far apart."""
    return [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, FRAMES).astype(int))]


def cheapest(found: Sequence[Sequence[Detections]], kind: np.ndarray, sure: float) -> Choice:
    """The first view that finds nearly what the best finds.

    An object is what two views or more agree on, one of them with a sure score: what only one sees may be wrong. Of two
    views, what either is sure of.

    Parameters
    ----------
    found : sequence of sequence of Detections
        By view, cheapest first, and frame.
    kind : np.ndarray
        Class ids to what is taken for one class.
    sure : float
        Score of an object.

    Returns
    -------
    tuple of int or None and str
        See `Choice`.
    """
    scores = [_scores([view[f] for view in found], kind, sure) for f in range(len(found[0]))]
    objects = np.concatenate(scores) if scores else np.zeros((0, len(found)))
    if len(objects) < FEWEST:
        return None, ""
    recall = np.minimum(objects / sure, 1).mean(axis=0)
    chosen = int(np.argmax(recall >= recall.max() - LOSS))
    return chosen, f"finds {recall[chosen] / recall.max():.0%} of what the best size finds in {len(found[0])} frames"


def _scores(views: Sequence[Detections], kind: np.ndarray, sure: float) -> np.ndarray:
    """(O,V) the score with which each view sees each object of one frame; 0 where it does not."""
    xyxy = np.concatenate([d.xyxy for d in views])
    score = np.concatenate([d.score for d in views])
    class_id = kind[np.concatenate([d.class_id for d in views])]
    objects = nms(xyxy, score, class_id, 0.5)
    objects = objects[score[objects] >= sure]
    seen = np.zeros((len(objects), len(views)))
    for column, view in enumerate(views):
        same = (iou(xyxy[objects], view.xyxy) >= 0.5) & (class_id[objects, None] == kind[view.class_id][None])
        seen[:, column] = np.where(same, view.score[None], 0).max(axis=1, initial=0)
    agreed: np.ndarray = seen[(seen > 0).sum(axis=1) >= min(2, len(views) - 1)]
    return agreed
