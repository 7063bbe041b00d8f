"""A GraphDef as a graph: nodes by name, producers, consumers, ancestors. No TensorFlow session here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

GraphDef = Any  # tensorflow.GraphDef: named here so that importing this module loads no TensorFlow
NodeDef = Any

VARIABLE_OPS = {"VarHandleOp", "VariableV2", "Variable", "AutoReloadVariable"}
ASSIGN_OPS = {
    "Assign",
    "AssignAdd",
    "AssignSub",
    "AssignVariableOp",
    "AssignAddVariableOp",
    "AssignSubVariableOp",
    "ScatterUpdate",
    "ScatterAdd",
    "ScatterSub",
    "ResourceScatterUpdate",
    "ResourceScatterAdd",
}
RANDOM_OPS = {
    "RandomUniform",
    "RandomUniformInt",
    "RandomStandardNormal",
    "TruncatedNormal",
    "ParameterizedTruncatedNormal",
    "Multinomial",
    "RandomGamma",
    "RandomPoisson",
    "RandomPoissonV2",
    "RandomShuffle",
    "RandomCrop",
    "StatelessRandomUniform",
    "StatelessRandomUniformV2",
    "StatelessRandomNormal",
    "StatelessRandomNormalV2",
    "StatelessTruncatedNormal",
    "StatelessTruncatedNormalV2",
    "StatelessMultinomial",
    "StatefulUniform",
    "StatefulStandardNormal",
    "StatefulStandardNormalV2",
    "StatelessRandomUniformInt",
    "StatelessRandomUniformIntV2",
    "StatefulTruncatedNormal",
    "StatefulUniformInt",
    "StatelessRandomUniformFullInt",
}


def split(ref: str) -> tuple[str, int]:
    """`^name` -> (name, -1), `name` -> (name, 0), `name:2` -> (name, 2)."""
    if ref.startswith("^"):
        return ref[1:], -1
    name, _, index = ref.partition(":")
    return name, int(index or 0)


def tensor_name(ref: str) -> str:
    """The form TensorFlow looks tensors up by: `name:0`."""
    name, index = split(ref)
    return f"{name}:{index}"


def node_name(ref: str) -> str:
    """Name of the node that a tensor or control reference points to."""
    return split(ref)[0]


def same_tensor(a: str, b: str) -> bool:
    """Whether two references point to one tensor (`x` and `x:0` do)."""
    return split(a) == split(b)


class Graph:
    """An indexed view of a GraphDef. Build a new one after changing the GraphDef."""

    def __init__(self, graph_def: GraphDef) -> None:
        self.graph_def = graph_def
        self.nodes: dict[str, NodeDef] = {n.name: n for n in graph_def.node}
        self.consumers: dict[str, list[NodeDef]] = {}
        for node in graph_def.node:
            for source in dict.fromkeys(node_name(i) for i in node.input):
                self.consumers.setdefault(source, []).append(node)

    def __contains__(self, ref: str) -> bool:
        return node_name(ref) in self.nodes

    def producer(self, ref: str) -> NodeDef:
        """The node that computes a tensor."""
        return self.nodes[node_name(ref)]

    def data(self, node: NodeDef) -> list[NodeDef]:
        """Producers of the node's data inputs, in order."""
        return [self.nodes[node_name(i)] for i in node.input if not i.startswith("^") and node_name(i) in self.nodes]

    def through(self, ref: str, ops: Iterable[str] = ("Identity", "StopGradient", "Snapshot")) -> str:
        """Follows `ref` back through nodes that pass their first input on unchanged."""
        ops = set(ops)
        while (node := self.nodes.get(node_name(ref))) is not None and node.op in ops and split(ref)[1] == 0:
            ref = node.input[0]
        return ref

    def ancestors(
        self,
        refs: Iterable[str],
        stop: Iterable[str] = (),
        control: bool = True,
        passes: Callable[[NodeDef], bool] | None = None,
    ) -> set[str]:
        """Names of the nodes that `refs` depend on, themselves included; `stop` nodes are included, not what is above.

        `passes(node)` False keeps a node in the result without going above it.
        """
        stop, seen = set(stop), set()
        todo = [node_name(r) for r in refs]
        while todo:
            name = todo.pop()
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            node = self.nodes[name]
            if name in stop or (passes is not None and not passes(node)):
                continue
            todo.extend(node_name(i) for i in node.input if control or not i.startswith("^"))
        return seen

    def descendants(self, refs: Iterable[str], control: bool = False) -> set[str]:
        """Names of the nodes that depend on `refs`, themselves included."""
        seen: set[str] = set()
        todo = [node_name(r) for r in refs]
        while todo:
            name = todo.pop()
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            todo.extend(
                c.name
                for c in self.consumers.get(name, ())
                if control or any(node_name(i) == name and not i.startswith("^") for i in c.input)
            )
        return seen

    def uses(self, ref: str) -> list[tuple[NodeDef, int]]:
        """(node, position) of every data input that reads tensor `ref`."""
        name = node_name(ref)
        return [
            (c, k)
            for c in self.consumers.get(name, ())
            for k, i in enumerate(c.input)
            if not i.startswith("^") and same_tensor(i, ref)
        ]

    def variable_of(self, ref: str) -> str | None:
        """Name of the variable whose value tensor `ref` is (through reads and identities), or None."""
        node = self.nodes.get(node_name(self.through(ref)))
        if node is None:
            return None
        if node.op == "ReadVariableOp":
            node = self.nodes.get(node_name(self.through(node.input[0], ("Identity", "Enter"))))
        elif node.op == "Enter":
            return self.variable_of(node.input[0])
        return node.name if node is not None and node.op in VARIABLE_OPS else None

    def fresh(self, name: str) -> str:
        """`name`, or `name_1`, ... : whichever no node has yet."""
        candidate, k = name, 0
        while candidate in self.nodes:
            k += 1
            candidate = f"{name}_{k}"
        return candidate


