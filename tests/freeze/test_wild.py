"""Appearance encoders as people have them: names, scopes and operations of published code, with random weights."""

from pathlib import Path

import numpy as np
import pytest

from freeze.errors import FreezeError
from freeze.graph.images import structured
from freeze.request import Request
from tests import keras_sessions
from tests.freeze_models import IMAGES, SHAPE, freeze_here, right, tiny, trained, values


def v1():
    import tensorflow as tf

    return tf.compat.v1


def unit(x):
    x = np.asarray(x).reshape(len(x), -1)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def slim_norm(x, training, scope="BatchNorm"):
    """slim.batch_norm, its updates in UPDATE_OPS."""
    import tensorflow as tf

    with v1().variable_scope(scope):
        c = int(x.shape[-1])
        beta = v1().get_variable("beta", [c], initializer=v1().zeros_initializer())
        gamma = v1().get_variable("gamma", [c], initializer=v1().ones_initializer())
        mean = v1().get_variable("moving_mean", [c], initializer=v1().zeros_initializer(), trainable=False)
        variance = v1().get_variable("moving_variance", [c], initializer=v1().ones_initializer(), trainable=False)

    def train():
        y, m, v = v1().nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3, is_training=True)
        for old, new in ((mean, m), (variance, v)):
            v1().add_to_collection("update_ops", v1().assign_sub(old, (old - new) * 0.1).op)
        return y

    def infer():
        return v1().nn.fused_batch_norm(x, gamma, beta, mean, variance, epsilon=1e-3, is_training=False)[0]

    if isinstance(training, tf.Tensor):
        return tf.cond(training, lambda: v1().nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3)[0], infer)
    return train() if training else infer()


def slim_conv(x, filters, size, stride, scope, training, padding="SAME"):
    import tensorflow as tf

    with v1().variable_scope(scope):
        w = v1().get_variable("weights", [size, size, int(x.shape[-1]), filters])
        return tf.nn.relu6(slim_norm(tf.nn.conv2d(x, w, stride, padding), training))


def mobilenet(images, training=False):
    """MobileNet v1 of slim (1704.04861): depthwise and pointwise layers, the features are the pooled map of rank 4."""
    import tensorflow as tf

    x = tf.cast(images, tf.float32) / 127.5 - 1.0
    with v1().variable_scope("MobilenetV1"):
        x = slim_conv(x, 8, 3, 2, "Conv2d_0", training)
        for n, filters in enumerate((16, 24), 1):
            with v1().variable_scope(f"Conv2d_{n}_depthwise"):
                w = v1().get_variable("depthwise_weights", [3, 3, int(x.shape[-1]), 1])
                x = tf.nn.relu6(slim_norm(tf.nn.depthwise_conv2d(x, w, [1, n, n, 1], "SAME"), training))
            x = slim_conv(x, filters, 1, 1, f"Conv2d_{n}_pointwise", training)
        with v1().name_scope("Logits"):
            return tf.reduce_mean(x, [1, 2], keepdims=True, name="AvgPool_1a")


def inception(images, training=False):
    """A mixed block of Inception-ResNet (1602.07261), as in FaceNet: branches, a scaled residual, a bottleneck."""
    import tensorflow as tf

    x = (tf.cast(images, tf.float32) - 127.5) / 128.0
    with v1().variable_scope("InceptionResnetV1"):
        x = slim_conv(x, 8, 3, 2, "Conv2d_1a_3x3", training, "VALID")
        with v1().variable_scope("Block35/Branch_0"):
            a = slim_conv(x, 4, 1, 1, "Conv2d_1x1", training)
        with v1().variable_scope("Block35/Branch_1"):
            b = slim_conv(slim_conv(x, 4, 1, 1, "Conv2d_0a_1x1", training), 4, 3, 1, "Conv2d_0b_3x3", training)
        with v1().variable_scope("Block35/Conv2d_1x1"):
            mixed = tf.concat([a, b], 3)
            up = tf.nn.conv2d(mixed, v1().get_variable("weights", [1, 1, 8, 8]), 1, "SAME")
            x = tf.nn.relu(x + 0.17 * tf.nn.bias_add(up, v1().get_variable("biases", [8])))
        x = v1().nn.avg_pool2d(x, x.shape[1:3], 1, "VALID", name="AvgPool_1a_8x8")
        with v1().variable_scope("Bottleneck"):
            return tf.matmul(tf.reshape(x, [-1, 8]), v1().get_variable("weights", [8, 12]))


