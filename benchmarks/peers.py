"""Other trackers behind one adapter, for comparison only; what is not installed is left out (see benchmarks/README.md)."""

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
    """What a tracker gives back for a frame: ids (K,), corners (K,4), row of the detection (K,) or None if it does not tell."""

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
    """SORT, ByteTrack, OC-SORT and BoT-SORT of the package `trackers`, with their own defaults."""

    def __init__(self, name: str, sequence: Sequence, with_pixels: bool, **options: Any) -> None:
        import supervision
        import trackers

        kind = {"SORT": "SORTTracker", "ByteTrack": "ByteTrackTracker", "OC-SORT": "OCSORTTracker", "BoT-SORT": "BoTSORTTracker"}
        self.name = f"trackers {name}"
        if name == "BoT-SORT":
            options["enable_cmc"] = with_pixels
        self._compensates = name == "BoT-SORT" and with_pixels
        self._box = supervision.Detections
        self._tracker = getattr(trackers, kind[name])(frame_rate=sequence.fps, **options)

    def update(self, xyxy, score, class_id, features=None, image=None) -> Rows:  # type: ignore[no-untyped-def]
        n = len(xyxy)
        given = self._box(xyxy=np.asarray(xyxy, float).reshape(-1, 4), confidence=score, class_id=class_id, data={"row": np.arange(n)})
        out = self._tracker.update(given, image) if self._compensates else self._tracker.update(given)
        if len(out) == 0 or out.tracker_id is None:
            return Rows(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, int))
        seen = out.tracker_id >= 0
        return Rows(out.tracker_id[seen], out.xyxy[seen], out.data["row"][seen])


class DeepSortRealtime:
    """`deep-sort-realtime` with given features; without any, all features are alike, as its users do it."""

    def __init__(self, name: str, sequence: Sequence, with_pixels: bool, **options: Any) -> None:
        from deep_sort_realtime.deepsort_tracker import DeepSort

        self.name = name
        self._tracker = DeepSort(embedder=None, **{"nn_budget": 100, **options})

    def update(self, xyxy, score, class_id, features=None, image=None) -> Rows:  # type: ignore[no-untyped-def]
        tlwh = np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])
        raw = [(box, float(s), int(c)) for box, s, c in zip(tlwh.tolist(), score, class_id, strict=True)]
        looks = list(np.ones((len(raw), 2), np.float32) if features is None else features)
        tracks = [t for t in self._tracker.update_tracks(raw, embeds=looks) if t.is_confirmed() and t.time_since_update == 0]
        return Rows(np.array([int(t.track_id) for t in tracks]), np.array([t.to_ltrb() for t in tracks]).reshape(-1, 4))


class BoxMot:
    """The trackers of the package `boxmot`; features and pixels are given where the tracker takes them."""

    def __init__(self, name: str, sequence: Sequence, with_pixels: bool, with_features: bool = False, **options: Any) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            import boxmot
        _quiet()
        kinds = {"ByteTrack": "ByteTrack", "OC-SORT": "OcSort", "BoT-SORT": "BotSort", "BoostTrack": "BoostTrack",
                 "StrongSORT": "StrongSort"}
        self.name = f"boxmot {name}"
        if name in ("BoT-SORT", "BoostTrack"):
            options = {"use_cmc": with_pixels, "use_embeddings": with_features, **options}
        if name in ("BoT-SORT", "ByteTrack"):
            options = {"frame_rate": round(sequence.fps), **options}
        self._embeds = with_features and name in ("BoT-SORT", "BoostTrack", "StrongSORT")
        self._blank = np.zeros((sequence.size[1], sequence.size[0], 3), np.uint8)
        self._tracker = getattr(boxmot, kinds[name])(**options)
        self._frame = 0

    def update(self, xyxy, score, class_id, features=None, image=None) -> Rows:  # type: ignore[no-untyped-def]
        import torch
        from boxmot.structures import Boxes, Detections

        self._frame += 1
        image = self._blank if image is None else image
        score = np.clip(score, 0, 1).astype(np.float32)
        if not self._embeds:
            given = np.column_stack([xyxy, score, class_id]).astype(np.float32)
            out = np.asarray(self._tracker.update(given, image)).reshape(-1, 8)
            return Rows(out[:, 4].astype(int), out[:, :4], out[:, 7].astype(int))
        tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in (xyxy.astype(np.float32), score, class_id.astype(np.int64))]
        looks = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        given = Detections(Boxes(tensors[0]), tensors[1], tensors[2], str(self._frame), embeddings=looks)
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
    """A peer that may be installed: what it needs, whether it compares features, and how to start it on a sequence."""

    name: str
    module: str
    takes_features: bool
    needs_features: bool
    start: Callable[..., Peer]


PEERS = [
    *[Entry(f"trackers {n}", "trackers", False, False, lambda s, pixels=False, features=False, n=n, **o: Roboflow(n, s, pixels, **o))
      for n in ("SORT", "ByteTrack", "OC-SORT", "BoT-SORT")],
    Entry("deep-sort-realtime", "deep_sort_realtime", True, False,
          lambda s, pixels=False, features=False, **o: DeepSortRealtime("deep-sort-realtime", s, pixels, **o)),
    *[Entry(f"boxmot {n}", "boxmot", f, n == "StrongSORT",
            lambda s, pixels=False, features=False, n=n, **o: BoxMot(n, s, pixels, features, **o))
      for n, f in (("ByteTrack", False), ("OC-SORT", False), ("BoT-SORT", True), ("BoostTrack", True), ("StrongSORT", True))],
]


def installed() -> list[Entry]:
    """The peers that can be imported here."""
    return [entry for entry in PEERS if find_spec(entry.module)]
