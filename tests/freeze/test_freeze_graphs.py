"""Training graphs (MetaGraph and checkpoint): names, placeholders, training mode, control flow, shapes."""

import numpy as np
import pytest

from freeze.errors import FreezeError
from freeze.request import Request
from tests.freeze_models import DIMENSION, IMAGES, SHAPE, freeze_here, placeholder, right, tiny, trained

TOLERANCE = 1e-5


def asked(folder, **options):
    options = {"input": "images", "output": "features", **options}
    return Request(meta=folder / "model.ckpt-7.meta", checkpoint=folder / "model.ckpt-7", **options)


def named(features):
    import tensorflow as tf

    return tf.identity(features, name="features")


def v1():
    import tensorflow as tf

    return tf.compat.v1


def dropout(rate):
    def apply(x):
        return v1().nn.dropout(x, rate=rate)

    return apply


def old_dropout(x):
    """As TensorFlow wrote it before 1.13."""
    import tensorflow as tf

    return tf.math.divide(x, 0.6) * tf.floor(0.6 + tf.random.uniform(tf.shape(x)))


def placed_dropout(x):
    return dropout(1 - v1().placeholder("float32", [], name="keep_prob"))(x)


def training_tower():
    """An inference network, and the updates of a training one hanging on its output."""
    images = placeholder()
    features = tiny(images)
    with v1().variable_scope("", reuse=True):
        tiny(images, training=True)
    with v1().control_dependencies(v1().get_collection("update_ops")):
        named(features)


def mapped():
    """Weights inside a loop and a branch."""
    import tensorflow as tf

    images = placeholder()
    features = tiny(images)

    def one(image):
        with v1().variable_scope("", reuse=True):
            return tiny(image[None])[0]

    looped = tf.map_fn(one, images, fn_output_signature=tf.float32)
    named(tf.cond(tf.shape(images)[0] > 2, lambda: looped, lambda: features))


def on_a_gpu():
    with v1().device("/device:GPU:0"):
        named(tiny(placeholder()))


def watched():
    """Prints and checks on the way, which training code leaves behind."""
    import tensorflow as tf

    features = tiny(placeholder())
    checked = tf.debugging.check_numerics(v1().Print(features, [features], "features"), "finite")
    with v1().control_dependencies([v1().assert_greater(tf.shape(features)[0], 0)]):
        named(tf.identity(checked))


def debiased():
    """A moving mean that is kept beside a biased one, as assign_moving_average(zero_debias=True) does."""
    import tensorflow as tf
    from tensorflow.python.training import moving_averages

    x = tf.reduce_mean(tf.cast(placeholder(), tf.float32), [1, 2]) / 255
    with v1().variable_scope("bn"):
        moving = [v1().get_variable(n, [3], trainable=False) for n in ("moving_mean", "moving_variance")]
    statistics = tf.nn.moments(x, [0])
    updates = [
        moving_averages.assign_moving_average(old, new, 0.99, zero_debias=k == 0)
        for k, (old, new) in enumerate(zip(moving, statistics, strict=True))
    ]
    with v1().control_dependencies(updates):
        named(tf.nn.l2_normalize(tf.nn.batch_normalization(x, *map(tf.identity, statistics), None, None, 1e-3), 1))


MENDED = {
    "watched": (watched, {}, None),
    "inference graph": (lambda: named(tiny(placeholder())), {}, None),
    "device": (on_a_gpu, {}, "DEVICES_CLEARED"),
    "batch norm fused": (lambda: named(tiny(placeholder(), training=True)), {}, "BATCH_NORM_TRAINING"),
    "batch norm unfused": (lambda: named(tiny(placeholder(), True, False)), {}, "BATCH_NORM_TRAINING"),
    "updates": (training_tower, {}, "UPDATE_OPS"),
    "updates of ref variables": (training_tower, {"ref": True}, "UPDATE_OPS"),
    "dropout": (lambda: named(tiny(placeholder(), dropout=dropout(0.4))), {}, "DROPOUT_REMOVED"),
    "old dropout": (lambda: named(tiny(placeholder(), dropout=old_dropout)), {}, "DROPOUT_REMOVED"),
    "keep_prob": (lambda: named(tiny(placeholder(), dropout=placed_dropout)), {}, "DROPOUT_REMOVED"),
    "loop and branch v1": (mapped, {"control_v1": True, "ref": True}, None),
    "loop and branch v2": (mapped, {}, None),
    "batch of one": (lambda: named(tiny(placeholder(batch=1), batch=1)), {}, "BATCH_SIZE_FIXED"),
    "rank 4": (lambda: named(tiny(placeholder())[:, None, None]), {}, "OUTPUT_RANK"),
    "not normalised": (lambda: named(tiny(placeholder(), norm=False)), {}, "OUTPUT_NOT_NORMALISED"),
    "float input": (lambda: named(tiny(placeholder("float32"))), {}, "INPUT_FLOAT"),
    "half precision": (lambda: named(v1().cast(tiny(placeholder()), "float16")), {}, "OUTPUT_DTYPE"),
}


