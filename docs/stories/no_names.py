"""The network without names: nobody said which tensor takes the images and which one is the answer.

A small network is written at module level, trained long ago, and its program is all there is besides the checkpoint.
Run it: `python -m docs.stories.no_names`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from docs.stories import telling
from docs.stories.telling import Told

PROGRAM = """
import tensorflow as tf
v1 = tf.compat.v1

crops = v1.placeholder(tf.float32, [None, 48, 24, 3], name="crops")
stem = v1.layers.conv2d(crops, 6, 5, strides=4, activation=tf.nn.elu, name="stem")
vector = v1.layers.dense(v1.layers.flatten(stem), 12, name="vector")
"""
TENSORFLOW = "tf.placeholder() is not compatible with eager execution"
CODES = ("OLD_LAYERS", "OUTPUT_CHOSEN", "INPUT_CHOSEN", "OUTPUT_NOT_NORMALISED")


def values() -> dict[str, np.ndarray]:
    """What training left."""
    r = np.random.default_rng(11)
    flat = 11 * 5 * 6
    return {
        "stem/kernel": r.normal(0, 0.02, (5, 5, 3, 6)),
        "stem/bias": r.normal(0, 0.1, 6),
        "vector/kernel": r.normal(0, 0.1, (flat, 12)),
        "vector/bias": r.normal(0, 0.1, 12),
    }


def story(folder: Path) -> Told:
    """The program alone fails in TensorFlow 2; with its checkpoint it freezes, input and output found."""
    (folder / "network.py").write_text(PROGRAM)
    telling.save(folder / "trained.ckpt-300", values())
    came = Told(tensorflow=telling.run(folder / "network.py"), out=folder / "encoder.pb")
    came.freeze, came.code = telling.freeze(
        "--builder", folder / "network.py", "--checkpoint", folder / "trained.ckpt-300", "--out", came.out
    )
    return came


def expected(images: np.ndarray) -> np.ndarray:
    """The features that are right, computed without a graph."""
    import tensorflow as tf

    v = {k: w.astype(np.float32) for k, w in values().items()}
    x = tf.nn.elu(tf.nn.conv2d(images.astype(np.float32), v["stem/kernel"], 4, "VALID") + v["stem/bias"])
    x = tf.reshape(x, [len(images), -1]) @ v["vector/kernel"] + v["vector/bias"]
    return np.asarray(tf.nn.l2_normalize(x, 1))


if __name__ == "__main__":
    telling.told(story)
