"""Frozen TensorFlow graphs in a session, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.files import model_bytes
from tracker.core.graph_ops import REMEDY, listed, refused
from tracker.core.tensorflow import import_runtime, parse_graph
from tracker.errors import DetectorError, first_line


def read_graph(path: Path, *, unsafe: bool = False) -> Any:
    """A frozen graph's GraphDef.

    Raises
    ------
    DetectorError
        The bytes are no GraphDef, hold no node, or operations beyond inference where `unsafe` does not allow them.
    """
    try:
        graph = parse_graph(model_bytes(path))
    except ValueError as error:
        raise DetectorError(f"{path}: no frozen TensorFlow graph ({error}); expected a detection graph") from None
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
        tf = import_runtime()
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
        self.output_names = tuple(outputs)
        self.name = "tensorflow cpu" if gpu is None else f"tensorflow gpu:{gpu}"

    def forget(self, sizes: Collection[tuple[int, int]]) -> None:
        """Nothing: a session is of any size."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for a batch, in the order asked for."""
        try:
            return list(self._call(batch))
        except self._error as error:
            raise DetectorError(f"{self._path}: TensorFlow failed on {batch.shape}: {first_line(error)}") from None
