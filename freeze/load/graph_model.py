"""A Model of a tf.Graph built in this process, its variables taken from a checkpoint."""

from __future__ import annotations

from typing import Any

from freeze.errors import FreezeError, Log
from freeze.graph.graphdef import VARIABLE_OPS
from freeze.load.checkpoint import Checkpoint
from freeze.load.variables import Wanted, assign, check_head
from freeze.model import Model, Values
from freeze.request import Request
from tracker.core.tensorflow import import_tensorflow


def from_graph(
    graph: Any,
    request: Request,
    log: Log,
    provenance: dict[str, Any],
    input: str | None = None,
    output: str | None = None,
    held: dict[str, str] | None = None,
) -> Model:
    """A Model of a tf.Graph whose variables get their values from `request.checkpoint`."""
    tf = import_tensorflow()
    with graph.as_default():
        kept = {v.op.name: v for v in [*tf.compat.v1.global_variables(), *tf.compat.v1.local_variables()]}
        local = {v.op.name for v in tf.compat.v1.local_variables()}
        tables = [
            op.name for op in graph.get_operations() if op.type.startswith(("LookupTableImport", "InitializeTable"))
        ]
    graph_def = graph.as_graph_def()

    def need(names: list[str]) -> Values:
        if request.checkpoint is None:
            raise FreezeError(
                "CHECKPOINT_NOT_GIVEN",
                f"the network has {len(names)} variables and no checkpoint gives them values",
                "add --checkpoint CKPT",
                names,
            )
        checkpoint = Checkpoint.open(request.checkpoint, log)
        provenance["checkpoint"] = checkpoint.prefix.name
        nodes = {n.name: n for n in graph_def.node if n.op in VARIABLE_OPS}
        wanted = [_wanted(nodes[n], kept, local) for n in names]
        values = assign(wanted, checkpoint, log, request.ema, built=True)
        check_head(wanted, checkpoint)
        return values

    return Model(
        graph_def,
        need=need,
        input=input,
        output=output,
        held=held or {},
        initializers=tables,
        provenance=provenance,
    )


def _wanted(node: Any, kept: dict[str, Any], local: set[str]) -> Wanted:
    tf = import_tensorflow()
    variable = kept.get(node.name)
    shape = tf.TensorShape(node.attr["shape"].shape)
    info = (
        variable._get_save_slice_info() if variable is not None and hasattr(variable, "_get_save_slice_info") else None  # noqa: SLF001
    )
    key, part = (info.full_name, info.spec) if info else (node.attr["shared_name"].s.decode() or node.name, "")
    return Wanted(
        node.name,
        key,
        tuple(shape.as_list()) if shape.is_fully_defined() else None,
        tf.as_dtype(node.attr["dtype"].type),
        part,
        node.name in local,
    )