def test_every_output_of_a_folded_operation_is_its_own_constant(tmp_path):
    """As in a recurrent layer, whose two biases are one variable."""
    import tensorflow as tf

    def build():
        shift, scale = tf.unstack(v1().get_variable("biases", [2, DIMENSION]))
        named(tf.nn.l2_normalize(tiny(placeholder(), norm=False) * scale + shift, 1))

    held = trained(tmp_path, build)
    features, _, _ = freeze_here(asked(tmp_path))
    shift, scale = held["biases"]
    expected = right(held, norm=False) * scale + shift
    np.testing.assert_allclose(features, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=TOLERANCE)


@pytest.mark.parametrize("case", MENDED)
def test_gives_the_features_of_the_inference_graph(tmp_path, case):
    build, how, code = MENDED[case]
    held = trained(tmp_path, build, **how)
    features, contract, log = freeze_here(asked(tmp_path))
    tolerance = 2e-3 if case == "half precision" else TOLERANCE
    np.testing.assert_allclose(features, right(held), atol=tolerance)
    assert contract.dimension == DIMENSION and contract.input_shape == SHAPE
    assert code is None or code in log.codes()


def test_a_moving_mean_with_zero_debias_is_the_unbiased_one(tmp_path):
    held = trained(tmp_path, debiased, ref=True)
    features, _, _ = freeze_here(asked(tmp_path))
    x = (IMAGES.astype(np.float32).mean((1, 2)) / 255 - held["bn/moving_mean"]) / np.sqrt(
        held["bn/moving_variance"] + 1e-3
    )
    np.testing.assert_allclose(features, x / np.linalg.norm(x, axis=1, keepdims=True), atol=TOLERANCE)


@pytest.mark.parametrize("control_v1", [False, True])
@pytest.mark.parametrize("default", [None, True])
def test_binds_the_training_switch(tmp_path, control_v1, default):
    def build():
        flag = (
            v1().placeholder("bool", [], name="phase")
            if default is None
            else v1().placeholder_with_default(default, [], name="phase")
        )
        named(tiny(placeholder(), training=flag))

    held = trained(tmp_path, build, control_v1=control_v1, ref=control_v1)
    features, _, log = freeze_here(asked(tmp_path))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)
    assert any(f.code == "PLACEHOLDER_BOUND" and "phase" in f.why for f in log.findings)


def test_cuts_a_dataset_off_at_the_input(tmp_path):
    import tensorflow as tf

    def build():
        dataset = tf.data.Dataset.from_tensor_slices(IMAGES).batch(2)
        images = v1().data.make_initializable_iterator(dataset).get_next()
        named(tiny(images))

    held = trained(tmp_path, build)
    features, _, _ = freeze_here(asked(tmp_path, input="IteratorGetNext"))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)
    with pytest.raises(FreezeError, match="--input IteratorGetNext"):
        freeze_here(asked(tmp_path, input=None))


