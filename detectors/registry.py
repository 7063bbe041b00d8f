"""Names and files to detectors: the one door through which the application gets them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from detectors.custom import CustomDetector, Look, open_plugin, plugins
from detectors.network import NetworkOptions
from tracker.core.types import Detections, Frame
from tracker.errors import DetectorError

NAMES = ("auto", "ssdlite", "coco", "motion")
SUFFIXES = (".onnx", ".pb", ".txt")


class OpenDetector(Protocol):
    """What `open_detector` returns: `tracker.core.interfaces.Detector` and the warnings that gather while it runs."""

    name: str
    path: str
    runtime: str
    class_names: tuple[str, ...]
    warnings: list[str]

    def __call__(self, frame: Frame) -> Detections | None:
        """Boxes of a frame; None: did not run on this frame."""

    def close(self) -> None:
        """Free what the detector holds."""


def open_detector(
    spec: str | Path | Look,
    *,
    confidence: float | None = None,
    nms: float | None = None,
    tiles: str = "auto",
    classes: Sequence[str] | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    offline: bool = False,
    faint: bool = False,
    frames: Sequence[np.ndarray] = (),
) -> OpenDetector:
    """Open a detector by name or by its file; `auto` is `detectors.auto.choose_auto`, which needs frames to look at.

    Parameters
    ----------
    spec : a name, a file, an installed plug-in's name, or a callable (see `detectors.custom` for both).
    confidence, nms : thresholds, 0 to 1; None: the detector's own.
    tiles : off, auto or COLUMNSxROWS (networks only).
    classes : names to keep; None keeps all, or people and vehicles where a network knows much else; ("all",) keeps all.
    device : auto, cpu, gpu or gpu:N.
    runtime, precision, threads : see `detectors.runners.graphs.open_runner`.
    offline : nothing may be fetched.
    faint : without a `confidence`, also boxes too weak to begin a track, for trackers that know what to do with them.
    frames : uint8 (H,W,3) pictures spread over the first seconds, where the source can give them (files can): `motion`
        takes its first background from them.

    Raises
    ------
    DetectorError, DetectionsError, DeviceError, BackendMissingError, ConfigError
    """
    for name, value in (("confidence", confidence), ("nms", nms)):
        if value is not None and not 0 <= value <= 1:
            raise DetectorError(f"{name} {value}; expected a number from 0 to 1")
    if callable(spec):
        return CustomDetector(spec, confidence=confidence, classes=classes)
    text = str(spec)
    family = text if text in NAMES else Path(text).suffix.lower()
    if family not in _FAMILIES:
        found = plugins()
        if text in found:
            return open_plugin(found[text], confidence=confidence, classes=classes)
        known, files = ", ".join((*NAMES, *sorted(found))), ", ".join(SUFFIXES)
        raise DetectorError(f"detector {text!r}; expected one of {known}, or a file that ends in {files}")
    options = NetworkOptions(
        confidence=confidence, nms=nms, tiles=tiles, classes=classes, device=device, runtime=runtime,
        precision=precision, threads=threads, faint=faint,
    )  # fmt: skip
    return _FAMILIES[family](text, options, offline, frames)


def _ssdlite(_: str, options: NetworkOptions, offline: bool, frames: Sequence[np.ndarray]) -> OpenDetector:
    from detectors.tf_graph import TFObjectDetector, ssdlite_path

    return TFObjectDetector(ssdlite_path(), options, name="ssdlite", class_names=("person",))


def _coco(_: str, options: NetworkOptions, offline: bool, frames: Sequence[np.ndarray]) -> OpenDetector:
    from detectors import store
    from detectors.centernet import CenterNet

    if offline and not store.is_kept("coco"):
        raise DetectorError("detector coco is not in the cache, and --offline forbids fetching it; run without it once")
    return CenterNet(store.fetch("coco", say=lambda text: print(text, file=sys.stderr)), options)


def _motion(_: str, options: NetworkOptions, offline: bool, frames: Sequence[np.ndarray]) -> OpenDetector:
    from detectors.motion import MotionDetector

    return MotionDetector(confidence=options.confidence, classes=options.classes, frames=frames)


def _graph(path: str, options: NetworkOptions, offline: bool, frames: Sequence[np.ndarray]) -> OpenDetector:
    from detectors.tf_graph import TFObjectDetector

    return TFObjectDetector(Path(path), options)


def _onnx(path: str, options: NetworkOptions, offline: bool, frames: Sequence[np.ndarray]) -> OpenDetector:
    from detectors.onnx import ONNXDetector

    return ONNXDetector(Path(path), options)


def _file(path: str, options: NetworkOptions, offline: bool, frames: Sequence[np.ndarray]) -> OpenDetector:
    from detectors.precomputed import Precomputed

    return Precomputed(path, confidence=options.confidence, classes=options.classes)


_FAMILIES: dict[str, Callable[[str, NetworkOptions, bool, Sequence[np.ndarray]], OpenDetector]] = {
    "ssdlite": _ssdlite,
    "coco": _coco,
    "motion": _motion,
    ".pb": _graph,
    ".onnx": _onnx,
    ".txt": _file,
}
