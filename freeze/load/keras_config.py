"""Reads a Keras file's configuration before Keras does: what would fail is named, what is safe is mended in a copy."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freeze.errors import FreezeError
from freeze.request import Request
from freeze.sniff import LIMIT
from tracker.core.text import parse_json


def read(path: Path) -> Any:
    """The configuration (JSON) in a .keras or .h5 file.

    Raises
    ------
    FreezeError
        KERAS_DAMAGED.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(item.file_size for item in archive.infolist())
                if unpacked > LIMIT:
                    raise FreezeError(
                        "TOO_LARGE",
                        f"{path.name} unpacks to {unpacked / 2**30:.1f} GiB; a frozen graph holds no more than 2",
                        "save the encoder alone, without optimiser and classifier",
                        [str(path)],
                    )
                return parse_json(archive.read("config.json"))
        import h5py

        with h5py.File(path, "r") as f:
            return parse_json(f.attrs["model_config"])
    except (OSError, ValueError, KeyError, RecursionError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as e:
        raise FreezeError(
            "KERAS_DAMAGED", f"{path.name} holds no readable Keras model ({e})", "save or copy it again", [str(path)]
        ) from None


def write(path: Path, config: Any, to: Path) -> None:
    """A copy of the model file `path` at `to`, with another configuration."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(to, "w") as target:
            for item in source.infolist():
                target.writestr(
                    item, json.dumps(config) if item.filename == "config.json" else source.read(item.filename)
                )
        return
    import h5py

    shutil.copyfile(path, to)
    with h5py.File(to, "r+") as f:
        f.attrs["model_config"] = json.dumps(config)


def objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every serialised object in a configuration, outer ones first."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for key, value in config.items():
            if key != "compile_config":  # losses and optimisers play no part here
                yield from objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from objects(value)


def name_of(layer: dict[str, Any]) -> str:
    """Name of a layer in a Keras configuration, wherever its version keeps it."""
    inner = layer.get("config")
    name: str = (inner.get("name") if isinstance(inner, dict) else None) or layer.get("name") or layer["class_name"]
    return name


def lambdas(config: Any) -> list[str]:
    """Names of the Lambda layers."""
    return [name_of(o) for o in objects(config) if o["class_name"] == "Lambda"]


def strangers(config: Any, known: set[str]) -> dict[str, list[str]]:
    """Classes that are neither Keras' own nor in `known`: class name -> layer names."""
    import keras

    found: dict[str, list[str]] = {}
    for o in objects(config):
        name, module = o["class_name"], o.get("module")
        own = (
            (module or "").split(".")[0] in ("keras", "builtins")
            if "module" in o and module
            else hasattr(keras.layers, name)
            or hasattr(keras, name)
            or hasattr(keras.initializers, name)
            or not isinstance(o.get("config"), dict)
            or _inner(name)
        )
        registered = o.get("registered_name") or name
        if (
            not own
            and name.rsplit(">", 1)[-1] not in known  # Keras 2 wrote package>class
            and registered not in known
            and keras.saving.get_registered_object(registered) is None
        ):
            found.setdefault(name, []).append(name_of(o))
    return found


def _inner(name: str) -> bool:
    """Names that serialised values other than layers carry: shapes, tensors, types."""
    return name.startswith("__") or name in (
        "TensorShape",
        "TypeSpec",
        "DTypePolicy",
        "Functional",
        "Sequential",
        "Model",
    )


def in_inference(config: Any) -> list[str]:
    """Takes `training: True` out of every layer call, in place; returns the layers' names."""
    changed = []
    for o in objects(config):
        nodes = o.get("inbound_nodes")
        if not isinstance(nodes, list) or not nodes:
            continue
        for kwargs in _call_arguments(nodes):
            if kwargs.get("training"):
                kwargs["training"] = False
                changed.append(name_of(o))
    return sorted(set(changed))


def _call_arguments(node: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary in a layer's inbound nodes that holds `training`.

    In Keras 3 that is kwargs, in Keras 2 the fourth of a quadruple.
    """
    if isinstance(node, dict):
        if "training" in node:
            yield node
        for value in node.values():
            yield from _call_arguments(value)
    elif isinstance(node, list):
        for value in node:
            yield from _call_arguments(value)


def in_float32(config: Any) -> list[str]:
    """Replaces half-precision dtype policies by float32, in place; returns the layers' names."""
    changed = []
    for o in objects(config):
        inner = o.get("config")
        if not isinstance(inner, dict):
            continue
        policy = inner.get("dtype")
        name = policy.get("config", {}).get("name") if isinstance(policy, dict) else policy
        if isinstance(name, str) and ("float16" in name):
            inner["dtype"] = "float32"
            changed.append(name_of(o))
    return changed


def examined(path: Path, request: Request) -> Any:
    """The configuration, after refusing what must not or cannot be loaded.

    Raises
    ------
    FreezeError
        KERAS_LAMBDA, KERAS_CUSTOM_CLASS, NO_REPAIR.
    """
    config = read(path)
    unsafe = lambdas(config)
    if unsafe and not request.unsafe:
        raise FreezeError(
            "KERAS_LAMBDA",
            f"{path.name} has Lambda layers, which carry Python bytecode: loading them runs arbitrary code stored "
            "in the file, so it is not safe unless you trust its author",
            "add --unsafe if you trust the file, or write the "
            "Lambda as a layer class, give it with --custom-objects and save the model again",
            [f"Lambda layer '{n}'" for n in unsafe],
        )
    return config
