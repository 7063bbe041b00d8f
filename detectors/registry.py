"""Names and files to detectors: the one door through which the application gets them, one row a family."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from detectors.custom import CustomDetector, Look, open_plugin, plugins
from detectors.options import NetworkOptions
from tracker.core.classes import COCO, wanted_classes
from tracker.core.command_line import did_you_mean
from tracker.core.types import Detections, Frame
from tracker.errors import DetectorError


class OpenDetector(Protocol):
    """What `open_detector` returns: `tracker.core.interfaces.Detector` and what it has to tell of itself."""

    name: str
    path: str
    runtime: str
    class_names: tuple[str, ...]
    warnings: list[str]
    """Gather while it runs."""
    why: str
    """Why it was chosen, where nobody named it; else empty."""
    concurrency: int
    tiled: bool

    def __call__(self, frame: Frame) -> Detections | None:
        """Boxes of a frame; None: did not run on this frame."""

    def close(self) -> None:
        """Free what the detector holds."""


@dataclass(frozen=True)
class Request:
    """What a family's opener is given.

    Attributes
    ----------
    spec : str
        The name or path, as it was given.
    options : NetworkOptions
        What a user can say of any detector network; others take of it what they know.
    offline : bool
        Nothing may be fetched.
    frames : Sequence[Frame]
        Spread over the source's first seconds, where the source can give them.
    """

    spec: str
    options: NetworkOptions
    offline: bool = False
    frames: Sequence[Frame] = ()


@dataclass(frozen=True)
class Family:
    """One kind of detector.

    Attributes
    ----------
    key : str
        Its name, or the suffix of its files.
    open : Callable[[Request], OpenDetector]
        Opens one; what it needs is imported there.
    about : str
        One line for lists.
    needs_frames : bool
        It looks at the source's first frames before it starts.
    static_camera : bool
        It is for cameras that stand still, and of no use where there are no pixels.
    class_names : tuple of str, optional
        The classes that it knows, where every one of the family knows the same.
    """

    key: str
    open: Callable[[Request], OpenDetector]
    about: str
    needs_frames: bool = False
    static_camera: bool = False
    class_names: tuple[str, ...] | None = None


def _auto(request: Request) -> OpenDetector:
    from detectors.auto import open_auto

    return open_auto(request, _open)


def _ssdlite(request: Request) -> OpenDetector:
    from detectors.tf_graph import TFObjectDetector, ssdlite_path

    return TFObjectDetector(ssdlite_path(), request.options, name="ssdlite", class_names=("person",))


def _coco(request: Request) -> OpenDetector:
    from detectors import store
    from detectors.centernet import CenterNet

    if request.offline and not store.is_kept("coco"):
        raise DetectorError("detector coco is not in the cache, and --offline forbids fetching it; run without it once")
    return CenterNet(store.fetch("coco", say=lambda text: print(text, file=sys.stderr)), request.options)


def _motion(request: Request) -> OpenDetector:
    from detectors.motion import MotionDetector

    images = [f.image for f in request.frames if f.image is not None]
    return MotionDetector(confidence=request.options.confidence, classes=request.options.classes, frames=images)


def _graph(request: Request) -> OpenDetector:
    from detectors.tf_graph import TFObjectDetector

    return TFObjectDetector(Path(request.spec), request.options)


def _onnx(request: Request) -> OpenDetector:
    from detectors.onnx import ONNXDetector

    return ONNXDetector(Path(request.spec), request.options)


def _file(request: Request) -> OpenDetector:
    from detectors.precomputed import Precomputed

    return Precomputed(request.spec, confidence=request.options.confidence, classes=request.options.classes)


def _plugin(request: Request) -> OpenDetector:
    options = request.options
    return open_plugin(plugins()[request.spec], confidence=options.confidence, classes=options.classes)


_PYTORCH = re.compile(r".*\.pth?|(yolo|yolov|rtdetr)-?\d+[a-z]?u?")
"""Names of models that PyTorch runs: files, and those that ultralytics fetches by name."""
OBJECT = "object"
"""The class of what is found without knowing what it is."""

FAMILIES = (
    Family(
        "auto",
        _auto,
        "looks at the first seconds and picks one of those below",
        needs_frames=True,
        class_names=(*COCO, OBJECT),
    ),
    Family("ssdlite", _ssdlite, "people", class_names=("person",)),
    Family("coco", _coco, "people, vehicles and the other classes of COCO; fetched once", class_names=COCO),
    Family("motion", _motion, "whatever moves", needs_frames=True, static_camera=True, class_names=(OBJECT,)),
    Family(".onnx", _onnx, "a network of the YOLO family"),
    Family(".pb", _graph, "a frozen graph of the TensorFlow Object Detection API"),
    Family(".txt", _file, "detections as MOT rows", class_names=(OBJECT,)),
)
"""Every family, once: options, help and errors are made of these rows."""
NAMES = tuple(f.key for f in FAMILIES if not f.key.startswith("."))
SUFFIXES = tuple(f.key for f in FAMILIES if f.key.startswith("."))


def family_of(spec: str | Path) -> Family:
    """The row of a detector's name or file, or one for a plug-in of the entry-point group `tracker.detectors`.

    Raises
    ------
    DetectorError
        Neither a known name nor a known suffix.
    """
    text = str(spec)
    key = text if text in NAMES else Path(text).suffix.lower()
    for family in FAMILIES:
        if family.key == key:
            return family
    installed = plugins()
    if text in installed:
        return Family(text, _plugin, f"plug-in {installed[text].value}")
    if _PYTORCH.fullmatch(Path(text).name.lower()):
        name = Path(text) if Path(text).suffix else Path(f"{text}.pt")
        raise DetectorError(
            f"detector {text!r} is a PyTorch model, which is not run here; export it once (pip install ultralytics; "
            f"yolo export model={name} format=onnx) and give --detector {name.with_suffix('.onnx')}"
        )
    known = (*NAMES, *sorted(installed))
    raise DetectorError(
        f"detector {text!r}; expected one of {', '.join(known)}, or a file that ends in {', '.join(SUFFIXES)}"
        f"{did_you_mean(text, known)}"
    )


def check_classes(spec: str, classes: Sequence[str]) -> None:
    """Refuse classes that a detector does not know, before anything is loaded, where its family tells.

    Raises
    ------
    DetectorError
        A name is unknown; the message says what was probably meant.
    """
    names = family_of(spec).class_names
    if names is not None and classes:
        wanted_classes(classes, names, spec)


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
    unsafe: bool = False,
    faint: bool = False,
    frames: Sequence[Frame] = (),
    opener: Callable[[Request], OpenDetector] | None = None,
) -> OpenDetector:
    """Open a detector by name or by its file.

    Parameters
    ----------
    spec : str or Path or Look
        A name or a file of `FAMILIES`, a plug-in's name, or a callable (see `detectors.custom`).
    confidence, nms : float, optional
        Thresholds, 0 to 1; None: the detector's own.
    tiles : str
        off, auto or COLUMNSxROWS (networks only).
    classes : sequence of str, optional
        Names to keep; None keeps all, or people and vehicles where a network knows much else; ("all",) keeps all.
    device : str
        auto, cpu, gpu or gpu:N.
    runtime, precision, threads : str, str, int or None
        See `detectors.runners.graphs.open_runner`.
    offline : bool
        Nothing may be fetched.
    unsafe : bool
        Run a TensorFlow graph with operations beyond inference, which may read and write files.
    faint : bool
        Without a `confidence`, also boxes too weak to begin a track, for trackers that know what to do with them.
    frames : Sequence[Frame]
        Spread over the first seconds, where the source can give them (files can), for families that
        need them.
    opener : Callable, optional
        Opens what is asked for in place of the family itself, so that networks can be kept for the next source.

    Raises
    ------
    DetectorError, DetectionsError, DeviceError, BackendMissingError, ConfigError
    """
    for name, value in (("confidence", confidence), ("nms", nms)):
        if value is not None and not 0 <= value <= 1:
            raise DetectorError(f"{name} {value}; expected a number from 0 to 1")
    if callable(spec):
        return CustomDetector(spec, confidence=confidence, classes=classes)
    options = NetworkOptions(
        confidence=confidence, nms=nms, tiles=tiles, classes=classes, device=device, runtime=runtime,
        precision=precision, threads=threads, faint=faint, unsafe=unsafe,
    )  # fmt: skip
    return (opener or _open)(Request(str(spec), options, offline, frames))


def _open(request: Request) -> OpenDetector:
    return family_of(request.spec).open(request)