def test_nchw_is_computed_in_nhwc(tmp_path):
    import tensorflow as tf

    def build():
        x = tf.transpose(tf.cast(placeholder(), tf.float32) / 255, [0, 3, 1, 2])
        w = v1().get_variable("weights", [3, 3, 3, 8])
        x = tf.nn.max_pool2d(tf.nn.conv2d(x, w, 2, "SAME", "NCHW"), 3, 2, "VALID", "NCHW")
        named(tf.nn.l2_normalize(tf.reduce_mean(x, [2, 3]), 1))

    held = trained(tmp_path, build)
    features, _, log = freeze_here(asked(tmp_path))
    x = tf.nn.max_pool2d(tf.nn.conv2d(IMAGES / np.float32(255), held["weights"], 2, "SAME"), 3, 2, "VALID")
    np.testing.assert_allclose(features, tf.nn.l2_normalize(tf.reduce_mean(x, [1, 2]), 1), atol=TOLERANCE)
    assert "LAYOUT_NCHW" in log.codes()


def noisy(x):
    import tensorflow as tf

    return x + 0.1 * tf.random.normal(tf.shape(x))


def unscaled(x):
    import tensorflow as tf

    return x * tf.cast(tf.random.uniform(tf.shape(x)) > 0.4, tf.float32)


def through_python():
    y = v1().py_func(lambda a: a, [tiny(placeholder())], "float32")
    y.set_shape([None, DIMENSION])
    named(y)


def with_table():
    import tensorflow as tf

    initial = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1.0, 2.0])
    named(tiny(placeholder()) * tf.lookup.StaticHashTable(initial, 0.0).lookup(tf.constant("b")))


def disconnected():
    placeholder()
    named(tiny(v1().placeholder("uint8", [None, *SHAPE], name="other")))


def nameless_statistics():
    import tensorflow as tf

    x = tf.reduce_mean(tf.cast(placeholder(), tf.float32), [1, 2])
    mean, variance = tf.nn.moments(x, [0])
    named(tf.nn.l2_normalize(tf.nn.batch_normalization(x, mean, variance, None, None, 1e-3), 1))


def temperature():
    named(tiny(placeholder()) / v1().placeholder("float32", [], name="temperature"))


def batch_of_two():
    import tensorflow as tf

    named(tf.stack(tf.unstack(tiny(placeholder(batch=2)), 2)))


def heads():
    """Fourteen ends of a graph, one of which hangs on another placeholder, too."""
    import tensorflow as tf

    x = tiny(placeholder())
    other = v1().placeholder("float32", [], name="other")
    for n in range(14):
        tf.matmul(x, v1().get_variable(f"w{n}", [DIMENSION, 4]) * (other if n == 13 else 1.0), name=f"head_{n}")


REFUSED = {
    "noise": (lambda: named(tiny(placeholder(), dropout=noisy)), {}, "RANDOM_LEFT", "RandomStandardNormal"),
    "mask without scale": (lambda: named(tiny(placeholder(), dropout=unscaled)), {}, "RANDOM_LEFT", "RandomUniform"),
    "python": (through_python, {}, "PYTHON_FUNCTION", "PyFunc"),
    "table": (with_table, {}, "LOOKUP_TABLE", "HashTable"),
    "disconnected": (disconnected, {}, "DISCONNECTED", "other"),
    "statistics not found": (nameless_statistics, {}, "BATCH_NORM_TRAINING", "moments/mean"),
    "temperature": (temperature, {}, "PLACEHOLDER_NOT_FED", "--bind temperature="),
    "batch inside": (batch_of_two, {}, "BATCH_SIZE_FIXED", "free batch size"),
    "output misspelt": (
        lambda: named(tiny(placeholder())),
        {"output": "featurs"},
        "OUTPUT_UNKNOWN",
        "--output features",
    ),
    "no output": (heads, {"output": None}, "OUTPUT_NOT_GIVEN", "head_13 float32 [?, 4], from images and other"),
    "input misspelt": (lambda: named(tiny(placeholder())), {"input": "image"}, "INPUT_UNKNOWN", "--input images"),
    "operation": (lambda: named(tiny(placeholder())), {"output": "save/restore_all"}, "OUTPUT_IS_OPERATION", "NoOp"),
    "swapped": (lambda: named(tiny(placeholder())), {"image_shape": (16, 32, 3)}, "INPUT_SHAPE_SWAPPED", "32x16"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_code_place_and_remedy(tmp_path, case):
    build, options, code, words = REFUSED[case]
    (
        trained(tmp_path, build)
        if code != "BATCH_NORM_TRAINING"
        else trained(tmp_path, lambda: (build(), v1().get_variable("unused", [2])))
    )
    with pytest.raises(FreezeError) as e:
        freeze_here(asked(tmp_path, **options))
    assert e.value.code == code
    assert words in str(e.value) and "remedy: " in str(e.value)


def test_every_head_is_listed(tmp_path):
    trained(tmp_path, heads)
    with pytest.raises(FreezeError) as e:
        freeze_here(asked(tmp_path, output=None))
    assert all(f"head_{n} float32 [?, 4], from images" in str(e.value) for n in range(14))
    assert "more" not in str(e.value)


def test_the_only_end_of_an_inference_graph_is_its_output(tmp_path):
    held = trained(tmp_path, lambda: tiny(placeholder()))
    features, contract, log = freeze_here(asked(tmp_path, input=None, output=None))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)
    assert "OUTPUT_CHOSEN" in log.codes() and contract.provenance["output"] == "l2_normalize:0"


def test_scores_of_classes_at_the_end_are_no_features(tmp_path):
    import tensorflow as tf

    trained(tmp_path, lambda: tf.nn.softmax(tf.matmul(tiny(placeholder()), v1().get_variable("w", [DIMENSION, 4]))))
    with pytest.raises(FreezeError, match=r"OUTPUT_NOT_GIVEN(?s:.*)l2_normalize") as e:
        freeze_here(asked(tmp_path, output=None))
    assert "--output l2_normalize" in str(e.value)


def test_binds_a_placeholder_to_what_was_asked(tmp_path):
    held = trained(tmp_path, temperature)
    features, _, _ = freeze_here(asked(tmp_path, bind={"temperature": 4.0}))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)


