"""ONNX networks: in OpenVINO on the CPU, in ONNX Runtime on a GPU or where there is no OpenVINO."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from detectors.runners.base import Feed, Runner, RunnerOptions, has_openvino, pick_threads, shared
from tracker.core.files import model_bytes
from tracker.errors import BackendMissingError, DetectorError, DeviceError, first_line


def open_onnx(path: Path, feed: Feed, options: RunnerOptions) -> Runner:
    """Open an ONNX file.

    Raises
    ------
    DetectorError, DeviceError, BackendMissingError
    """
    if options.runtime not in ("auto", "openvino", "onnxruntime"):
        raise DetectorError(f"runtime {options.runtime!r} for {path}; expected auto, openvino or onnxruntime")
    gpu = _gpu(options.device)
    threads = pick_threads(options)
    openvino = gpu is None and (options.runtime == "openvino" or (options.runtime == "auto" and has_openvino()))
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


def has_onnxruntime() -> bool:
    """Whether ONNX Runtime is installed; it is not imported for that."""
    from importlib.util import find_spec

    return find_spec("onnxruntime") is not None


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

    def forget(self, sizes: Collection[tuple[int, int]]) -> None:
        """Nothing: sessions are of any size."""

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
