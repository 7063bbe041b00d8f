"""Runs a frozen TensorFlow graph on batches of images: OpenVINO on the CPU where it is installed, else a TF session."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from detectors.files import model_bytes
from tracker.choices import compare, remembered
from tracker.devices import gpu_reason, import_tensorflow, processor
from tracker.errors import BackendMissingError, DetectorError, DeviceError

if TYPE_CHECKING:
    from detectors.network import NetworkOptions


class Runner(Protocol):
    """One input, several outputs, which are valid until the next call; not shared between threads."""

    name: str
    """For example `openvino cpu bf16` or `tensorflow gpu:0`."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]: ...
    def close(self) -> None: ...


def open_runner(
    path: Path, input_name: str, outputs: Sequence[str], options: NetworkOptions, *, runtime: str | None = None
) -> Runner:
    """Open a frozen graph.

    Parameters
    ----------
    path : GraphDef whose placeholder `input_name` takes (N,H,W,3); `outputs` are node names.
    options : of them, `device` is auto, cpu, gpu or gpu:N (a GPU means the TF session); `runtime` auto, openvino or
        tensorflow; `precision` auto, f32 or bf16 (OpenVINO only; auto measures once and remembers); `threads` within
        one inference, None: half of the processors, at least 1, since the other stages need theirs.
    runtime : in place of the options' own.

    Raises
    ------
    DeviceError, BackendMissingError, DetectorError
    """
    runtime = runtime or options.runtime
    if runtime not in ("auto", "openvino", "tensorflow"):
        raise DetectorError(f"runtime {runtime!r}; expected auto, openvino or tensorflow")
    threads = options.threads or max(1, (os.cpu_count() or 2) // 2)
    gpu = pick_gpu(options.device)
    if gpu is None and (runtime == "openvino" or (runtime == "auto" and has_openvino())):
        return OpenVINORunner(path, input_name, outputs, precision=options.precision, threads=threads)
    if gpu is not None and runtime == "openvino":
        raise DeviceError(f"device {options.device!r} with runtime openvino; use runtime tensorflow, or --device cpu")
    return TFRunner(path, input_name, outputs, gpu=gpu, threads=threads)


def has_openvino() -> bool:
    from importlib.util import find_spec

    return find_spec("openvino") is not None


def pick_gpu(device: str) -> int | None:
    """The number of the GPU to use, or None for the CPU.

    `auto` asks TensorFlow only where a driver is present, because importing it takes seconds.
    """
    driver = Path("/proc/driver/nvidia").exists() or Path("/dev/kfd").exists()
    if device == "cpu" or (device == "auto" and not driver):
        return None
    kind, _, number = device.partition(":")
    if kind not in ("auto", "gpu") or (number and not number.isdigit()):
        raise DeviceError(f"device {device!r}; expected auto, cpu, gpu or gpu:N")
    found = len(import_tensorflow().config.list_physical_devices("GPU"))
    index = int(number or 0)
    if index < found:
        return index
    if device == "auto":
        return None
    raise DeviceError(f"device {device!r}: TensorFlow sees {found} GPUs ({gpu_reason()}); use --device cpu or auto")


def read_graph(path: Path) -> Any:
    """A frozen graph's GraphDef.

    Raises
    ------
    DetectorError : the bytes are no GraphDef, or hold no node.
    """
    data = model_bytes(path)
    tf = import_tensorflow()
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError has moved between modules over its releases
        raise DetectorError(f"{path}: not a frozen TensorFlow graph ({error}); expected a binary GraphDef") from None
    if not graph.node:
        raise DetectorError(f"{path}: a graph without nodes; expected a frozen TensorFlow detection graph")
    return graph


class TFRunner:
    """A graph in a session of its own, placed on the CPU or one GPU (memory growth on), called without feed dicts."""

    def __init__(self, path: Path, input_name: str, outputs: Sequence[str], *, gpu: int | None, threads: int) -> None:
        tf = import_tensorflow()
        definition = read_graph(path)
        graph = tf.Graph()
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=2)
        config.allow_soft_placement = True
        config.gpu_options.allow_growth = True
        if gpu is None:
            config.device_count["GPU"] = 0
        try:
            with graph.as_default(), graph.device("/CPU:0" if gpu is None else f"/GPU:{gpu}"):
                tf.import_graph_def(definition, name="")
            self._session = tf.compat.v1.Session(graph=graph, config=config)
            self._call = self._session.make_callable(
                [f"{name}:0" for name in outputs], feed_list=[graph.get_tensor_by_name(f"{input_name}:0")]
            )
        except (ValueError, KeyError, tf.errors.OpError) as error:
            raise DetectorError(f"{path}: TensorFlow cannot load the graph: {_first_line(error)}") from None
        self._path, self._error = path, tf.errors.OpError
        self.name = "tensorflow cpu" if gpu is None else f"tensorflow gpu:{gpu}"

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        try:
            return list(self._call(batch))
        except self._error as error:
            raise DetectorError(f"{self._path}: TensorFlow failed on {batch.shape}: {_first_line(error)}") from None

    def close(self) -> None:
        self._session.close()


