"""Runs a user's builder in a graph of its own and gives its variables values from a checkpoint.

Understood: `build(images) -> features`; `factory_fn(image, reuse)` as in the published scripts; a script that builds
its graph
at module level. The file is the user's own code and runs as such.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from freeze import old_layers
from freeze.checkpoint import Checkpoint
from freeze.contract import sha256
from freeze.errors import FreezeError, Log
from freeze.graph import VARIABLE_OPS
from freeze.model import Model
from freeze.request import Request
from freeze.tf_quiet import tensorflow
from freeze.variables import Wanted, assign

FUNCTIONS = ("build", "factory_fn", "build_network", "build_model", "create_network", "network", "encoder", "model")
DEFAULT_SHAPE = (128, 64, 3)


def load(request: Request, log: Log) -> Model:
    """Raises FreezeError: BUILDER_*, DEAD_API, and what a checkpoint can be wrong with."""
    path, function = split_spec(str(request.builder))
    if not path.exists():
        raise FreezeError(
            "FILE_MISSING",
            f"the builder {path} does not exist",
            "check the path of --builder FILE.py[:FUNCTION]",
            [str(path)],
        )
    tf = tensorflow()
    graph = tf.Graph()
    with graph.as_default(), old_layers.lent(log, str(path)), _explained(path):
        module = _module(path)
        build = _function(module, function, path)
        names = _call(build, request) if build else {}
    return from_graph(
        graph, request, log, {"source": "builder", "builder": path.name, "builder_sha256": sha256(path)}, **names
    )


def split_spec(spec: str) -> tuple[Path, str]:
    """`FILE.py:FUNCTION` -> (FILE.py, FUNCTION); the function may be left out."""
    found = re.match(r"^(.*\.py):(\w+)$", spec)
    return (Path(found.group(1)), found.group(2)) if found else (Path(spec), "")


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("freeze_builder_" + re.sub(r"\W", "_", path.stem), path)
    if spec is None or spec.loader is None:
        raise FreezeError("BUILDER_UNREADABLE", f"{path} is no Python file", "give a .py file", [str(path)])
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def _function(module: ModuleType, name: str, path: Path) -> Callable[..., Any] | None:
    """The function asked for, or the one that is there; None where the script builds its graph at module level."""
    own = {k: v for k, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__}
    if name:
        if name not in own and not callable(getattr(module, name, None)):
            raise FreezeError(
                "BUILDER_FUNCTION",
                f"{path.name} has no function '{name}'",
                f"it has: {', '.join(own) or 'none'}; give --builder {path}:FUNCTION",
                [name],
            )
        return getattr(module, name)
    for known in FUNCTIONS:
        if known in own:
            return own[known]
    tf = tensorflow()
    if tf.compat.v1.get_default_graph().get_operations():
        return None
    if len(own) == 1:
        return next(iter(own.values()))
    raise FreezeError(
        "BUILDER_FUNCTION",
        f"{path.name} has no function `build(images)` and builds no graph when run",
        f"name its function: --builder {path}:FUNCTION" + (f" (it has {', '.join(own)})" if own else ""),
        [str(path)],
    )


def _call(build: Callable[..., Any], request: Request) -> dict[str, str]:
    """Makes the placeholder, calls the builder, returns the names of input and output."""
    tf = tensorflow()
    shape = request.image_shape or DEFAULT_SHAPE
    images = tf.compat.v1.placeholder(tf.as_dtype(request.dtype or "uint8"), [None, *shape], name="images")
    positional = [
        p
        for p in inspect.signature(build).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    extra = []
    for p in positional[1:]:
        known = {"reuse": None, "is_training": False, "training": False, "train": False, "keep_prob": 1.0}
        if p.name not in known:
            raise FreezeError(
                "BUILDER_SIGNATURE",
                f"{build.__name__}{inspect.signature(build)} needs '{p.name}' besides the images",
                "give it a default value, or wrap it: def build(images): ...",
                [build.__name__],
            )
        extra.append(known[p.name])
    result = build(images, *extra)
    features = _features(result, build)
    return {"input": images.name, "output": features.name}


def _features(result: Any, build: Callable[..., Any]) -> Any:
    """The features among what a builder returns: the tensor, or the first rank-2 one of a tuple or dictionary."""
    tf = tensorflow()
    if isinstance(result, dict):
        named = [result[k] for k in ("features", "embedding", "embeddings", "output") if k in result]
        result = named[0] if named else list(result.values())
    if isinstance(result, (tuple, list)):
        tensors = [t for t in result if tf.is_tensor(t)]
        result = next((t for t in tensors if t.shape.rank == 2), tensors[0] if tensors else None)
    if not tf.is_tensor(result):
        raise FreezeError(
            "BUILDER_RETURNS",
            f"{build.__name__} returned {type(result).__name__}, not a tensor",
            "let it return the features, a tensor of shape [?, D]",
            [build.__name__],
        )
    return result


class _explained:
    """Turns whatever a builder raises into an error that names the line and, where known, the cure."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or isinstance(error, (FreezeError, KeyboardInterrupt)):
            return
        frames = [f for f in traceback.extract_tb(trace) if Path(f.filename) == self.path]
        line = f"{self.path.name}:{frames[-1].lineno}: {frames[-1].line}" if frames else self.path.name
        if isinstance(error, SyntaxError):
            line = f"{self.path.name}:{error.lineno}: {(error.text or '').strip()}"
        dead = old_layers.dead_api(error, line)
        if dead:
            raise FreezeError(
                "DEAD_API", f"{dead[0]} ({type(error).__name__}: {str(error).splitlines()[0][:200]})", dead[1], [line]
            ) from None
        raise FreezeError(
            "BUILDER_FAILED",
            f"the builder raised {type(error).__name__}: {str(error).strip()[:600]}",
            "mend the builder; it is called with a placeholder of images inside a tf.Graph "
            "(check --image-shape HxWxC and --dtype uint8|float32)",
            [line],
        ) from None


