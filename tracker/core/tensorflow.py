"""TensorFlow, imported late and quietly, and where its graphs run."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from tracker.core.autotune import alone
from tracker.core.tf_parts import import_parts
from tracker.errors import BackendMissingError, DeviceError, first_line

LOADER = "tensorflow"
"""How the names of threads begin that load native code beside other work."""
_ALONE = threading.RLock()
"""Held while file descriptor 2 leads elsewhere, and while TensorFlow is imported: by one thread at a time."""


@cache
def _loaded() -> tuple[Any, str]:
    """The module, and what it printed about GPUs while it looked for them."""
    _hush()
    with captured_stderr() as lines, _without_keras():
        try:
            import tensorflow as tf
        except Exception as e:  # a broken installation raises anything
            tf, reason = None, e
        else:
            tf.config.list_physical_devices()
    if tf is None:
        words = " ".join(lines[-3:])
        raise BackendMissingError(
            f"TensorFlow does not load ({reason}); {words} Install it with: "
            f"{sys.executable} -m pip install 'tensorflow>=2.16'"
        )
    tf.autograph.set_verbosity(0)
    return tf, _about_gpus(lines)


def _runtime() -> tuple[Any, str]:
    with _ALONE:
        return _loaded_runtime()


@cache
def _loaded_runtime() -> tuple[Any, str]:
    """As `_loaded`, but where nothing of TensorFlow is there yet the part alone that runs graphs."""
    _hush()
    with captured_stderr() as lines:
        tf = import_parts()
        if tf is not None:
            tf.config.list_physical_devices()
    return (tf, _about_gpus(lines)) if tf is not None else _loaded()


def _hush() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="keras")
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _about_gpus(lines: Sequence[str]) -> str:
    about = [_plain(line) for line in lines if re.search(r"cuda|gpu|cudnn|nvidia|rocm|dlopen", line, re.IGNORECASE)]
    return " ".join(dict.fromkeys(about))


class _NoKeras(MetaPathFinder):
    """Finds no Keras for the thread that made it; others import it meanwhile as ever."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "keras.src" and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is imported later", name=name)


@contextmanager
def _without_keras() -> Iterator[None]:
    """Meanwhile TensorFlow takes Keras for not installed, which it allows for: Keras is half of its import.

    Frozen graphs need none of it, and who imports it afterwards gets it whole.
    """
    finder = _NoKeras()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def import_tensorflow() -> Any:
    """The `tensorflow` module; its start-up messages are kept for `gpu_reason`.

    Raises
    ------
    BackendMissingError
        TensorFlow is not installed, or does not load; its own last words are in the message.
    """
    with _ALONE:
        return _loaded()[0]


def import_runtime() -> Any:
    """What of `tensorflow` imports and runs graphs, by its usual names (see `tf_parts`); the module where it is loaded.

    Raises
    ------
    BackendMissingError
        As `import_tensorflow`.
    """
    return _runtime()[0]


def parse_graph(data: bytes) -> Any:
    """The GraphDef that bytes hold.

    Raises
    ------
    ValueError
        They hold none, or one without nodes.
    """
    graph = import_runtime().compat.v1.GraphDef()
    try:
        graph.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError has moved between modules over its releases
        raise ValueError(f"no binary GraphDef, or cut off: {first_line(error)}") from None
    if not graph.node:
        raise ValueError(f"a graph without nodes, {len(data)} bytes")
    return graph


@cache
def preload() -> None:
    """Import what runs graphs in a thread of its own, beside other work; what fails is told where it is needed."""

    def load() -> None:
        with suppress(BackendMissingError), alone():
            import_runtime()

    # No daemon: the interpreter must not end while native code is being loaded.
    threading.Thread(target=load, name=LOADER).start()


def preloading() -> bool:
    """A thread that loads native code is at it; the interpreter would wait for it before it ends."""
    return any(thread.name.startswith(LOADER) for thread in threading.enumerate())


def gpu_reason() -> str:
    """Why TensorFlow uses no GPU, in a few words."""
    tf, printed = _runtime()
    if os.environ.get("CUDA_VISIBLE_DEVICES", None) in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} hides them"
    built = tf.sysconfig.get_build_info()
    if not built.get("is_cuda_build") and not built.get("is_rocm_build"):
        return "this TensorFlow is built without GPU support"
    for words, reason in (
        (r"could not find cuda drivers|failed call to cuinit|no cuda-capable device", "no NVIDIA driver"),
        (r"cannot dlopen|could not load dynamic library", "CUDA's libraries are missing: pip install '.[gpu]'"),
    ):
        if re.search(words, printed, re.IGNORECASE):
            return reason
    return "TensorFlow found none"


def pick_device(device: str) -> str:
    """`/CPU:0` or `/GPU:n` for auto, cpu, gpu or gpu:N.

    Raises
    ------
    DeviceError
        A device of another name, or a GPU that TensorFlow does not see; the message repeats its reason.
    """
    match = re.fullmatch(r"(auto|cpu|gpu)(?::(\d+))?", device)
    if not match or (match[2] and match[1] != "gpu"):
        raise DeviceError(f"device {device!r}; expected auto, cpu, gpu or gpu:N")
    if match[1] == "cpu":
        return "/CPU:0"
    found = len(import_runtime().config.list_physical_devices("GPU"))
    index = int(match[2] or 0)
    if index < found:
        return f"/GPU:{index}"
    if match[1] == "auto":
        return "/CPU:0"
    raise DeviceError(f"device {device}: TensorFlow sees {found} GPUs ({gpu_reason()}); use --device cpu or auto")


def session_config(place: str, threads: int) -> Any:
    """A session's configuration: the GPU's memory as needed and never the whole card, no GPU touched for the CPU."""
    tf = import_runtime()
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=2)
    config.allow_soft_placement = True
    config.gpu_options.allow_growth = True
    if place.startswith("/CPU"):
        config.device_count["GPU"] = 0
    return config


def processor() -> str:
    """The processor's name, and how many of its cores this process may use."""
    name = ""
    try:
        with open("/proc/cpuinfo") as f:
            name = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "")
    except OSError:
        import platform

        name = platform.processor()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")  # of TensorFlow and OpenVINO alike
    limited = f", limited to {limit}" if limit else ""
    return f"{name or 'unknown processor'}, {cores()} cores{limited}"


def knows_bf16() -> bool:
    """Whether the processor computes in bf16, or does not tell: one that does not never gains by it."""
    try:
        flags = re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return True
    known = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}  # the last of ARM
    return flags is None or bool(known & set(flags[1].split()))


def cores() -> int:
    """Processors this process may use: those it may run on, or fewer where `TRACKER_CORES` says so."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = os.environ.get("TRACKER_CORES", "")
    return min(found, max(1, int(share))) if share.isdecimal() else found


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """What native code writes to file descriptor 2 meanwhile, as lines."""
    lines: list[str] = []
    with _ALONE:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            saved = os.dup(2)
        except OSError:
            yield lines
            return
        try:
            with tempfile.TemporaryFile() as file:
                os.dup2(file.fileno(), 2)
                try:
                    yield lines
                finally:
                    os.dup2(saved, 2)
                file.seek(0)
                lines += file.read().decode("utf-8", "replace").splitlines()
        finally:
            os.close(saved)


def _plain(line: str) -> str:
    """A log line without time, process and source position."""
    return re.sub(r"^.*?\w+\.(?:cc|cpp|py):\d+\]\s*", "", line).strip()
