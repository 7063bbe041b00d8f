"""Small trained models, written once per process: Keras files of two formats, checkpoints of two formats."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np


def keras_files() -> list[tuple[str, bytes]]:
    """A small network as `.keras` and as `.h5`."""
    from tracker.core.tensorflow import import_tensorflow

    keras = import_tensorflow().keras
    model = keras.Sequential([keras.Input((16, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(),
                              keras.layers.Dense(4)])  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("model.keras", "model.h5")]
        for file in files:
            model.save(file)
        return [(file.name, file.read_bytes()) for file in files]


def checkpoint_files() -> list[tuple[str, bytes]]:
    """The files of a checkpoint of TensorFlow 1's kind and of an object-based one."""
    from tracker.core.tensorflow import import_tensorflow

    tf = import_tensorflow()
    v1 = tf.compat.v1
    with tempfile.TemporaryDirectory() as folder:
        with v1.Graph().as_default(), v1.Session() as session:
            v1.get_variable("w", initializer=tf.constant(np.arange(12, dtype=np.float32).reshape(3, 4)))
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, f"{folder}/ck1", write_meta_graph=False, write_state=False)
        tf.train.Checkpoint(w=tf.Variable(np.ones((3, 4), np.float32))).write(f"{folder}/ck2")
        return [(p.name, p.read_bytes()) for p in sorted(Path(folder).iterdir()) if p.name.startswith("ck")]


def saved_model_files() -> list[tuple[str, bytes]]:
    """The files of a SavedModel, and a MetaGraph."""
    from tracker.core.tensorflow import import_tensorflow

    tf = import_tensorflow()
    v1 = tf.compat.v1
    with tempfile.TemporaryDirectory() as name, v1.Graph().as_default() as graph, v1.Session() as session:
        folder = Path(name)
        images = v1.placeholder(tf.float32, (None, 16, 8, 3), "images")
        kernel = v1.get_variable("kernel", initializer=tf.constant(np.eye(3, 4, dtype=np.float32)))
        features = tf.identity(tf.reduce_mean(images, (1, 2)) @ kernel, "features")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder / "saved"), {"images": images}, {"features": features})
        v1.train.export_meta_graph(str(folder / "net.meta"), graph=graph)
        files = [p for p in sorted((folder / "saved").rglob("*")) if p.is_file()] + [folder / "net.meta"]
        return [(p.name, p.read_bytes()) for p in files]


@cache
def openvino_files() -> list[tuple[str, bytes]]:
    """An encoder in OpenVINO's form with its contract."""
    import openvino as ov
    from openvino import opset13 as op

    from tracker.encoder.contract import Contract, contract_path, sha256

    images = op.parameter([-1, 16, 8, 3], ov.Type.u8, name="images")
    mean = op.reduce_mean(op.convert(images, ov.Type.f32), np.array([1, 2]), False)
    made = op.matmul(mean, op.constant(np.eye(3, 4, dtype=np.float32)), False, False)
    made.output(0).set_names({"features"})
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "encoder.xml")
        ov.save_model(ov.Model([made], [images], "net"), path, compress_to_fp16=False)
        contract = Contract(sha256(path), (16, 8, 3), 4, input_name="images", l2_normalised=False)
        contract_path(path).write_text(contract.to_json())
        return [(p.name, p.read_bytes()) for p in sorted(Path(name).iterdir())]
