"""The protocols of the pipeline's stages. Stages know the data types, never each other, and nothing of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, Self

import numpy as np

from tracker.core.files import path_component
from tracker.core.types import Detections, Frame

Say = Callable[[str], None]
"""Tells the user one line."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source knows of itself before its first frame."""

    name: str
    """Of the output folder: one component of a path, whatever the source called itself."""
    size: tuple[int, int]
    """(width, height) in pixels."""
    fps: float
    """Nominal frames per second of the frames it yields."""
    frames: int | None
    """How many frames it will yield; None where unknown (live sources, broken indexes)."""
    live: bool
    """True for cameras and network streams: the newest frame wins."""
    pixels: bool = True
    """False for a MOT sequence whose images are missing: frames hold no image."""

    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel by its height, as it is shown; boxes are in stored pixels whatever it is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", path_component(self.name))


class Source(Protocol):
    """Iterates frames in order; a context manager that frees what it holds. `warnings` fills as it reads."""

    info: SourceInfo
    warnings: list[str]
    reconnects: int
    """Times that a lost source came back."""
    started_s: float | None
    """`time.monotonic()` of time 0 of a live source, once that is known."""

    def __iter__(self) -> Iterator[Frame]: ...

    def primer(self, count: int = 12, seconds: float = 4.0) -> list[Frame]:
        """A few frames spread over the first seconds, to be looked at before the run.

        A recording shows them again in the run, a live source does not.
        """

    def interrupt(self) -> None:
        """End the frames soon, from any thread."""

    def news(self) -> list[str]:
        """What has happened to it since the last call and should be told at once, from any thread."""

    @property
    def state(self) -> str:
        """What is wrong with it now, such as `no frame for 12 s`; empty where all is well."""

    def close(self) -> None:
        """Free the file, camera or connection; may be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


class Detector(Protocol):
    """Finds boxes in a frame. None means "did not run on this frame"; empty means "saw nothing"."""

    name: str
    path: str
    """Model file, or empty where there is none."""
    runtime: str
    """For example `tensorflow cpu`, `openvino cpu bf16`, `opencv`, `file`."""
    class_names: tuple[str, ...]
    """Names by class id."""
    warnings: list[str]
    """What went wrong and was survived; fills while it runs."""
    concurrency: int
    """Threads that may and should call it at the same time."""
    tiled: bool
    """False: look with less detail, for a run that cannot keep up. May be changed between frames."""
    why: str
    """Why it was chosen, or looks as it does, where nobody said so; else empty."""

    def settings(self, size: tuple[int, int]) -> dict[str, str]:
        """How it looks at frames of a size (width, height), as options that repeat it."""

    def even_score(self, size: tuple[int, int]) -> float | None:
        """Score of a box that is as likely an object as not, in frames of a size; None where nobody measured it."""

    def __call__(self, frame: Frame) -> Detections | None:
        """Boxes of a frame."""

    def close(self) -> None:
        """Free what the detector holds."""


class Encoder(Protocol):
    """Turns boxes of frames into features, in two halves that are timed apart."""

    dimension: int

    def crops(self, frames: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Cut boxes (N,4) pixels from uint8 (H,W,3) BGR images; all of them as one uint8 array (N,h,w,3)."""

    def encode(self, crops: np.ndarray) -> np.ndarray:
        """Features (N, dimension) float32 of crops, unit vectors."""

    def close(self) -> None:
        """Free what the encoder holds."""


class CameraMotion(Protocol):
    """Estimates the (2,3) affine map from the previous frame's pixels to this one's; None for a camera at rest."""

    def __call__(self, frame: Frame, detections: Detections | None) -> np.ndarray | None:
        """The map, given the boxes of what may move by itself."""


class OpticalFlow(Protocol):
    """Returns what was found, or where the detector did not run the boxes of the frame before where they are now."""

    def __call__(self, frame: Frame, found: Detections | None) -> Detections | None:
        """Boxes of this frame; None where there are none to go by."""

    def forget(self) -> None:
        """Frames will follow that it is not shown."""
