"""Loads a graph that is frozen already: a binary or text GraphDef."""

from __future__ import annotations

from pathlib import Path

from freeze.errors import FreezeError, Log
from freeze.model import Model
from freeze.request import Request
from freeze.sniff import expect, sniff
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import sha256


def load(request: Request, log: Log) -> Model:
    """Raises FreezeError: FILE_MISSING, WRONG_FILE, GRAPHDEF_DAMAGED."""
    if request.graphdef is None:
        raise FreezeError("USAGE", "no .pb given", "use --graphdef")
    path = Path(request.graphdef)
    if (path.exists() and sniff(path).name != "pbtxt") or not path.exists():
        expect(path, "graphdef", "--graphdef")
    tf = import_tensorflow()
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError

    graph_def = tf.compat.v1.GraphDef()
    try:
        if sniff(path).name == "pbtxt":
            text_format.Parse(path.read_text(), graph_def)
        else:
            graph_def.ParseFromString(path.read_bytes())
    except (DecodeError, text_format.ParseError) as e:
        raise FreezeError(
            "GRAPHDEF_DAMAGED",
            f"{path.name} is no GraphDef, or is truncated ({e})",
            "copy or download the file again",
            [str(path)],
        ) from None
    if not graph_def.node:
        raise FreezeError(
            "GRAPHDEF_DAMAGED", f"{path.name} holds no nodes", "give the frozen graph itself", [str(path)]
        )
    return Model(graph_def, provenance={"source": "graphdef", "graphdef": path.name, "graphdef_sha256": sha256(path)})
