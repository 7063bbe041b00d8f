"""The frozen encoder at work: its own graph and session, uint8 crops in padded batches, features out.

`python -m tracker.encoder.runtime FILE.pb [THREADS]` loads a graph as a run does, checks it and prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from tracker.core import child
from tracker.core.autotune import cached, compare
from tracker.core.tensorflow import (
    captured_stderr,
    cores,
    import_runtime,
    knows_bf16,
    pick_device,
    processor,
    session_config,
)
from tracker.core.vectors import unit_vectors
from tracker.encoder.contract import Contract, ContractError
from tracker.encoder.crops import CropBuffer
from tracker.encoder.foreign import SUFFIXES, ForeignSession, check_device
from tracker.encoder.graph_file import choose_layer, infer_contract, read_graph
from tracker.encoder.precision import lowered
from tracker.errors import EncoderError, first_line

BUCKETS, GPU_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32), (1, 4, 8, 16, 32)
"""Batch sizes that are run; others are padded to the next, so that convolutions are planned a few times only."""
FEW = 8
"""Crops that tell whether a graph is right: a batch size of `BUCKETS`."""
MOST_THREADS = 4
"""Within an operation, at most: a network for crops has too little to share out to more."""
RUN_SECONDS = 20.0
"""For one batch, while a graph of a stranger is tried."""
OLD_CONTROL_FLOW = {"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"}


class FrozenEncoder:
    """A frozen graph that turns crops into features.

    Open with `FrozenEncoder.open`. Calls from several threads are run one after the other.

    Attributes
    ----------
    contract : Contract
        What the graph promises; inferred from the graph where no contract file stands beside it.
    dimension : int
        Length of a feature.
    input_shape : tuple[int, int, int]
        (height, width, channels) of a crop, pixels.
    device : str
        `cpu` or `gpu:n`, where the graph runs.
    precision : str
        `f32`, `bf16` or `f16`, of the arithmetic inside the graph.
    path : Path
        The .pb file.
    sha256 : str
        Its hash, hexadecimal.
    warnings : list[str]
        What went wrong and was survived.
    """

    def __init__(
        self, path: Path, contract: Contract, graph_def: Any, *, place: str, precision: str, threads: int
    ) -> None:
        self.path, self.contract, self.precision = path, contract, precision
        self.sha256 = contract.graph_sha256
        self.dimension, self.input_shape = contract.dimension, contract.input_shape
        self.device = place.strip("/").lower().replace("cpu:0", "cpu")
        self.warnings: list[str] = []
        self._lock = threading.Lock()
        self._crops = CropBuffer(self.input_shape, contract.crop_rule)
        self._buckets: tuple[int, ...] = BUCKETS
        self._failures: tuple[type[Exception], ...] = (RuntimeError, ValueError)
        self._full: tuple[type[Exception], ...] = ()
        if isinstance(graph_def, ForeignSession):
            self._call: Callable[[np.ndarray], list[np.ndarray]] = graph_def
            self._session: Any = graph_def
        else:
            self._open_session(graph_def, place, precision, threads)
        self._batch = np.zeros((self._buckets[-1], *self.input_shape), np.uint8)

    def _open_session(self, graph_def: Any, place: str, precision: str, threads: int) -> None:
        contract = self.contract
        self._tf = import_runtime()
        self._failures, self._full = (self._tf.errors.OpError, ValueError), (self._tf.errors.ResourceExhaustedError,)
        self._graph = self._tf.Graph()
        if precision != contract.precision:
            graph_def = self._lowered(graph_def, precision)
        with captured_stderr():
            self._connect(graph_def, place, threads)
            fixed = self._graph.get_tensor_by_name(f"{contract.input_name}:0").shape[0]
            self._buckets = (int(fixed),) if fixed is not None else BUCKETS if self.device == "cpu" else GPU_BUCKETS

    @classmethod
    def open(
        cls,
        path: str | Path,
        device: str = "auto",
        precision: str | None = None,
        *,
        threads: int | None = None,
        unsafe: bool = False,
    ) -> FrozenEncoder:
        """Load a frozen graph and check it against its contract.

        Parameters
        ----------
        path : str or Path
            GraphDef (.pb), X.onnx or X.xml; its contract stands beside it. The latter two need no TensorFlow.
        device : str
            Auto, cpu, gpu or gpu:N.
        precision : str or None
            Arithmetic to compute in: f32, bf16 or f16; None: the graph's own, or what is measured as better.
        threads : int or None
            Within one operation; None: half of the processors, since the other stages need theirs, four at most.
        unsafe : bool
            Run a graph that holds operations beyond inference, which may read and write files.

        Raises
        ------
        EncoderError
            No such file, no graph, or one that breaks its contract or gives no features.
        DeviceError
            The device is not there.
        """
        path = Path(path)
        threads = threads or max(1, min(MOST_THREADS, cores() // 2))
        if path.suffix in SUFFIXES:
            return cls._open_foreign(path, device, precision, threads)
        graph_def = read_graph(path, unsafe=unsafe)
        try:
            contract = Contract.beside(path) or infer_contract(path, graph_def)
        except (ContractError, OSError, UnicodeDecodeError) as e:
            raise EncoderError(str(e)) from None
        place = pick_device(device)
        given: dict[str, Any] = {"place": place, "threads": threads}
        precision = precision or choose_precision(path, contract, graph_def, **given)
        encoder = cls(path, contract, graph_def, precision=precision, **given)
        encoder.self_check()
        return encoder

    @classmethod
    def _open_foreign(cls, path: Path, device: str, precision: str | None, threads: int) -> FrozenEncoder:
        """An encoder for another runtime, by its contract: the model itself does not say how it is fed."""
        check_device(device)
        try:
            contract = Contract.beside(path) if path.exists() else None
        except (ContractError, OSError, UnicodeDecodeError) as e:
            raise EncoderError(str(e)) from None
        session = ForeignSession(path, threads)
        if contract is None:
            raise EncoderError(
                f"{path}: has no contract {path.name}.json beside it, which says how it is fed; make both with "
                f"python -m freeze ... --out {path.stem}.pb --also onnx,openvino"
            )
        if precision not in (None, contract.precision):
            raise EncoderError(f"{path}: computes in {contract.precision}; freeze it in {precision}")
        encoder = cls(path, contract, session, place="cpu", precision=contract.precision, threads=threads)
        encoder.self_check()
        return encoder

    def _lowered(self, graph_def: Any, precision: str) -> Any:
        if self.contract.precision != "f32" or precision not in ("bf16", "f16"):
            raise EncoderError(
                f"{self.path}: computes in {self.contract.precision}, cannot be made {precision}; "
                "freeze it in that precision"
            )
        changed = lowered(graph_def, precision)
        if changed is None:
            raise EncoderError(
                f"{self.path}: has no convolutions to compute in {precision}; use its own precision, f32"
            )
        return changed

    def _connect(self, graph_def: Any, place: str, threads: int) -> None:
        """Import the graph, make the session and the callable, and compare tensors with the contract."""
        tf, contract = self._tf, self.contract
        try:
            with self._graph.as_default(), self._graph.device(place):
                tf.import_graph_def(graph_def, name="")
            given = self._graph.get_tensor_by_name(f"{contract.input_name}:0")
            features = self._graph.get_tensor_by_name(f"{contract.output_name}:0")
            self._call = self._started(given.name, features.name, place, threads)
        except (ValueError, KeyError, tf.errors.OpError) as e:
            raise EncoderError(
                f"{self.path}: TensorFlow cannot load the graph ({first_line(e)}); freeze the encoder again"
            ) from None
        if given.dtype.name != contract.input_dtype or given.shape.rank != 4:
            raise EncoderError(
                f"{self.path}: input {contract.input_name} is {given.dtype.name} {given.shape}; expected "
                f"{contract.input_dtype} of rank 4 (batch, height, width, channels)"
            )
        if features.shape.rank not in (None, 2):
            raise EncoderError(
                f"{self.path}: output {contract.output_name} has rank {features.shape.rank} {features.shape}; "
                "expected rank 2 (batch, dimension)"
            )

    def _started(self, given: str, features: str, place: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
        """Makes the session; returns what runs it on a batch.

        On a CPU it runs in the caller's thread, by TensorFlow's executor for one thread: handing operations from thread
        to thread takes longer than the small ones themselves. That executor knows no old control flow.
        """
        from tensorflow.core.protobuf import config_pb2

        config = session_config(place, threads)
        options = config_pb2.CallableOptions(feed=[given], fetch=[features])
        if place.startswith("/CPU"):
            options.run_options.inter_op_thread_pool = -1
            if not OLD_CONTROL_FLOW & {o.type for o in self._graph.get_operations()}:
                config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
        self._session = self._tf.compat.v1.Session(graph=self._graph, config=config)
        call: Callable[[np.ndarray], list[np.ndarray]] = self._session._make_callable_from_options(options)  # noqa: SLF001
        return _watched(call) if child.MARK in os.environ else call

    def self_check(self) -> dict[str, Any]:
        """Run test crops through batches; returns what was seen.

        On a GPU through every batch size, as the first of a size takes long there. On a CPU it does not: one crop and a
        few are enough to tell a graph that is wrong.

        Raises
        ------
        EncoderError
            Features of a wrong shape, not finite, equal for all crops, or of a norm other than promised.
        """
        sizes = (1, FEW) if self.device == "cpu" else self._buckets
        crops = trial_crops(sizes[-1], self.input_shape)
        crops[0], crops[-1] = 0, 255
        for bucket in sizes:
            features = self.encode(crops[:bucket])
        where = f"{self.path}: output {self.contract.output_name}"
        if not np.isfinite(features).all():
            raise EncoderError(f"{where} is not finite on test crops; freeze the encoder again")
        norms = np.linalg.norm(features, axis=1)
        # A network without biases gives nothing for a black picture: a zero vector, which nothing can make a unit one.
        empty = (norms < 1e-6) & (np.ptp(crops.reshape(len(crops), -1), axis=1) == 0)
        if self.contract.l2_normalised and np.abs(norms[~empty] - 1).max(initial=0) > 1e-2:
            raise EncoderError(
                f"{where} has norms {norms.min():.3f} to {norms.max():.3f}; its contract promises unit vectors"
            )
        bare = self.contract.provenance.get("kind") == "bare graph"  # with a contract, somebody asked for it
        if bare and features.min() >= 0 and np.abs(features.sum(axis=1) - 1).max() < 1e-3:
            raise EncoderError(
                f"{where} is {self.dimension} probabilities of classes, each from 0 to 1 and 1 together, no feature; "
                f"{choose_layer(self.path)}"
            )
        spread = float(np.ptp(features, axis=0).max())
        if len(features) > 1 and spread == 0:
            raise EncoderError(f"{where} is the same for different crops; the output does not depend on the input")
        return {
            "dimension": self.dimension,
            "min_norm": float(norms.min()),
            "max_norm": float(norms.max()),
            "spread": spread,
        }

    def crops(self, frames: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Crops (N,H,W,C) uint8 of several frames' boxes (see `CropBuffer.cut`); valid until the next call."""
        return self._crops.cut(frames)

    def embed(self, image: np.ndarray, xyxy: np.ndarray) -> np.ndarray:
        """Features (N, dimension) float32 of the boxes (N,4) in a uint8 (H,W,3) BGR image."""
        return self.encode(self.crops([(image, xyxy)]))

    def encode(self, crops: np.ndarray) -> np.ndarray:
        """Features (N, dimension) float32 of crops (N,H,W,C) uint8 in BGR order, as `cut` gives them.

        Raises
        ------
        EncoderError
            Crops of another shape, or TensorFlow failed.
        """
        crops = np.asarray(crops)
        if crops.shape[1:] != self.input_shape or crops.dtype != np.uint8:
            raise EncoderError(
                f"crops are {crops.dtype} {crops.shape}; expected uint8 (N, {', '.join(map(str, self.input_shape))})"
            )
        out = np.empty((len(crops), self.dimension), np.float32)
        with self._lock:
            start = 0
            while start < len(crops):
                part = crops[start : start + self._buckets[-1]]
                features = self._run(part)
                if features is not None:
                    out[start : start + len(part)] = features
                    start += len(part)
        return out

    def _run(self, crops: np.ndarray) -> np.ndarray | None:
        """Features of at most a batch of crops; None when memory ran out and the batch was halved for a new try."""
        n = len(crops)
        bucket = next(b for b in self._buckets if b >= n)
        batch = self._batch[:bucket]
        batch[:n] = crops
        try:
            features = np.asarray(self._call(self._prepared(batch))[0], np.float32)
        except self._full as e:
            if len(self._buckets) == 1:
                raise EncoderError(
                    f"{self.path}: no memory for a batch of {bucket} on {self.device} ({first_line(e)})"
                ) from None
            self._buckets = self._buckets[:-1]
            self.warnings.append(
                f"encoder: no memory for a batch of {bucket} on {self.device}; went on with {self._buckets[-1]}"
            )
            return None
        except self._failures as e:
            raise EncoderError(f"{self.path}: its runtime failed on a batch of {bucket} ({first_line(e)})") from None
        if features.shape != (bucket, self.dimension):
            raise EncoderError(
                f"{self.path}: features have shape {features.shape}; expected {(bucket, self.dimension)}"
            )
        return features[:n]

    def _prepared(self, batch: np.ndarray) -> np.ndarray:
        """A batch in the colour order, type and range that the graph is fed."""
        contract = self.contract
        if contract.colour_order == "rgb" and self.input_shape[2] == 3:
            batch = batch[..., ::-1]
        if contract.input_dtype == "uint8":
            return batch
        low, high = contract.input_range
        scaled = batch.astype(np.float32)
        return scaled if (low, high) == (0.0, 255.0) else scaled * ((high - low) / 255) + low

    def close(self) -> None:
        """Free the session."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _watched(call: Callable[[np.ndarray], list[np.ndarray]]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The same call, which ends the process where the graph holds a loop without end."""

    def limited(batch: np.ndarray) -> list[np.ndarray]:
        with child.limited(RUN_SECONDS, f"one run on a few crops did not end within {RUN_SECONDS:g} s"):
            return call(batch)

    return limited


