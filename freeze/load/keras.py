"""Loads a whole Keras model (.keras or .h5) and turns its call with training=False into a graph with variables."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from freeze.errors import FreezeError, Log
from freeze.graph.graphdef import Graph, set_attr
from freeze.load import keras2, keras_classes, keras_config
from freeze.load.user_code import explained, imported
from freeze.model import Model
from freeze.request import Request
from freeze.sniff import check_kind
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import sha256


def load(request: Request, log: Log) -> Model:
    """Raises FreezeError: WRONG_FILE, KERAS_*."""
    if request.keras is None:
        raise FreezeError("USAGE", "no Keras file given", "use --keras")
    path = Path(request.keras)
    check_kind(path, "keras", "--keras")
    import_tensorflow()
    config = keras_config.examined(path, request)
    translated = keras2.modernised(config)
    if translated:
        log.repair("KERAS_2", translated, "the file was written by Keras 2: its words were translated for Keras 3")
    classes = custom_objects(request)
    known = {**keras2.call_layers(), **classes} if translated else classes
    _check_classes(config, known, path)
    packaged = {o["class_name"] for o in keras_config.objects(config) if ">" in o["class_name"]}
    known = {**known, **{p: known[c] for p in packaged if (c := p.rsplit(">", 1)[-1]) in known}}
    filled = keras_classes.complete(config, classes, request.bind, log)
    changed = _mended(config, request, log)
    model = _load(path, request, known, config if changed or translated or filled else None)
    found = from_model(model, request, log, {"source": "keras", "keras": path.name, "keras_sha256": sha256(path)})
    found.repaired = bool(changed or translated or filled)
    return found


def _mended(config: Any, request: Request, log: Log) -> bool:
    """Takes training=True and half precision out of a configuration, in place; False where neither was in it."""
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
    return bool(training or half)


def _check_classes(config: Any, classes: dict[str, Any], path: Path) -> None:
    functions = keras_classes.unknown_functions(config, set(classes))
    unknown = {**keras_config.strangers(config, set(classes)), **functions}
    if unknown:
        shown = [
            f"{'function' if c in functions else 'class'} {c} (custom layer: {', '.join(names)})"
            for c, names in unknown.items()
        ]
        raise FreezeError(
            "KERAS_CUSTOM_CLASS",
            f"{path.name} uses custom classes or functions whose code is not in the file: {', '.join(unknown)}",
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
    own = {k: v for k, v in vars(module).items() if callable(v) and not _foreign(getattr(v, "__module__", None))}
    named = getattr(module, "custom_objects", None) or getattr(module, "CUSTOM_OBJECTS", None)
    return {**own, **named} if isinstance(named, dict) else own


def _foreign(module: str | None) -> bool:
    """Belongs to a library, not to the user's code."""
    return (module or "builtins").split(".")[0] in {"builtins", "keras", "tensorflow", "numpy", "typing", "functools"}


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
    tf = import_tensorflow()
    shape: tuple[int | None, ...]
    if getattr(model, "inputs", None):
        model = _one_way(model, request, log)
        dtype = tf.as_dtype(model.inputs[0].dtype)
        shape = request.image_shape or tuple(model.inputs[0].shape[1:])
    else:
        dtype = tf.as_dtype(request.dtype or "float32")
        shape = request.image_shape or _built_for(model)

    def features(images: Any) -> Any:
        return _features(model(images, training=False), request.output)

    images = tf.TensorSpec([None, *shape], dtype, name="images")
    try:
        function = tf.function(features, autograph=False, input_signature=[images]).get_concrete_function()
    except (ValueError, TypeError, tf.errors.OpError) as e:
        raise FreezeError(
            "KERAS_CALL",
            f"the Keras model cannot be called on images [?, {', '.join(map(str, shape))}]: {str(e).strip()[:400]}",
            "give the size it was trained on: --image-shape HxWxC",
            [getattr(model, "name", "model")],
        ) from None
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


def _built_for(model: Any) -> tuple[int | None, ...]:
    """Height, width, channels that a subclassed model was built for, as its file says."""
    built = (getattr(model, "_build_shapes_dict", None) or {}).values()
    shapes = [s for s in built if isinstance(s, (list, tuple)) and len(s) == 4 and not isinstance(s[1], (list, tuple))]
    if len(shapes) != 1:
        raise FreezeError(
            "INPUT_SHAPE_UNKNOWN",
            f"the model is a subclass ({type(model).__name__}) and its file does not say what size its images have",
            "give it: --image-shape HxWxC",
            [type(model).__name__],
        )
    return tuple(shapes[0][1:])