def from_graph(
    graph: Any,
    request: Request,
    log: Log,
    provenance: dict[str, Any],
    input: str | None = None,
    output: str | None = None,
) -> Model:
    """A Model of a tf.Graph whose variables get their values from `request.checkpoint`."""
    tf = tensorflow()
    with graph.as_default():
        kept = {v.op.name: v for v in [*tf.compat.v1.global_variables(), *tf.compat.v1.local_variables()]}
        local = {v.op.name for v in tf.compat.v1.local_variables()}
        tables = [
            op.name for op in graph.get_operations() if op.type.startswith(("LookupTableImport", "InitializeTable"))
        ]
    graph_def = graph.as_graph_def()

    def need(names: list[str]) -> dict[str, Any]:
        if request.checkpoint is None:
            raise FreezeError(
                "CHECKPOINT_NOT_GIVEN",
                f"the network has {len(names)} variables and no checkpoint gives them values",
                "add --checkpoint CKPT",
                names,
            )
        checkpoint = Checkpoint.open(request.checkpoint, log)
        provenance["checkpoint"] = checkpoint.prefix.name
        nodes = {n.name: n for n in graph_def.node if n.op in VARIABLE_OPS}
        return assign([_wanted(nodes[n], kept, local) for n in names], checkpoint, log, request.ema)

    return Model(graph_def, need=need, input=input, output=output, initializers=tables, provenance=provenance)


def _wanted(node: Any, kept: dict[str, Any], local: set[str]) -> Wanted:
    tf = tensorflow()
    variable = kept.get(node.name)
    shape = tf.TensorShape(node.attr["shape"].shape)
    info = (
        variable._get_save_slice_info() if variable is not None and hasattr(variable, "_get_save_slice_info") else None
    )
    key, part = (info.full_name, info.spec) if info else (node.attr["shared_name"].s.decode() or node.name, "")
    return Wanted(
        node.name,
        key,
        tuple(shape.as_list()) if shape.is_fully_defined() else None,
        tf.as_dtype(node.attr["dtype"].type),
        part,
        node.name in local,
    )
