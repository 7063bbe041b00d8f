"""Configurations written by Keras 2 in the words of Keras 3: renamed classes, dropped arguments, TensorFlow calls."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from freeze.errors import FreezeError
from freeze.load.keras_config import name_of, objects

CONSTANT = "_CONSTANT_VALUE"
"""What Keras 2 wrote for a first argument that is no tensor."""
FIRST = "first_argument"
"""Under this keyword the layer of a recorded call holds such an argument."""
RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "LayerNormalizationV1": "LayerNormalization",
    "Model": "Functional",
}
FUNCTIONAL = "keras.src.models.functional"
"""The module that Keras 3 itself writes for the class."""
# Keras 2 wrote a layer for every plain TensorFlow call in a functional model.
CALLS = ("TFOpLambda", "SlicingOpLambda")
PREFIXES = ("math.", "nn.", "linalg.", "__operators__.", "compat.v1.math.", "compat.v1.nn.")
NAMES = {"cast", "reshape", "concat", "stack", "expand_dims", "squeeze", "identity", "clip_by_value", "transpose"}
NAMES |= {"tile", "reverse", "stop_gradient", "compat.v1.transpose", "compat.v1.squeeze", "image.resize"}
# Arguments that Keras 3 no longer has, and the value that means nothing (None here: any value means nothing).
GONE: dict[str, Any] = {"groups": 1, "time_major": False, "renorm": False, "fused": None, "virtual_batch_size": None}
GONE |= {"renorm_clipping": None, "renorm_momentum": None, "adjustment": None, "implementation": None}
GONE |= dict.fromkeys(("query_shape", "key_shape", "value_shape"))
GONE |= {"ragged": False, "sparse": False, "experimental_run_tf_function": None, "interpolation": None}
TRAINED_WITH = ("_initializer", "_regularizer", "_constraint")
"""Ends of arguments that tell how a layer was trained; Keras 2 wrote even those that the layer does not use."""
BASE = {"name", "trainable", "dtype", "activity_regularizer", "autocast"}
SHAPES = {"batch_input_shape", "batch_shape", "input_shape", "input_dim", "input_dtype"}


def written_by_keras2(config: Any) -> bool:
    """Keras 3 writes nodes as dictionaries, an input's shape as `batch_shape` and, later on, types as policies."""
    found = list(objects(config))
    layers = [o for o in found if isinstance(o.get("inbound_nodes"), list) or o["class_name"] == "Sequential"]
    nodes = [n for o in layers for n in o.get("inbound_nodes") or ()]
    inputs = [o["config"] for o in found if o["class_name"] == "InputLayer" and isinstance(o.get("config"), dict)]
    if any(isinstance(n, dict) for n in nodes) or any("batch_shape" in i for i in inputs):
        return False
    return bool(layers) and not any(o["class_name"] == "DTypePolicy" for o in found)


def modernised(config: Any) -> list[str]:
    """Rewrites a Keras 2 configuration in place; returns what was changed, `layer: change`.

    Raises
    ------
    FreezeError
        KERAS_2_OPERATION, KERAS_2_ARGUMENT.
    """
    if not written_by_keras2(config):
        return []
    changed: list[str] = []
    inputs = any(o["class_name"] == "InputLayer" for o in objects(config))
    for o in objects(config):
        if not isinstance(o.get("config"), dict):
            continue
        try:
            changed += [f"{name_of(o)}: {change}" for change in _translated(o, inputs)]
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as e:
            raise FreezeError(
                "KERAS_DAMAGED",
                f"layer '{name_of(o)}' ({o['class_name']}) is not written as Keras 2 writes it ({e})",
                "save or copy the file again",
                [f"layer '{name_of(o)}'"],
            ) from None
    return changed


