"""What a SavedModel's own restore operations would put into its variables, read instead of run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from freeze.graph.graphdef import Graph, GraphDef, const_value, node_name
from freeze.load.metagraph import saver_names

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
PASSED_ON = ("Identity", "StopGradient", "Snapshot", "Cast")


def restore_keys(graph_def: GraphDef) -> dict[str, tuple[str, str]]:
    """Variable node -> (key in the checkpoint, slice), from operations at top level (TensorFlow 1) or in a function."""
    graph = Graph(graph_def)
    functions = {f.signature.name: f for f in graph_def.library.function}
    found = saver_names(graph)
    for node in graph_def.node:
        name = node.attr["f"].func.name if node.op in CALLS else node.op
        function = functions.get(name)
        if function is None or not any(n.op == "RestoreV2" for n in function.node_def):
            continue
        for argument, key, part in _assigned(function):
            if argument < len(node.input):
                found.setdefault(node_name(graph.through(node.input[argument])), (key, part))
    return found


def _assigned(function: Any) -> Iterator[tuple[int, str, str]]:
    """(position of the variable among the function's arguments, key, slice) of every restored variable."""
    nodes = {n.name: n for n in function.node_def}
    arguments = {a.name: k for k, a in enumerate(function.signature.input_arg)}
    for node in function.node_def:
        if node.op != "AssignVariableOp":
            continue
        variable, value = node.input[0].split(":")[0], _through(nodes, node.input[1])
        restore = nodes.get(value.split(":")[0])
        if variable not in arguments or restore is None or restore.op != "RestoreV2":
            continue
        index = int(value.rsplit(":", 1)[-1]) if ":" in value else 0
        keys, parts = (_strings(nodes, restore.input[k]) for k in (1, 2))
        if index < len(keys):
            yield arguments[variable], keys[index], parts[index] if index < len(parts) else ""


def _through(nodes: dict[str, Any], reference: str) -> str:
    """A reference inside a function, followed back through nodes that pass their input on."""
    seen = set()
    while (node := nodes.get(reference.split(":")[0])) is not None and node.op in PASSED_ON and node.name not in seen:
        seen.add(node.name)
        reference = node.input[0]
    return reference


def _strings(nodes: dict[str, Any], reference: str) -> list[str]:
    node = nodes.get(reference.split(":")[0])
    if node is None or node.op != "Const":
        return []
    return [v.decode("utf-8", "replace") for v in const_value(node).reshape(-1).tolist()]
