"""Runs a frozen TensorFlow graph: in OpenVINO on the CPU where it is installed, else in a TensorFlow session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detectors.runners.base import Runner, RunnerOptions, has_openvino, pick_gpu, pick_threads, shared
from tracker.errors import DetectorError, DeviceError


def open_runner(
    path: Path,
    input_name: str,
    outputs: Sequence[str],
    options: RunnerOptions,
    *,
    runtime: str | None = None,
    eight_bit: bool = False,
) -> Runner:
    """Open a frozen TensorFlow graph.

    Parameters
    ----------
    path : Path
        GraphDef whose placeholder `input_name` takes (N,H,W,3).
    input_name, outputs : str, sequence of str
        Names of nodes.
    options : RunnerOptions
        Where and how it runs.
    runtime : str, optional
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
    threads = pick_threads(options)
    gpu = pick_gpu(options.device)
    key = (path, input_name, *outputs, runtime, gpu, threads, options.precision, eight_bit, options.unsafe)
    if gpu is None and (runtime == "openvino" or (runtime == "auto" and has_openvino())):
        from detectors.runners.openvino import OpenVINORunner

        return shared(
            key,
            lambda: OpenVINORunner(
                path, input_name, outputs, precision=options.precision, threads=threads, eight_bit=eight_bit
            ),
        )
    if gpu is not None and runtime == "openvino":
        raise DeviceError(f"device {options.device!r} with runtime openvino; use runtime tensorflow, or --device cpu")
    from detectors.runners.tensorflow import TFRunner

    return shared(key, lambda: TFRunner(path, input_name, outputs, gpu=gpu, threads=threads, unsafe=options.unsafe))