def run(tmp_path, build, name="model.ckpt-9"):
    """Saves a training run with plausible values; `build` returns (image tensor, features for inference, its feeds)."""
    import tensorflow as tf

    with tf.Graph().as_default(), v1().Session() as session:
        given, out, feeds = build()
        held = values({v.op.name: v.shape.as_list() for v in v1().global_variables()})
        held = {k: np.abs(v) + 0.5 if k.endswith(("variance", "gamma")) else v for k, v in held.items()}
        session.run([v1().assign(v, held[v.op.name]) for v in v1().global_variables()])
        expected = session.run(out, {given: IMAGES.astype(given.dtype.as_numpy_dtype), **feeds})
        v1().train.Saver().save(session, str(tmp_path / name))
    return unit(expected), {"meta": tmp_path / f"{name}.meta", "checkpoint": tmp_path / name}


def placeholder(dtype="uint8", **more):
    return v1().placeholder(dtype, [None, *SHAPE], **more)


@pytest.mark.parametrize("network", [mobilenet, inception])
@pytest.mark.parametrize("training", [False, True])
def test_slim_scopes(tmp_path, network, training):
    import tensorflow as tf

    def build():
        given = placeholder(name="input")
        with v1().variable_scope("", reuse=v1().AUTO_REUSE):
            if training:
                network(given, training=True)
            return given, tf.identity(network(given), name="embeddings"), {}

    expected, request = run(tmp_path, build)
    features, contract, _ = frozen(**request, output="embeddings", colour_order="rgb")
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert contract.colour_order == "rgb"


def frozen(**request):
    """Features of IMAGES by the frozen graph, the contract and the log, after the proof."""
    return freeze_here(Request(**request))


def test_facenet_reads_a_queue_and_has_a_phase(tmp_path):
    import tensorflow as tf

    def build():
        queue = v1().FIFOQueue(8, [tf.float32], [list(SHAPE)])
        images = tf.identity(queue.dequeue_many(5), name="image_batch")
        phase = v1().placeholder(tf.bool, name="phase_train")
        out = tf.nn.l2_normalize(inception(images, phase), 1, 1e-10, name="embeddings")
        return images, out, {phase: False}

    expected, request = run(tmp_path, build)
    with pytest.raises(FreezeError, match=r"INPUT_PIPELINE(?s:.*)--input"):
        frozen(**request, output="embeddings")
    features, _, _ = frozen(**request, output="embeddings", input="image_batch")
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_a_graph_that_came_from_onnx(tmp_path):
    """As OSNet (1905.00953) or FastReID after conversion: channels first, padding apart, everything constant."""
    import tensorflow as tf

    r = np.random.default_rng(3)
    w, scale, shift = (r.normal(0, 0.2, s).astype(np.float32) for s in ((3, 3, 3, 8), (1, 8, 1, 1), (1, 8, 1, 1)))
    dense = r.normal(0, 0.3, (8, 12)).astype(np.float32)
    with tf.Graph().as_default() as graph, v1().Session() as session:
        given = v1().placeholder(tf.float32, [None, 3, *SHAPE[:2]], name="input.1")
        x = tf.pad(given, [[0, 0], [0, 0], [1, 1], [1, 1]], name="onnx_tf_prefix_Conv_0/pad")
        x = tf.transpose(x, [0, 2, 3, 1])
        x = tf.transpose(tf.nn.conv2d(x, tf.constant(w), 2, "VALID"), [0, 3, 1, 2])
        x = tf.nn.relu(x * tf.constant(scale) + tf.constant(shift))
        gate = tf.sigmoid(tf.reduce_mean(x, [2, 3], keepdims=True))
        x = tf.reduce_mean(x * gate, [2, 3])
        out = tf.identity(tf.matmul(x, tf.constant(dense)), name="output")
        expected = unit(session.run(out, {given: IMAGES.transpose(0, 3, 1, 2) / np.float32(255)}))
        Path(tmp_path / "osnet.pb").write_bytes(graph.as_graph_def().SerializeToString())
    request = {"graphdef": tmp_path / "osnet.pb", "scale": 1 / 255}
    features, _, log = frozen(**request)
    assert {"ALREADY_FROZEN", "OUTPUT_CHOSEN", "INPUT_NCHW"} <= log.codes()
    np.testing.assert_allclose(features, expected, atol=1e-5)