def _translated(o: dict[str, Any], inputs: bool) -> list[str]:
    """Rewrites one object; returns what was changed. `inputs`: the model has layers of inputs."""
    inner, old, changed = o["config"], o["class_name"], []
    if old in RENAMED:
        o["class_name"] = RENAMED[old]
        changed.append(old)
    _move(o)
    o.pop("build_config", None)  # the call that follows builds the layer, whose shapes Keras 3 names otherwise
    if isinstance(inner.get("layers"), list):
        _renumber(inner)
    _write_nodes_anew(o)
    if "batch_input_shape" in inner:  # of an input, or of the first layer of a Sequential
        shape = inner.pop("batch_input_shape")
        if old == "InputLayer":
            inner["batch_shape"] = shape
        elif not inputs:
            inner["input_shape"] = shape[1:]
        changed.append("batch_input_shape")
    if o["class_name"] == "BatchNormalization" and isinstance(inner.get("axis"), list):
        (inner["axis"],) = inner["axis"]
    if old in CALLS:
        _check_call(o, name_of(o))
        changed.append(f"tf.{inner.get('function', '__operators__.getitem')}")
    return [*changed, *_without_gone(o, inner, name_of(o))]


def _move(o: dict[str, Any]) -> None:
    """Points to where Keras 3 has a class of Keras' own, whose modules Keras 2 wrote from version 2.12 on."""
    import keras

    if str(o.get("module")).split(".")[0] not in ("keras", "tf_keras", "tensorflow"):
        return
    name = o["class_name"]
    homes = (keras.layers, keras, keras.initializers, keras.regularizers, keras.constraints)
    home = FUNCTIONAL if name == "Functional" else next((h.__name__ for h in homes if hasattr(h, name)), None)
    if home is not None:
        o["module"], o["registered_name"] = home, None


def _renumber(model: dict[str, Any]) -> None:
    """Counts the calls of nested models from 0; Keras 2 counted the making of such a model as its first call."""
    layers = [layer for layer in model["layers"] if isinstance(layer, dict) and "class_name" in layer]
    nested = {name_of(o): o for o in layers if o["class_name"] in ("Functional", "Model", "Sequential")}
    calls = {name: len(o.get("inbound_nodes") or ()) for name, o in nested.items()}
    inner = [r for o in layers for r in _references(o.get("inbound_nodes"), calls)]
    outputs = _references(model.get("output_layers"), calls)
    late = {name for name, index, *_ in [*inner, *outputs] if index >= calls[name]}
    for side in ("input_layers", "output_layers"):  # a model of one output gives that, no list of one
        if isinstance(model.get(side), list) and len(model[side]) == 1:
            (model[side],) = model[side]
    # Keras 3 does so itself where a functional model is an output.
    for reference in [*inner, *(r for r in outputs if nested[r[0]]["class_name"] == "Sequential")]:
        reference[1] -= reference[0] in late


def _references(value: Any, names: Collection[str]) -> list[list[Any]]:
    """Every [layer, call, tensor, ...] of one of the layers `names` in a nest of lists and dictionaries."""
    if isinstance(value, dict):
        return [r for v in value.values() for r in _references(v, names)]
    if not isinstance(value, list):
        return []
    if len(value) >= 3 and isinstance(value[0], str) and value[0] in names and isinstance(value[1], int):
        return [value, *_references(value[3:], names)]
    return [r for v in value for r in _references(v, names)]


def _without_gone(o: dict[str, Any], inner: dict[str, Any], layer: str) -> list[str]:
    """Drops arguments that Keras 3 does not have where they mean nothing; returns them."""
    import keras

    name = o["class_name"]
    initializer = getattr(keras.initializers, name, None)
    cls = getattr(keras.layers, name, None) or initializer
    if not isinstance(cls, type) or name in ("InputLayer", "Functional", "Sequential"):
        return []
    parents = [c for c in cls.__mro__ if c.__module__.startswith("keras")]
    known = {p for c in parents for p in inspect.signature(c.__init__).parameters}  # type: ignore[misc]
    dropped = []
    for key in [k for k in inner if k not in known and k not in (SHAPES if initializer else BASE | SHAPES)]:
        meaningless = key.endswith(TRAINED_WITH) or (initializer and key == "dtype")
        if key not in GONE and not meaningless and inner[key] not in (None, False):
            raise FreezeError(
                "KERAS_2_ARGUMENT",
                f"layer '{layer}' ({name}) was saved by Keras 2 with {key}={inner[key]!r}, which Keras 3 does not know",
                "build the model with the Keras that is installed, load the weights into it, and save it again",
                [f"layer '{layer}'"],
            )
        if key in GONE and GONE[key] is not None and inner[key] not in (GONE[key], None):
            raise FreezeError(
                "KERAS_2_ARGUMENT",
                f"layer '{layer}' ({name}) was saved by Keras 2 with {key}={inner[key]!r}, which Keras 3 cannot do",
                "build the model without it, or freeze its SavedModel instead",
                [f"layer '{layer}'"],
            )
        del inner[key]
        dropped.append(f"{name} without {key}")
    return dropped


