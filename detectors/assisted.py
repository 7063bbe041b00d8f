"""A network helped by motion: what moves before a static camera and the network does not know is found all the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from detectors.motion import MotionDetector
from tracker.core.boxes import area, clip, intersection, iou
from tracker.core.interfaces import Detector
from tracker.core.types import Detections, Frame
from tracker.core.wrapper import DetectorWrapper

OBJECT = "object"
"""The class of what moves and is not known."""
COVERED = 0.25
"""Share of a moving box, or of a network's, in their overlap from which they are the same."""
SAME = 0.15
"""Least overlap (IoU) of a moving object's boxes in two looks that follow each other."""
PATIENCE_S = 0.3
"""Seconds for which a moving object may be out of sight."""
SECONDS, WAY = 0.4, 0.8
"""So long and so far, in its own sizes, something must have gone to be an object: leaves and reflections do not go."""
KNOWN, MEMORY_S = 0.1, 1.0
"""Share of the last seconds in which the network saw what it knows: what it misses a while is the tracker's to carry
on, what it sees for a moment now and then it does not know."""
SCORE = 0.6
"""Of an unknown object: enough to begin a track."""
ALIKE = 0.5
"""Least overlap (IoU) of a moving box with a network's from which both are of one object, which then has that class."""
CARRIED, CARRY_S = 0.2, 2.5
"""Score of what the network saw a moment ago and misses, which carries a track on and begins none; for so many seconds,
after which it is not known any more."""
LOOK_S, REST_S = 20.0, 40.0
"""Seconds without an unknown object after which motion rests, and for how long."""
WIDTH, EVERY_S = 320, 0.06
"""Pixels that frames are shrunk to for motion, and seconds between two of its looks while all that moves is known."""
QUIET_S, SETTLED = 0.5, 0.8
"""Seconds for which a network's boxes hold while nothing at all moves, and their least overlap (IoU) with those of the
look before: what a network sees move and motion does not is too small for motion."""


@dataclass(slots=True)
class _Mover:
    """Something that moves: where it was first and is now, and the share of late in which the network saw it."""

    first: np.ndarray
    box: np.ndarray
    since_s: float
    last_s: float
    known: float = 0.0
    class_id: int = -1
    named_s: float = 0.0
    score: float = 0.0
    sides: np.ndarray = field(default_factory=lambda: np.zeros(4))

    def carry_on(self, box: np.ndarray, frame: Frame, *, covered: bool) -> None:
        """Its box in a frame, and whether the network saw it there."""
        kept = np.exp(-max(frame.time_s - self.last_s, 0.0) / MEMORY_S)
        self.known = float(kept * self.known + (1 - kept) * covered)
        self.box, self.last_s = box, frame.time_s

    def name(self, known: np.ndarray, class_id: int, score: float, now_s: float) -> float:
        """The network's box (4,) of it, its class and its score; the score that it deserves.

        What moves on and was surely seen a moment ago is still there when half of it has left the picture.
        """
        kept = self.score * np.exp(-(now_s - self.named_s) / MEMORY_S)
        self.class_id, self.named_s, self.score = class_id, now_s, max(score, float(kept))
        deserved = max(score, min(self.score, SCORE))
        self.sides = (known - self.box) / np.tile(self.box[2:] - self.box[:2], 2)
        return deserved

    def carried(self, now_s: float) -> np.ndarray | None:
        """The box (4,) that the network would give it, by how both lay when it last did; None if that is long ago."""
        if self.class_id < 0 or now_s - self.named_s > CARRY_S:
            return None
        carried: np.ndarray = self.box + self.sides * np.tile(self.box[2:] - self.box[:2], 2)
        return carried

    def goes(self, now_s: float) -> bool:
        """It has come far enough, for its size, to be an object, and the network has not seen it of late."""
        way = np.abs((self.box[:2] + self.box[2:] - self.first[:2] - self.first[2:]) / 2)
        size = np.minimum(self.box[2:] - self.box[:2], self.first[2:] - self.first[:2])
        far = bool((way > WAY * size).any())
        return far and now_s - self.since_s >= SECONDS and self.known < KNOWN


