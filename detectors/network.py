"""What every detector network shares: views of a frame in, one set of boxes in the frame's pixels out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from detectors import detail
from detectors.options import NetworkOptions
from detectors.runners.base import Runner
from detectors.suppression import nms, of_any, of_closer
from detectors.tiles import cut_by_tile
from detectors.views import DETAILS, FAST, Size, View, asked_view, fixed_views, free_views, parse_size
from tracker.core.boxes import clip
from tracker.core.classes import ALIKE, wanted_classes
from tracker.core.tensorflow import cores
from tracker.core.text import label
from tracker.core.types import Detections, Frame
from tracker.errors import ConfigError, DetectorError

MOST_CANDIDATES, MOST_BOXES = 3000, 500
"""Boxes of a frame that are compared, and that are kept: the best by score. A crowd of MOT20 has 250 people."""
APART_S, FARTHEST_S = 0.7, 10.0
"""Seconds between frames that a view is chosen by during a run, at first and at most."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a network sees in one picture.

    Attributes
    ----------
    xyxy : np.ndarray
        (K,4) corners as shares of the picture.
    score, class_id : np.ndarray
        (K,) each.
    """

    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray

    def best(self, count: int) -> Candidates:
        """Those that score most; itself where there are no more."""
        if len(self.score) <= count:
            return self
        rows = np.sort(np.argpartition(-self.score, count)[:count])
        return Candidates(self.xyxy[rows], self.score[rows], self.class_id[rows])


def batch_of(images: Sequence[np.ndarray], size: Size) -> np.ndarray:
    """Uint8 BGR pictures of any size as one RGB batch (N,H,W,3) of `size` (width, height), each stretched to it."""
    batch = np.empty((len(images), size[1], size[0], 3), np.uint8)
    for image, place in zip(images, batch, strict=True):
        cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB, dst=place)
    return batch


def two_at_a_time(
    look: Callable[[View], list[Detections]], views: Sequence[View], workers: int
) -> list[list[Detections]]:
    """What views, cheapest first, show: inferences leave half of the processor to a run, which has not begun yet.

    Views that take much memory are looked at one after the other, the others beside them. The first one is looked at
    alone: what a runtime makes at its first use is not made twice.
    """
    first, *views = views
    cheap = deque(v for v in reversed(views) if v.cost <= detail.ORDINARY)
    found: dict[View, list[Detections]] = {first: look(first)}

    def work(costly: Sequence[View]) -> None:
        for view in costly:
            found[view] = look(view)
        with suppress(IndexError):  # the deque is empty
            while True:
                view = cheap.popleft()
                found[view] = look(view)

    with ThreadPoolExecutor(workers, "views") as pool:
        for done in [pool.submit(work, views[len(cheap) :]), *(pool.submit(work, ()) for _ in range(workers - 1))]:
            done.result()
    return [found[v] for v in (first, *views)]


class Network:
    """A detector that looks at views of a frame; subclasses look at pictures, this one cuts, merges and filters.

    Parameters
    ----------
    name, path, class_names : str, str, sequence of str
        Of the detector.
    options : NetworkOptions
        As the user gave them.
    size : tuple of int, optional
        (width, height) of the input, or where it is free the one that the network was trained with; None: pictures go
        in as they are.
    free : bool
        The input may have any size in multiples of 32, and that of `size`.

    Raises
    ------
    ConfigError
        Tiles or an input size that are none, or that the network cannot take.
    DetectorError
        An unknown class.
    """

    SURE, FAINT = 0.4, 0.2
    """Default least scores: of boxes that are objects as a rule, and of those that only a tracker with a second stage
    of association, which gives weak boxes to old tracks alone, has use for."""
    NMS = 0.5
    OWN_TILES = False
    """Tiles are best shown at the size that the network was trained with, whatever their shape."""
    PROBABLE = False
    """Scores are probabilities: those of classes that are taken for each other tell of one object together."""

    name: str
    path: str
    runtime: str
    class_names: tuple[str, ...]
    _run: Runner

    def __init__(
        self,
        name: str,
        path: str,
        class_names: Sequence[str],
        options: NetworkOptions,
        size: Size | None,
        *,
        free: bool = False,
    ) -> None:
        self.name, self.path, self.class_names = name, path, tuple(map(label, class_names))
        self.warnings: list[str] = []
        self._unsound = False
        self.why = ""
        default = self.FAINT if options.faint else self.SURE
        self._confidence = default if options.confidence is None else options.confidence
        self._nms = self.NMS if options.nms is None else options.nms
        self._wanted = wanted_classes(options.classes, self.class_names, name)
        # A van is a car to one glance and a truck to the next: these suppress each other like one class.
        self._kind = np.arange(len(self.class_names))
        for alike in ALIKE:
            members = [i for i, n in enumerate(self.class_names) if n in alike]
            self._kind[members] = min(members, default=0)
        self._options, self._size, self._free = options, size, free
        own = size and f"{size[0]}x{size[1]}"
        self._input_size, self._band = (size, None) if options.input_size == own else parse_size(options.input_size)
        if options.detail not in DETAILS:
            raise ConfigError(f"detail {options.detail!r}; expected {', '.join(DETAILS)}")
        if self._input_size is not None and not free and (self._input_size != size or self._band is not None):
            takes = f"takes {own} alone" if size else "takes frames as they are"
            raise ConfigError(f"input size {options.input_size}: detector {name} {takes}; leave the option out")
        asked_view((64, 64), options.tiles, self._input_size, size, free=free)  # a wrong option shows now
        self.tiled = True
        """False: with less detail, for a run that cannot keep up; may be changed between frames."""
        self.concurrency = 1
        """Threads that may and should call it at the same time."""
        self._views: dict[tuple[Size, bool], View] = {}
        self._undecided: list[Frame] | None = None
        """Frames with something in them, since those shown at the start were too empty to choose by; None: chosen."""
        self._next_s, self._apart_s = 0.0, APART_S
        self._late = False

    def look(self, images: list[np.ndarray], size: Size | None, confidence: float) -> list[Candidates]:
        """Candidates of each uint8 BGR picture, stretched to `size`, that score at least `confidence`."""
        raise NotImplementedError

    def __call__(self, frame: Frame) -> Detections:
        """Boxes of a frame, as it is looked at by default or by `choose_view`."""
        if frame.image is None:
            raise DetectorError(f"detector {self.name}: frame {frame.index} has no pixels; give detections by file")
        found = self._detect(frame, frame.image, self.view(frame.size, full=self.tiled))
        if len(found):
            self._choose_late(frame)
        return found

    def _choose_late(self, frame: Frame) -> None:
        """Gather frames of a source that was empty at the start until there are enough to choose a view by.

        Where they are too empty as well, the next ones are farther apart. Frames must come in their order.
        """
        if self._undecided is None or self.concurrency > 1 or frame.time_s < self._next_s:
            return
        self._undecided.append(frame)
        self._next_s = frame.time_s + self._apart_s
        if len(self._undecided) == detail.FRAMES:
            self._apart_s = min(2 * self._apart_s, FARTHEST_S)
            frames, self._undecided = self._undecided, []
            self._late = self.choose_view(frames) != ""

    def _detect(self, frame: Frame, image: np.ndarray, view: View) -> Detections:
        width, height = frame.size
        seen: list[Candidates] = []
        for rects, size in view.parts(frame.size):
            seen += self.look([image[y0:y1, x0:x1] for x0, y0, x1, y1 in rects], size, self._confidence)
        seen = self._bounded(self._sound(seen, frame.index), frame.index)
        if len(seen) == 1:
            found = seen[0]
            xyxy, score, class_id = found.xyxy * (width, height, width, height), found.score, found.class_id
            kept = nms(xyxy, score, self._kind[class_id], self._nms)
        else:
            xyxy, score, class_id, kept = self._merge(seen, view, frame.size)
        if self._wanted is not None:
            kept = kept[np.isin(class_id[kept], self._wanted)]
        kept = kept[:MOST_BOXES]
        likely = of_any(xyxy, score, class_id, self._kind, kept, self._nms) if self.PROBABLE else score[kept]
        # Clipped after the suppression, as detection graphs do; a box outside the frame becomes empty and goes.
        return Detections.clean(clip(xyxy[kept], width, height), likely, class_id[kept])[0]

    def _sound(self, seen: list[Candidates], index: int) -> list[Candidates]:
        """What is seen without boxes that are no numbers or of a class that has no name; the first is told."""
        sound = []
        for c in seen:
            good = np.isfinite(c.xyxy).all(axis=1) & np.isfinite(c.score)
            good &= (c.class_id >= 0) & (c.class_id < len(self.class_names))
            if not good.all():
                bad = int(np.flatnonzero(~good)[0])
                if not self._unsound:
                    self.warnings.append(
                        f"detector {self.name}: {int((~good).sum())} boxes of frame {index} are left out, and such "
                        f"boxes later: {np.round(c.xyxy[bad], 3).tolist()}, score {c.score[bad]:.3g}, "
                        f"class {c.class_id[bad]} of {len(self.class_names)}"
                    )
                self._unsound = True
                c = Candidates(c.xyxy[good], c.score[good], c.class_id[good])
            sound.append(c)
        return sound

    def _bounded(self, seen: list[Candidates], index: int) -> list[Candidates]:
        """The best of what is seen where it is too much to compare all with all."""
        count = sum(len(s.score) for s in seen)
        if count <= MOST_CANDIDATES:
            return seen
        if not self.warnings:
            self.warnings.append(
                f"detector {self.name}: {count} boxes in frame {index}; in it and in others the best {MOST_CANDIDATES} "
                "were compared; raise --confidence"
            )
        return [s.best(MOST_CANDIDATES // len(seen)) for s in seen]

    def _merge(
        self, seen: list[Candidates], view: View, frame: Size
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Boxes in the frame's pixels, scores and class ids of all tiles, and the rows (K,) that are not suppressed."""
        rects = np.concatenate([rects for rects, _ in view.parts(frame)])
        boxes = [c.xyxy * np.tile(r[2:] - r[:2], 2) + np.tile(r[:2], 2) for c, r in zip(seen, rects, strict=True)]
        cut = np.concatenate([cut_by_tile(b, r, *frame) for b, r in zip(boxes, rects, strict=True)])
        part = np.repeat(np.arange(len(rects)), [len(b) for b in boxes])
        xyxy, score = np.concatenate(boxes), np.concatenate([c.score for c in seen])
        class_id = np.concatenate([c.class_id for c in seen])
        if view.band is not None:
            rows = rects[-1]
            far = (part == 0) & (xyxy[:, 1] >= rows[1]) & (xyxy[:, 3] <= rows[3])
            score = of_closer(xyxy, score, self._kind[class_id], far, (part == 1) & ~cut)
        kept = nms(xyxy, score, self._kind[class_id], self._nms, part=part, cut=cut)
        return xyxy, score, class_id, kept[score[kept] > 0]

    # ---- how a frame is looked at ---------------------------------------------------------------

    def view(self, frame: Size, *, full: bool = True) -> View:
        """The view for frames of one size: that of `choose_view`, else the usual one for the detail asked for."""
        if (frame, full) not in self._views:
            asked = self._asked(frame)
            view = asked or self._usual(frame, self._options.detail)
            if not full:
                view = min(view, self._usual(frame, "fast"), self.view(frame), key=lambda v: v.cost)
            self._views[frame, full] = view
        return self._views[frame, full]

    def _asked(self, frame: Size) -> View | None:
        """The view that the options leave no choice about."""
        options = self._options
        return asked_view(
            frame, options.tiles, self._input_size, self._size,
            free=self._free, band=self._band, own_tiles=self.OWN_TILES,
        )  # fmt: skip

    def _usual(self, frame: Size, detail: str) -> View:
        if not self._free or self._size is None:
            whole, *tiled = fixed_views(frame, self._size)
            return tiled[-1] if tiled and detail != "fast" and self._options.tiles != "off" else whole
        views = free_views(frame)
        side = {"fast": min(FAST, *self._size), "auto": max(self._size), "fine": max(frame)}[detail]
        return next((v for v in views if v.size and max(v.size) >= side), views[-1])

    def choose_view(self, frames: Sequence[Frame]) -> str:
        """With `auto` detail, the cheapest view that still finds what the others find in some frames of the source.

        Returns
        -------
        str
            What was measured, for the user; empty where there was no choice or nothing to see.
        """
        pictures = [f for f in frames if f.image is not None]
        if self._options.detail != "auto" or not pictures:
            return ""
        size = pictures[0].size
        if self._asked(size) is not None:
            return ""
        views = free_views(size) if self._free and self._size else fixed_views(size, self._size)
        if not self._free and self._options.tiles == "off":
            views = views[:1]
        if len(views) == 1:
            return ""
        pictures = [f for f in detail.spread(pictures) if f.size == size]

        def look(view: View) -> list[Detections]:
            found = [self._detect(f, f.image, view) for f in pictures if f.image is not None]
            if view.cost > detail.ORDINARY:  # takes much memory, and is hardly ever chosen
                self._run.forget(view.sizes)
            return found

        def measure() -> detail.Choice:
            return detail.choose(views, two_at_a_time(look, views, min(2, cores())), self._kind, self.SURE)

        identity = self._identity()
        choice = detail.remembered(identity, pictures, measure) if identity else measure()
        why = ""
        if choice.view is not None and choice.view < len(views):
            self._views[size, True] = chosen = replace(views[choice.view], band=choice.band)
            why = f"{chosen} {choice.why}"
        self._undecided = None if why else []
        self._run.forget({s for v in views for s in v.sizes} - self.view(size).sizes)
        return why

    def _identity(self) -> str:
        """What tells this network and its options from others; empty where there is no file that would."""
        path = Path(self.path)
        if not path.is_file():
            return ""
        stat = path.stat()
        return f"{path} {stat.st_size} {stat.st_mtime_ns} {self.runtime} {self._options}"

    def settings(self, size: Size) -> dict[str, str]:
        """The input size and the tiles for frames of a size, as options."""
        view = self.view(size)
        if self._late:  # what repeats the run is to choose again
            return {}
        chosen = {"tiles": "off" if view.grid == (1, 1) else f"{view.grid[0]}x{view.grid[1]}"}
        if self._free and (size_text := view.input_size()) is not None:
            chosen["input_size"] = size_text
        return chosen

    def even_score(self, size: Size) -> float | None:
        """Not known of networks in general."""

    def close(self) -> None:
        """Free the network."""