def choose_precision(path: Path, contract: Contract, graph_def: Any, *, place: str, threads: int) -> str:
    """The faster of float32 and the device's lower precision, measured once per machine, device and graph.

    The lower one is taken where it saves an eighth of the time and every trial crop's feature stays within a cosine of
    0.999.
    """
    low = "bf16" if place.startswith("/CPU") else "f16"
    if contract.precision != "f32" or (low == "bf16" and not knows_bf16()) or lowered(graph_def, low) is None:
        return contract.precision

    def measure() -> dict[str, Any]:
        crops = trial_crops(16, contract.input_shape)
        try:
            both = {
                p: FrozenEncoder(path, contract, graph_def, place=place, precision=p, threads=threads)
                for p in ("f32", low)
            }
            features = {p: unit_vectors(e.encode(crops)) for p, e in both.items()}
            seconds = compare({p: partial(e.encode, crops) for p, e in both.items()}, busy=low == "bf16")
        except EncoderError:  # the lower precision has no kernel here
            return {"precision": "f32"}
        for encoder in both.values():
            encoder.close()
        cosine = float((features["f32"] * features[low]).sum(1).min())
        better = cosine > 0.999 and seconds[low] < 0.875 * seconds["f32"]
        return {"precision": low if better else "f32", "seconds": seconds, "cosine": cosine}

    tf = import_runtime()
    key = f"{processor()} {place} {threads} threads, tensorflow {tf.__version__}, {contract.graph_sha256}"
    return str(cached("encoder", key, measure)["precision"])


def trial_crops(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Crops (count, H, W, C) uint8 that differ in colour, coarse pattern and grain; the same on every call."""
    height, width, channels = shape
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (count, 4, 2, channels)).astype(np.float32)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 2 // width
    grain = generator.normal(0, 20, (count, *shape))
    return np.clip(coarse[:, rows][:, :, columns] + grain, 0, 255).astype(np.uint8)


def main(arguments: list[str]) -> int:
    """Load FILE.pb as a run does and print what its check saw."""
    if len(arguments) != 1:
        print("usage: python -m tracker.encoder.runtime FILE.pb", file=sys.stderr)
        return 2
    try:
        with FrozenEncoder.open(arguments[0], device="cpu") as encoder:
            seen: dict[str, Any] = {"path": str(encoder.path), "sha256": encoder.sha256, "device": encoder.device}
            seen |= encoder.self_check()
            print(json.dumps(seen))
    except EncoderError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
