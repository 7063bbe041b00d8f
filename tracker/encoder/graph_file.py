"""Frozen graphs read from disk, and the contract of one that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.core.files import model_bytes
from tracker.core.graph_ops import REMEDY, listed, refused
from tracker.core.tensorflow import import_runtime, parse_graph
from tracker.encoder.contract import Contract, sha256
from tracker.errors import EncoderError, first_line

VARIABLES = ("VarHandleOp", "VariableV2", "Variable", "AutoReloadVariable")


def read_graph(path: Path, *, unsafe: bool = False) -> Any:
    """The GraphDef in a .pb file.

    Raises
    ------
    EncoderError
        Missing, empty, a web page, a git-lfs pointer, or no frozen graph.
    """
    try:
        graph = parse_graph(model_bytes(path, EncoderError))
    except ValueError as e:
        raise EncoderError(f"{path}: no frozen graph ({e}); expected a frozen encoder") from None
    if variables := [n.name for n in graph.node if n.op in VARIABLES]:
        raise EncoderError(
            f"{path}: is not frozen: its {len(variables)} variables ({variables[0]}, ...) have their values in a "
            f"checkpoint; freeze it: python -m freeze --meta M.meta --checkpoint CKPT --out {path.stem}_frozen.pb"
        )
    if not unsafe and (found := refused(graph)):
        raise EncoderError(
            f"{path}: the graph holds operations that inference does not need, which may touch files: "
            f"{listed(found)}; {REMEDY}"
        )
    return graph


def infer_contract(path: Path, graph_def: Any) -> Contract:
    """The contract of a bare graph, such as the published one: one placeholder for images and one output of rank 2.

    The crop rule is `aspect` and the colour order `bgr`, as the published tools feed it.

    Raises
    ------
    EncoderError
        No such placeholder or output, or several.
    """
    tf = import_runtime()
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(graph_def, name="")
    except (ValueError, tf.errors.OpError) as e:
        raise EncoderError(f"{path}: TensorFlow cannot load the graph ({first_line(e)})") from None
    image, output = _image(path, graph), _feature(path, graph)
    return Contract(
        graph_sha256=sha256(path), input_shape=tuple(image.shape.as_list()[1:]), dimension=int(output.shape[1]),
        input_name=image.op.name, output_name=output.op.name, input_dtype=image.dtype.name, crop_rule="aspect",
        l2_normalised=False, provenance={"kind": "bare graph", "file": path.name},
    )  # fmt: skip


def _image(path: Path, graph: Any) -> Any:
    """The one placeholder, of pictures. Raises EncoderError."""
    inputs = [op.outputs[0] for op in graph.get_operations() if op.type == "Placeholder"]
    images = [t for t in inputs if t.shape.rank == 4 and None not in t.shape.as_list()[1:]]
    if len(inputs) != 1 or len(images) != 1 or images[0].dtype.name not in ("uint8", "float32"):
        met = ", ".join(f"{t.op.name} {t.dtype.name} {t.shape}" for t in inputs) or "none"
        raise EncoderError(
            f"{path}: placeholders: {met}; expected one, uint8 or float32 of shape (batch, height, width, channels); "
            f"{_freeze(path, f'--input {(images or inputs)[0].op.name}' if inputs else '')}"
        )
    height, width, channels = images[0].shape.as_list()[1:]
    if channels not in (1, 3):
        first = f"takes channels first, {(height, width, channels)}" if height in (1, 3) else "takes no pictures"
        raise EncoderError(f"{path}: {first}: expected (height, width, 3); {_freeze(path)}")
    return images[0]


def _feature(path: Path, graph: Any) -> Any:
    """The one output of rank 2 that is no softmax over classes. Raises EncoderError."""
    ends = [
        op for op in graph.get_operations() if op.outputs and not any(t.consumers() for t in op.outputs) and op.inputs
    ]
    outputs = [op.outputs[0] for op in ends if op.outputs[0].dtype.is_floating]
    flat = [t for t in outputs if t.shape.rank == 2 and t.shape[1] is not None]
    if len(flat) != 1:
        met = ", ".join(f"{t.op.name} {t.shape}" for t in outputs) or "none"
        likely = [t.op.name for t in flat if t.op.name.rpartition("/")[2].startswith(LIKELY)]
        names = likely or [t.op.name for t in sorted(flat, key=lambda t: int(t.shape[1]))]
        remedy = _freeze(path, f"--output {names[0]}") if names else choose_layer(path)
        raise EncoderError(f"{path}: outputs: {met}; expected one of rank 2 (batch, dimension); {remedy}")
    head = flat[0].op
    while head.type == "Identity":
        head = head.inputs[0].op
    if head.type == "Softmax":
        below = _before_head(head)
        raise EncoderError(
            f"{path}: its output {flat[0].op.name} is a softmax over {int(flat[0].shape[1])} classes, no feature; "
            f"it is a classifier; {_freeze(path, f'--output {below}') if below else choose_layer(path)}"
        )
    return flat[0]


LIKELY = ("features", "feature", "embedding", "l2_normalize", "descriptor")
"""What outputs that are features are called."""


def _freeze(path: Path, more: str = "") -> str:
    """The command that makes a graph fit."""
    options = f" {more}" if more else ""
    return f"freeze it: python -m freeze --graphdef {path}{options} --out {path.stem}_frozen.pb"


def choose_layer(path: Path) -> str:
    """The commands that find the layer of features in a graph whose output is none."""
    return f"python -m freeze inspect {path} lists its layers; {_freeze(path, '--output LAYER')}"


def _before_head(op: Any) -> str:
    """Name of what a classifier's last layer takes; empty where it has none that is known."""
    while op.inputs and op.type in ("Softmax", "BiasAdd", "Add", "AddV2", "Identity", "RealDiv", "Mul"):
        op = op.inputs[0].op
    return str(op.inputs[0].op.name) if op.type == "MatMul" else ""
