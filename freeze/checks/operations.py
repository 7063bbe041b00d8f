"""Operations that no frozen graph can hold, or that this TensorFlow does not have."""

from __future__ import annotations

from typing import Any

from freeze.errors import Finding, FreezeError
from freeze.graph.graphdef import ASSIGN_OPS, RANDOM_OPS, VARIABLE_OPS, Graph, GraphDef, copied, node_name
from freeze.job import Job
from tracker.core import graph_ops
from tracker.core.tensorflow import import_tensorflow

PYTHON_OPS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
TABLE_OPS = (
    "LookupTableFind",
    "LookupTableFindV2",
    "LookupTableSize",
    "LookupTableSizeV2",
    "HashTable",
    "HashTableV2",
    "MutableHashTable",
    "MutableHashTableV2",
    "LookupTableExport",
    "LookupTableExportV2",
    "AnonymousHashTable",
)
PIPELINE_OPS = (
    "IteratorGetNext",
    "QueueDequeueManyV2",
    "QueueDequeueV2",
    "QueueDequeueUpToV2",
    "ReaderReadV2",
    "OneShotIterator",
    "IteratorV2",
    "FIFOQueueV2",
    "StackPopV2",
    "StagePeek",
    "Unstage",
)


IN_MEMORY = (
    "Print",
    "PrintV2",
    "ReadVariableOp",
    "IsVariableInitialized",
    "VarIsInitializedOp",
    "VariableShape",
    "ResourceGather",
    "ResourceGatherNd",
    "DestroyResourceOp",
    "SymbolicGradient",
    "StatelessRandomGetKeyCounter",
    "StatelessRandomGetKeyCounterAlg",
    "StatelessRandomGetAlg",
    "RngSkip",
    "RngReadAndSkip",
)
"""Operations on variables, on the state of random numbers and on the error output."""
HARMLESS = frozenset((*VARIABLE_OPS, *ASSIGN_OPS, *RANDOM_OPS, *PYTHON_OPS, *TABLE_OPS, *PIPELINE_OPS, *IN_MEMORY))
"""Beyond what inference needs: variables, random numbers, Python, tables and queues have diagnoses of their own."""


def inert(graph_def: GraphDef) -> GraphDef:
    """A copy in which nothing touches a file while TensorFlow infers shapes."""
    return graph_ops.inert(graph_def, HARMLESS)


def check_harmless(graph_def: GraphDef, output: str, input: str) -> None:
    """Raises OPERATION_REFUSED for what `output` needs below `input` that may touch files, in functions as well."""
    above = Graph(graph_def).ancestors([output], stop=[node_name(input)])
    if found := graph_ops.refused(graph_def, [n for n in graph_def.node if n.name in above], HARMLESS):
        raise FreezeError(
            "OPERATION_REFUSED",
            f"the output needs operations that may touch files: {graph_ops.listed(found)}",
            graph_ops.REMEDY,
            list(dict.fromkeys(found)),
        )


def check_known(graph_def: GraphDef) -> None:
    """Refuses operations that this TensorFlow does not know.

    Raises
    ------
    FreezeError
        UNKNOWN_OPERATION, NEWER_TENSORFLOW.
    """
    tf = import_tensorflow()
    from tensorflow.python.framework import op_def_registry

    functions = {f.signature.name for f in graph_def.library.function}
    unknown = [n for n in graph_def.node if n.op not in functions and op_def_registry.get(n.op) is None]
    producer = graph_def.versions.producer
    newer = producer > tf.version.GRAPH_DEF_VERSION or graph_def.versions.min_consumer > tf.version.GRAPH_DEF_VERSION
    if unknown:
        ops = sorted({n.op for n in unknown})
        cause = (
            f"TensorFlow {tf.__version__} does not know the operation{'s' if len(ops) > 1 else ''} {', '.join(ops)}: a"
            " custom op whose library is not loaded here"
        )
        cause += (
            ", or one of a newer TensorFlow"
            if not newer
            else f", or one of the newer TensorFlow that wrote this graph (version {producer})"
        )
        raise FreezeError(
            "UNKNOWN_OPERATION",
            cause,
            "export the model without it (tf.nn operations only), or update TensorFlow if it is a "
            "newer one's; a frozen graph cannot carry a custom library",
            [f"{n.name} ({n.op})" for n in unknown],
        )
    if graph_def.versions.min_consumer > tf.version.GRAPH_DEF_VERSION:
        raise FreezeError(
            "NEWER_TENSORFLOW",
            f"the graph demands a newer TensorFlow (min_consumer {graph_def.versions.min_consumer}, "
            f"this is TensorFlow {tf.__version__} with version {tf.version.GRAPH_DEF_VERSION})",
            "update TensorFlow, or export the model with the version installed here",
        )


