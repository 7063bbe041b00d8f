"""Loads a TensorFlow 1 MetaGraph: the graph of a training run, and how its saver names its variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freeze.errors import FreezeError, Log
from freeze.graph.graphdef import VARIABLE_OPS, Graph, const_value, node_name
from freeze.load.checkpoint import Checkpoint
from freeze.load.variables import Wanted, assign
from freeze.model import Model, Values
from freeze.request import Request
from freeze.sniff import check_kind
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import sha256


def read(path: Path) -> Any:
    """The MetaGraphDef in a file.

    Raises
    ------
    FreezeError
        FILE_MISSING, WRONG_FILE, META_DAMAGED.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import meta_graph_pb2

    check_kind(path, "meta", "--meta")
    meta = meta_graph_pb2.MetaGraphDef()
    try:
        meta.ParseFromString(Path(path).read_bytes())
    except DecodeError as e:
        raise FreezeError(
            "META_DAMAGED",
            f"{Path(path).name} is no MetaGraph, or is truncated ({e})",
            "copy or download the .meta file again",
            [str(path)],
        ) from None
    if not meta.graph_def.node:
        raise FreezeError(
            "META_DAMAGED", f"{Path(path).name} holds no graph", "copy or download the .meta file again", [str(path)]
        )
    return meta


def load(request: Request, log: Log) -> Model:
    """A MetaGraph and its checkpoint; values are read for the variables that the output needs."""
    if request.meta is None:
        raise FreezeError("USAGE", "no .meta given", "use --meta")
    import_tensorflow()
    meta = read(request.meta)
    path = request.checkpoint or Path(str(request.meta).removesuffix(".meta"))
    graph = Graph(meta.graph_def)
    saved, local = saver_names(graph, meta.saver_def.restore_op_name), local_names(meta)

    def need(names: list[str]) -> Values:
        checkpoint = Checkpoint.open(path, log)
        provenance["checkpoint"] = checkpoint.prefix.name
        return assign([wanted(graph.nodes[n], saved, local) for n in names], checkpoint, log, request.ema)

    provenance = {"source": "meta", "meta": Path(request.meta).name, "meta_sha256": sha256(request.meta)}
    tables = [n.name for n in meta.graph_def.node if n.op.startswith(("LookupTableImport", "InitializeTable"))]
    return Model(
        meta.graph_def,
        need=need,
        initializers=tables,
        provenance=provenance,
        producer_ops=meta.meta_info_def.stripped_op_list,
    )


def wanted(node: Any, saved: dict[str, tuple[str, str]], local: set[str]) -> Wanted:
    """What a variable node asks of a checkpoint."""
    tf = import_tensorflow()
    shape = tf.TensorShape(node.attr["shape"].shape) if "shape" in node.attr else tf.TensorShape(None)
    key, part = saved.get(node.name, (node.attr["shared_name"].s.decode() or node.name, ""))
    return Wanted(
        node.name,
        key,
        tuple(shape.as_list()) if shape.is_fully_defined() else None,
        tf.as_dtype(node.attr["dtype"].type),
        part,
        node.name in local or key in local,
    )


def local_names(meta: Any) -> set[str]:
    """Names of the local variables, which savers leave out."""
    from tensorflow.core.framework import variable_pb2

    names = set()
    for raw in (
        meta.collection_def["local_variables"].bytes_list.value if "local_variables" in meta.collection_def else ()
    ):
        variable = variable_pb2.VariableDef()
        variable.ParseFromString(raw)
        names.add(node_name(variable.variable_name))
    return names


def saver_names(graph: Graph, restore: str = "") -> dict[str, tuple[str, str]]:
    """Variable node -> (key in the checkpoint, slice), as the graph's own restore operations say.

    A graph may hold several savers: what the one with the operation `restore` says goes before what others say.
    """
    found: dict[str, tuple[str, str]] = {}
    own = graph.ancestors([restore]) if restore else set()
    for node in sorted(graph.nodes.values(), key=lambda n: n.name in own):
        if node.op not in ("Assign", "AssignVariableOp"):
            continue
        source = graph.through(node.input[1])
        reader = graph.nodes.get(node_name(source))
        if reader is None or reader.op not in ("RestoreV2", "Restore", "RestoreSlice"):
            continue
        variable = graph.nodes.get(node_name(node.input[0]))
        if variable is None or variable.op not in VARIABLE_OPS:
            continue
        names = graph.nodes.get(node_name(reader.input[1]))
        parts = graph.nodes.get(node_name(reader.input[2])) if len(reader.input) > 2 else None
        if names is None or names.op != "Const":
            continue
        index = int(source.partition(":")[2] or 0) if reader.op == "RestoreV2" else 0
        key = const_value(names).reshape(-1)[index].decode()
        part = const_value(parts).reshape(-1)[index].decode() if parts is not None and parts.op == "Const" else ""
        found[variable.name] = (key, part)
    return found
