"""A stream of a run, its parts and how it goes, and its frames on their way."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np

from tracker.app.gaps import Gaps
from tracker.app.numbering import Numbering
from tracker.app.outputs import StreamOutput
from tracker.app.pace import Pace
from tracker.core.interfaces import CameraMotion, Detector, OpticalFlow, Source
from tracker.core.types import Detections, Frame, Tracks
from tracker.tracking.tracker import DeepSort
from tracker.video.repeats import Repeats


@dataclass(eq=False)
class Counts:
    """What a stream has come to so far.

    Attributes
    ----------
    frames : int
        Frames written.
    detected : int
        Frames with detections that the select step has seen.
    looked : int
        Frames that the detector looked at.
    objects : int
        Detections, all frames together.
    embedded : int
        Detections that got a feature.
    featureless : int
        Detections whose feature was not finite or all zero, and was left out.
    moved : int
        Frames looked at before which the camera had moved.
    visible : int
        Boxes written in the last frame.
    first_time_s, last_time_s : float
        Times of the first and the last frame written, seconds.
    """

    frames: int = 0
    detected: int = 0
    looked: int = 0
    objects: int = 0
    embedded: int = 0
    featureless: int = 0
    moved: int = 0
    visible: int = 0
    first_time_s: float = 0.0
    last_time_s: float = 0.0


@dataclass(eq=False)
class Results:
    """What is known of a stream's tracks, by their numbers.

    Attributes
    ----------
    mean_features : dict of int to ndarray, optional
        Mean feature (D,), where someone will ask for it when the run is over.
    """

    mean_features: dict[int, np.ndarray] | None = None


@dataclass(eq=False)
class Ending:
    """How a stream ends.

    Attributes
    ----------
    fails_at : float
        Index of the frame at which a step failed: frames before it are finished, it and later ones are passed by.
    error : BaseException, optional
        What ended the stream before its time.
    finished : bool
        Its files are closed.
    started_s : float
        `time.perf_counter()` when its first frame was asked for.
    first_s : float
        `time.perf_counter()` when its first frame was written.
    elapsed_s : float
        Seconds from there until its files were closed.
    """

    fails_at: float = inf
    error: BaseException | None = None
    finished: bool = False
    started_s: float = 0.0
    first_s: float = 0.0
    elapsed_s: float = 0.0


@dataclass(eq=False)
class Stream:
    """One source, the parts that work for it, and how it goes.

    Attributes
    ----------
    number : int
        From 0, in the order of the sources.
    source, detector, tracker, output
        The parts; a detector may work for several streams.
    camera_motion, optical_flow : optional
        Parts that only some runs need; optical flow fills frames that the detector leaves out of a live source.
    gaps : Gaps, optional
        Fills them where frames may wait for the next look, in recordings.
    pace : Pace, optional
        Chooses them, where nobody said which.
    repeats : Repeats, optional
        Tells those that need no look, since they show what the last one showed.
    text : str
        The source as it was given.
    since_detection : int
        Frames since the detector last ran.
    counts, results, ending
        How it goes.
    numbering : Numbering
        Gives tracks the numbers that are written.
    """

    number: int
    source: Source
    detector: Detector
    tracker: DeepSort
    output: StreamOutput
    camera_motion: CameraMotion | None = None
    optical_flow: OpticalFlow | None = None
    gaps: Gaps[Item] | None = None
    pace: Pace | None = None
    repeats: Repeats | None = None
    text: str = ""
    since_detection: int = 1 << 30
    counts: Counts = field(default_factory=Counts)
    results: Results = field(default_factory=Results)
    ending: Ending = field(default_factory=Ending)
    numbering: Numbering = field(default_factory=Numbering)


@dataclass(eq=False, slots=True)
class Item:
    """A frame on its way through the steps. A frame of None ends its stream, with `error` where something failed."""

    stream: Stream
    frame: Frame | None
    arrived_s: float = 0.0
    error: BaseException | None = None
    detect: bool = False
    """The detector is to run on this frame."""
    repeats: bool = False
    """It shows what the last frame that the detector ran on did."""
    detections: Detections | None = None
    warp: np.ndarray | None = None
    select_s: float = 0.0
    embedded: np.ndarray | None = None
    features: np.ndarray | None = None
    tracks: Tracks | None = None

    @property
    def lives(self) -> bool:
        """There is a frame, and no step failed at it or at one before."""
        return self.frame is not None and self.frame.index < self.stream.ending.fails_at

    def fail(self, error: BaseException) -> None:
        """Mark the item with an error: later steps pass it by."""
        self.error = error
        if self.frame is not None:
            ending = self.stream.ending
            ending.fails_at = min(ending.fails_at, self.frame.index)
