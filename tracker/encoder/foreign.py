"""Frozen encoders for other runtimes, X.onnx and X.xml: no TensorFlow is needed to run them.

`python -m freeze --also onnx,openvino` writes them with a contract beside each; what that promises is checked when one
is opened, as with X.pb.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.files import model_bytes
from tracker.core.openvino import import_openvino
from tracker.errors import BackendMissingError, DeviceError, EncoderError, first_line

SUFFIXES = (".onnx", ".xml")
EXTERNAL = b"\n\x08location"
"""The key under which an ONNX model names a file of its own choice that holds its weights."""


class ForeignSession:
    """One model in OpenVINO or ONNX Runtime, on the CPU.

    Parameters
    ----------
    path : Path
        X.onnx, or X.xml with X.bin beside it.
    threads : int
        Within one operation.
    runtime : str
        `openvino` or `onnxruntime`; "" takes OpenVINO where it is installed. X.xml needs it.

    Raises
    ------
    EncoderError
        No such file, or no model.
    BackendMissingError
        The runtime is not installed.
    """

    device = "cpu"

    def __init__(self, path: Path, threads: int, runtime: str = "") -> None:
        data = model_bytes(path, EncoderError)
        if path.suffix == ".onnx" and EXTERNAL in data:
            raise EncoderError(
                f"{path}: names another file for its weights, which is not opened; expected a model in one file"
            )
        self.runtime = runtime or ("openvino" if path.suffix == ".xml" or find_spec("openvino") else "onnxruntime")
        open_model = _openvino if self.runtime == "openvino" else _onnxruntime
        try:
            self._call = open_model(path, threads)
        except ImportError:
            package = "openvino" if path.suffix == ".xml" else "openvino or onnxruntime"
            raise BackendMissingError(f"{path} needs {package}; install it: pip install {package.split()[0]}") from None
        except Exception as e:  # both raise kinds of their own for a damaged model
            raise EncoderError(f"{path}: {self.runtime} cannot load it ({first_line(e)}); freeze it again") from None

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Features (N, dimension) of crops (N,H,W,C), as the only member of a list."""
        return [self._call(batch)]

    def close(self) -> None:
        """Free the model."""
        self._call = _closed


def check_device(device: str) -> None:
    """Raises DeviceError for anything but the CPU: GPUs are TensorFlow's business here."""
    if device not in ("auto", "cpu"):
        raise DeviceError(f"device {device!r}: encoders for other runtimes run on the CPU; use --device cpu or X.pb")


def _openvino(path: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    ov = import_openvino()

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(str(path), "CPU", settings)
    request: Any = compiled.create_infer_request()

    def call(batch: np.ndarray) -> np.ndarray:
        request.infer({0: np.ascontiguousarray(batch)}, share_inputs=True)
        return np.array(request.get_output_tensor(0).data)

    return call


def _onnxruntime(path: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def call(batch: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: np.ascontiguousarray(batch)})[0])

    return call


def _closed(batch: np.ndarray) -> np.ndarray:
    raise EncoderError("the encoder is closed; open it again")
