"""Loads a graph that is frozen already: a binary or text GraphDef."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freeze.errors import FreezeError, Log
from freeze.graph.graphdef import VARIABLE_OPS, GraphDef, node_name
from freeze.model import Model
from freeze.request import Request
from freeze.sniff import check_kind, sniff
from tracker.core.tensorflow import import_tensorflow, parse_graph
from tracker.encoder.contract import sha256


def load(request: Request, log: Log) -> Model:
    """Raises FreezeError: FILE_MISSING, WRONG_FILE, GRAPHDEF_DAMAGED."""
    if request.graphdef is None:
        raise FreezeError("USAGE", "no .pb given", "use --graphdef")
    path = Path(request.graphdef)
    if (path.exists() and sniff(path).name != "pbtxt") or not path.exists():
        check_kind(path, "graphdef", "--graphdef")
    try:
        graph_def = _text(path) if sniff(path).name == "pbtxt" else parse_graph(path.read_bytes())
    except ValueError as e:
        what, remedy = f"{path.name} is damaged or holds no graph ({e})", "copy or download the frozen graph again"
        raise FreezeError("GRAPHDEF_DAMAGED", what, remedy, [str(path)]) from None
    check_whole(graph_def, path)
    inner = [n for f in graph_def.library.function for n in f.node_def]
    if not any(n.op in VARIABLE_OPS for n in [*graph_def.node, *inner]):
        log.note(
            "ALREADY_FROZEN",
            f"{path.name} is a frozen graph already, its weights are constants: its input and output are checked, what "
            "needs mending is mended, and the result is proved against it",
        )
    return Model(graph_def, provenance={"source": "graphdef", "graphdef": path.name, "graphdef_sha256": sha256(path)})


def check_whole(graph_def: GraphDef, path: Path) -> None:
    """Raises GRAPHDEF_DAMAGED where a node reads one that is not there."""
    names = {n.name for n in graph_def.node}
    lost = [f"{n.name} reads {i}" for n in graph_def.node for i in n.input if node_name(i) not in names]
    if lost:
        cause = f"{path.name} is damaged: nodes read others that the graph does not hold"
        raise FreezeError("GRAPHDEF_DAMAGED", cause, "copy or download the frozen graph again", lost)


def _text(path: Path) -> Any:
    """The GraphDef of a file in protobuf's text form."""
    from google.protobuf import text_format

    try:
        graph_def = text_format.Parse(path.read_text(), import_tensorflow().compat.v1.GraphDef())
    except text_format.ParseError as e:
        raise ValueError(str(e)) from None
    return parse_graph(graph_def.SerializeToString())
