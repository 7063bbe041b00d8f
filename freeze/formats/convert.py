"""Converters from a frozen GraphDef: each writes one model for another runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from freeze.errors import FreezeError, tensorflow_words
from freeze.graph.graphdef import GraphDef
from freeze.job import INPUT, OUTPUT
from tracker.core.openvino import import_openvino
from tracker.core.tensorflow import captured_stderr, import_tensorflow

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite", "savedmodel": ".savedmodel"}
INSTALL = {"onnx": "'.[formats]'", "openvino": "openvino", "int8": "nncf"}
OPSET = 15
"""Of ONNX: read by every runtime since 2021."""


def convert(name: str, graph_def: GraphDef, target: Path, crops: np.ndarray | None) -> None:
    """Writes `graph_def` for the runtime `name` at `target`.

    Parameters
    ----------
    name : str
        `onnx`, `openvino`, `tflite` or `savedmodel`.
    graph_def : GraphDef
        Frozen: one placeholder `images` (uint8), one output `features`.
    target : Path
        A file, or for a SavedModel a folder, that does not exist yet.
    crops : ndarray or None
        uint8 (N, H, W, C): the model computes in 8-bit integers, calibrated on these.

    Raises
    ------
    FreezeError
        FORMAT_NOT_INSTALLED, FORMAT_FAILED.
    """
    writers: dict[str, Callable[[GraphDef, Path, np.ndarray | None], None]] = {
        "onnx": _onnx,
        "openvino": _openvino,
        "tflite": _tflite,
        "savedmodel": _saved_model,
    }
    try:
        with captured_stderr(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            writers[name](graph_def, target, crops)
    except ImportError as e:
        package = INSTALL["int8" if name == "openvino" and crops is not None else name]
        cause = f"writing {name} needs a package that is not installed ({e})"
        raise FreezeError("FORMAT_NOT_INSTALLED", cause, f"pip install {package}", [name]) from None
    except Exception as e:  # converters raise any kind for an operation that they do not know
        cause = f"the converter to {name} fails: {type(e).__name__}: {tensorflow_words(e)}"
        raise FreezeError("FORMAT_FAILED", cause, f"leave {name} out of --also", [name]) from None


def _imported(graph_def: GraphDef) -> Any:
    tf = import_tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    return graph


def _saved_model(graph_def: GraphDef, target: Path, crops: np.ndarray | None) -> None:
    v1, graph = import_tensorflow().compat.v1, _imported(graph_def)
    with graph.as_default(), v1.Session(graph=graph) as session:
        info = {n: v1.saved_model.utils.build_tensor_info(graph.get_tensor_by_name(f"{n}:0")) for n in (INPUT, OUTPUT)}
        signature = v1.saved_model.signature_def_utils.build_signature_def(
            {INPUT: info[INPUT]}, {OUTPUT: info[OUTPUT]}, "tensorflow/serving/predict"
        )
        builder = v1.saved_model.builder.SavedModelBuilder(str(target))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map={"serving_default": signature})
        builder.save()


def _onnx(graph_def: GraphDef, target: Path, crops: np.ndarray | None) -> None:
    from tf2onnx import convert as tf2onnx

    model, _ = tf2onnx.from_graph_def(graph_def, input_names=[f"{INPUT}:0"], output_names=[f"{OUTPUT}:0"], opset=OPSET)
    for value, name in ((model.graph.input[0], INPUT), (model.graph.output[0], OUTPUT)):
        _renamed(model.graph, value.name, name)
    target.write_bytes(model.SerializeToString())


def _renamed(graph: Any, old: str, new: str) -> None:
    """A tensor of an ONNX graph under another name, everywhere."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                if name == old:
                    names[k] = new


def _openvino(graph_def: GraphDef, target: Path, crops: np.ndarray | None) -> None:
    ov = import_openvino()

    source = target.with_suffix(".pb")
    source.write_bytes(graph_def.SerializeToString())
    model = ov.Core().read_model(str(source))
    if crops is not None:
        import nncf

        rows = [crops[i : i + 1] for i in range(len(crops))]
        model = nncf.quantize(model, nncf.Dataset(rows), subset_size=len(rows))
    ov.save_model(model, str(target), compress_to_fp16=False)
    del model
    source.unlink()


def _tflite(graph_def: GraphDef, target: Path, crops: np.ndarray | None) -> None:
    tf = import_tensorflow()
    folder = target.with_suffix(".source")
    _saved_model(graph_def, folder, None)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if crops is not None:

        def rows() -> Iterator[list[np.ndarray]]:
            for i in range(len(crops)):
                yield [crops[i : i + 1]]

        converter.optimizations, converter.representative_dataset = [tf.lite.Optimize.DEFAULT], rows
    target.write_bytes(converter.convert())
