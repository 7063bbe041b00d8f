"""Variables become constants; what does not depend on the images is computed once."""

from __future__ import annotations

import numpy as np

from freeze.errors import FreezeError
from freeze.graph.graphdef import VARIABLE_OPS, Graph, GraphDef, add_const, copied, node_name, pruned, set_attr, split
from freeze.job import INPUT, Job, Passed
from freeze.load.checkpoint import too_large
from freeze.passes.evaluate import CONTROL_FLOW, constant, values
from freeze.sniff import LIMIT
from tracker.core.tensorflow import import_tensorflow

PLAIN = {
    "RefSwitch": "Switch",
    "RefEnter": "Enter",
    "RefMerge": "Merge",
    "RefExit": "Exit",
    "RefIdentity": "Identity",
    "RefNextIteration": "NextIteration",
}
# Hand their first input on: identities of inference, and what only watches a value (tf.print, tf.debugging).
PASSING = ("Identity", "StopGradient", "Snapshot", "PreventGradient", "Print", "CheckNumerics", "CheckNumericsV2")
# Give a list of tensors, which is no array: loops of recurrent layers gather their steps in one.
LISTS = ("TensorList", "EmptyTensorList", "TensorMap", "EmptyTensorMap")
GROWTH = 4096  # a folded constant may be this many bytes larger than what it is computed from


def freeze_variables(job: Job) -> Passed:
    """Each variable node is a Const of the same name; reads are identities, also through branches and loops.

    Raises
    ------
    FreezeError
        TOO_LARGE, VARIABLE_OPERATION.
    """
    tf = import_tensorflow()
    held = job.values or {}
    total = sum(v.nbytes for v in held.values())
    if total > LIMIT - 2**20:
        raise too_large(total, sorted(held, key=lambda n: -held[n].nbytes)[:5])
    new, graph = copied(job.graph), Graph(job.graph)
    carriers = _carriers(graph)
    for node in new.node:
        if node.op in VARIABLE_OPS:
            _to_const(node, held[node.name])
        elif node.name in carriers:
            set_attr(node, "T", tf.as_dtype(graph.nodes[carriers[node.name]].attr["dtype"].type))
        elif node.op == "ReadVariableOp":
            dtype = node.attr["dtype"].type
            node.op = "Identity"
            node.ClearField("attr")
            node.attr["T"].type = dtype
        elif node.op == "ResourceGather":
            _to_gather(new, node)
        elif any(
            node_name(i) in carriers or (node_name(i) in graph and graph.producer(i).op == "VarHandleOp")
            for i in node.input
            if not i.startswith("^")
        ):
            raise FreezeError(
                "VARIABLE_OPERATION",
                f"{node.name} ({node.op}) uses a variable in a way that no constant can replace",
                "build the inference graph without it",
                [node.name],
            )
        if node.op in PLAIN:
            node.op = PLAIN[node.op]
    return Passed(new, job.head)


def _carriers(graph: Graph) -> dict[str, str]:
    """Nodes that hand a resource variable on (into branches and loops): name -> variable."""
    found: dict[str, str] = {}
    todo = [n.name for n in graph.nodes.values() if n.op == "VarHandleOp"]
    origin = {n: n for n in todo}
    while todo:
        name = todo.pop()
        for node in graph.consumers.get(name, ()):
            if (
                node.op in ("Identity", "Switch", "Enter", "Merge", "Exit", "NextIteration")
                and node.name not in found
                and any(
                    node_name(i) == name and not i.startswith("^") for i in node.input[: 2 if node.op == "Merge" else 1]
                )
            ):
                found[node.name] = origin[node.name] = origin[name]
                todo.append(node.name)
    return found


def _to_const(node: object, value: np.ndarray) -> None:
    tf = import_tensorflow()
    proto = tf.make_tensor_proto(value)
    node.op = "Const"  # type: ignore[attr-defined]
    node.ClearField("input")  # type: ignore[attr-defined]
    node.ClearField("attr")  # type: ignore[attr-defined]
    node.attr["dtype"].type = proto.dtype  # type: ignore[attr-defined]
    node.attr["value"].tensor.CopyFrom(proto)  # type: ignore[attr-defined]


def _to_gather(new: GraphDef, node: object) -> None:
    tf = import_tensorflow()
    dtype, indices = node.attr["dtype"].type, node.attr["Tindices"].type  # type: ignore[attr-defined]
    axis = add_const(new, node.name + "/axis", 0, tf.int32)  # type: ignore[attr-defined]
    node.op = "GatherV2"  # type: ignore[attr-defined]
    node.input.append(axis.name)  # type: ignore[attr-defined]
    node.ClearField("attr")  # type: ignore[attr-defined]
    for key, value in (("Tparams", dtype), ("Tindices", indices), ("Taxis", tf.int32.as_datatype_enum)):
        node.attr[key].type = value  # type: ignore[attr-defined]


def fold_constants(job: Job) -> Passed:
    """Tensors that depend on constants alone are computed, identities skipped, dead nodes gone."""
    new, head = _without_identities(job)
    graph = Graph(new)
    moving = graph.descendants([INPUT], control=True)
    frames = graph.descendants([n.name for n in new.node if n.op in CONTROL_FLOW], control=True)

    def folds(ref: str) -> bool:
        node = graph.nodes.get(node_name(ref))
        return (
            node is not None
            and node.name not in moving
            and node.name not in frames
            and node.op not in ("Const", "NoOp")
            and not any(i.startswith("^") for i in node.input)
            and not node.op.startswith(LISTS)
            and constant(graph, node.name)
        )

    users = [n for n in new.node if n.name in moving or n.name in frames]
    border = list(dict.fromkeys(i for n in users for i in n.input if not i.startswith("^") and folds(i)))
    several = {split(i)[0] for n in new.node for i in n.input if split(i)[1] > 0}
    renamed = {}
    for ref, result in zip(border, map(np.asarray, values(new, border)), strict=True):
        name, number = split(ref)
        if result.dtype.kind == "O" or not _worth(graph, name, result):
            continue
        if name in several:  # each of its outputs is a constant of its own
            renamed[ref] = add_const(new, f"{name}/output_{number}", result).name
        else:
            _to_const(graph.nodes[name], result)
    for node in users:
        for k, ref in enumerate(node.input):
            node.input[k] = renamed.get(ref, ref)
    return Passed(pruned(new, [head]), head)


def _worth(graph: Graph, name: str, result: np.ndarray) -> bool:
    sources = [graph.nodes[n] for n in graph.ancestors([name]) if graph.nodes[n].op == "Const"]
    return bool(result.nbytes <= sum(s.attr["value"].tensor.ByteSize() for s in sources) + GROWTH)


def _without_identities(job: Job) -> tuple[GraphDef, str]:
    """Identity, StopGradient and Print are bypassed, except those that hold a branch or loop together."""
    new, graph = copied(job.graph), Graph(job.graph)
    pivots = {i[1:] for n in new.node for i in n.input if i.startswith("^")}
    skip = {}
    for node in new.node:
        if (
            node.op in PASSING
            and node.name not in pivots
            and not any(i.startswith("^") for i in node.input)
            and graph.producer(node.input[0]).op not in ("Switch", "Enter")
        ):
            skip[node.name] = node.input[0]

    def source(ref: str) -> str:
        while not ref.startswith("^") and node_name(ref) in skip:
            ref = skip[node_name(ref)]
        return ref

    for node in new.node:
        for k, ref in enumerate(node.input):
            node.input[k] = source(ref)
    head = source(job.head)
    return pruned(new, [head]), head
