"""The network that is built twice: once to train it, once to use it, in one program.

The second call asks for variables that are there already. Had the layers no names, it would get variables of its own
instead, which nothing trains. Run it: `python -m docs.stories.built_twice`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from docs.stories import telling
from docs.stories.telling import Told

PROGRAM = """
import tensorflow as tf
v1 = tf.compat.v1



def normalised(x, training):
    size = int(x.shape[-1])
    gamma = v1.get_variable("gamma", [size], initializer=v1.ones_initializer())
    beta = v1.get_variable("beta", [size], initializer=v1.zeros_initializer())
    mean = v1.get_variable("moving_mean", [size], initializer=v1.zeros_initializer(), trainable=False)
    variance = v1.get_variable("moving_variance", [size], initializer=v1.ones_initializer(), trainable=False)
    if training:
        return v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3, is_training=True)[0]
    return v1.nn.fused_batch_norm(x, gamma, beta, mean, variance, epsilon=1e-3, is_training=False)[0]


def encoder(crops, training):
    with v1.variable_scope("stem"):
        x = tf.nn.conv2d(crops, v1.get_variable("weights", [5, 5, 3, 6]), 4, "VALID")
        x = tf.nn.relu(normalised(x, training))
    with v1.variable_scope("vector"):
        x = tf.reshape(x, [-1, 11 * 5 * 6])
        return tf.matmul(x, v1.get_variable("weights", [11 * 5 * 6, 12]), name="out")


crops = v1.placeholder(tf.float32, [None, 48, 24, 3])
to_train = encoder(crops, training=True)
to_use = encoder(crops, training=False)
"""
TENSORFLOW = "Variable stem/weights already exists, disallowed"
CODES = ("BUILT_TWICE", "INPUT_CHOSEN", "OUTPUT_NOT_NORMALISED")


def values() -> dict[str, np.ndarray]:
    """What training left: statistics that are not those of any one batch."""
    r = np.random.default_rng(12)
    return {
        "stem/weights": r.normal(0, 0.02, (5, 5, 3, 6)),
        "stem/gamma": r.uniform(0.5, 1.5, 6),
        "stem/beta": r.normal(0, 0.3, 6),
        "stem/moving_mean": r.normal(0, 2, 6),
        "stem/moving_variance": r.uniform(20, 60, 6),
        "vector/weights": r.normal(0, 0.1, (11 * 5 * 6, 12)),
    }


def story(folder: Path) -> Told:
    """TensorFlow refuses the second call; freezing runs the call for inference, alone."""
    (folder / "network.py").write_text(PROGRAM)
    telling.save(folder / "trained.ckpt-300", values())
    came = Told(tensorflow=_in_a_graph(folder / "network.py"), out=folder / "encoder.pb")
    came.freeze, came.code = telling.freeze(
        "--builder", folder / "network.py", "--checkpoint", folder / "trained.ckpt-300", "--out", came.out
    )
    return came


def _in_a_graph(program: Path) -> str:
    """The program says itself that it is one of TensorFlow 1, which here must not last."""
    import tensorflow as tf

    program_alone = program.with_name("alone.py")
    program_alone.write_text(PROGRAM.replace("v1.disable_eager_execution()", ""))
    with tf.Graph().as_default():
        return telling.run(program_alone)


def expected(images: np.ndarray) -> np.ndarray:
    """The features that are right, computed without a graph."""
    import tensorflow as tf

    v = {k: w.astype(np.float32) for k, w in values().items()}
    x = tf.nn.conv2d(images.astype(np.float32), v["stem/weights"], 4, "VALID")
    x = (x - v["stem/moving_mean"]) / np.sqrt(v["stem/moving_variance"] + 1e-3) * v["stem/gamma"] + v["stem/beta"]
    x = tf.reshape(tf.nn.relu(x), [len(images), -1]) @ v["vector/weights"]
    return np.asarray(tf.nn.l2_normalize(x, 1))


if __name__ == "__main__":
    telling.told(story)
