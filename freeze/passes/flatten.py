"""Function calls are inlined and tf.cond / tf.while lowered, so that every other pass sees one flat graph."""

from __future__ import annotations

from freeze.errors import FreezeError, tensorflow_words
from freeze.graph.graphdef import ASSIGN_OPS, Graph, GraphDef, copied, node_name, pruned
from tracker.core.tensorflow import import_tensorflow

CALLS = {
    "PartitionedCall",
    "StatefulPartitionedCall",
    "If",
    "StatelessIf",
    "While",
    "StatelessWhile",
    "Case",
    "StatelessCase",
    "SymbolicGradient",
    "RemoteCall",
}


def flatten(graph_def: GraphDef, keep: list[str]) -> GraphDef:
    """The graph without function calls; `keep` and assignments at top level stay.

    Raises
    ------
    FreezeError
        FUNCTION_NOT_INLINED.
    """
    functions = {f.signature.name for f in graph_def.library.function}
    if not any(n.op in CALLS or n.op in functions for n in graph_def.node):
        return graph_def
    new = copied(graph_def)
    roots = list(dict.fromkeys([*(node_name(k) for k in keep), *(n.name for n in new.node if n.op in ASSIGN_OPS)]))
    new = pruned(new, roots)
    _prepare(new)
    result = _inlined(new, roots)
    shapes = {n.name: n.attr["_output_shapes"] for n in graph_def.node if "_output_shapes" in n.attr}
    for node in result.node:  # the optimiser forgets the shapes that the training program set
        if node.name in shapes:
            node.attr["_output_shapes"].CopyFrom(shapes[node.name])
    left = [n for n in result.node if n.op in CALLS and n.name in Graph(result).ancestors(keep)]
    if left:
        raise FreezeError(
            "FUNCTION_NOT_INLINED",
            "function calls remain that cannot be inlined",
            "write the model without nested calls of this kind",
            [f"{n.name} ({n.op})" for n in left],
        )
    return result


def _prepare(graph_def: GraphDef) -> None:
    """Takes off what keeps the optimiser from inlining, in place: devices, and what functions ask for."""
    for node in [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]:
        node.device = ""
        if node.op in ("If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase"):
            node.attr["_lower_using_switch_merge"].b = True
    for function in graph_def.library.function:
        for key in ("api_implements", "_noinline"):
            if key in function.attr:
                del function.attr[key]


def _inlined(graph_def: GraphDef, roots: list[str]) -> GraphDef:
    """The graph after Grappler's function optimiser; raises FUNCTION_NOT_INLINED."""
    tf = import_tensorflow()
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
    from tensorflow.python.grappler import tf_optimizer

    meta = meta_graph_pb2.MetaGraphDef(graph_def=graph_def)
    meta.collection_def["train_op"].node_list.value.extend(roots)
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.min_graph_nodes = -1
    rewrite.meta_optimizer_iterations = 1
    rewrite.optimizers.append("function")
    try:
        return tf_optimizer.OptimizeGraph(config, meta)
    except (ValueError, tf.errors.OpError) as e:
        raise FreezeError(
            "FUNCTION_NOT_INLINED",
            f"the graph's functions cannot be inlined: {tensorflow_words(e)}",
            "export the model again with the TensorFlow version that is installed",
        ) from None