def drop_newer_attributes(graph_def: GraphDef, producer_ops: Any) -> tuple[GraphDef, tuple[Finding, ...]]:
    """The graph without attributes that only a newer TensorFlow knows, and what was left out.

    Raises
    ------
    FreezeError
        NEWER_TENSORFLOW: such an attribute is not at its default.
    """
    from tensorflow.python.framework import op_def_registry

    functions = {f.signature.name for f in graph_def.library.function}
    defaults = {
        op.name: {a.name: a.default_value for a in op.attr}
        for op in (producer_ops.op if producer_ops is not None else ())
    }
    new, dropped = copied(graph_def), []
    for node in new.node:
        if node.op in functions:
            continue
        have = {a.name for a in op_def_registry.get(node.op).attr}
        for key in [k for k in node.attr if not k.startswith("_") and k not in have]:
            default = defaults.get(node.op, {}).get(key)
            if (default is not None and default != node.attr[key]) or (default is None and not _plain(node.attr[key])):
                raise FreezeError(
                    "NEWER_TENSORFLOW",
                    f"{node.name} ({node.op}) has the attribute '{key}' of a newer TensorFlow, and its value "
                    "is not the default",
                    "update TensorFlow, or export the model with the version installed here",
                    [node.name],
                )
            del node.attr[key]
            dropped.append(f"{node.name}.{key}")
    why = "these attributes are known to a newer TensorFlow only; their values are defaults: left out"
    return new, (Finding("NEWER_ATTRIBUTE", why, tuple(dropped)),) if dropped else ()


def _plain(attr: Any) -> bool:
    """A value that is False, zero, empty or an empty list: what a default usually is."""
    kind = attr.WhichOneof("value")
    if kind == "list":
        return not any(getattr(attr.list, f) for f in ("s", "i", "f", "b", "type", "shape", "tensor", "func"))
    return kind in (None, "s", "i", "f", "b") and not (kind and getattr(attr, kind))


def check_freezable(graph_def: GraphDef) -> None:
    """Raises PYTHON_FUNCTION, LOOKUP_TABLE or INPUT_PIPELINE for what lives outside a GraphDef."""
    graph = Graph(graph_def)
    python = [n.name for n in graph_def.node if n.op in PYTHON_OPS]
    if python:
        raise FreezeError(
            "PYTHON_FUNCTION",
            "the graph calls Python (tf.py_function, py_func or numpy_function): the code is in the training "
            "program's memory, not in the graph, so a frozen graph cannot call it",
            "write that step with TensorFlow operations",
            [f"{n} ({graph.nodes[n].op})" for n in python],
        )
    tables = [n for n in graph_def.node if n.op in TABLE_OPS]
    if tables:
        raise FreezeError(
            "LOOKUP_TABLE",
            "the output needs a lookup table (HashTable), whose content is no variable: in a frozen graph nothing "
            "would initialise the table",
            "replace the lookup by tf.gather on a constant, or cut the graph before it with --output",
            [f"{n.name} ({n.op})" for n in tables],
        )
    pipes = [n.name for n in graph_def.node if n.op in PIPELINE_OPS]
    if pipes:
        raise FreezeError(
            "INPUT_PIPELINE",
            "besides the input, the output reads from a tf.data iterator or queue",
            f"cut there: --input {pipes[0]}",
            pipes,
        )


def check_deterministic(job: Job) -> None:
    """Raises RANDOM_LEFT where random operations remain after dropout has been taken out."""
    graph = Graph(job.graph)
    left = [n for n in job.graph.node if n.op in RANDOM_OPS]
    if left:
        below = [c.name for n in left for c in graph.consumers.get(n.name, ())]
        raise FreezeError(
            "RANDOM_LEFT",
            "the features depend on random numbers that are no dropout pattern known here (noise, augmentation or "
            "sampling): two calls would give different features",
            "build the inference graph without them (is_training=False)",
            [f"{n.name} ({n.op})" for n in left] + [f"feeding {node_name(b)}" for b in below[:4]],
        )
