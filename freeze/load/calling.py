"""Calls a user's function or class for inference: its training switch off, images where it takes images."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from freeze.errors import FreezeError, Log
from freeze.load.switches import inference_value, is_switch
from tracker.core.tensorflow import import_tensorflow

# What builders are given for inference, by the names that published scripts use.
KNOWN: dict[str, Any] = {
    "reuse": None,
    "num_classes": 1,
    "add_logits": False,
    "weight_decay": 0.0,
    "l2_normalize": True,
}
KEEP = re.compile(r"(dropout_)?keep(_?prob(ability)?)?", re.IGNORECASE)
RATE = re.compile(r"drop(out)?(_?(rate|prob(ability)?))?", re.IGNORECASE)
LABELS = re.compile(r"(\w*_)?(labels?|targets?|y|y_true|identities|ids|classes)", re.IGNORECASE)
METHODS = ("__call__", "build", "call", "forward", "inference", "network", "model", "build_model", "encode")
FEATURES = ("features", "feature", "embedding", "embeddings", "descriptor", "encoding", "prelogits")
CLASSES = re.compile(r"logit|softmax|prob|pred|class|score|loss", re.IGNORECASE)


@contextlib.contextmanager
def created_when_missing() -> Iterator[None]:
    """While inside, a variable that is asked for with reuse and does not exist is made.

    The call that would have made it stands in the training part of a script, which is not run.
    """
    from tensorflow.python.ops import variable_scope

    store: Any = variable_scope._VariableStore  # noqa: SLF001  # TensorFlow has no public door to it
    original = store.get_variable

    def get_variable(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("reuse") is True:
            kwargs["reuse"] = variable_scope.AUTO_REUSE
        return original(self, name, *args, **kwargs)

    store.get_variable = get_variable
    try:
        yield
    finally:
        store.get_variable = original


def call(build: Callable[..., Any], images: Any, log: Log, given: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
    """Calls a function, or makes and calls an object, for inference.

    Parameters
    ----------
    build : callable
        Function or class.
    images : tf.Tensor
        Given to the first parameter that nothing else is known for, unless its default value is a tensor.
    log : Log
        Told of the switches that were set.
    given : mapping or None
        Values of parameters that are known already.

    Returns
    -------
    tuple
        The tensor that takes the images, and the features.
    """
    taken: list[Any] = []
    result = _called(build, images, log, taken, given or {})
    if inspect.isclass(build) and isinstance(result, build):
        method = next((getattr(result, m) for m in METHODS if m in vars(build)), None)
        if method is not None:
            result = _called(method, images, log, taken, {})
        else:
            result = {k: v for k, v in vars(result).items() if import_tensorflow().is_tensor(v)}
    return (taken or [images])[0], features(result, build, log)


def needs(build: Callable[..., Any]) -> list[str]:
    """Names of the positional parameters without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in inspect.signature(build).parameters.values() if p.default is p.empty and p.kind in kinds]


_OWN = object()
"""Stands for a parameter that keeps its default."""


def _called(build: Callable[..., Any], images: Any, log: Log, taken: list[Any], given: Mapping[str, Any]) -> Any:
    parameters = inspect.signature(build).parameters
    values: dict[str, Any] = {}
    for p in parameters.values():
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            value = _argument(build, p, images, taken, given)
            if value is not _OWN:
                values[p.name] = value
    if not taken and not (inspect.ismethod(build) or inspect.isclass(build)):
        first = next((p for p in parameters if p not in values), None)
        if first is not None:
            values[first] = images
            taken.append(images)
    switched = [f"{name}={value!r}" for name, value in values.items() if is_switch(name)]
    if switched:
        log.note("BUILDER_SWITCH", f"{name_of(build)} is called for inference: {', '.join(switched)}", [name_of(build)])
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_ONLY]
    return build(*(values.pop(n) for n in positional if n in values), **values)


