"""Files that Keras 2 itself wrote (`tf_keras` is its own package): the features are those it gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freeze import api
from freeze.errors import Log
from freeze.graph.images import structured
from freeze.graph.runner import Runner
from freeze.proof import prove
from freeze.request import Request

tf = pytest.importorskip("tensorflow")
keras2 = pytest.importorskip("tf_keras")
layers = keras2.layers

SHAPE = (32, 16, 3)
IMAGES = structured(5, SHAPE)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fresh process of the proof is tested elsewhere and costs seconds."""
    monkeypatch.setattr(prove, "_reloaded", lambda *args: 0.0)


def recorded_calls() -> Any:
    """Calls of TensorFlow between the layers, with a number first, tensors by keyword, slices."""
    images = keras2.Input(SHAPE, name="images")
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(1.0 - images[:, :, :, ::-1] / 255.0)
    y = tf.nn.relu(layers.BatchNormalization()(x))
    x = tf.math.maximum(x + layers.SeparableConv2D(4, 3, padding="same")(y), 0.1 * y)
    x = layers.LayerNormalization()(layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    return keras2.Model(images, tf.math.l2_normalize(layers.Dense(8)(layers.Flatten()(x)), axis=1))


def nested() -> Any:
    """Models in models, one of them called twice, and attention, whose second tensor has a keyword."""
    inner = keras2.Sequential(
        [layers.Input(SHAPE), layers.Conv2D(4, 8, strides=4), layers.BatchNormalization(), layers.ReLU(6.0)]
    )
    images = keras2.Input(SHAPE)
    both = layers.Average()([inner(images), inner(images[:, :, ::-1])])
    places = layers.Reshape((-1, 4))(both)
    both = layers.Flatten()(layers.MultiHeadAttention(2, 4)(places, places))
    return keras2.Sequential([keras2.Model(images, both), layers.Dropout(0.3), layers.Dense(8, activation="tanh")])


@pytest.mark.parametrize(
    "build, suffix", [(recorded_calls, ".h5"), (recorded_calls, ""), (nested, ".h5"), (nested, ".keras")]
)
@pytest.mark.filterwarnings("ignore")  # Keras 2 warns of its own formats
def test_keras_2_files_give_the_features_of_the_model(tmp_path: Path, build: Any, suffix: str) -> None:
    keras2.backend.clear_session()
    model = build()
    random = np.random.default_rng(3)
    for v in model.weights:
        low, high = (0.5, 2.0) if "variance" in v.name or "gamma" in v.name else (-0.5, 0.5)
        v.assign(random.uniform(low, high, tuple(v.shape)))
    path = tmp_path / f"model{suffix}"
    model.save(path)
    log = Log()
    given = {"keras": path} if suffix else {"saved_model": path}
    api.freeze(Request(out=tmp_path / "x.pb", **given), log)
    expected = np.asarray(model(IMAGES.astype(np.float32), training=False))
    with Runner(tf.compat.v1.GraphDef.FromString((tmp_path / "x.pb").read_bytes())) as runner:
        found = runner.run("features", {"images": IMAGES})
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
    assert ("KERAS_2" in log.codes()) == bool(suffix)
    assert "BATCH_NORM_TRAINING" not in log.codes()
