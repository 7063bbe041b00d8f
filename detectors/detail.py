"""How much detail a network needs on a source: measured on a few frames, by what several views of them agree on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from detectors.suppression import nms
from detectors.views import STEP, Band, Size, View
from tracker.core.autotune import cached
from tracker.core.boxes import area, iou
from tracker.core.tensorflow import processor
from tracker.core.types import Detections, Frame

FRAMES = 6
"""Frames that are looked at."""
FEWEST = 6
"""Objects, all frames together, from which the measurement counts."""
MISSED, CLOSELY = 0.2, 3
"""By so much of a sure score a coarse view misses what a finer one sees; a second look needs so many of these."""
LARGEST = 0.7
"""Share of a frame's rows from which a look at them is one at the whole frame."""
OCTAVE, BEYOND = 0.015, 0.15
"""Share of what there is that a look twice as costly must find more; and so much more beyond `ORDINARY`."""
ORDINARY = 300_000
"""Pixels of a look that two cores with AVX2 have time for, 12 times a second and with all else that a run does."""
SECOND = 0.03
"""The same for a second look at some rows, which are chosen by what a few frames show."""

REMEMBERED = 500
"""Measurements that are kept, the latest."""


@dataclass(frozen=True)
class Choice:
    """A view's number, None where too little is to be seen, the rows looked at besides, and what was measured."""

    view: int | None = None
    band: Band | None = None
    why: str = ""


def remembered(network: str, frames: Sequence[Frame], measure: Callable[[], Choice]) -> Choice:
    """What `measure` gives for a network and frames, from the cache where both were met before.

    The key is all that the outcome depends on, the pixels and this package's code as well: what is remembered is what
    would be measured.
    """
    digest = hashlib.sha256(f"{network}, {processor()}, {_code()}".encode())
    for frame in frames:
        digest.update(f"{frame.size}".encode())
        digest.update(np.ascontiguousarray(frame.image).data)
    outcome = cached("views", digest.hexdigest(), lambda: asdict(measure()), most=REMEMBERED)
    try:
        band = outcome["band"] and Band(tuple(map(int, outcome["band"]["size"])), int(outcome["band"]["top"]))  # type: ignore[arg-type]
        return Choice(None if outcome["view"] is None else int(outcome["view"]), band, str(outcome["why"]))
    except (KeyError, TypeError, ValueError):
        return measure()


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


def choose(views: Sequence[View], found: Sequence[Sequence[Detections]], kind: np.ndarray, sure: float) -> Choice:
    """The view that is worth most: what it finds of what there is, less what it costs.

    An object is what two views or more agree on, one of them with a sure score: what only one sees may be wrong. Of two
    views, what either is sure of. An object counts by the root of its size: what is far is counted when it is near, if
    ever. Where a coarse view of the whole misses things that lie in some rows alone, these are looked at as well: large
    inputs lose what is near, small ones what is far.

    Parameters
    ----------
    views : sequence of View
        Cheapest first, of frames of one size.
    found : sequence of sequence of Detections
        By view and frame.
    kind : np.ndarray
        Class ids to what is taken for one class.
    sure : float
        Score of an object.

    Returns
    -------
    Choice
        Its band is among the candidates where views are of the whole frame alone.
    """
    objects = [_objects([view[f] for view in found], kind, sure) for f in range(len(found[0]))]
    boxes, seen = (np.concatenate(parts) for parts in zip(*objects, strict=True))
    if len(boxes) < FEWEST:
        return Choice()
    recall = np.minimum(seen / sure, 1)
    root = area(boxes) ** 0.25
    weight = root / root.sum()
    candidates = [(n, band, float(weight @ sees)) for n, band, sees in _candidates(views, recall, boxes)]
    number, band, finds = max(candidates, key=lambda c: _worth(replace(views[c[0]], band=c[1]), c[2]))
    there = float(weight @ recall.max(axis=1))
    return Choice(number, band, f"finds {finds / there:.0%} of what all sizes together find in {len(found[0])} frames")


def _candidates(
    views: Sequence[View], recall: np.ndarray, boxes: np.ndarray
) -> Iterator[tuple[int, Band | None, np.ndarray]]:
    """Views by number, and what (O,) each sees of the objects; then those with rows as a finer one sees them."""
    for n in range(len(views)):
        yield n, None, recall[:, n]
    for n, m in combinations(range(len(views)), 2):
        coarse, fine = recall[:, n], recall[:, m]
        for band in _bands(views[m], boxes[fine - coarse > MISSED]):
            top, bottom = band.rect(_size(views[n]))[0, 1::2]
            inside = (boxes[:, 1] >= top) & (boxes[:, 3] <= bottom)
            yield n, band, np.where(inside, np.maximum(coarse, fine), coarse)


def _worth(view: View, finds: float) -> float:
    """What a view finds, less what it costs."""
    octaves = OCTAVE * np.log2(view.cost) + BEYOND * max(0.0, np.log2(view.cost / ORDINARY))
    return float(finds - octaves - (SECOND if view.band else 0.0))


def _size(view: View) -> Size:
    """Of the frames that are looked at."""
    width, height = view.rects[-1, 2:].tolist()
    return width, height


def _bands(finer: View, missed: np.ndarray) -> list[Band]:
    """Rows of a view's size that hold the missed boxes (M,4), all or most of them, with half their height around."""
    if finer.size is None or finer.grid != (1, 1) or len(missed) < CLOSELY:
        return []
    frame = _size(finer)
    scale = finer.size[0] / frame[0]
    margin = (missed[:, 3] - missed[:, 1]) / 2
    bands = []
    for share in (0.0, 0.1):
        top, bottom = np.quantile(missed[:, 1] - margin, share), np.quantile(missed[:, 3] + margin, 1 - share)
        rows = STEP * int(np.ceil((bottom - top) * scale / STEP))
        if rows < LARGEST * finer.size[1]:
            bands.append(Band((finer.size[0], rows), int(np.clip(top, 0, frame[1] - rows / scale))))
    return bands


def _objects(views: Sequence[Detections], kind: np.ndarray, sure: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (O,4) of one frame's objects and (O,V) the score with which each view sees each; 0 where it does not."""
    xyxy = np.concatenate([d.xyxy for d in views])
    score = np.concatenate([d.score for d in views])
    class_id = kind[np.concatenate([d.class_id for d in views])]
    objects = nms(xyxy, score, class_id, 0.5)
    objects = objects[score[objects] >= sure]
    seen = np.zeros((len(objects), len(views)))
    for column, view in enumerate(views):
        same = (iou(xyxy[objects], view.xyxy) >= 0.5) & (class_id[objects, None] == kind[view.class_id][None])
        seen[:, column] = np.where(same, view.score[None], 0).max(axis=1, initial=0)
    agreed = (seen > 0).sum(axis=1) >= min(2, len(views) - 1)
    return xyxy[objects][agreed], seen[agreed]
