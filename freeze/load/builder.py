"""Runs a user's builder in a graph of its own and gives its variables values from a checkpoint.

Understood: `build(images) -> features`; `factory_fn(image, reuse)` as in the published scripts, also behind a function
that returns it; a script that builds its graph at module level. The file is the user's own code and runs as such.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from freeze.errors import FreezeError, Log
from freeze.load import old_layers
from freeze.load.graph_model import from_graph
from freeze.load.user_code import explained, imported
from freeze.model import Model
from freeze.request import Request
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import sha256

FUNCTIONS = ("build", "factory_fn", "build_network", "build_model", "create_network", "network", "encoder", "model")
# What builders are given for inference, by the names that published scripts use.
KNOWN: dict[str, Any] = {"reuse": None, "is_training": False, "training": False, "train": False, "keep_prob": 1.0}
KNOWN |= {"num_classes": 1, "add_logits": False, "weight_decay": 0.0, "l2_normalize": True}
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
    try:
        graph, names = _built(path, function, request, log, as_float=False)
    except _WantsFloat:
        graph, names = _built(path, function, request, log, as_float=True)
        log.note("BUILDER_FLOAT", "the builder takes float images: it was given the uint8 pixels converted to float32")
    provenance = {"source": "builder", "builder": path.name, "builder_sha256": sha256(path)}
    return from_graph(graph, request, log, provenance, **names)


class _WantsFloat(Exception):  # noqa: N818  # no error: it asks for another try
    """The builder's first operation refuses uint8."""


def _built(path: Path, function: str, request: Request, log: Log, as_float: bool) -> tuple[Any, dict[str, str]]:
    """The graph that the builder made, and the names of its input and output where they are known."""
    graph = import_tensorflow().Graph()
    with graph.as_default(), old_layers.lent(log), explained(path):
        module = imported(path)
        build = _function(module, function, path)
        if build is None:
            return graph, {}
        try:
            return graph, _call(build, module, request, as_float)
        except (TypeError, ValueError) as e:
            if as_float or request.dtype is not None or "uint8" not in str(e):
                raise
    raise _WantsFloat


def split_spec(spec: str) -> tuple[Path, str]:
    """`FILE.py:FUNCTION` -> (FILE.py, FUNCTION); the function may be left out."""
    found = re.match(r"^(.*\.py):(\w+)$", spec)
    return (Path(found.group(1)), found.group(2)) if found else (Path(spec), "")


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
        function: Callable[..., Any] = getattr(module, name)
        return function
    for known in FUNCTIONS:
        if known in own:
            return own[known]
    tf = import_tensorflow()
    if tf.compat.v1.get_default_graph().get_operations():
        return None
    factories = [f for n, f in own.items() if "factory" in n]
    if len(own) == 1 or len(factories) == 1:
        return (factories or list(own.values()))[0]
    raise FreezeError(
        "BUILDER_FUNCTION",
        f"{path.name} has no function `build(images)` and builds no graph when run",
        f"name its function: --builder {path}:FUNCTION" + (f" (it has {', '.join(own)})" if own else ""),
        [str(path)],
    )


def _call(build: Callable[..., Any], module: ModuleType, request: Request, as_float: bool) -> dict[str, str]:
    """Makes the placeholder, calls the builder, returns the names of input and output."""
    tf = import_tensorflow()
    if "factory" in build.__name__ and set(_needs(build)) <= set(KNOWN):
        build = build(*(KNOWN[n] for n in _needs(build)))  # as published: it returns factory_fn(image, reuse)
    shape = request.image_shape or DEFAULT_SHAPE
    dtype = request.dtype or ("float32" if request.scale else "uint8")  # a scale makes sense on floats alone
    images = tf.compat.v1.placeholder(tf.as_dtype(dtype), [None, *shape], name="images")
    given = tf.cast(images, tf.float32) if as_float else images
    if as_float and callable(preprocess := getattr(module, "_preprocess", getattr(module, "preprocess", None))):
        given = tf.map_fn(preprocess, given)  # the published script prepares one image at a time
    extra = []
    for name in _needs(build)[1:]:
        if name not in KNOWN:
            cause = f"{build.__name__}{inspect.signature(build)} needs '{name}' besides the images"
            raise FreezeError(
                "BUILDER_SIGNATURE",
                cause,
                "give it a default value, or wrap it: def build(images): ...",
                [build.__name__],
            )
        extra.append(KNOWN[name])
    result = build(given, *extra)
    features = _features(result, build)
    return {"input": images.name, "output": features.name}


def _needs(build: Callable[..., Any]) -> list[str]:
    """Names of the positional parameters without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in inspect.signature(build).parameters.values() if p.default is p.empty and p.kind in kinds]


def _features(result: Any, build: Callable[..., Any]) -> Any:
    """The features among what a builder returns: the tensor, or the first rank-2 one of a tuple or dictionary."""
    tf = import_tensorflow()
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
