"""Small trained models, written once per process: Keras files of two formats, checkpoints of two formats."""

from __future__ import annotations

import tempfile
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
