"""Lower precision inside a frozen graph, and choices made by measuring."""

import json

import numpy as np
import pytest

from tests.encoders import SHAPE, write_encoder
from tracker.core.autotune import cached, compare
from tracker.encoder import runtime
from tracker.encoder.precision import lowered
from tracker.encoder.runtime import FrozenEncoder
from tracker.encoder.runtime import trial_crops as crops_for
from tracker.errors import EncoderError


def residual_graph():
    """uint8 images through three convolutions with a shortcut, pooled and normalised; float32."""
    import tensorflow as tf

    generator = np.random.default_rng(8)

    def weights(*shape):
        return tf.constant(generator.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape).astype(np.float32))

    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder("uint8", [None, *SHAPE], name="images")
        x = (tf.cast(images, tf.float32) - 127.5) / 64
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 3, 16), 2, "SAME"), weights(16)))
        y = tf.nn.elu(tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 16, 16), 1, "SAME"), weights(16)))
        y = tf.nn.bias_add(tf.nn.conv2d(y, weights(3, 3, 16, 16), 1, "SAME"), weights(16))
        x = tf.nn.relu(x + y)
        x = tf.nn.max_pool2d(x, 2, 2, "SAME")
        x = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 16, 32), 1, "SAME"))
        out = tf.matmul(tf.reshape(tf.reduce_mean(x, [1, 2]), [-1, 32]), weights(32, 8))
        tf.identity(tf.nn.l2_normalize(out, 1), name="features")
    return graph.as_graph_def()


def run(definition, crops):
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run("features:0", {"images:0": crops})


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_features_stay_close_and_convolutions_are_low(precision):
    import tensorflow as tf

    definition = residual_graph()
    changed = lowered(definition, precision)
    low = {"bf16": tf.bfloat16, "f16": tf.float16}[precision].as_datatype_enum
    types = {n.name: n.attr["T"].type for n in changed.node if n.op in ("Conv2D", "BiasAdd", "MaxPool", "AddV2", "Elu")}
    names = {n.op for n in changed.node if n.op != "AddV2" and n.attr["T"].type == low}
    assert {"Conv2D", "BiasAdd", "MaxPool", "Elu", "Relu"} <= names and "MatMul" not in names
    assert all(t == low for name, t in types.items() if "conv" in name.lower())
    assert sum(n.op == "Cast" for n in changed.node) == 3  # images to float32, into the region, out of it
    crops = crops_for(12, SHAPE)
    given, got = run(definition, crops), run(changed, crops)
    assert got.dtype == np.float32
    assert (given * got).sum(1).min() > 0.9995
    assert np.abs(given - got).max() > 0, "nothing was computed in low precision"


def test_a_norm_over_the_picture_stays_in_float32():
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder("float32", [None, *SHAPE], name="images")
        weights = tf.constant(np.random.default_rng(3).normal(0, 0.1, (3, 3, 3, 3)).astype(np.float32))
        x = tf.nn.conv2d(images, weights, 1, "SAME")
        product = tf.multiply(x, tf.math.rsqrt(tf.reduce_mean(x * x, (1, 2), keepdims=True)), name="product")
        x = tf.nn.conv2d(tf.nn.relu(tf.multiply(product, 2.0, name="twice")), weights, 1, "SAME")
        tf.identity(tf.reduce_mean(x, (1, 2)), name="features")
    nodes = {n.name: n for n in lowered(graph.as_graph_def(), "bf16").node}
    low = {n.op for n in nodes.values() if n.attr["T"].type == tf.bfloat16.as_datatype_enum}
    assert "Conv2D" in low
    assert [nodes[n].attr["T"].type for n in ("product", "twice", "Relu")] == [tf.float32.as_datatype_enum] * 3


def test_a_graph_without_convolutions_stays():
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder("uint8", [None, *SHAPE], name="images")
        tf.identity(tf.reduce_mean(tf.cast(images, tf.float32), [1, 2]), name="features")
    assert lowered(graph.as_graph_def(), "bf16") is None


def test_precision_can_be_asked_for(tmp_path):
    path = write_encoder(tmp_path / "e.pb")
    with (
        FrozenEncoder.open(path, device="cpu", precision="bf16") as low,
        FrozenEncoder.open(path, device="cpu", precision="f32") as full,
    ):
        assert (low.precision, full.precision) == ("bf16", "f32")
        crops = crops_for(9, SHAPE)
        assert (low.encode(crops) * full.encode(crops)).sum(1).min() > 0.999
    with pytest.raises(EncoderError, match="cannot be made f64"):
        FrozenEncoder.open(path, device="cpu", precision="f64")


def test_the_choice_is_measured_once_and_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path / "cache"))
    path = write_encoder(tmp_path / "e.pb")
    monkeypatch.setattr(runtime, "knows_bf16", lambda: False)
    with FrozenEncoder.open(path, device="cpu") as encoder:
        assert encoder.precision == "f32" and not (tmp_path / "cache" / "autotune").exists()  # nothing to measure
    monkeypatch.setattr(runtime, "knows_bf16", lambda: True)
    with FrozenEncoder.open(path, device="cpu") as encoder:
        first = encoder.precision
    file = tmp_path / "cache" / "autotune" / "encoder.json"
    known = json.loads(file.read_text())
    (key,) = known
    assert encoder.sha256 in key and known[key]["precision"] == first
    assert known[key]["cosine"] > 0.999 and set(known[key]["seconds"]) == {"f32", "bf16"}
    known[key]["precision"] = "bf16" if first == "f32" else "f32"
    file.write_text(json.dumps(known))
    with FrozenEncoder.open(path, device="cpu") as encoder:
        assert encoder.precision == known[key]["precision"] != first


@pytest.mark.parametrize("text", ["", "no json", "[1]", '{"k": 3}'])
def test_a_broken_memory_costs_a_measurement(tmp_path, monkeypatch, text):
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path))
    (tmp_path / "autotune").mkdir()
    (tmp_path / "autotune" / "x.json").write_text(text)
    calls = []
    for _ in range(2):
        assert cached("x", "k", lambda: calls.append(1) or {"a": 1}) == {"a": 1}
    assert calls == [1]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path / "file"))
    assert cached("x", "k", lambda: {"a": 2}) == {"a": 2}


def test_compare_finds_the_slower():
    small, large = np.ones((20, 20)), np.ones((400, 400))
    seconds = compare({"small": lambda: small @ small, "large": lambda: large @ large}, 5)
    assert seconds["small"] < seconds["large"]