def left_of_training(tf):
    """A loss and its labels, as somebody froze them along with the features."""
    out = tf.identity(tiny(placeholder("float32", name="images")), name="features")
    tf.reduce_mean(tf.square(out - v1().placeholder(tf.float32, [None, 16], name="labels")), name="loss")


def gpu(graph_def):
    for node in graph_def.node:
        node.device = "/device:GPU:0"


def cut_off(graph_def):
    next(n for n in graph_def.node if n.name == "features").input[0] = "nowhere"


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("change, code", [(gpu, "DEVICES_CLEARED"), (cut_off, "GRAPHDEF_DAMAGED")])
def test_a_graph_that_is_frozen_already(tmp_path, text, change, code):
    import tensorflow as tf

    with tf.Graph().as_default() as graph, v1().Session() as session:
        left_of_training(tf)
        held = values({v.op.name: v.shape.as_list() for v in v1().global_variables()})
        session.run([v1().assign(v, held[v.op.name]) for v in v1().global_variables()])
        graph_def = v1().graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["features", "loss"])
    change(graph_def)
    name = "frozen.pbtxt" if text else "frozen.pb"
    tf.io.write_graph(graph_def, str(tmp_path), name, as_text=text)
    if code == "GRAPHDEF_DAMAGED":
        with pytest.raises(FreezeError, match=r"GRAPHDEF_DAMAGED(?s:.*)features reads nowhere"):
            frozen(graphdef=tmp_path / name)
        return
    features, _, log = frozen(graphdef=tmp_path / name)
    np.testing.assert_allclose(features, right(held), atol=1e-5)
    assert {"ALREADY_FROZEN", "OUTPUT_CHOSEN", "INPUT_FLOAT", code} <= log.codes()


