"""A frozen float32 graph computed in bfloat16 or float16: its convolutions and what is between, the tail in float32.

The weights are stored in the lower precision, so nothing is cast at run time but what enters and leaves the
convolutional part. Pooling over the picture, the last matrix product and the normalisation stay in float32: that keeps
the features within a cosine of 0.9999 of the float32 ones, where a rewrite of everything gives 0.998.
"""

from __future__ import annotations

from typing import Any

from tracker.core.tensorflow import import_runtime

HEAVY = {"Conv2D", "DepthwiseConv2dNative"}
LIGHT = {
    "BiasAdd",
    "Relu",
    "Relu6",
    "LeakyRelu",
    "Elu",
    "AddV2",
    "Add",
    "MaxPool",
    "Pad",
    "FusedBatchNormV3",
    "Mul",
    "Sub",
}
"""Kept in low precision where they stand between two convolutions."""
KEPT_INPUTS = {"FusedBatchNormV3": (1, 2, 3, 4), "Pad": (1,)}
"""Inputs of an operation that keep their type."""


def lowered(graph_def: Any, precision: str) -> Any | None:
    """A copy of a frozen graph with its convolutional part in `bf16` or `f16`; None where it has none.

    Parameters
    ----------
    graph_def : Any
        GraphDef, float32, inference only.
    precision : str
        `bf16` or `f16`.
    """
    tf = import_runtime()
    low = {"bf16": tf.bfloat16, "f16": tf.float16}[precision]
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    graph_def = graph.as_graph_def()  # in topological order now
    nodes = {n.name: n for n in graph_def.node}
    region = _region(graph_def)
    if not any(nodes[name].op in HEAVY for name in region):
        return None
    return _Rewriter(tf, nodes, region, low).run(graph_def)


def _producer(reference: str) -> str:
    """The node behind an input such as `conv:0` or `conv`."""
    return reference.split(":")[0].lstrip("^")


def _region(graph_def: Any) -> set[str]:
    """Convolutions, and the light operations through which one convolution feeds another or its own activation."""
    from tensorflow.core.framework import types_pb2

    def low_able(node: Any) -> bool:
        return node.op in HEAVY | LIGHT and node.attr["T"].type == types_pb2.DT_FLOAT

    after: set[str] = set()  # a convolution lies before, through such operations alone
    varying: set[str] = set()  # depends on the input
    for node in graph_def.node:
        feeds = [_producer(i) for i in node.input if not i.startswith("^")]
        if node.op == "Placeholder" or any(f in varying for f in feeds):
            varying.add(node.name)
        # A factor computed outside, as an instance norm's, would be rounded: such a product is faster left in float32.
        moving = [f for f in feeds if f in varying]
        if low_able(node) and (node.op in HEAVY or (moving and all(f in after for f in moving))):
            after.add(node.name)
    consumers: dict[str, list[str]] = {}
    for node in graph_def.node:
        for reference in node.input:
            consumers.setdefault(_producer(reference), []).append(node.name)
    before: set[str] = set()  # a convolution lies behind, or it is the bias or activation of one
    for node in reversed(graph_def.node):
        if node.name in after and (
            node.op in HEAVY | {"BiasAdd", "Relu", "Relu6", "Elu", "LeakyRelu"}
            or any(c in before for c in consumers.get(node.name, []))
        ):
            before.add(node.name)
    return before


class _Rewriter:
    """Copies a graph node by node, with casts where the region begins and ends."""

    def __init__(self, tf: Any, nodes: dict[str, Any], region: set[str], low: Any) -> None:
        self._tf, self._nodes, self._region, self._low = tf, nodes, region, low
        self._made: dict[str, str] = {}
        self._out = tf.compat.v1.GraphDef()

    def run(self, graph_def: Any) -> Any:
        self._out.versions.CopyFrom(graph_def.versions)
        for node in graph_def.node:
            inside = node.name in self._region
            inputs = [self._input(node, n, reference, inside) for n, reference in enumerate(node.input)]
            copy = self._out.node.add()
            copy.CopyFrom(node)
            del copy.input[:]
            copy.input.extend(inputs)
            if inside:
                copy.attr["T"].type = self._low.as_datatype_enum
        return self._out

    def _input(self, node: Any, number: int, reference: str, inside: bool) -> str:
        if reference.startswith("^"):
            return reference
        source = _producer(reference)
        if inside and number not in KEPT_INPUTS.get(node.op, ()):
            if source in self._region:
                return reference
            return self._constant(source) if self._nodes[source].op == "Const" else self._cast(reference, self._low)
        if not inside and source in self._region:
            output = int(reference.split(":")[1]) if ":" in reference else 0
            kept = self._nodes[source].op == "FusedBatchNormV3" and output > 0
            return reference if kept else self._cast(reference, self._tf.float32)
        return reference

    def _constant(self, source: str) -> str:
        """A constant stored in the low precision."""
        name = f"{source}/low"
        if name not in self._made:
            self._made[name] = name
            value = self._tf.make_ndarray(self._nodes[source].attr["value"].tensor)
            node = self._out.node.add(name=name, op="Const")
            node.attr["dtype"].type = self._low.as_datatype_enum
            tensor = self._tf.make_tensor_proto(value.astype(self._low.as_numpy_dtype), dtype=self._low)
            node.attr["value"].tensor.CopyFrom(tensor)
        return name

    def _cast(self, reference: str, dtype: Any) -> str:
        name = f"{reference.replace(':', '_')}/to_{dtype.name}"
        if name not in self._made:
            self._made[name] = name
            source = self._tf.float32 if dtype == self._low else self._low
            node = self._out.node.add(name=name, op="Cast", input=[reference])
            node.attr["SrcT"].type, node.attr["DstT"].type = source.as_datatype_enum, dtype.as_datatype_enum
        return name