def computes_in_half(graph_def: GraphDef) -> bool:
    """Some operation works on float16 or bfloat16."""
    half = (14, 19)  # DT_BFLOAT16, DT_HALF
    return any(n.attr[k].type in half for n in graph_def.node for k in ("T", "dtype", "DstT") if k in n.attr)


def copied(graph_def: GraphDef) -> GraphDef:
    """A copy that can be edited without touching the original."""
    new = type(graph_def)()
    new.CopyFrom(graph_def)
    return new


def unplaced(graph_def: GraphDef) -> GraphDef:
    """A copy without devices and colocation, to be imported on any machine."""
    new = copied(graph_def)
    for node in new.node:
        node.device = ""
        if "_class" in node.attr:
            del node.attr["_class"]
    return new


def vacate(graph_def: GraphDef, name: str, suffix: str) -> str | None:
    """Renames the node called `name`, in place and wherever it is read; its new name, None where there is none."""
    graph = Graph(graph_def)
    if name not in graph:
        return None
    other = graph.fresh(name + suffix)
    graph.nodes[name].name = other
    for node in graph_def.node:
        for k, ref in enumerate(node.input):
            if node_name(ref) == name:
                node.input[k] = (
                    ("^" if ref.startswith("^") else "") + other + (ref[ref.index(":") :] if ":" in ref else "")
                )
    return other


def with_nodes(graph_def: GraphDef, nodes: Iterable[NodeDef]) -> GraphDef:
    """A GraphDef of these nodes with the library and versions of another."""
    new = type(graph_def)()
    new.node.extend(nodes)
    new.library.CopyFrom(graph_def.library)
    new.versions.CopyFrom(graph_def.versions)
    return new


def pruned(graph_def: GraphDef, outputs: Iterable[str]) -> GraphDef:
    """Only what `outputs` depend on; `_class` colocation with nodes that are gone is dropped."""
    keep = Graph(graph_def).ancestors(outputs)
    new = with_nodes(graph_def, (n for n in graph_def.node if n.name in keep))
    for node in new.node:
        if "_class" in node.attr:
            del node.attr["_class"]
    return new


def replace_tensor(graph_def: GraphDef, old: str, new: str, skip: Iterable[str] = ()) -> None:
    """Every data input reading `old` reads `new` instead, in place; nodes named in `skip` keep theirs."""
    skip = set(skip)
    for node in graph_def.node:
        if node.name in skip:
            continue
        for k, ref in enumerate(node.input):
            if not ref.startswith("^") and same_tensor(ref, old):
                node.input[k] = new


def add_node(graph_def: GraphDef, name: str, op: str, inputs: Iterable[str] = (), **attrs: Any) -> NodeDef:
    """Appends a node; attrs: `T=DT`, or any value that `attr_value` understands."""
    node = graph_def.node.add(name=name, op=op)
    node.input.extend(inputs)
    for key, value in attrs.items():
        set_attr(node, key, value)
    return node


def set_attr(node: NodeDef, key: str, value: Any) -> None:
    """Types are given as tf.DType; numbers, booleans, strings and shapes as Python values (a list is a shape)."""
    attr = node.attr[key]
    attr.Clear()
    if hasattr(value, "as_datatype_enum"):
        attr.type = value.as_datatype_enum
    elif isinstance(value, bool):
        attr.b = value
    elif isinstance(value, int):
        attr.i = value
    elif isinstance(value, float):
        attr.f = value
    elif isinstance(value, str):
        attr.s = value.encode()
    elif isinstance(value, list):
        attr.shape.SetInParent()
        for d in value:
            attr.shape.dim.add(size=-1 if d is None else d)
    else:
        attr.CopyFrom(value)


def add_const(graph_def: GraphDef, name: str, value: Any, dtype: Any = None) -> NodeDef:
    """Appends a Const node holding `value` (an array or number); dtype: tf.DType, taken from the array by default."""
    from tracker.core.tensorflow import import_tensorflow

    tf = import_tensorflow()
    proto = tf.make_tensor_proto(value, dtype=dtype)
    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = proto.dtype
    node.attr["value"].tensor.CopyFrom(proto)
    return node


def const_value(node: NodeDef) -> Any:
    """The array a Const node holds."""
    from tracker.core.tensorflow import import_tensorflow

    return import_tensorflow().make_ndarray(node.attr["value"].tensor)


def topological(graph_def: GraphDef) -> list[NodeDef]:
    """Nodes in an order that depends on names and edges alone (loops through NextIteration are broken there)."""
    graph = Graph(graph_def)
    order: list[NodeDef] = []
    state: dict[str, int] = {}
    for root in sorted(graph.nodes):
        stack = [(root, False)]
        while stack:
            name, done = stack.pop()
            if done:
                order.append(graph.nodes[name])
                continue
            if state.get(name):
                continue
            state[name] = 1
            stack.append((name, True))
            node = graph.nodes[name]
            above = [] if node.op == "NextIteration" else [node_name(i) for i in node.input]
            stack.extend((a, False) for a in reversed(above) if a in graph.nodes and not state.get(a))
    return order


def normalises_each_image(graph: Graph, node: NodeDef, images: Collection[str]) -> bool:
    """Layer normalisation that borrows the fused kernel: the images lie along its channels, so each has its own scale.

    Keras 2 does so, and `tf.contrib.layers.layer_norm`: the scale is filled with ones, as many as the images ask for.
    """
    return not graph.ancestors([node.input[1]], control=False).isdisjoint(images)
