"""What happens to a frame on its way, step by step; which thread takes a step is `pipeline`'s business."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tracker.app.stream import Item
from tracker.app.timing import Timing
from tracker.core.interfaces import Encoder

Step = Callable[[list[Item]], None]


@dataclass(frozen=True)
class Group:
    """Steps that one thread takes in turn; where it has an `admit`, several threads may, each with items of its own.

    Attributes
    ----------
    name : str
        For the thread.
    steps : tuple of Step
        In order.
    stages : tuple of str
        Names under which the steps are timed.
    frames : int
        Consecutive frames of a stream that are taken at once: the encoder's batches must not depend on what waits.
    admit : Step, optional
        Is shown all items in their order, before the threads share them out.
    """

    name: str
    steps: tuple[Step, ...]
    stages: tuple[str, ...]
    frames: int = 1
    admit: Step | None = None

    def joined(self, other: Group) -> Group:
        """Both in one thread, `other` after this one."""
        return replace(
            self, name=f"{self.name}, {other.name}", steps=self.steps + other.steps, stages=self.stages + other.stages
        )


class Steps:
    """The steps, each taking a list of items, those of a stream in order.

    A step that fails marks the item: those before it are finished, later ones pass by, and the stream ends.

    Parameters
    ----------
    encoder : Encoder or None
        Shared by all streams; None: motion alone.
    appearance : str
        `always`, `auto` (ask the tracker which detections need a feature) or `off`.
    detect_every : int
        Run the detector on every n-th frame.
    timing : Timing
        Where durations are counted.
    together : int
        Consecutive frames of a file whose crops may go to the encoder in one batch. Where the tracker says what to
        encode it must have seen the frame before: then it is one.
    """

    def __init__(
        self,
        encoder: Encoder | None,
        timing: Timing,
        *,
        appearance: str = "always",
        detect_every: int = 1,
        together: int = 1,
    ) -> None:
        self.encoder = None if appearance == "off" else encoder
        self.together = together if self.encoder is not None and appearance == "always" else 1
        self.timing, self.appearance = timing, appearance
        self.detect_every, self.embed_every = detect_every, 1

    def groups(self) -> list[Group]:
        """The steps before `write`, in order, those together that must share a thread.

        What to encode is asked after the tracker's last update: one thread for both.
        """
        detect = Group("detect", (self.detect,), ("detect",), admit=self.plan)
        encode = Group(
            "encode", (self.optical_flow, self.camera_motion, self.select, self.encode),
            ("optical_flow", "camera_motion", "crop", "encode"), frames=self.together,
        )  # fmt: skip
        associate = Group("associate", (self.associate,), ("associate",))
        if self.encoder is not None and self.appearance == "auto":
            return [detect, encode.joined(associate)]
        return [detect, encode, associate]

    def plan(self, items: list[Item]) -> None:
        """Decide on which frames the detector runs, in their order: several may be at detection at the same time."""
        for item in items:
            stream = item.stream
            every = max(self.detect_every, stream.pace.every() if stream.pace is not None and item.lives else 1)
            stream.since_detection += 1
            repeats = stream.repeats if item.lives else None
            item.repeats = repeats is not None and repeats(item.frame)  # type: ignore[arg-type]
            if stream.since_detection >= every and not item.repeats:
                stream.since_detection, item.detect = 0, True
            if repeats is not None and not item.repeats:
                repeats.note(item.frame if item.detect else None)

    def detect(self, items: list[Item]) -> None:
        """Find boxes in the frames that are to be looked at."""
        for item in items:
            if item.detect:
                self._guarded(item, self._detect)

    def _detect(self, item: Item) -> None:
        with self.timing.measure("detect"):
            item.detections = item.stream.detector(item.frame)  # type: ignore[arg-type]

    def optical_flow(self, items: list[Item]) -> None:
        """Where detection is left out on some frames, boxes for these from the frames before."""
        for item in items:
            if item.stream.optical_flow is None:
                continue
            if self.detect_every > 1:
                self._guarded(item, self._carry)
            else:
                item.stream.optical_flow.forget()

    def _carry(self, item: Item) -> None:
        with self.timing.measure("optical_flow"):
            item.detections = item.stream.optical_flow(item.frame, item.detections)  # type: ignore[misc, arg-type]

    def camera_motion(self, items: list[Item]) -> None:
        """Measure how the camera moved since the frame before, or where gaps are filled since the last look."""
        for item in items:
            if item.stream.camera_motion is not None and (item.detect or item.stream.gaps is None):
                self._guarded(item, self._estimate_motion)

    def _estimate_motion(self, item: Item) -> None:
        with self.timing.measure("camera_motion"):
            item.warp = item.stream.camera_motion(item.frame, item.detections)  # type: ignore[misc, arg-type]
        item.stream.counts.moved += item.detect and item.warp is not None

    def select(self, items: list[Item]) -> None:
        """Ask which detections need a feature."""
        for item in items:
            self._guarded(item, self._select)

    def _select(self, item: Item) -> None:
        """Which detections get a feature."""
        found = item.detections
        if self.encoder is None or found is None:
            return
        if not item.detect:  # carried boxes tell where a track went; its features were taken where it was detected
            item.embedded = np.zeros(len(found), bool)
            return
        item.stream.counts.detected += 1
        if item.stream.counts.detected % self.embed_every:
            item.embedded = np.zeros(len(found), bool)
        elif self.appearance == "auto" and len(found):
            start = time.perf_counter()
            item.embedded = item.stream.tracker.wants_feature(found, self._time(item), item.warp)
            item.select_s = time.perf_counter() - start
        else:
            item.embedded = np.ones(len(found), bool)

    def encode(self, items: list[Item]) -> None:
        """Cut and encode all items' crops in one batch; where that fails, item by item, to find whose fault it is."""
        encoder = self.encoder
        wanted = [i for i in items if i.lives and i.embedded is not None]
        if encoder is None or not wanted:
            return
        try:
            self._encode(encoder, wanted)
        except Exception as e:
            if len(wanted) == 1:
                wanted[0].fail(e)
                return
            for item in wanted:
                self.encode([item])

    def _encode(self, encoder: Encoder, items: list[Item]) -> None:
        pairs = [(i.frame.image, i.detections.xyxy[i.embedded]) for i in items]  # type: ignore[union-attr]
        if any(image is None and len(boxes) for image, boxes in pairs):
            raise ValueError("boxes to encode in a frame without pixels")
        counts = [len(boxes) for _, boxes in pairs]
        if sum(counts):
            with self.timing.measure("crop", len(items)):
                crops = encoder.crops(pairs)  # type: ignore[arg-type]
            with self.timing.measure("encode", len(items)):
                features = encoder.encode(crops)
        else:
            features = np.zeros((0, encoder.dimension), np.float32)
        for item, part in zip(items, np.split(features, np.cumsum(counts)[:-1]), strict=True):
            item.features = np.zeros((len(item.embedded), encoder.dimension), np.float32)  # type: ignore[arg-type]
            item.features[item.embedded] = part
            # A black crop, or one that a network cannot take, is no reason to end a run: it is a box without a feature.
            item.embedded = item.embedded & np.isfinite(item.features).all(1) & item.features.any(1)
            item.stream.counts.embedded += int(item.embedded.sum())
            item.stream.counts.featureless += len(part) - int(item.embedded.sum())

    def associate(self, items: list[Item]) -> None:
        """Match detections with tracks."""
        for item in items:
            self._guarded(item, self._associate)
            if item.stream.pace is not None:
                item.stream.pace.show(item.tracks if item.detect else None)

    def _associate(self, item: Item) -> None:
        stream, found = item.stream, item.detections
        with self.timing.measure("associate", extra_s=item.select_s):
            tracks = stream.tracker.update(
                found, item.features, embedded=item.embedded if item.features is not None else None,
                time_s=self._time(item), warp=item.warp, frame_size=item.frame.size,  # type: ignore[union-attr]
            )  # fmt: skip
            # Where the detector did not run, tracks present when it last did are shown where the filter has them.
            item.tracks = stream.numbering(tracks.written)
        if stream.results.mean_features is not None:
            found_features = stream.tracker.mean_features().items()
            stream.results.mean_features.update(
                {n: f for track, f in found_features if (n := stream.numbering.of(track)) is not None}
            )
        stream.counts.looked += item.detect
        stream.counts.objects += len(found) if found is not None and item.detect else 0

    def write(self, items: list[Item]) -> None:
        """Draw, and write rows and video; what lies in a gap waits until that is filled."""
        for item in items:
            for ready in self._filled(item):
                self._guarded(ready, self._write)

    def _filled(self, item: Item) -> list[Item]:
        """What can be written now that this item came, in order."""
        gaps = item.stream.gaps
        if gaps is None:
            return [item]
        if item.lives and item.repeats:
            gaps.repeat(item)
            return [item]
        if item.lives and not item.detect:
            gaps.wait(item)
            return []
        return [*gaps.fill(item.tracks if item.lives else None), item]

    def _write(self, item: Item) -> None:
        stream, frame, tracks = item.stream, item.frame, item.tracks
        if frame is None or tracks is None:
            return
        with self.timing.measure("answer"):
            events = stream.output.answer(frame, tracks)
        image = None
        if stream.output.draws:
            with self.timing.measure("draw"):
                image = stream.output.draw(frame, tracks)
        with self.timing.measure("write"):
            stream.output.write(frame, tracks, image)
        stream.output.show(frame, tracks, image, events)
        counts = stream.counts
        if not counts.frames:
            counts.first_time_s, stream.ending.first_s = frame.time_s, time.perf_counter()
        counts.last_time_s = frame.time_s
        counts.frames += 1
        counts.visible = len(tracks)
        self.timing.latency.add(time.perf_counter() - item.arrived_s)

    def _time(self, item: Item) -> float | None:
        """Seconds for the filter, so that dropped frames and uneven rates do not break it."""
        return item.frame.time_s if item.frame is not None else None

    def _guarded(self, item: Item, step: Callable[[Item], None]) -> None:
        """Take a step unless the item's stream has failed or ends; an error stays with its stream."""
        if not item.lives:
            return
        try:
            step(item)
        except Exception as e:
            item.fail(e)