@pytest.mark.parametrize("code", ["BATCH_NORM_TRAINING", "DROPOUT_REMOVED"])
def test_no_repair_refuses_instead_of_mending(tmp_path, code):
    build, how, _ = MENDED["batch norm fused" if code == "BATCH_NORM_TRAINING" else "dropout"]
    trained(tmp_path, build, **how)
    with pytest.raises(FreezeError, match="--no-repair") as e:
        freeze_here(asked(tmp_path, repair=False))
    assert e.value.code == code


def test_statistics_as_initialised_are_refused(tmp_path):
    def untouched(held):
        return {k: v * 0 + k.endswith("variance") for k, v in held.items() if "moving" in k}

    trained(tmp_path, lambda: named(tiny(placeholder())), change=untouched)
    with pytest.raises(FreezeError, match="conv1_1/bn/moving_mean") as e:
        freeze_here(asked(tmp_path))
    assert e.value.code == "STATISTICS_NEVER_UPDATED"


def test_the_second_tower_that_training_never_touched_is_refused(tmp_path):
    def build():
        images = placeholder()
        for name, training in (("train", True), ("infer", False)):
            with v1().variable_scope(name):
                features = tiny(images, training=training)
        named(features)

    def untouched(held):
        return {k: v * 0 + k.endswith("variance") for k, v in held.items() if "infer" in k and "moving" in k}

    trained(tmp_path, build, change=untouched)
    with pytest.raises(FreezeError, match="without sharing") as e:
        freeze_here(asked(tmp_path))
    assert e.value.code == "SECOND_TOWER" and "train/conv1_1/bn" in str(e.value)


def test_unknown_operations_matter_only_where_the_output_needs_them(tmp_path):
    from freeze.load.metagraph import read

    held = trained(tmp_path, lambda: named(tiny(placeholder())))
    path = tmp_path / "model.ckpt-7.meta"
    meta = read(path)
    meta.graph_def.node.add(name="loss", op="MyLoss").input.append("features")
    path.write_bytes(meta.SerializeToString())
    features, _, _ = freeze_here(asked(tmp_path))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)
    next(n for n in meta.graph_def.node if n.op == "Elu").op = "MyElu"
    path.write_bytes(meta.SerializeToString())
    with pytest.raises(FreezeError, match="MyElu") as e:
        freeze_here(asked(tmp_path))
    assert e.value.code == "UNKNOWN_OPERATION"
