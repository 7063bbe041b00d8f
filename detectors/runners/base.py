"""What runs a network on batches of pictures, what a user can say of it, and what all share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import numpy as np

from tracker.core.tensorflow import cores, pick_device


@dataclass(frozen=True, kw_only=True)
class RunnerOptions:
    """What a user can say of how a network runs.

    Attributes
    ----------
    device : str
        auto, cpu, gpu or gpu:N; a GPU means a TensorFlow session or ONNX Runtime.
    runtime : str
        auto, openvino or tensorflow.
    precision : str
        auto, f32, bf16 or i8 (OpenVINO only; auto measures once per machine and graph).
    threads : int, optional
        For all inferences together; None: half of the processors, at least 1, since the other stages need theirs.
    unsafe : bool
        Run TensorFlow graphs with operations beyond inference, which may read and write files.
    """

    device: str = "auto"
    runtime: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    unsafe: bool = False


@dataclass(frozen=True)
class Feed:
    """How uint8 RGB pictures become an ONNX network's input.

    Attributes
    ----------
    name : str
        Of the input.
    axes : str
        NCHW, NHWC or CHW.
    batch : int, optional
        Pictures at a time, where the file fixes that.
    bgr : bool
        Colours the other way round.
    divisor, mean, deviation : float, tuple of float, tuple of float
        Pixels are divided by the first, then brought to the others.
    size_input : str, optional
        A second input, which takes the width and height that boxes are scaled to.
    size : tuple of int
        These: those of the input.
    """

    name: str
    axes: str = "NCHW"
    batch: int | None = None
    bgr: bool = False
    divisor: float = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    size_input: str | None = None
    size: tuple[int, int] = (0, 0)


class Runner(Protocol):
    """One input, several outputs, which are valid until the same thread's next call.

    Runners are shared by all detectors of a process that want the same, and freed with the last of them.
    """

    name: str
    """For example `openvino cpu bf16` or `tensorflow gpu:0`."""
    concurrency: int
    """How many threads gain by calling it at the same time."""
    output_names: tuple[str, ...]
    """Names of what a call returns."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for uint8 pictures (N,H,W,3)."""
        ...

    def forget(self, sizes: Collection[tuple[int, int]]) -> None:
        """Free what was prepared for pictures of these sizes (width, height), and the calling thread's buffers."""


_SHARED: WeakValueDictionary[tuple[object, ...], Runner] = WeakValueDictionary()


def shared(key: tuple[object, ...], make: Callable[[], Runner]) -> Runner:
    """The runner that is open for a key, or a new one."""
    runner = _SHARED.get(key)
    if runner is None:
        runner = _SHARED[key] = make()
    return runner


def pick_threads(options: RunnerOptions) -> int:
    """Threads for all inferences together."""
    return options.threads or max(1, cores() // 2)


def has_openvino() -> bool:
    """Whether OpenVINO is installed; it is not imported for that."""
    from importlib.util import find_spec

    return find_spec("openvino") is not None


def pick_gpu(device: str) -> int | None:
    """The number of the GPU to use, or None for the CPU.

    `auto` asks TensorFlow only where a driver is present, because importing it takes seconds.
    """
    driver = Path("/proc/driver/nvidia").exists() or Path("/dev/kfd").exists()
    if device == "auto" and not driver:
        return None
    kind, _, number = pick_device(device).partition(":")
    return int(number) if kind == "/GPU" else None
