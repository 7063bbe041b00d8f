"""Runs a GraphDef whose variables are variables: the other route that a frozen graph is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from freeze.errors import FreezeError
from freeze.graph.graphdef import VARIABLE_OPS, Graph, GraphDef, tensor_name, unplaced
from tracker.core.child import limited
from tracker.core.tensorflow import import_tensorflow

RUN_SECONDS = 60.0
"""For one run of a graph on a few crops, in a process under limits."""
ENDLESS = FreezeError(
    "GRAPH_ENDLESS",
    f"one run of the graph on a few crops did not end within {RUN_SECONDS:g} s; no file is written",
    "the graph holds a loop without end: get the model again, or export it without loops",
)


class Runner:
    """A session of its own on a graph; variables are set to `values` (by node name), tables initialised.

    Parameters
    ----------
    graph_def : GraphDef
        Any flat or function-bearing GraphDef; device fields are cleared.
    values : dict[str, ndarray] or None
        Variable node name -> array.
    initializers : Sequence[str]
        Names of operations run once (lookup tables).
    """

    def __init__(
        self, graph_def: GraphDef, values: dict[str, np.ndarray] | None = None, initializers: Sequence[str] = ()
    ) -> None:
        tf = import_tensorflow()
        graph_def = unplaced(graph_def)
        self.graph = tf.Graph()
        with self.graph.as_default():
            tf.import_graph_def(graph_def, name="")
        config = tf.compat.v1.ConfigProto(allow_soft_placement=True, device_count={"GPU": 0})
        # The graph as it is written: to rewrite it would cost more than a few images do.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self.session = tf.compat.v1.Session(graph=self.graph, config=config)
        self._assign(Graph(graph_def), values or {})
        for name in initializers:
            if name in Graph(graph_def):
                self.session.run(self.graph.get_operation_by_name(name))

    def _assign(self, graph: Graph, values: dict[str, np.ndarray]) -> None:
        """All in one run: each run after a change of the graph would plan it anew."""
        tf = import_tensorflow()
        feeds: dict[Any, np.ndarray] = {}
        operations = []
        with self.graph.as_default():
            for name, node in graph.nodes.items():
                if node.op not in VARIABLE_OPS or name not in values:
                    continue
                handle = self.graph.get_tensor_by_name(name + ":0")
                value = tf.compat.v1.placeholder(node.attr["dtype"].type, values[name].shape)
                operations.append(
                    tf.raw_ops.AssignVariableOp(resource=handle, value=value)
                    if node.op == "VarHandleOp"
                    else tf.raw_ops.Assign(ref=handle, value=value, validate_shape=False).op
                )
                feeds[value] = values[name]
        if operations:
            self.session.run(operations, feeds)

    def run(self, fetch: str | list[str], feeds: dict[str, Any] | None = None) -> Any:
        """Value(s) of tensor(s) `fetch` with tensors fed by name."""
        with limited(RUN_SECONDS, str(ENDLESS)):
            return self._run(fetch, feeds)

    def _run(self, fetch: str | list[str], feeds: dict[str, Any] | None) -> Any:
        names: Any = tensor_name(fetch) if isinstance(fetch, str) else [tensor_name(f) for f in fetch]
        return self.session.run(names, {tensor_name(k): v for k, v in (feeds or {}).items()})

    def close(self) -> None:
        """Free the session."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