def _argument(
    build: Callable[..., Any], p: inspect.Parameter, images: Any, taken: list[Any], given: Mapping[str, Any]
) -> Any:
    """What a parameter is given for inference, or `_OWN`; what stands for the images goes to `taken`.

    Raises
    ------
    FreezeError
        BUILDER_SIGNATURE.
    """
    tf = import_tensorflow()
    name, required = p.name.lower(), p.default is p.empty
    number = required or isinstance(p.default, int | float)
    if is_switch(name):
        return inference_value(p.name, None if required else p.default, _source(build))
    if p.name in given:
        return given[p.name]
    if KEEP.fullmatch(name) and number:
        return 1.0
    if RATE.fullmatch(name) and number:
        return False if isinstance(p.default, bool) else 0.0
    if not required:
        if not taken and tf.is_tensor(p.default):
            taken.append(p.default)
        return _OWN
    if not taken and p.name not in KNOWN and (_takes_images(p.name) or not inspect.isclass(build)):
        taken.append(images)
        return images
    if p.name in KNOWN:
        return KNOWN[p.name]
    if LABELS.fullmatch(name):
        return tf.compat.v1.placeholder(tf.int32, [None], name=p.name)
    raise FreezeError(
        "BUILDER_SIGNATURE",
        f"{name_of(build)}{inspect.signature(build)} needs '{p.name}' besides the images",
        "give it a default value, or wrap it: def build(images): ...",
        [name_of(build)],
    )


def _takes_images(name: str) -> bool:
    return bool(re.fullmatch(r"(\w*_)?(images?|inputs?|x|crops?|tensor|net|image_batch)", name, re.IGNORECASE))


def name_of(build: Callable[..., Any]) -> str:
    """What a function, a class, `functools.partial` of one, or a callable object is called in messages."""
    inner = getattr(build, "func", build)
    return str(getattr(inner, "__name__", type(inner).__name__))


def _source(build: Callable[..., Any]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(getattr(build, "func", build)))
    except (OSError, TypeError):
        return ""


def features(result: Any, build: Callable[..., Any], log: Log) -> Any:
    """The features among what a builder returns: the tensor, or the one of several that can be meant.

    Raises
    ------
    FreezeError
        BUILDER_RETURNS, OUTPUT_AMBIGUOUS.
    """
    tf = import_tensorflow()
    predictions = getattr(result, "predictions", None)  # of an EstimatorSpec
    if predictions is not None:
        result = predictions
    if tf.is_tensor(result):
        return result
    named: list[tuple[str, Any]] = []
    if isinstance(result, dict):
        named = [(str(k), t) for k, t in result.items()]
    elif isinstance(result, tuple | list):
        words = _returned_names(build)
        named = [(words[i] if i < len(words) else "", t) for i, t in enumerate(result)]
    named = [(n, t) for n, t in named if tf.is_tensor(t)]
    flat = [(n, t) for n, t in named if t.shape.rank == 2 and t.dtype.is_floating]
    if len(flat) > 1:
        best = [(n, t) for n, t in flat if n.lower() in FEATURES] or [
            (n, t) for n, t in flat if not CLASSES.search(f"{n} {t.op.name} {t.op.type}")
        ]
        if len(best) != 1:
            shown = [f"{n or t.op.name}: {t.op.name} {t.dtype.name} {t.shape}" for n, t in flat]
            raise FreezeError(
                "OUTPUT_AMBIGUOUS",
                f"{name_of(build)} returns {len(flat)} tensors that could be the features",
                f"choose one with --output {flat[0][1].op.name}",
                shown,
            )
        others = ", ".join(n or t.op.name for n, t in flat if t is not best[0][1])
        log.note("OUTPUT_CHOSEN", f"output {best[0][1].op.name} of {name_of(build)} is used; it also returns {others}")
        return best[0][1]
    if not named:
        raise FreezeError(
            "BUILDER_RETURNS",
            f"{name_of(build)} returned {type(result).__name__}, not a tensor",
            "let it return the features, a tensor of shape [?, D]",
            [name_of(build)],
        )
    return flat[0][1] if flat else named[0][1]


def tensors_in(value: Any) -> list[Any]:
    """The tensors that a builder returns, alone or in a list or mapping."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return [t for t in parts if import_tensorflow().is_tensor(t)]


def _returned_names(build: Callable[..., Any]) -> list[str]:
    """The names in the last `return a, b` of a function."""
    try:
        tree = ast.parse(_source(build))
    except SyntaxError:
        return []
    returns = [
        n.value for n in ast.walk(tree) if isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple | ast.List)
    ]
    return [e.id if isinstance(e, ast.Name) else "" for e in returns[-1].elts] if returns else []
