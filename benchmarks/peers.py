"""Other trackers behind one adapter, for comparison only; benchmarks/README.md tells how to install them."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Rows:
    """What a tracker says of a frame: ids (K,), corners (K,4), and detection rows (K,) or None if it does not tell."""

    id: np.ndarray
    xyxy: np.ndarray
    detection_index: np.ndarray | None = None


class Peer(Protocol):
    """A tracker of one sequence."""

    name: str

    def update(
        self,
        xyxy: np.ndarray,
        score: np.ndarray,
        class_id: np.ndarray,
        features: np.ndarray | None = None,
        image: np.ndarray | None = None,
    ) -> Rows:
        """The next frame: boxes (N,4), scores (N,), classes (N,), features (N,D) and pixels uint8 (H,W,3) BGR."""
        ...


@dataclass(frozen=True)
class Sequence:
    """What peers want to know of a sequence before it starts: frames per second, and the frame's width and height."""

    fps: float = 30.0
    size: tuple[int, int] = (1920, 1080)


class Roboflow:
    """SORT, ByteTrack, OC-SORT, BoT-SORT and C-BIoU of the package `trackers`, with their own defaults."""

    def __init__(self, name: str, sequence: Sequence, with_pixels: bool, with_features: bool, **options: Any) -> None:
        import supervision
        import trackers

        kind = f"{name.replace('-', '')}Tracker"
        self.name = f"trackers {name}"
        if name == "BoT-SORT":
            options["enable_cmc"] = with_pixels
        self._compensates = name == "BoT-SORT" and with_pixels
        self._box = supervision.Detections
        self._tracker = getattr(trackers, kind)(frame_rate=sequence.fps, **options)

    def update(self, xyxy, score, class_id, features=None, image=None) -> Rows:  # type: ignore[no-untyped-def]
        """One frame: boxes, scores and classes in, rows of numbered boxes out."""
        rows: dict[str, np.ndarray | list[Any]] = {"row": np.arange(len(xyxy))}
        given = self._box(xyxy=np.asarray(xyxy, float).reshape(-1, 4), confidence=score, class_id=class_id, data=rows)
        out = self._tracker.update(given, image) if self._compensates else self._tracker.update(given)
        if len(out) == 0 or out.tracker_id is None:
            return Rows(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, int))
        seen = out.tracker_id >= 0
        return Rows(out.tracker_id[seen], out.xyxy[seen], out.data["row"][seen])


class DeepSortRealtime:
    """`deep-sort-realtime` with given features; without any, all features are alike, as its users do it."""

    def __init__(self, name: str, sequence: Sequence, with_pixels: bool, with_features: bool, **options: Any) -> None:
        from deep_sort_realtime.deepsort_tracker import DeepSort

        self.name = "deep-sort-realtime"
        self._tracker = DeepSort(embedder=None, **{"nn_budget": 100, **options})

    def update(self, xyxy, score, class_id, features=None, image=None) -> Rows:  # type: ignore[no-untyped-def]
        """One frame: boxes, scores and classes in, rows of numbered boxes out."""
        tlwh = np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])
        raw = [(box, float(s), int(c)) for box, s, c in zip(tlwh.tolist(), score, class_id, strict=True)]
        looks = list(np.ones((len(raw), 2), np.float32) if features is None else features)
        tracks = self._tracker.update_tracks(raw, embeds=looks)
        tracks = [t for t in tracks if t.is_confirmed() and t.time_since_update == 0]
        return Rows(np.array([int(t.track_id) for t in tracks]), np.array([t.to_ltrb() for t in tracks]).reshape(-1, 4))


class BoxMot:
    """The trackers of the package `boxmot`; features and pixels are given where the tracker takes them."""

    def __init__(self, name: str, sequence: Sequence, with_pixels: bool, with_features: bool, **options: Any) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            import boxmot
        _quiet()
        kinds = {"OC-SORT": "OcSort", "BoT-SORT": "BotSort", "StrongSORT": "StrongSort"}
        self.name = f"boxmot {name}"
        if name in ("BoT-SORT", "BoostTrack"):
            options = {"use_cmc": with_pixels, "use_embeddings": with_features, **options}
        if name in ("BoT-SORT", "ByteTrack"):
            options = {"frame_rate": round(sequence.fps), **options}
        self._embeds = with_features and name in ("BoT-SORT", "BoostTrack", "StrongSORT")
        self._blank = np.zeros((sequence.size[1], sequence.size[0], 3), np.uint8)
        self._tracker = getattr(boxmot, kinds.get(name, name))(**options)
        self._frame = 0

    def update(self, xyxy, score, class_id, features=None, image=None) -> Rows:  # type: ignore[no-untyped-def]
        """One frame: boxes, scores and classes in, rows of numbered boxes out."""
        import torch
        from boxmot.structures import Boxes, Detections

        self._frame += 1
        image = self._blank if image is None else image
        score = np.clip(score, 0, 1).astype(np.float32)
        if not self._embeds:
            given = np.column_stack([xyxy, score, class_id]).astype(np.float32)
            out = np.asarray(self._tracker.update(given, image)).reshape(-1, 8)
            return Rows(out[:, 4].astype(int), out[:, :4], out[:, 7].astype(int))
        arrays = (xyxy.astype(np.float32), score, class_id.astype(np.int64), features.astype(np.float32))
        boxes, scores, classes, looks = (torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
        given = Detections(Boxes(boxes), scores, classes, str(self._frame), embeddings=looks)
        out = self._tracker.update(given, image)
        return Rows(out.track_ids.numpy(), out.geometry.values.numpy())


def _quiet() -> None:
    """The package tells of every tracker it makes, through loguru or logging, whichever it has."""
    logging.getLogger("boxmot").setLevel(logging.ERROR)
    if find_spec("loguru"):
        from loguru import logger

        logger.disable("boxmot")


@dataclass(frozen=True)
class Entry:
    """A peer that may be installed: its module, and whether it can compare features or cannot do without."""

    name: str
    module: str
    takes_features: bool
    needs_features: bool
    kind: Callable[..., Peer]
    variant: str

    def start(self, sequence: Sequence, *, pixels: bool = False, features: bool = False, **options: Any) -> Peer:
        """A fresh tracker for a sequence; `pixels` and `features` say what `update` will be given."""
        return self.kind(self.variant, sequence, pixels, features, **options)


def _entry(package: str, module: str, kind: Callable[..., Peer], name: str, **takes: bool) -> Entry:
    return Entry(f"{package} {name}".strip(), module, takes.get("takes", False), takes.get("needs", False), kind, name)


PEERS = [
    *[
        _entry("trackers", "trackers", Roboflow, name)
        for name in ("SORT", "ByteTrack", "OC-SORT", "BoT-SORT", "C-BIoU")
    ],
    _entry("deep-sort-realtime", "deep_sort_realtime", DeepSortRealtime, "", takes=True),
    *[_entry("boxmot", "boxmot", BoxMot, name) for name in ("ByteTrack", "OC-SORT")],
    *[_entry("boxmot", "boxmot", BoxMot, name, takes=True) for name in ("BoT-SORT", "BoostTrack")],
    _entry("boxmot", "boxmot", BoxMot, "StrongSORT", takes=True, needs=True),
]


def installed() -> list[Entry]:
    """The peers that can be imported here."""
    return [entry for entry in PEERS if find_spec(entry.module)]
