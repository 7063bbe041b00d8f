"""Batch norm folded into the convolution or matrix product before it: same features, fewer operations.

conv(x, W) * s + t equals conv(x, W * s) + t, with s = gamma / sqrt(variance + epsilon) and t = beta - mean * s per
output channel (Jacob et al., "Quantization and Training of Neural Networks", 1712.05877, section 3.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freeze.errors import Finding
from freeze.graph.graphdef import (
    Graph,
    GraphDef,
    add_const,
    computes_in_half,
    const_value,
    copied,
    node_name,
    replace_tensor,
)
from freeze.job import Job, Passed

PRODUCTS = ("Conv2D", "MatMul")


def fold_batch_norm(job: Job) -> Passed:
    """FusedBatchNorm, and a product by a constant vector, behind a Conv2D or MatMul with constant weights.

    A graph that computes in half precision keeps its operations: other weights would round otherwise.
    """
    if computes_in_half(job.graph):
        return Passed(job.graph, job.head)
    new, head, done = copied(job.graph), job.head, []
    graph = Graph(new)
    for node in list(new.node):
        if node.op.startswith("FusedBatchNorm") and not node.attr["is_training"].b:
            done += _fused(new, graph, node, head)
        elif node.op == "Mul" and (product := _product(new, graph, node, head)):
            done.append(node.name)
            head = product if node_name(head) == node.name else head
    why = "batch norm was folded into the weights before it"
    return Passed(new, head, (Finding("BATCH_NORM_FOLDED", why, tuple(done), "note"),) if done else ())


def _constant(graph: Graph, ref: str) -> np.ndarray | None:
    node = graph.nodes[node_name(ref)]
    return const_value(node) if node.op == "Const" else None


def _product_before(graph: Graph, ref: str, head: str) -> Any:
    """The Conv2D or MatMul that computes `ref` for one reader alone, with constant float weights; else None."""
    node = graph.nodes[node_name(ref)]
    alone = len(graph.consumers.get(node.name, ())) == 1 and node_name(head) != node.name
    # Reading an attribute of a node that has none makes one, which TensorFlow then complains of.
    layout = node.attr["data_format"].s if "data_format" in node.attr else b""
    turned = "transpose_b" in node.attr and node.attr["transpose_b"].b
    plain = node.op in PRODUCTS and layout in (b"", b"NHWC") and not turned
    return node if alone and plain and _constant(graph, node.input[1]) is not None else None


def _scaled(new: GraphDef, graph: Graph, product: Any, scale: np.ndarray) -> None:
    weights = _constant(graph, product.input[1])
    if weights is not None:
        name = graph.fresh(f"{product.name}/folded_weights")
        add_const(new, name, (weights.astype(np.float64) * scale).astype(weights.dtype))
        product.input[1] = name


def _fused(new: GraphDef, graph: Graph, node: Any, head: str) -> list[str]:
    parameters = [_constant(graph, i) for i in node.input[1:5]]
    product = _product_before(graph, node.input[0], head)
    others = [c for c in graph.consumers.get(node.name, ()) if any(i.startswith(node.name + ":") for i in c.input)]
    if product is None or others or any(p is None or p.size == 0 for p in parameters):
        return []
    gamma, beta, mean, variance = (p.astype(np.float64) for p in parameters if p is not None)
    scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    _scaled(new, graph, product, scale)
    offset = add_const(new, graph.fresh(f"{node.name}/folded_offset"), (beta - mean * scale).astype(np.float32))
    dtype = node.attr["T"].type
    node.op = "BiasAdd"
    del node.input[:]
    node.input.extend([product.name, offset.name])
    node.ClearField("attr")
    node.attr["T"].type = dtype
    return [node.name]


def _product(new: GraphDef, graph: Graph, node: Any, head: str) -> str:
    """Folds a Mul by one constant per output channel: what unfused batch norm is after its constants are computed.

    Returns the product that takes its place, or "".
    """
    for k in (0, 1):
        scale = _constant(graph, node.input[1 - k])
        product: Any = _product_before(graph, node.input[k], head) if scale is not None else None
        weights = _constant(graph, product.input[1]) if product is not None else None
        if scale is not None and weights is not None and scale.shape == (weights.shape[-1],):
            _scaled(new, graph, product, scale.astype(np.float64))
            replace_tensor(new, node.name, product.name)
            return str(product.name)
    return ""
