"""ONNX networks: in OpenVINO on the CPU, in ONNX Runtime on a GPU or where there is no OpenVINO."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from detectors.runners.base import Feed, Runner, RunnerOptions, has_openvino, pick_threads, shared
from tracker.core import child
from tracker.core.autotune import cached
from tracker.core.files import model_bytes
from tracker.errors import BackendMissingError, DetectorError, DeviceError, first_line

SECONDS = 120.0
"""For the first trial of a file."""


def open_onnx(path: Path, feed: Feed, options: RunnerOptions) -> Runner:
    """Open an ONNX file; its first time in a process of its own, which a damaged one may bring down.

    Raises
    ------
    DetectorError, DeviceError, BackendMissingError
    """
    if options.runtime not in ("auto", "openvino", "onnxruntime"):
        raise DetectorError(f"runtime {options.runtime!r} for {path}; expected auto, openvino or onnxruntime")
    gpu = _gpu(options.device)
    threads = pick_threads(options)
    openvino = gpu is None and (options.runtime == "openvino" or (options.runtime == "auto" and has_openvino()))
    _try_apart(path, openvino=openvino)
    digest = hashlib.sha256(model_bytes(path)).hexdigest()
    key = (digest, feed, openvino, gpu, threads, options.precision)
    if openvino:
        from detectors.runners.openvino import OpenVINORunner, prepared

        return shared(
            key,
            lambda: OpenVINORunner(
                path, feed.name, None, precision=options.precision, threads=threads,
                prepare=lambda model: prepared(model, feed),
            ),
        )  # fmt: skip
    return shared(key, lambda: ORTRunner(path, feed, gpu=gpu, threads=threads))


def _gpu(device: str) -> int | None:
    """The GPU to use, or None for the CPU; `auto` takes one where ONNX Runtime was built for it."""
    if device == "cpu":
        return None
    kind, _, number = device.partition(":")
    if kind not in ("auto", "gpu") or (number and not number.isdigit()):
        raise DeviceError(f"device {device!r}; expected auto, cpu, gpu or gpu:N")
    try:
        import onnxruntime

        built = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    except ImportError:
        built = False
    if built:
        return int(number or 0)
    if device == "auto":
        return None
    raise DeviceError(
        f"device {device!r}: ONNX networks run on a GPU by ONNX Runtime, which is not here with CUDA; "
        "run `pip install onnxruntime-gpu`, or use --device cpu"
    )


def _try_apart(path: Path, *, openvino: bool) -> None:
    """Load and run a file in a process of its own, once per file, which is remembered: parsers crash on damaged ones.

    Raises
    ------
    DetectorError
        It brought that process down, or did not end.
    """

    def measure() -> dict[str, Any]:
        try:
            done = child.run(
                "detectors.runners.onnx", [str(path), "openvino" if openvino else "onnxruntime"], seconds=SECONDS
            )
        except child.EndedError as error:
            raise DetectorError(
                f"{path}: loading it in a process of its own failed: {error}; the file is damaged or made to do harm: "
                "get it again from its source"
            ) from None
        return {"code": done.returncode}

    runtime = _version("openvino" if openvino else "onnxruntime")
    cached("trials", f"{runtime}, {hashlib.sha256(model_bytes(path)).hexdigest()}", measure)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


class ORTRunner:
    """An ONNX file in ONNX Runtime.

    Parameters
    ----------
    path : Path
        The file.
    feed : Feed
        How pictures are fed.
    gpu : int, optional
        Number of the GPU; None: the CPU.
    threads : int
        Of the CPU.

    Raises
    ------
    BackendMissingError
        ONNX Runtime is not installed.
    DetectorError
        It cannot load the file.
    """

    concurrency = 1

    def __init__(self, path: Path, feed: Feed, *, gpu: int | None, threads: int) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendMissingError(
                f"neither openvino nor onnxruntime is installed ({error}); run `pip install openvino`"
            ) from None
        settings = ort.SessionOptions()
        settings.intra_op_num_threads, settings.log_severity_level = threads, 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if gpu is not None:
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": gpu}))
        try:
            self._session = ort.InferenceSession(str(path), settings, providers=providers)
        except Exception as error:  # its own errors share no base class but this
            raise DetectorError(f"{path}: ONNX Runtime cannot load it: {first_line(error)}") from None
        if gpu is not None and "CUDAExecutionProvider" not in self._session.get_providers():
            raise DeviceError(f"{path}: ONNX Runtime cannot use GPU {gpu}; use --device cpu")
        self._path, self._feed = path, feed
        kinds = {i.name: i.type for i in self._session.get_inputs()}
        self._dtype = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}.get(kinds[feed.name], np.float32)
        self.output_names = tuple(str(o.name) for o in self._session.get_outputs())
        self.name = "onnxruntime cpu" if gpu is None else f"onnxruntime gpu:{gpu}"

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for uint8 RGB pictures (N,H,W,3)."""
        feed = self._feed
        pixels = batch[..., ::-1] if feed.bgr else batch
        if self._dtype is not np.uint8:
            mean, deviation = np.array(feed.mean, np.float32), np.array(feed.deviation, np.float32)
            pixels = (pixels / np.float32(feed.divisor) - mean) / deviation
        if feed.axes != "NHWC":
            pixels = pixels.transpose(0, 3, 1, 2)
        pixels = np.ascontiguousarray(pixels[0] if feed.axes == "CHW" else pixels, self._dtype)
        given = {feed.name: pixels}
        if feed.size_input is not None:
            given[feed.size_input] = np.tile(np.array(feed.size, np.int64), (len(batch), 1))
        try:
            return [np.asarray(o) for o in self._session.run(None, given)]
        except Exception as error:  # as above
            raise DetectorError(f"{self._path}: ONNX Runtime failed on {batch.shape}: {first_line(error)}") from None


def _trial(path: Path, runtime: str) -> None:
    """What the process for the first trial does: parse and compile; what is wrong is told elsewhere."""
    if runtime == "openvino":
        import openvino as ov

        core = ov.Core()
        model = core.read_model(path)
        compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1})
        if all(i.partial_shape.is_static for i in model.inputs):
            compiled([np.zeros(list(i.shape), i.element_type.to_dtype()) for i in model.inputs])
        return
    import onnxruntime as ort

    ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    _trial(Path(sys.argv[1]), sys.argv[2])
