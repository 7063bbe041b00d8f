"""Names and files to detectors: the one door through which the application gets them, one row a family."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from detectors.custom import CustomDetector, Look, open_plugin, plugins
from detectors.options import NetworkOptions
from tracker.core.classes import COCO, wanted_classes
from tracker.core.command_line import did_you_mean
from tracker.core.interfaces import Detector
from tracker.core.types import Frame
from tracker.errors import DetectorError

if TYPE_CHECKING:
    from detectors.network import Network


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
    open : Callable[[Request], Detector]
        Opens one; what it needs is imported there.
    about : str
        One line for lists.
    needs_frames : bool
        It looks at the source's first frames before it starts.
    static_camera : bool
        It is for cameras that stand still, and of no use where there are no pixels.
    class_names : tuple of str, optional
        The classes that it knows, where every one of the family knows the same.
    recorded : bool
        Its boxes are read from a file: it needs no pixels.
    """

    key: str
    open: Callable[[Request], Detector]
    about: str
    needs_frames: bool = False
    static_camera: bool = False
    class_names: tuple[str, ...] | None = None
    recorded: bool = False


def _auto(request: Request) -> Detector:
    from detectors.auto import open_auto

    return open_auto(request, _open)


def _ssdlite(request: Request) -> Detector:
    from detectors.tf_graph import TFObjectDetector, ssdlite_path

    return _primed(TFObjectDetector(ssdlite_path(), request.options, name="ssdlite", class_names=("person",)), request)


def _coco(request: Request) -> Detector:
    from detectors import store
    from detectors.centernet import CenterNet

    if request.offline and not store.is_kept("coco"):
        raise DetectorError("detector coco is not in the cache, and --offline forbids fetching it; run without it once")
    network = CenterNet(store.fetch("coco", say=lambda text: print(text, file=sys.stderr)), request.options)
    return _primed(network, request)


def _primed(network: Network, request: Request) -> Detector:
    """The network, once it has chosen how to look at the source's frames, and looked at one: that compiles it."""
    network.why = network.choose_view(request.frames)
    if first := next((f for f in request.frames if f.image is not None), None):
        network(first)
    return network


def _motion(request: Request) -> Detector:
    from detectors.motion import MotionDetector

    images = [f.image for f in request.frames if f.image is not None]
    return MotionDetector(confidence=request.options.confidence, classes=request.options.classes, frames=images)


def _with_motion(request: Request) -> Detector:
    """`NETWORK+motion`; where classes are asked for and `object` is none of them, the network alone."""
    from detectors.assisted import WIDTH, Assisted
    from detectors.motion import MotionDetector

    classes = request.options.classes
    known = None if classes is None else tuple(c for c in classes if c.strip().lower() != OBJECT)
    options = replace(request.options, classes=known or None)
    network = _open(replace(request, spec=request.spec.removesuffix("+motion"), options=options))
    if known is not None and len(known) == len(classes or ()) and known != ("all",):
        return network
    pictures = [f.image for f in request.frames if f.image is not None]
    return Assisted(network, MotionDetector(frames=pictures, width=WIDTH))


def _graph(request: Request) -> Detector:
    from detectors.tf_graph import TFObjectDetector
    from detectors.trial import tried

    if not request.options.unsafe:
        tried(Path(request.spec))
    return _primed(TFObjectDetector(Path(request.spec), request.options), request)


def _onnx(request: Request) -> Detector:
    from detectors.onnx import ONNXDetector
    from detectors.trial import tried

    tried(Path(request.spec))
    return _primed(ONNXDetector(Path(request.spec), request.options), request)


def _file(request: Request) -> Detector:
    from detectors.precomputed import Precomputed

    options = request.options
    return Precomputed(request.spec, confidence=options.confidence, nms=options.nms, classes=options.classes)


