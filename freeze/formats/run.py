"""Runs a model of another runtime on crops, each in the runtime that it is for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from freeze.job import OUTPUT
from tracker.core.tensorflow import captured_stderr, import_tensorflow
from tracker.encoder.foreign import ForeignSession


class Model:
    """One written model.

    Parameters
    ----------
    name : str
        `onnx`, `openvino`, `tflite` or `savedmodel`.
    path : Path
        Its file or folder.
    """

    def __init__(self, name: str, path: Path) -> None:
        self._run = {"tflite": _tflite, "savedmodel": _saved_model}.get(name, _foreign)(path)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features (N, D) of crops (N, H, W, C) uint8."""
        return np.asarray(self._run(images), np.float32)


def _foreign(path: Path) -> Any:
    session = ForeignSession(path, 1)
    return lambda images: session(images)[0]


def _saved_model(path: Path) -> Any:
    tf = import_tensorflow()
    call = tf.saved_model.load(str(path)).signatures["serving_default"]
    return lambda images: call(tf.constant(images))[OUTPUT]


def _tflite(path: Path) -> Any:
    tf = import_tensorflow()
    with warnings.catch_warnings(), captured_stderr():
        warnings.simplefilter("ignore")  # the interpreter moves to a package of its own, which reads the same files
        interpreter = tf.lite.Interpreter(str(path), num_threads=1)
    given, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def call(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(given["index"], images.shape)
        with captured_stderr():  # it tells which delegate it takes
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(out["index"]))

    return call
