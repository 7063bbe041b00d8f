"""The protocols of the pipeline's stages. Stages know the data types, never each other, and nothing of threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from tracker.core.types import Detections, Frame, Tracks


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source knows of itself before its first frame."""

    name: str
    """Stem for the output folder."""
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


class Source(Protocol):
    """Iterates frames in order; a context manager that frees what it holds. `warnings` fills as it reads."""

    info: SourceInfo
    warnings: list[str]

    def __iter__(self) -> Iterator[Frame]: ...
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

    def __call__(self, frame: Frame) -> Detections | None:
        """Boxes of a frame."""

    def close(self) -> None:
        """Free what the detector holds."""


class Encoder(Protocol):
    """Turns boxes of a frame into features."""

    dimension: int

    def embed(self, image: np.ndarray, xyxy: np.ndarray) -> np.ndarray:
        """uint8 (H,W,3) BGR and (N,4) pixels to (N, dimension) float32 unit vectors."""
        ...

    def close(self) -> None:
        """Free what the encoder holds."""


class Sink(Protocol):
    """Takes every frame with its tracks, in order; a context manager whose output is whole after an interruption."""

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take the next frame and the tracks to write for it."""

    def close(self) -> None:
        """Finish the file; may be called twice."""