def _plugin(request: Request) -> Detector:
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
    Family("ssdlite", _ssdlite, "people", needs_frames=True, class_names=("person",)),
    Family(
        "coco",
        _coco,
        "people, vehicles and the other classes of COCO; fetched once",
        needs_frames=True,
        class_names=COCO,
    ),
    Family(
        "coco+motion",
        _with_motion,
        "these, and what moves besides",
        needs_frames=True,
        class_names=(*COCO, OBJECT),
    ),
    Family(
        "ssdlite+motion",
        _with_motion,
        "people, and what moves besides",
        needs_frames=True,
        class_names=("person", OBJECT),
    ),
    Family("motion", _motion, "whatever moves", needs_frames=True, static_camera=True, class_names=(OBJECT,)),
    Family(".onnx", _onnx, "a network of the YOLO family", needs_frames=True),
    Family(".pb", _graph, "a frozen graph of the TensorFlow Object Detection API", needs_frames=True),
    Family(".txt", _file, "detections as MOT rows or KITTI labels", recorded=True),
    Family(".csv", _file, "detections as CSV with a header", recorded=True),
    Family(".json", _file, "detections as COCO JSON", recorded=True),
)
FOLDER = Family("", _file, "a folder of YOLO or KITTI labels", recorded=True)
"""Every family, once: options, help and errors are made of these rows."""
FOREIGN = {
    ".caffemodel": "a Caffe model", ".cfg": "a Darknet network", ".engine": "a TensorRT engine", ".h5": "a Keras model",
    ".hdf5": "a Keras model", ".keras": "a Keras model", ".mlmodel": "a Core ML model", ".mlpackage": "a Core ML model",
    ".param": "an ncnn model", ".pbtxt": "a graph in text form", ".pdmodel": "a Paddle model",
    ".safetensors": "a file of weights", ".tflite": "a TensorFlow Lite model", ".torchscript": "a TorchScript model",
    ".weights": "a file of Darknet weights", ".xml": "an OpenVINO model",
}  # fmt: skip
"""Networks of other tools."""
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
    if key == ".xml" and (root := _xml_root(Path(text))) not in ("", "net"):
        from detectors.formats import EXPECTED

        raise DetectorError(f"detector {text!r} is XML of <{root}>, no network; as detections, {EXPECTED}")
    if what := _foreign(text):
        raise DetectorError(
            f"detector {text!r} is {what}, which is not run here; export the network once as ONNX with the tool that "
            f"trained it, and give --detector {Path(text).stem}.onnx"
        )
    if text and os.path.isdir(text):
        return FOLDER
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


def _foreign(text: str) -> str:
    """What networks of other tools are, by their suffix; empty for anything else."""
    if os.path.isdir(text) and any(os.path.exists(os.path.join(text, f"saved_model.{s}")) for s in ("pb", "pbtxt")):
        return "a SavedModel"
    return FOREIGN.get(Path(text).suffix.lower(), "")


def _xml_root(path: Path) -> str:
    """Name of an XML file's outermost element; empty where that cannot be told."""
    with suppress(OSError), open(path, "rb") as file:
        found = re.search(rb"<([A-Za-z_][\w.-]{0,40})", file.read(4096))
        return found.group(1).decode() if found else ""
    return ""


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
    detail: str = "auto",
    input_size: str | None = None,
    classes: Sequence[str] | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    offline: bool = False,
    unsafe: bool = False,
    faint: bool = False,
    frames: Sequence[Frame] = (),
    opener: Callable[[Request], Detector] | None = None,
) -> Detector:
    """Open a detector by name or by its file.

    Parameters
    ----------
    spec : str or Path or Look
        A name or a file of `FAMILIES`, a plug-in's name, or a callable (see `detectors.custom`).
    confidence, nms : float, optional
        Thresholds, 0 to 1; None: the detector's own.
    tiles : str
        off, auto or COLUMNSxROWS (networks only).
    detail : str
        auto, fast or fine: how large a network sees a frame; auto measures that on `frames`.
    input_size : str, optional
        WIDTHxHEIGHT instead, for networks that take any size.
    classes : sequence of str, optional
        Names to keep; None keeps all, or people and vehicles where a network knows much else; ("all",) keeps all.
    device : str
        auto, cpu, gpu or gpu:N.
    runtime, precision, threads : str, str, int or None
        See `detectors.runners.base.RunnerOptions`.
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
        confidence=confidence, nms=nms, tiles=tiles, detail=detail, input_size=input_size, classes=classes,
        device=device, runtime=runtime, precision=precision, threads=threads, faint=faint, unsafe=unsafe,
    )  # fmt: skip
    return (opener or _open)(Request(str(spec), options, offline, frames))


def _open(request: Request) -> Detector:
    return family_of(request.spec).open(request)
