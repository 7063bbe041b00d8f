"""Loads a SavedModel of TensorFlow 1 or 2: one signature, its graph with functions, its variables' values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freeze.errors import FreezeError, Log
from freeze.graph.graphdef import VARIABLE_OPS
from freeze.load.checkpoint import Checkpoint
from freeze.load.metagraph import wanted
from freeze.load.restore import restore_keys
from freeze.load.variables import assign
from freeze.model import Model, Values
from freeze.request import Request
from freeze.sniff import check_kind
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import sha256


def load(request: Request, log: Log) -> Model:
    """Raises FreezeError: WRONG_FILE, SAVED_MODEL_DAMAGED, SIGNATURE_*."""
    if request.saved_model is None:
        raise FreezeError("USAGE", "no folder given", "use --saved-model")
    path = Path(request.saved_model)
    path = path.parent if path.name == "saved_model.pb" else path
    check_kind(path, "saved_model", "--saved-model")
    import_tensorflow()
    chosen = tags(path, log)
    meta = next(m for m in read(path).meta_graphs if list(m.meta_info_def.tags) == chosen)
    key, signature = _signature(meta, request, log)
    variables = {n.name: n for n in meta.graph_def.node if n.op in VARIABLE_OPS}
    if variables:
        _checkpoint(path)
    tables = [n.name for n in meta.graph_def.node if n.op.startswith(("LookupTableImport", "InitializeTable"))]
    return Model(
        meta.graph_def,
        need=lambda names: _values(path, meta.graph_def, [variables[n] for n in names]),
        input=_input(signature, key, request),
        output=_output(signature, key, request, log),
        initializers=tables,
        producer_ops=meta.meta_info_def.stripped_op_list,
        provenance={
            "source": "saved_model",
            "saved_model": path.name,
            "signature": key,
            "saved_model_sha256": sha256(next(path.glob("saved_model.pb*"))),
        },
    )


def read(path: Path) -> Any:
    """The SavedModel message in a folder, binary or text.

    Raises
    ------
    FreezeError
        SAVED_MODEL_DAMAGED.
    """
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    try:
        if (path / "saved_model.pb").exists():
            proto.ParseFromString((path / "saved_model.pb").read_bytes())
        else:
            text_format.Parse((path / "saved_model.pbtxt").read_text(), proto)
    except (DecodeError, text_format.ParseError, OSError, UnicodeDecodeError) as e:
        raise _damaged(path, f"its saved_model.pb is truncated or damaged ({e})") from None
    if not proto.meta_graphs:
        raise _damaged(path, "its saved_model.pb holds no graph")
    return proto


def _damaged(path: Path, why: str) -> FreezeError:
    return FreezeError(
        "SAVED_MODEL_DAMAGED",
        f"the SavedModel {path.name} cannot be read: {why}",
        "copy the whole folder again (saved_model.pb and variables/)",
        [str(path)],
    )


def tags(path: Path, log: Log) -> list[str]:
    """The tags of the MetaGraph to load: `serve` alone, else the first with `serve`, else the first there is."""
    found = [list(m.meta_info_def.tags) for m in read(path).meta_graphs]
    chosen = min(found, key=lambda t: ("serve" not in t, len(t)))
    if chosen != ["serve"] or len(found) > 1:
        others = ", ".join("+".join(t) for t in found if t != chosen)
        also = f"; also there: {others}" if others else ""
        log.note("SAVED_MODEL_TAGS", f"the graph with the tags {'+'.join(chosen) or '(none)'} is used{also}")
    return chosen


def describe(signature: Any) -> str:
    """`images uint8 [?, 128, 64, 3] -> features float32 [?, 128]`."""
    tf = import_tensorflow()

    def side(items: Any) -> str:
        return ", ".join(
            f"{k} {tf.as_dtype(v.dtype).name} {tf.TensorShape(v.tensor_shape)}" for k, v in sorted(items.items())
        )

    return f"{side(signature.inputs)} -> {side(signature.outputs)}"


def _signature(meta: Any, request: Request, log: Log) -> tuple[str, Any]:
    there = {k: s for k, s in meta.signature_def.items() if k != "__saved_model_init_op" and s.outputs}
    shown = [f"{k}: {describe(s)}" for k, s in sorted(there.items())]
    if not there:
        raise FreezeError(
            "SIGNATURE_NONE",
            "the SavedModel has no signature: it was saved without one",
            "save it with signatures=..., for example tf.saved_model.save(model, path, signatures=serve)",
            [],
        )
    if request.signature:
        if request.signature not in there:
            raise FreezeError(
                "SIGNATURE_UNKNOWN",
                f"the SavedModel has no signature '{request.signature}'",
                f"give --signature {' or '.join(sorted(there))}",
                shown,
                shown=None,
            )
        return request.signature, there[request.signature]
    if "serving_default" in there:
        if len(there) > 1:
            log.note(
                "SIGNATURE_CHOSEN",
                "signature serving_default is used; also there: "
                + ", ".join(sorted(k for k in there if k != "serving_default")),
            )
        return "serving_default", there["serving_default"]
    if len(there) == 1:
        key = next(iter(there))
        log.note("SIGNATURE_CHOSEN", f"signature '{key}' is used: it is the only one")
        return key, there[key]
    raise FreezeError(
        "SIGNATURE_AMBIGUOUS",
        "the SavedModel has no signature 'serving_default' and several others",
        f"choose one with --signature {' or '.join(sorted(there))}",
        shown,
        shown=None,
    )


def _pick(items: Any, asked: str | None, side: str, key: str, rank: int) -> str:
    """Tensor name of one input or output of a signature."""
    names = sorted(items)
    by_tensor = {v.name: k for k, v in items.items()}
    if asked:
        asked = by_tensor.get(asked, by_tensor.get(asked + ":0", asked))
        if asked not in items and asked.removesuffix(":0") not in items:
            raise FreezeError(
                f"{side.upper()}_UNKNOWN",
                f"signature '{key}' has no {side} '{asked}'",
                f"give --{side} {' or '.join(names)}",
                _shown(items, names),
                shown=None,
            )
        return str(items[asked if asked in items else asked.removesuffix(":0")].name)
    if len(names) == 1:
        return str(items[names[0]].name)
    fitting = [n for n in names if not items[n].tensor_shape.unknown_rank and len(items[n].tensor_shape.dim) == rank]
    named = [n for n in fitting if n in ("features", "embedding", "embeddings", "images", "image")]
    chosen = named if len(named) == 1 and side == "output" else fitting  # of two images the other is needed, too
    if len(chosen) == 1:
        return str(items[chosen[0]].name)
    raise FreezeError(
        f"{side.upper()}_AMBIGUOUS",
        f"signature '{key}' has {len(names)} {side}s: {', '.join(names)}",
        f"choose one with --{side} {' or '.join(names)}",
        _shown(items, [*named, *(n for n in fitting if n not in named), *(n for n in names if n not in fitting)]),
        shown=None,
    )


def _shown(items: Any, names: list[str]) -> list[str]:
    """`features float32 (None, 128)` for messages."""
    tf = import_tensorflow()
    return [f"{n} {tf.as_dtype(items[n].dtype).name} {tf.TensorShape(items[n].tensor_shape)}" for n in names]


def _input(signature: Any, key: str, request: Request) -> str:
    if not signature.inputs:
        raise FreezeError(
            "INPUT_NONE", f"signature '{key}' has no input", "export a signature that takes images", [key]
        )
    return _pick(signature.inputs, request.input, "input", key, 4)


def _output(signature: Any, key: str, request: Request, log: Log) -> str:
    chosen = _pick(signature.outputs, request.output, "output", key, 2)
    others = sorted(k for k, v in signature.outputs.items() if v.name != chosen)
    if others and not request.output:
        log.note("OUTPUT_CHOSEN", f"output '{chosen}' of signature '{key}' is used; also there: {', '.join(others)}")
    return chosen


def _checkpoint(path: Path) -> Checkpoint:
    """The values beside the graph; its own restore and initialiser operations are never run."""
    try:
        return Checkpoint.open(path / "variables" / "variables", Log())
    except FreezeError as e:
        raise _damaged(path, f"its variables/: {e.cause}") from None


def _values(path: Path, graph_def: Any, nodes: list[Any]) -> Values:
    """Values by node name, from the keys that the SavedModel's restore operations name."""
    keys = restore_keys(graph_def)
    return assign([wanted(n, keys, set()) for n in nodes], _checkpoint(path), Log(), "no")