class OpenVINORunner:
    """The same graph read by OpenVINO; compiled once for each batch size met."""

    def __init__(self, path: Path, input_name: str, outputs: Sequence[str], *, precision: str, threads: int) -> None:
        try:
            import openvino as ov
        except ImportError as error:
            raise BackendMissingError(f"openvino is not installed ({error}); run `pip install openvino`") from None
        self._core = ov.Core()
        self._options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self._path, self._input, self._outputs = path, input_name, [f"{name}:0" for name in outputs]
        self._requests: dict[tuple[int, ...], Any] = {}
        try:
            self._model = self._core.read_model(path)
        except RuntimeError as error:
            raise DetectorError(f"{path}: OpenVINO cannot read the graph: {_first_line(error)}") from None
        if precision == "auto":
            precision = self._faster_precision(ov.__version__)
        self._options["INFERENCE_PRECISION_HINT"] = precision
        self.name = f"openvino cpu {precision}"

    def _faster_precision(self, version: str) -> str:
        """bf16 where the processor knows it and it saves time, measured once: without matrix units it may cost more."""
        if "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return "f32"
        shape = tuple(d.get_length() if d.is_static else side for d, side in zip(
            self._model.input(f"{self._input}:0").partial_shape, (1, 320, 320, 3), strict=True))  # fmt: skip

        def measure() -> dict[str, Any]:
            batch = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
            calls = {}
            for precision in ("f32", "bf16"):
                request = self._request(shape, {**self._options, "INFERENCE_PRECISION_HINT": precision})
                calls[precision] = partial(request.infer, [batch])
            seconds = compare(calls)
            return {"precision": "bf16" if seconds["bf16"] < 0.9 * seconds["f32"] else "f32", "seconds": seconds}

        digest = hashlib.sha256(model_bytes(self._path)).hexdigest()
        key = f"{processor()}, openvino {version}, {self._options}, {shape}, {digest}"
        return str(remembered("openvino", key, measure)["precision"])

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        try:
            request = self._requests.get(batch.shape) or self._compile(batch.shape)
            request.infer([np.ascontiguousarray(batch)], share_inputs=True)
            return [request.get_tensor(name).data for name in self._outputs]
        except RuntimeError as error:
            raise DetectorError(f"{self._path}: OpenVINO failed on {batch.shape}: {_first_line(error)}") from None

    def _compile(self, shape: tuple[int, ...]) -> Any:
        self._requests[shape] = self._request(shape, self._options)
        return self._requests[shape]

    def _request(self, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
        model = self._model.clone()
        model.reshape({f"{self._input}:0": list(shape)})
        return self._core.compile_model(model, "CPU", options).create_infer_request()

    def close(self) -> None:
        self._requests.clear()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
