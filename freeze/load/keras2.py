"""Configurations written by Keras 2 in the words of Keras 3: renamed classes, dropped arguments, TensorFlow calls."""

from __future__ import annotations

import inspect
from typing import Any

from freeze.errors import FreezeError
from freeze.load.keras_config import name_of, objects

RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "LayerNormalizationV1": "LayerNormalization",
    "Model": "Functional",
}
# Keras 2 wrote a layer for every plain TensorFlow call in a functional model.
CALLS = ("TFOpLambda", "SlicingOpLambda")
PREFIXES = ("math.", "nn.", "linalg.", "__operators__.", "compat.v1.math.", "compat.v1.nn.")
NAMES = {"cast", "reshape", "concat", "stack", "expand_dims", "squeeze", "identity", "clip_by_value", "transpose"}
NAMES |= {"tile", "reverse", "stop_gradient", "compat.v1.transpose", "compat.v1.squeeze", "image.resize"}
# Arguments that Keras 3 no longer has, and the value that means nothing (None here: any value means nothing).
GONE: dict[str, Any] = {"groups": 1, "time_major": False, "renorm": False, "fused": None, "virtual_batch_size": None}
GONE |= {"renorm_clipping": None, "renorm_momentum": None, "adjustment": None, "implementation": None}
GONE |= {"ragged": False, "sparse": False, "experimental_run_tf_function": None, "interpolation": None}
BASE = {"name", "trainable", "dtype", "activity_regularizer", "autocast"}
SHAPES = {"batch_input_shape", "batch_shape", "input_shape", "input_dim", "input_dtype"}


def written_by_keras2(config: Any) -> bool:
    """Keras 3 notes the module of every class, and where there is none, writes nodes as dictionaries."""
    layers = [o for o in objects(config) if isinstance(o.get("inbound_nodes"), list) or o["class_name"] == "Sequential"]
    nodes = [n for o in layers for n in o.get("inbound_nodes") or ()]
    if any("module" in o for o in objects(config)) or any(isinstance(n, dict) for n in nodes):
        return False
    return bool(layers)


def modernised(config: Any) -> list[str]:
    """Rewrites a Keras 2 configuration in place; returns what was changed, `layer: change`.

    Raises
    ------
    FreezeError
        KERAS_2_OPERATION, KERAS_2_ARGUMENT.
    """
    if not written_by_keras2(config):
        return []
    changed = []
    for o in objects(config):
        inner = o.get("config")
        if not isinstance(inner, dict):
            continue
        layer, old = name_of(o), o["class_name"]
        if "batch_input_shape" in inner and old != "InputLayer":  # the first layer of a Sequential
            inner["input_shape"] = inner.pop("batch_input_shape")[1:]
            changed.append(f"{layer}: batch_input_shape")
        if old in RENAMED:
            o["class_name"] = RENAMED[old]
            changed.append(f"{layer}: {old}")
        if old in CALLS:
            _check_call(o, layer)
            changed.append(f"{layer}: tf.{inner.get('function', '__operators__.getitem')}")
        changed += [f"{layer}: {a}" for a in _without_gone(o, inner, layer)]
    return changed


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
        if key not in GONE and not (initializer and key == "dtype") and inner[key] not in (None, False):
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
    """Puts the nodes of a TensorFlow call into the form of any other layer's; refuses what is not understood."""
    function = o["config"].get("function", "__operators__.getitem")
    nodes = [[n] if n and isinstance(n[0], str) else n for n in o.get("inbound_nodes") or ()]
    inputs = [t for n in nodes for t in n]
    plain = all(t[0] != "_CONSTANT_VALUE" and not any(_refers(v) for v in (t[3:] or [{}])[0].values()) for t in inputs)
    if not plain or not (function.startswith(PREFIXES) or function in NAMES):
        raise FreezeError(
            "KERAS_2_OPERATION",
            f"layer '{layer}' is a call of tf.{function} that Keras 2 recorded ({o['class_name']}), in a form that is "
            "not translated here",
            "freeze a SavedModel of the model (tf.saved_model.save) instead, or write the call as a layer",
            [f"layer '{layer}' (tf.{function})"],
        )
    o["inbound_nodes"] = nodes


def _refers(value: Any) -> bool:
    """A reference to another layer's tensor: [layer, node, tensor]."""
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def call_layers() -> dict[str, type]:
    """The classes that run recorded TensorFlow calls, by the name that Keras 2 gave them."""
    import keras
    import tensorflow as tf

    class TFOpLambda(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        """`tf.FUNCTION(inputs, **arguments)`."""

        def __init__(self, function: str = "__operators__.getitem", **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.function = function

        def call(self, inputs: Any, **kwargs: Any) -> Any:
            target: Any = tf
            for part in self.function.split("."):
                target = getattr(target, part)
            return target(inputs, **{k: _revived(v) for k, v in kwargs.items()})

    return dict.fromkeys(CALLS, TFOpLambda)


def _revived(value: Any) -> Any:
    """Slices were written as {start, stop, step}."""
    if isinstance(value, dict) and set(value) == {"start", "stop", "step"}:
        return slice(value["start"], value["stop"], value["step"])
    if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
        return Ellipsis
    return [_revived(v) for v in value] if isinstance(value, list) else value