def _one_way(model: Any, request: Request, log: Log) -> Any:
    """The functional model from one input to one output: of those it has, or up to a layer that --output names."""
    import keras

    inputs = {t.name: t for t in model.inputs}
    outputs = {t._keras_history.operation.name: t for t in model.outputs}  # noqa: SLF001  # the layer, public nowhere
    if isinstance(keyed := getattr(model, "_outputs_struct", None), dict):
        outputs = {k: t for k, t in keyed.items() if hasattr(t, "shape")}
    source = inputs[_choice(inputs, request.input, "input", log)]
    wanted = (request.output or "").removesuffix(":0")
    layers = {layer.name: layer for layer in model.layers}
    inner = wanted if wanted in layers else wanted.split("/")[0]
    if wanted not in outputs and inner in layers:
        target = layers[inner].output
    else:
        target = outputs[_choice(outputs, request.output, "output", log)]
    if len(model.inputs) == 1 and target is model.outputs[0] and not isinstance(keyed, dict) and len(outputs) == 1:
        return model
    try:
        return keras.Model(source, target)
    except ValueError:
        others = [n for n, t in inputs.items() if t is not source]
        raise FreezeError(
            "KERAS_SEVERAL_INPUTS",
            f"the output needs more than one input: besides '{source.name}' also {', '.join(others)}, and nothing "
            "feeds them when tracking",
            "give with --output a layer that depends on the images alone, or save a model with one input",
            others,
        ) from None


GOOD = ("features", "feature", "embedding", "embeddings")


def _choice(tensors: dict[str, Any], asked: str | None, side: str, log: Log) -> str:
    """Name of the input or output to use."""
    names = list(tensors)
    likely = sorted(names, key=lambda n: n.lower() not in GOOD)
    shown = [f"{n} {tuple(tensors[n].shape)} {tensors[n].dtype}" for n in likely]
    if asked is not None and asked.removesuffix(":0") in names:
        return asked.removesuffix(":0")
    if asked is not None and (len(names) > 1 or side == "output"):
        raise FreezeError(
            f"{side.upper()}_UNKNOWN",
            f"the Keras model has no {side} '{asked}'",
            f"give --{side} {' or '.join(names)}" + (", or the name of a layer" if side == "output" else ""),
            shown,
            shown=None,
        )
    named = [n for n in names if n.lower() in GOOD]
    if len(names) == 1 or (len(named) == 1 and side == "output"):
        if len(names) > 1:
            log.note("OUTPUT_CHOSEN", f"output '{named[0]}' is used; also there: {', '.join(set(names) - set(named))}")
        return named[0] if len(names) > 1 else names[0]
    raise FreezeError(
        f"{side.upper()}_AMBIGUOUS",
        f"the Keras model has {len(names)} {side}s: {', '.join(names)}",
        f"choose one with --{side} {' or '.join(names)}",
        shown,
        shown=None,
    )


def _features(result: Any, asked: str | None) -> Any:
    """The one tensor among what a subclassed model returns."""
    if isinstance(result, dict):
        keys = [asked] if asked in result else [k for k in result if str(k).lower() in GOOD] or list(result)
        result = [result[k] for k in keys]
    if not isinstance(result, (list, tuple)):
        return result
    flat = [t for t in result if t.shape.rank == 2] if len(result) > 1 else list(result)
    if len(flat) != 1:
        raise FreezeError(
            "OUTPUT_AMBIGUOUS",
            f"the Keras model returns {len(result)} tensors",
            "save a model that returns the features alone",
            [f"{t.dtype.name} {t.shape}" for t in result],
        )
    return flat[0]


def with_variables(function: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A concrete function's GraphDef with its captured variables as VarHandleOp nodes, and their values.

    The nodes are named as the variables are.
    """
    tf = import_tensorflow()
    graph_def = function.graph.as_graph_def()
    handles = {id(v.handle): v for v in function.graph.variables}
    values: dict[str, np.ndarray] = {}
    graph, moved = Graph(graph_def), {}
    for captured, inside in function.graph.captures:
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
        moved[node.name] = name
        graph.nodes[name] = node
        node.name, node.op = name, "VarHandleOp"
        set_attr(node, "dtype", variable.dtype)
        node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
        set_attr(node, "shared_name", name)
        values[name] = variable.numpy()
    for node in graph_def.node:
        for k, ref in enumerate(node.input):
            node.input[k] = moved.get(ref.removesuffix(":0"), ref)
    return graph_def, values