def test_a_hub_module_with_several_signatures(tmp_path):
    import tensorflow as tf

    class Hub(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(np.random.default_rng(4).normal(0, 0.1, (3, 12)).astype(np.float32), name="w")

        def vector(self, images):
            return tf.matmul(tf.reduce_mean(images, [1, 2]), self.w)

    hub, spec = Hub(), tf.TensorSpec([None, *SHAPE], tf.float32, name="images")
    vector = tf.function(lambda images: {"default": hub.vector(images)}).get_concrete_function(spec)
    classes = tf.function(lambda images: {"default": tf.nn.softmax(hub.vector(images))}).get_concrete_function(spec)
    signatures = {"image_feature_vector": vector, "image_classification": classes}
    tf.saved_model.save(hub, str(tmp_path / "hub"), signatures=signatures)
    with pytest.raises(FreezeError, match=r"SIGNATURE_AMBIGUOUS(?s:.*)image_feature_vector"):
        frozen(saved_model=tmp_path / "hub")
    request = {"saved_model": tmp_path / "hub", "signature": "image_feature_vector"}
    features, _, _ = frozen(**request)
    np.testing.assert_allclose(features, unit(hub.vector(IMAGES.astype(np.float32))), atol=1e-5)


SMALL = (32, 32, 3)


APPLICATIONS = {"MobileNetV2": "block_4_add", "ResNet50": "conv2_block2_out"}
"""Networks of keras.applications, and where each is cut: what comes after repeats the blocks before."""


def application(name):
    """An encoder on the first blocks of a network of keras.applications, with the statistics of a trained one."""
    import keras

    keras.utils.set_random_seed(5)
    whole = getattr(keras.applications, name)(input_shape=SMALL, include_top=False, weights=None)
    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(whole.get_layer(APPLICATIONS[name]).output)
    body = keras.Model(whole.inputs, pooled, name=name)
    images = body.inputs[0]
    x = keras.layers.Dense(12, name="embedding")(body(keras.layers.Rescaling(1 / 127.5, -1, name="scaled")(images)))
    whole = keras.Model(images, x)
    flat = keras.Model(body.inputs, keras.layers.Dense(12, name="embedding")(body.output))
    norms = [layer for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momentum = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    whole(structured(16, SMALL, seed=6).astype(np.float32), training=True)
    for layer, m in zip(norms, momentum, strict=True):
        layer.momentum = m
    flat.get_layer("embedding").set_weights(whole.get_layer("embedding").get_weights())
    return whole, flat


@pytest.fixture(scope="module", params=sorted(APPLICATIONS))
def keras_model(request):
    return application(request.param)


def test_applications_of_keras(tmp_path, keras_model):
    """One as `.keras`, the other as a SavedModel: neither form knows which network it holds."""
    model, _ = keras_model
    if model.layers[-2].name == "MobileNetV2":
        model.save(tmp_path / "m.keras")
        features, contract, _ = frozen(keras=tmp_path / "m.keras")
    else:
        model.export(tmp_path / "m", verbose=False)
        features, contract, _ = frozen(saved_model=tmp_path / "m")
    np.testing.assert_allclose(
        features,
        unit(model(structured(5, SMALL).astype(np.float32), training=False)),
        atol=2 * contract.proof["tolerance"],
    )


def test_applications_of_keras_as_session_graphs(tmp_path, keras_model):
    """As Keras wrote them in TensorFlow 1: variables in a session, by Keras's names; nobody names the output."""
    import tensorflow as tf

    model, flat = keras_model
    held = {k: v for layer in flat.layers for k, v in keras_sessions.variables(layer).items()}
    with tf.Graph().as_default(), v1().Session() as session:
        given = v1().placeholder(tf.float32, [None, *SMALL], name="input_1")
        out = keras_sessions.built(flat, given / 127.5 - 1.0)
        session.run([v1().assign(v, held[v.op.name]) for v in v1().global_variables()])
        v1().train.Saver().save(session, str(tmp_path / "model.ckpt"))
    request = {"meta": tmp_path / "model.ckpt.meta", "checkpoint": tmp_path / "model.ckpt"}
    features, contract, log = frozen(**request)
    assert out.op.name == "embedding/BiasAdd" and "OUTPUT_CHOSEN" in log.codes()
    np.testing.assert_allclose(
        features,
        unit(model(structured(5, SMALL).astype(np.float32), training=False)),
        atol=2 * contract.proof["tolerance"],
    )


def softmax(features, labels):
    """The cosine softmax of cosine_metric_learning (1812.00442): scaled cosines to one vector per identity."""
    import tensorflow as tf

    with v1().variable_scope("ball"):
        means = v1().get_variable("mean_vectors", [int(features.shape[1]), 9])
        scale = tf.nn.softplus(v1().get_variable("scale", [], initializer=v1().zeros_initializer()))
    logits = scale * tf.matmul(features, tf.nn.l2_normalize(means, 0), name="logits")
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def magnet(features, labels):
    """The magnet loss (1511.05939) with one cluster per identity, as cosine_metric_learning has it."""
    import tensorflow as tf

    _, which = tf.unique(labels)
    means = tf.math.unsorted_segment_mean(features, which, tf.reduce_max(which) + 1)
    apart = tf.reduce_sum(tf.math.squared_difference(features[:, None], means[None]), 2)
    own = tf.reduce_sum(tf.math.squared_difference(features, tf.gather(means, which)), 1)
    return tf.nn.relu(own + tf.reduce_logsumexp(-apart, 1))


def triplet(features, labels):
    """The batch-hard triplet loss (1703.07737)."""
    import tensorflow as tf

    squares = tf.reduce_sum(tf.square(features), 1)
    products = tf.matmul(features, features, transpose_b=True)
    apart = tf.sqrt(tf.maximum(squares[:, None] - 2 * products + squares[None], 1e-12))
    same = tf.equal(labels[:, None], labels[None])
    worst = tf.reduce_max(tf.where(same, apart, tf.zeros_like(apart)), 1)
    return tf.nn.softplus(worst - tf.reduce_min(tf.where(same, tf.fill(tf.shape(apart), 1e9), apart), 1))


@pytest.mark.parametrize("loss", [softmax, magnet, triplet])
def test_training_graphs_of_metric_learning(tmp_path, loss):
    import tensorflow as tf

    def build():
        given, labels = placeholder(name="images"), v1().placeholder(tf.int64, [None], name="labels")
        out = tiny(given)
        v1().train.AdamOptimizer().minimize(tf.reduce_mean(loss(out, labels)))
        return given, out, {}

    expected, request = run(tmp_path, build)
    if loss is softmax:  # the vectors of identities hang on the features: both could be meant
        with pytest.raises(FreezeError, match=r"OUTPUT_NOT_GIVEN(?s:.*)l2_normalize float32(?s:.*)logits float32"):
            frozen(**request)
        request["output"] = "l2_normalize"
    features, _, _ = frozen(**request)
    np.testing.assert_allclose(features, expected, atol=1e-5)


NEWER = {"dilations", "explicit_paddings", "exponential_avg_factor", "grad_x", "grad_y", "grad_a", "grad_b"}
NEWER |= {"batch_dims", "allowed_devices", "debug_name", "half_pixel_centers", "use_cudnn_on_gpu"}


def as_of_1_4(path):
    """Rewrites a MetaGraph as TensorFlow 1.4 wrote it: the operations and attributes of its time, no list of them."""
    from tensorflow.core.protobuf import meta_graph_pb2

    meta = meta_graph_pb2.MetaGraphDef.FromString(path.read_bytes())
    for node in meta.graph_def.node:
        if node.op == "FusedBatchNormV3":
            node.op = "FusedBatchNorm"
            del node.attr["U"]
        node.op = {"AddV2": "Add", "BatchMatMulV2": "BatchMatMul"}.get(node.op, node.op)
        for key in NEWER & set(node.attr):
            del node.attr[key]
    meta.graph_def.versions.producer = 24
    meta.meta_info_def.Clear()
    meta.meta_info_def.tensorflow_version = "1.4.0"
    path.write_bytes(meta.SerializeToString())


@pytest.mark.parametrize("version", ["1.4", "1.15"])
@pytest.mark.parametrize("saver", ["V1", "V2"])
def test_files_of_tensorflow_1(tmp_path, version, saver):
    written = getattr(v1().train.SaverDef, saver)
    held = trained(tmp_path, lambda: tiny(placeholder(name="images")), ref=version == "1.4", write_version=written)
    if version == "1.4":
        as_of_1_4(tmp_path / "model.ckpt-7.meta")
    features, _, log = frozen(meta=tmp_path / "model.ckpt-7.meta", checkpoint=tmp_path / "model.ckpt-7")
    np.testing.assert_allclose(features, right(held), atol=1e-5)
    assert "OUTPUT_CHOSEN" in log.codes()


@pytest.mark.parametrize("ref", [True, False])
def test_a_saved_model_of_tensorflow_1(tmp_path, ref):
    import tensorflow as tf

    (v1().disable_resource_variables if ref else v1().enable_resource_variables)()
    try:
        with tf.Graph().as_default(), v1().Session() as session:
            given = placeholder(name="images")
            out = tiny(given)
            held = values({v.op.name: v.shape.as_list() for v in v1().global_variables()})
            session.run([v1().assign(v, held[v.op.name]) for v in v1().global_variables()])
            v1().saved_model.simple_save(session, str(tmp_path / "m"), {"images": given}, {"features": out})
    finally:
        v1().enable_resource_variables()
    np.testing.assert_allclose(frozen(saved_model=tmp_path / "m")[0], right(held), atol=1e-5)