class Assisted(DetectorWrapper):
    """A network's boxes, and those of moving objects that it misses.

    What it has never known is of class `object`. What it saw a moment ago, and leaves the picture say, comes as a weak
    box of its class, by which a track goes on: rows with the score `CARRIED` are motion's.

    Parameters
    ----------
    network : Detector
        Of one source.
    motion : MotionDetector
        Of the same; it stays silent while the camera moves.
    """

    def __init__(self, network: Detector, motion: MotionDetector) -> None:
        super().__init__(network)
        self._motion = motion
        self.name = f"{network.name}+motion"
        self.class_names = (*network.class_names, OBJECT)
        self.concurrency = network.concurrency = 1
        """What moves is told from frame to frame."""
        self._movers: list[_Mover] = []
        self._needed_s: float | None = None
        self._looked_s, self._helps = -EVERY_S, False
        self._found: Detections | None = None
        self._seen_s, self._settled, self._was_still = 0.0, False, False
        self._rests = False

    def __call__(self, frame: Frame) -> Detections | None:
        """Boxes of a frame."""
        looks = self._looks(frame.time_s)
        moving = self._motion(frame) if looks else None
        if looks and self._is_quiet(frame.time_s):
            return self._found
        found = self._look(frame)
        if found is None or moving is None:
            self._movers = [] if looks else self._movers
            return found
        found, missed = self._follow(found, moving.xyxy, frame)
        self._helps = len(missed) > 0
        if not self._helps:
            return found
        self._needed_s = frame.time_s
        return Detections.concatenate([found, missed])

    def _look(self, frame: Frame) -> Detections | None:
        """What the network sees, and whether it is what it saw before."""
        before, self._found = self._found, self._inside(frame)
        a, b = (np.zeros((0, 4)) if d is None else d.xyxy for d in (before, self._found))
        overlap = iou(a, b)
        self._settled = len(a) == len(b) and bool((overlap.max(axis=0, initial=0) >= SETTLED).all())
        self._seen_s = frame.time_s
        return self._found

    def _is_quiet(self, now_s: float) -> bool:
        """Whether the network would see what it saw: nothing moves now or did before, and that was not long ago."""
        still, self._was_still = self._was_still, self._motion.still
        quiet = still and self._was_still and self._settled and now_s - self._seen_s < QUIET_S
        if quiet:
            self._needed_s = now_s
        return quiet

    def _looks(self, now_s: float) -> bool:
        """Whether motion looks now: while it is of use, else from time to time for a part of the time."""
        if self._rests_at(now_s) or (not self._helps and now_s - self._looked_s < EVERY_S):
            return False
        self._looked_s = now_s
        return True

    def _rests_at(self, now_s: float) -> bool:
        """Whether motion rests: never while it is of use, else for a part of the time."""
        self._needed_s = now_s if self._needed_s is None else self._needed_s
        idle = now_s - self._needed_s
        if not self._rests and idle > LOOK_S:
            self._rests, self._needed_s = True, now_s
            self._movers, self._helps = [], False
        elif self._rests and idle > REST_S:
            self._rests, self._needed_s = False, now_s
            self._motion = MotionDetector(width=WIDTH)  # the background may have changed
        return self._rests

    def _follow(self, found: Detections, moving: np.ndarray, frame: Frame) -> tuple[Detections, Detections]:
        """Carry the movers on to this frame's moving boxes (M,4).

        Returns
        -------
        tuple of Detections
            What the network found, with the scores that movers deserve, and those that it misses or does not know.
        """
        known, score = found.xyxy, found.score.copy()
        shared = intersection(moving, known)
        covered = (shared > COVERED * np.minimum(area(moving)[:, None], area(known)[None])).any(axis=1)
        alike = iou(moving, known)
        overlap = iou(moving, np.array([m.box for m in self._movers]).reshape(-1, 4))
        out, taken = [], set()
        for box, seen, row, same in zip(moving, covered, overlap, alike, strict=True):
            best = int(row.argmax()) if len(row) else -1
            if best >= 0 and row[best] >= SAME and best not in taken:
                taken.add(best)
                mover = self._movers[best]
            else:
                mover = _Mover(box, box, frame.time_s, frame.time_s)
                self._movers.append(mover)
            mover.carry_on(box, frame, covered=bool(seen))
            if same.max(initial=0) >= ALIKE:
                its = int(same.argmax())
                score[its] = mover.name(known[its], int(found.class_id[its]), float(score[its]), frame.time_s)
            if not seen and mover.goes(frame.time_s):
                mover.score, mover.named_s = SCORE, frame.time_s  # it is there, whatever the network then sees of it
                out.append((box, SCORE, mover.class_id if mover.class_id >= 0 else len(self.class_names) - 1))
            elif not seen and (carried := mover.carried(frame.time_s)) is not None:
                out.append((carried, CARRIED, mover.class_id))
        self._movers = [m for m in self._movers if frame.time_s - m.last_s <= PATIENCE_S]
        boxes, scores, classes = zip(*out, strict=True) if out else ((), (), ())
        xyxy = clip(np.array(boxes).reshape(-1, 4), *frame.size)
        missed = Detections.clean(xyxy, np.array(scores), np.array(classes, np.int32))[0]
        return Detections(known, score, found.class_id), missed

    def close(self) -> None:
        """Free both."""
        self._inside.close()
        self._motion.close()
