"""Custom classes and functions of a Keras file: which are unknown, and which constructor arguments get_config lost."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from freeze.errors import FreezeError, Log
from freeze.load.keras_config import name_of, objects

# Arguments of every layer and model; a configuration may leave them out.
BASE = {"self", "name", "trainable", "dtype", "autocast", "activity_regularizer", "inputs", "outputs"}


def constructor(cls: type) -> dict[str, inspect.Parameter]:
    """The arguments that a class takes by name, without those of every layer."""
    return {
        p.name: p
        for p in inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in BASE
    }


def own(cls: type, method: str) -> bool:
    """The class, or one of its custom parents, writes `method` itself (a parent class of Keras does not count)."""
    return any(method in vars(c) for c in cls.__mro__ if not c.__module__.startswith("keras") and c is not object)


def complete(config: Any, classes: dict[str, Any], bind: Mapping[str, float], log: Log) -> bool:
    """Compares every custom layer's stored configuration with its constructor; fills in what `bind` says, in place.

    Keras 3 stores the arguments itself where a class has no get_config: what is not stored was not given. A class with
    a get_config of its own may forget one: if it has a default value, the model loads without a word and computes
    something else.

    Parameters
    ----------
    bind : dict[str, float]
        `LAYER.ARGUMENT` -> value.

    Returns
    -------
    bool
        Whether something was filled in.

    Raises
    ------
    FreezeError
        KERAS_CONFIG_INCOMPLETE, KERAS_CONFIG_DROPPED.
    """
    filled = False
    for o in objects(config):
        cls = classes.get(o["class_name"]) or classes.get(str(o.get("registered_name")).rsplit(">", 1)[-1])
        stored = o.get("config")
        if not isinstance(cls, type) or not isinstance(stored, dict) or own(cls, "from_config"):
            continue
        layer = name_of(o)
        for argument, parameter in constructor(cls).items():
            if argument in stored:
                continue
            if f"{layer}.{argument}" in bind:
                stored[argument] = _typed(bind[f"{layer}.{argument}"], parameter)
                log.note(
                    "KERAS_ARGUMENT_SET", f"{argument}={stored[argument]} as asked with --bind", [f"layer '{layer}'"]
                )
                filled = True
            elif parameter.default is parameter.empty:
                raise _lost("KERAS_CONFIG_INCOMPLETE", cls, layer, argument, "the layer cannot be built without it")
            elif own(cls, "get_config"):
                why = f"the model would silently be built with the default {argument}={parameter.default!r}"
                raise _lost("KERAS_CONFIG_DROPPED", cls, layer, argument, f"{why}, whatever it was trained with")
    return filled


def _typed(value: float, parameter: inspect.Parameter) -> float | int:
    whole = float(value).is_integer() and not isinstance(parameter.default, float)
    return int(value) if whole else value


def _lost(code: str, cls: type, layer: str, argument: str, so: str) -> FreezeError:
    return FreezeError(
        code,
        f"the file does not hold the value of '{argument}' for the custom class {cls.__name__}: its get_config does "
        f"not return that argument of __init__, so {so}",
        f"say what was used in training: --bind {layer}.{argument}=VALUE; or return {{**super().get_config(), "
        f"'{argument}': self.{argument}}} from {cls.__name__}.get_config and save the model again",
        [f"layer '{layer}' (class {cls.__name__}), argument '{argument}'"],
    )


def unknown_functions(config: Any, known: set[str]) -> dict[str, list[str]]:
    """Functions (activations) that are neither Keras' own nor in `known`: name -> layer names."""
    import keras

    found: dict[str, list[str]] = {}

    def check(value: Any, layer: str) -> None:
        if isinstance(value, dict) and value.get("class_name") == "function":
            value = value.get("config")
        if not isinstance(value, str) or value in known:
            return
        try:
            keras.activations.get(value)
        except ValueError:
            found.setdefault(value, []).append(layer)

    for o in objects(config):
        inner = o.get("config")
        for key, value in inner.items() if isinstance(inner, dict) else ():
            if key.endswith("activation"):
                check(value, name_of(o))
    return found
