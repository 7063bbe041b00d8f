"""Runs a frozen TensorFlow graph on batches of images: OpenVINO on the CPU where it is installed, else a TF session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tracker.core.files import model_bytes
from tracker.core.graph_ops import REMEDY, listed, refused
from tracker.core.tensorflow import cores, gpu_reason, import_tensorflow
from tracker.errors import DetectorError, DeviceError, first_line

if TYPE_CHECKING:
    from detectors.options import NetworkOptions


class Runner(Protocol):
    """One input, several outputs, which are valid until the same thread's next call."""

    name: str
    """For example `openvino cpu bf16` or `tensorflow gpu:0`."""
    concurrency: int
    """How many threads gain by calling it at the same time."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for a batch, in the order asked for."""

    def close(self) -> None:
        """Free the network."""


def open_runner(
    path: Path,
    input_name: str,
    outputs: Sequence[str],
    options: NetworkOptions,
    *,
    runtime: str | None = None,
    eight_bit: bool = False,
) -> Runner:
    """Open a frozen graph.

    Parameters
    ----------
    path : Path
        GraphDef whose placeholder `input_name` takes (N,H,W,3); `outputs` are node names.
    options : NetworkOptions
        Of them, `device` is auto, cpu, gpu or gpu:N (a GPU means the TF session); `runtime` auto, openvino or
        tensorflow; `precision` auto, f32, bf16 or i8 (OpenVINO only; auto measures once and remembers); `threads` for
        all inferences together, None: half of the processors, at least 1, since the other stages need theirs.
    runtime : str or None
        In place of the options' own.
    eight_bit : bool
        Whether 8-bit integers come into question: boxes of this kind of graph were found to stay as good.

    Raises
    ------
    DeviceError, BackendMissingError, DetectorError
    """
    runtime = runtime or options.runtime
    if runtime not in ("auto", "openvino", "tensorflow"):
        raise DetectorError(f"runtime {runtime!r}; expected auto, openvino or tensorflow")
    threads = options.threads or max(1, cores() // 2)
    gpu = pick_gpu(options.device)
    if gpu is None and (runtime == "openvino" or (runtime == "auto" and has_openvino())):
        from detectors.runners.openvino import OpenVINORunner

        return OpenVINORunner(
            path, input_name, outputs, precision=options.precision, threads=threads, eight_bit=eight_bit
        )
    if gpu is not None and runtime == "openvino":
        raise DeviceError(f"device {options.device!r} with runtime openvino; use runtime tensorflow, or --device cpu")
    return TFRunner(path, input_name, outputs, gpu=gpu, threads=threads, unsafe=options.unsafe)


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
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


def read_graph(path: Path, *, unsafe: bool = False) -> Any:
    """A frozen graph's GraphDef.

    Raises
    ------
    DetectorError
        The bytes are no GraphDef, hold no node, or operations beyond inference where `unsafe` does not allow them.
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
    if not unsafe and (found := refused(graph)):
        raise DetectorError(
            f"{path}: the graph holds operations that inference does not need, which may touch files: "
            f"{listed(found)}; {REMEDY}"
        )
    return graph


class TFRunner:
    """A graph in a session of its own, placed on the CPU or one GPU (memory growth on), called without feed dicts."""

    concurrency = 1

    def __init__(
        self,
        path: Path,
        input_name: str,
        outputs: Sequence[str],
        *,
        gpu: int | None,
        threads: int,
        unsafe: bool = False,
    ) -> None:
        tf = import_tensorflow()
        definition = read_graph(path, unsafe=unsafe)
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
            raise DetectorError(f"{path}: TensorFlow cannot load the graph: {first_line(error)}") from None
        self._path, self._error = path, tf.errors.OpError
        self.name = "tensorflow cpu" if gpu is None else f"tensorflow gpu:{gpu}"

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for a batch, in the order asked for."""
        try:
            return list(self._call(batch))
        except self._error as error:
            raise DetectorError(f"{self._path}: TensorFlow failed on {batch.shape}: {first_line(error)}") from None

    def close(self) -> None:
        """Free the session."""
        self._session.close()
