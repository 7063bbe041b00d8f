"""Loads a whole Keras model (.keras or .h5) and turns its call with training=False into a graph with variables."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from freeze import keras_config
from freeze.contract import sha256
from freeze.errors import FreezeError, Log
from freeze.graph import Graph, replace_tensor, set_attr
from freeze.model import Model
from freeze.request import Request
from freeze.sniff import expect
from freeze.tf_quiet import tensorflow
from freeze.user_code import explained, imported


def load(request: Request, log: Log) -> Model:
    """Raises FreezeError: WRONG_FILE, KERAS_*."""
    if request.keras is None:
        raise FreezeError("USAGE", "no Keras file given", "use --keras")
    path = Path(request.keras)
    expect(path, "keras", "--keras")
    tensorflow()
    config = keras_config.examined(path, request, log)
    classes = custom_objects(request)
    _all_known(config, classes, path)
    training, half = keras_config.in_inference(config), keras_config.in_float32(config)
    if training:
        log.repair(
            "KERAS_TRAINING",
            training,
            "these layers were called with training=True, which is baked into the model: batch norm and dropout "
            "would run in training mode; called for inference instead",
        )
    if half:
        log.repair(
            "KERAS_HALF",
            half,
            "the model computes in half precision (mixed_float16): rebuilt in float32, its weights are float32 anyway",
        )
    if (training or half) and not request.repair:
        raise FreezeError(
            "NO_REPAIR",
            "the model has to be mended (training=True or float16 in its configuration)",
            "leave out --no-repair",
            training or half,
        )
    model = _load(path, request, classes, config if training or half else None)
    found = from_model(model, request, log, {"source": "keras", "keras": path.name, "keras_sha256": sha256(path)})
    found.repaired = bool(training or half)
    return found


def _all_known(config: Any, classes: dict[str, Any], path: Path) -> None:
    unknown = keras_config.strangers(config, set(classes))
    if unknown:
        shown = [f"class {c} (custom layer: {', '.join(names)})" for c, names in unknown.items()]
        raise FreezeError(
            "KERAS_CUSTOM_CLASS",
            f"{path.name} uses custom classes whose code is not in the file: {', '.join(unknown)}",
            "give the Python file that defines them: --custom-objects FILE.py (or mark them with "
            "@keras.saving.register_keras_serializable there)",
            shown,
        )


def custom_objects(request: Request) -> dict[str, Any]:
    """Every class and function of the given file, by name."""
    if request.custom_objects is None:
        return {}
    path = Path(request.custom_objects)
    if not path.exists():
        raise FreezeError("FILE_MISSING", f"{path} does not exist", "check the path of --custom-objects", [str(path)])
    with explained(path):
        module = imported(path)
    return {k: v for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__}


def _load(path: Path, request: Request, objects: dict[str, Any], config: Any) -> Any:
    """The model; from a copy with the configuration `config` where that is not None."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        if config is not None:
            keras_config.write(path, config, Path(folder) / path.name)
            path = Path(folder) / path.name
        try:
            return keras.models.load_model(path, custom_objects=objects, compile=False, safe_mode=not request.unsafe)
        except (
            Exception
        ) as e:  # Keras raises anything, from KeyError to its own: each means that the file does not load
            raise FreezeError(
                "KERAS_LOAD",
                f"Keras cannot load {path.name}: {type(e).__name__}: {str(e).strip()[:500]}",
                "load and save it again with the Keras version that is installed, or give its classes with "
                "--custom-objects",
                [path.name],
            ) from None


def from_model(model: Any, request: Request, log: Log, provenance: dict[str, Any]) -> Model:
    """The graph of `model(images, training=False)`."""
    tf = tensorflow()
    source, output = _one(model.inputs, request.input, "input"), _one(model.outputs, request.output, "output")
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        import keras

        model = keras.Model(model.inputs[source], model.outputs[output])
        source = output = 0
    spec = model.inputs[0]
    shape = [None, *(spec.shape[1:] if request.image_shape is None else request.image_shape)]
    dtype = tf.as_dtype(spec.dtype)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(shape, dtype, name="images")])
    def call(images: Any) -> Any:
        result = model(images, training=False)
        return result[0] if isinstance(result, (list, tuple)) else result

    function = call.get_concrete_function()
    graph_def, values = with_variables(function)

    def live(x: np.ndarray) -> np.ndarray:
        return np.asarray(function(tf.constant(x, dtype)))

    return Model(
        graph_def,
        values=values,
        input=function.inputs[0].name,
        output=function.outputs[0].name,
        live=live,
        provenance=provenance,
    )


def _one(tensors: Any, asked: str | None, side: str) -> int:
    """Index of the input or output to use."""
    names = [t.name if side == "input" else t._keras_history.operation.name for t in tensors]
    if asked is not None:
        wanted = asked.removesuffix(":0")
        if wanted in names:
            return names.index(wanted)
        if len(names) > 1:
            raise FreezeError(
                f"{side.upper()}_UNKNOWN",
                f"the Keras model has no {side} '{asked}'",
                f"give --{side} {' or '.join(names)}",
                names,
            )
    if len(names) == 1:
        return 0
    shown = [f"{n} {tuple(t.shape)} {t.dtype}" for n, t in zip(names, tensors, strict=True)]
    raise FreezeError(
        f"{side.upper()}_AMBIGUOUS",
        f"the Keras model has {len(names)} {side}s",
        f"choose one with --{side} {' or '.join(names)}",
        shown,
    )


def with_variables(function: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A concrete function's GraphDef with its captured variables as VarHandleOp nodes, named as they are, and their
    values.
    """
    tf = tensorflow()
    graph_def = function.graph.as_graph_def()
    handles = {id(v.handle): v for v in function.graph.variables}
    values: dict[str, np.ndarray] = {}
    for captured, inside in function.graph.captures:
        graph = Graph(graph_def)
        node = graph.nodes[inside.op.name]
        variable = handles.get(id(captured))
        if variable is None and captured.dtype == tf.resource:
            continue
        node.ClearField("attr")
        if variable is None:
            node.op = "Const"
            set_attr(node, "dtype", captured.dtype)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(captured.numpy()))
            continue
        name = graph.fresh(variable.name.split(":")[0])
        replace_tensor(graph_def, node.name, name)
        node.name, node.op = name, "VarHandleOp"
        set_attr(node, "dtype", variable.dtype)
        node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
        set_attr(node, "shared_name", name)
        values[name] = variable.numpy()
    return graph_def, values
