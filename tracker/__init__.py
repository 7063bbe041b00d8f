"""Multi-object tracking from video to numbered tracks.

from tracker import DeepSort, Detections
tracker = DeepSort.from_preset("paper")
tracks = tracker.update(Detections(xyxy, score, class_id), features)
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.app.library import TrackedFrame, track
    from tracker.app.results import load
    from tracker.core.types import Detections, Frame, Tracks
    from tracker.encoder.runtime import FrozenEncoder
    from tracker.errors import DetectionsError, TrackerError
    from tracker.tracking.tracker import DeepSort

__all__ = [
    "DeepSort",
    "Detections",
    "DetectionsError",
    "Frame",
    "FrozenEncoder",
    "TrackedFrame",
    "TrackerError",
    "Tracks",
    "load",
    "track",
]
__version__ = "0.2.0"

# A small picture file can promise any number of pixels. OpenCV reads its limit once, when it is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 28))

_HOME = {
    "DeepSort": "tracking.tracker",
    "Detections": "core.types",
    "DetectionsError": "errors",
    "Frame": "core.types",
    "FrozenEncoder": "encoder.runtime",
    "TrackedFrame": "app.library",
    "TrackerError": "errors",
    "Tracks": "core.types",
    "load": "app.results",
    "track": "app.library",
}


def __getattr__(name: str) -> Any:
    """Names load on first use, so that `python -m tracker --help` imports neither SciPy nor TensorFlow."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"tracker.{_HOME[name]}"), name)
    raise AttributeError(f"module 'tracker' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What `dir` and completion show: also names that have not been loaded yet."""
    return [*__all__, "__version__"]