def _check_call(o: dict[str, Any], layer: str) -> None:
    """Raises FreezeError (KERAS_2_OPERATION) where a recorded call is none of TensorFlow's plain mathematics."""
    function = o["config"].get("function", "__operators__.getitem")
    if not (function.startswith(PREFIXES) or function in NAMES):
        raise FreezeError(
            "KERAS_2_OPERATION",
            f"layer '{layer}' is a call of tf.{function} that Keras 2 recorded ({o['class_name']}), which is not "
            "translated here",
            "freeze a SavedModel of the model (tf.saved_model.save) instead, or write the call as a layer",
            [f"layer '{layer}' (tf.{function})"],
        )


def _write_nodes_anew(o: dict[str, Any]) -> None:
    """Nodes that take tensors by keyword (`query, value=x`, `1 - x`), in the form in which Keras 3 writes all nodes."""
    nodes = o.get("inbound_nodes")
    if not isinstance(nodes, list):
        return
    for k, node in enumerate(nodes):
        inputs = [node] if node and isinstance(node[0], str) else node
        arguments = {key: v for i in inputs for key, v in (i[3:] or [{}])[0].items()}
        tensors = [_tensor(i) for i in inputs if i[0] != CONSTANT]
        if len(tensors) == len(inputs) and not any(map(_refers, arguments.values())):
            nodes[k] = inputs
            continue
        given = {key: _tensor(v) for key, v in arguments.items() if _refers(v)}
        others = {key: v for key, v in arguments.items() if not _refers(v)}
        if o["class_name"] in CALLS:  # Keras does not take tensors and numbers together by names it does not know
            o["config"]["arguments"], others = others if tensors else {**others, FIRST: inputs[0][2]}, {}
        nodes[k] = {"args": tensors if len(tensors) < 2 else [tensors], "kwargs": {**others, **given}}


def _tensor(reference: list[Any]) -> dict[str, Any]:
    """A layer's output as Keras 3 writes it; the shape is that of the layer, whatever is said here."""
    config = {"shape": [None], "dtype": "float32", "keras_history": reference[:3]}
    return {"class_name": "__keras_tensor__", "config": config}


def _refers(value: Any) -> bool:
    """A reference to another layer's tensor: [layer, node, tensor]."""
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and isinstance(value[1], int)


def call_layers() -> dict[str, type]:
    """The classes that run recorded TensorFlow calls, by the name that Keras 2 gave them."""
    import keras
    import tensorflow as tf

    class TFOpLambda(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        """`tf.FUNCTION(inputs, **arguments)`."""

        def __init__(
            self, function: str = "__operators__.getitem", arguments: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            super().__init__(**kwargs)
            self.function = function
            self.arguments = arguments or {}

        def call(self, inputs: Any = None, **kwargs: Any) -> Any:
            target: Any = tf
            for part in self.function.split("."):
                target = getattr(target, part)
            given = {k: _revived(v) for k, v in {**self.arguments, **kwargs}.items()}
            return target(given.pop(FIRST, inputs), **given)

    return dict.fromkeys(CALLS, TFOpLambda)


def _revived(value: Any) -> Any:
    """Slices were written as {start, stop, step}."""
    if isinstance(value, dict) and set(value) == {"start", "stop", "step"}:
        return slice(value["start"], value["stop"], value["step"])
    if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
        return Ellipsis
    return [_revived(v) for v in value] if isinstance(value, list) else value
