"""Checkpoints of every kind given to a builder: found from any path, read, matched by name and shape, or refused."""

import runpy
import shutil

import numpy as np
import pytest

from freeze.errors import FreezeError, Log
from freeze.load.checkpoint import Checkpoint
from freeze.load.variables import averages_beside
from freeze.request import Request
from tests.freeze_models import (
    DIMENSION,
    IMAGES,
    SHAPE,
    freeze_here,
    placeholder,
    right,
    save_values,
    tiny,
    trained,
    values,
)

TOLERANCE = 1e-5
BUILDER = """
from tests.freeze_models import tiny

def build(images):
    return tiny(images{options})
"""


def asked(folder, checkpoint="model.ckpt-7", options="", **more):
    (folder / "builder.py").write_text(BUILDER.format(options=options))
    more = {"image_shape": SHAPE, **more}
    return Request(builder=str(folder / "builder.py"), checkpoint=folder / checkpoint, **more)


def build():
    return tiny(placeholder())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a checkpoint, and the values in it."""
    folder = tmp_path_factory.mktemp("saved")
    return folder, trained(folder, build)


@pytest.fixture
def run(saved, tmp_path):
    """The same, in a folder of the test's own."""
    folder, held = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path, held


PATHS = [
    "model.ckpt-7",
    "model.ckpt-7.index",
    "model.ckpt-7.data-00000-of-00001",
    "model.ckpt-7.meta",
    ".",
    "checkpoint",
]


@pytest.mark.parametrize("path", PATHS)
def test_finds_the_checkpoint(run, path):
    folder, held = run
    features, contract, _ = freeze_here(asked(folder, path))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)
    assert contract.provenance["checkpoint"] == "model.ckpt-7"


def test_a_stale_checkpoint_file_is_said(run):
    folder, _ = run
    (folder / "checkpoint").write_text('model_checkpoint_path: "/gone/model.ckpt-99"\n')
    _, _, log = freeze_here(asked(folder, "."))
    assert any("stale" in f.why and "model.ckpt-99" in f.why for f in log.findings)


def test_reads_the_v1_format(tmp_path):
    import tensorflow as tf

    held = trained(tmp_path, build, write_version=tf.compat.v1.train.SaverDef.V1)
    assert (tmp_path / "model.ckpt-7").is_file()
    np.testing.assert_allclose(freeze_here(asked(tmp_path))[0], right(held), atol=TOLERANCE)


def test_reads_an_object_based_checkpoint(tmp_path):
    import tensorflow as tf

    v1 = tf.compat.v1
    held = trained(tmp_path, build)
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        build()
        module = tf.Module()
        module.all = v1.global_variables()
        session.run([v1.assign(v, held[v.op.name]) for v in module.all])
        v1.train.Checkpoint(model=module).write(str(tmp_path / "objects"), session=session)
    features, _, log = freeze_here(asked(tmp_path, "objects"))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)
    assert "CHECKPOINT_OBJECT_BASED" in log.codes()


PARTITIONED = """
import tensorflow as tf
def build(images):
    x = tf.reduce_mean(tf.cast(images, tf.float32), 1)
    x = tf.reshape(x, [-1, 48]) / 255.0
    halves = tf.compat.v1.fixed_size_partitioner(3)
    w = tf.compat.v1.get_variable("weights", [48, 16], partitioner=halves)
    return tf.nn.l2_normalize(tf.matmul(x, tf.convert_to_tensor(w)), 1)
"""


def test_joins_a_partitioned_variable(tmp_path):
    held = {"weights": np.random.default_rng(4).normal(size=(48, 16)).astype(np.float32)}
    save_values(tmp_path, held)  # one key for the whole, as savers write the parts
    (tmp_path / "parts.py").write_text(PARTITIONED)
    request = Request(builder=str(tmp_path / "parts.py"), checkpoint=tmp_path / "model.ckpt-7", image_shape=SHAPE)
    expected = IMAGES.mean(1).reshape(5, 48) / 255 @ held["weights"]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(freeze_here(request)[0], expected, atol=TOLERANCE)


PARTS = """
import tensorflow as tf
v1 = tf.compat.v1
def get(name, shape, start=None):
    parts = v1.fixed_size_partitioner(COUNT) if COUNT else None
    return tf.convert_to_tensor(v1.get_variable(name, shape, initializer=start, partitioner=parts))
def build(images, is_training=False):
    ones, zeros = v1.ones_initializer(), v1.zeros_initializer()
    with v1.variable_scope("conv"):
        x = tf.nn.conv2d(tf.cast(images, tf.float32) / 255.0, get("weights", [3, 3, 3, 8]), 2, "SAME")
        gamma, beta = get("gamma", [8], ones), get("beta", [8], zeros)
        mean, variance = get("moving_mean", [8], zeros), get("moving_variance", [8], ones)
        given = {} if is_training else {"mean": mean, "variance": variance}
        x = v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3, is_training=is_training, **given)[0]
    return tf.nn.l2_normalize(tf.matmul(tf.reduce_mean(tf.nn.relu(x), [1, 2]), get("weights", [8, 16])), 1)
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with builders of 0, 2 and 3 parts, runs that saved 3, and the right features."""
    import tensorflow as tf

    v1, folder = tf.compat.v1, tmp_path_factory.mktemp("parts")
    names = {"weights": (8, 16), "conv/weights": (3, 3, 3, 8)}
    names |= {f"conv/{k}": (8,) for k in ("gamma", "beta", "moving_mean", "moving_variance")}
    held = values(names)
    for count in (0, 2, 3):
        (folder / f"parts{count}.py").write_text(PARTS.replace("COUNT", str(count)))
    build = runpy.run_path(str(folder / "parts3.py"))["build"]
    for training in (True, False):
        with tf.Graph().as_default(), v1.Session() as session:
            given = placeholder()
            out = tf.identity(build(given, training), name="features")
            for v in v1.global_variables():
                info = v._get_save_slice_info()  # noqa: SLF001  # TensorFlow has no public door to it
                cut = tuple(slice(o, o + n) for o, n in zip(info.var_offset, info.var_shape, strict=True))
                session.run(v1.assign(v, held[info.full_name][cut]))
            expected = session.run(out, {given: IMAGES})
            v1.train.Saver().save(session, str(folder / ("training" if training else "inference")))
            apart = {v.op.name: v for v in v1.global_variables()}
            some = [v for v in v1.global_variables() if v.op.name != "conv/weights/part_1"]
            v1.train.Saver(some).save(session, str(folder / "gap"), write_meta_graph=False)
            v1.train.Saver(write_version=v1.train.SaverDef.V1).save(
                session, str(folder / "old"), write_meta_graph=False
            )
            arrays = session.run(apart)
    save_values(folder, arrays, "apart")
    save_values(folder, {k: v for k, v in arrays.items() if k != "conv/weights/part_1"}, "lost")
    return folder, expected


@pytest.mark.parametrize("count", [0, 2, 3])
@pytest.mark.parametrize("checkpoint", ["inference", "old", "apart"])
def test_parts_of_a_variable_are_joined(parts, count, checkpoint):
    folder, expected = parts
    request = Request(builder=str(folder / f"parts{count}.py"), checkpoint=folder / checkpoint, image_shape=SHAPE)
    np.testing.assert_allclose(freeze_here(request)[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("run", ["inference", "training"])
def test_parts_of_a_training_run_are_joined(parts, run):
    folder, expected = parts
    request = Request(meta=folder / f"{run}.meta", checkpoint=folder / run, output="features")
    features, _, log = freeze_here(request)
    np.testing.assert_allclose(features, expected, atol=TOLERANCE)
    assert ("BATCH_NORM_TRAINING" in log.codes()) == (run == "training")


@pytest.mark.parametrize("checkpoint", ["gap", "lost"])
def test_a_lost_part_is_named(parts, checkpoint):
    with pytest.raises(FreezeError, match=r"CHECKPOINT_GAPS(?s:.*)conv/weights"):
        freeze_here(Request(builder=str(parts[0] / "parts0.py"), checkpoint=parts[0] / checkpoint, image_shape=SHAPE))


def test_a_part_that_the_saver_was_not_given_is_named(tmp_path):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = tf.reduce_mean(tf.cast(placeholder(), tf.float32), [1, 2])
        w = v1.get_variable("w", [3, 16], partitioner=v1.fixed_size_partitioner(3))
        tf.matmul(x, tf.convert_to_tensor(w), name="features")
        session.run(v1.global_variables_initializer())
        v1.train.Saver([v for v in v1.global_variables() if "part_1" not in v.name]).save(
            session, str(tmp_path / "run")
        )
    with pytest.raises(FreezeError, match=r"CHECKPOINT_GAPS(?s:.*)w/part_1"):
        freeze_here(Request(meta=tmp_path / "run.meta", checkpoint=tmp_path / "run", output="features"))


def test_parts_under_another_scope_are_joined(tmp_path):
    held = values({"weights": (48, 16)})
    save_values(tmp_path, {f"net/weights/part_{n}": v for n, v in enumerate(np.split(held["weights"], 3))})
    (tmp_path / "whole.py").write_text(PARTITIONED.replace(", partitioner=halves", ""))
    request = Request(builder=str(tmp_path / "whole.py"), checkpoint=tmp_path / "model.ckpt-7", image_shape=SHAPE)
    features, _, log = freeze_here(request)
    expected = IMAGES.mean(1).reshape(5, 48) @ held["weights"]
    np.testing.assert_allclose(features, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=TOLERANCE)
    assert "CHECKPOINT_PREFIX" in log.codes()


EMA = "/ExponentialMovingAverage"


@pytest.mark.parametrize("ema, used", [("auto", "plain"), ("yes", "averages"), ("no", "raw")])
def test_says_which_of_raw_and_averaged_values_are_used(tmp_path, ema, used):
    raw = trained(tmp_path, build)
    averages = {k: v * np.float32(1.1) for k, v in raw.items()}
    save_values(tmp_path, {**raw, **{k + EMA: v for k, v in averages.items()}}, "both")
    features, _, log = freeze_here(asked(tmp_path, "both", ema=ema))
    np.testing.assert_allclose(features, right(averages if used == "averages" else raw), atol=TOLERANCE)
    told = [f for f in log.findings if f.code == "CHECKPOINT_EMA"]
    assert len(told) == 1 and used in told[0].why
    assert ("cosine 0." in told[0].why and told[0].kind == "warning") == (ema == "auto")


def test_equal_averages_are_no_choice(tmp_path):
    raw = trained(tmp_path, build)
    save_values(tmp_path, {**raw, **{k + EMA: v for k, v in raw.items()}}, "both")
    assert "CHECKPOINT_EMA" not in freeze_here(asked(tmp_path, "both"))[2].codes()


def test_averages_that_are_asked_for_must_be_there(run):
    with pytest.raises(FreezeError, match="no moving averages") as e:
        freeze_here(asked(run[0], ema="yes"))
    assert e.value.code == "CHECKPOINT_EMA"


FORMS = ["NAME/ExponentialMovingAverage_1", "NAME/ema", "NAME_ema", "NAME/shadow", "ema/NAME", "ema_model/NAME"]
FORMS += ["tower_0/NAME/ExponentialMovingAverage"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("names", ["all", "weights"])
def test_averages_are_known_by_any_usual_name(tmp_path, form, names):
    keys = {"conv/weights": (3, 3, 3, 8), "fc/weights": (8, 16), "conv/biases": (8,), "fc/avg_pool/biases": (16,)}
    raw = values(keys)
    averages = {form.replace("NAME", k): 2 * v for k, v in raw.items() if names == "all" or k.endswith("weights")}
    save_values(tmp_path, {**raw, **averages, "conv/weights/Adam": raw["conv/weights"]})
    checkpoint = Checkpoint.open(tmp_path / "model.ckpt-7", Log())
    found = averages_beside(raw, checkpoint)
    assert found.form == form and sorted(found.keys.values()) == sorted(averages)


def test_averages_of_parts_are_joined_like_the_parts(tmp_path):
    weights = np.arange(48, dtype=np.float32).reshape(6, 8)
    parts = {f"w/part_{n}": v for n, v in enumerate(np.split(weights, 3))}
    save_values(tmp_path, {**parts, **{f"{k}{EMA}": v + 100 for k, v in parts.items()}})
    checkpoint = Checkpoint.open(tmp_path / "model.ckpt-7", Log())
    checkpoint.join("w", (6, 8))
    found = averages_beside(["w"], checkpoint)
    np.testing.assert_array_equal(checkpoint.read(found.keys["w"]), weights + 100)


@pytest.mark.parametrize("form", ["NAME/ExponentialMovingAverage", "NAME/ema"])
def test_takes_averages_where_nothing_else_is_there(tmp_path, form):
    held = trained(tmp_path, build)
    save_values(tmp_path, {k if "moving" in k else form.replace("NAME", k): v for k, v in held.items()}, "averaged")
    np.testing.assert_allclose(freeze_here(asked(tmp_path, "averaged"))[0], right(held), atol=TOLERANCE)


def test_a_saver_that_reads_averages_is_the_graphs_own_choice(tmp_path):
    """As an evaluation script does it: Saver(average.variables_to_restore()), beside the training run's saver."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        tf.identity(tiny(placeholder()), name="features")
        held = values({v.op.name: v.shape.as_list() for v in v1.global_variables()})
        average = tf.train.ExponentialMovingAverage(0.9)
        own = v1.global_variables()
        average.apply(own)
        session.run(v1.global_variables_initializer())
        session.run([v1.assign(average.average(v), held[v.op.name]) for v in own])
        reading = v1.train.Saver(average.variables_to_restore())
        v1.train.Saver().save(session, str(tmp_path / "run"), write_meta_graph=False)
        reading.export_meta_graph(str(tmp_path / "run.meta"))
    features, _, log = freeze_here(Request(meta=tmp_path / "run.meta", checkpoint=tmp_path / "run", output="features"))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)
    assert any(f.code == "CHECKPOINT_EMA" and "reads them" in f.why for f in log.findings)


def test_maps_one_prefix_and_converts_float64(tmp_path):
    held = trained(tmp_path, build)
    save_values(tmp_path, {"net/" + k: v.astype(np.float64) for k, v in held.items()}, "prefixed")
    features, _, log = freeze_here(asked(tmp_path, "prefixed"))
    np.testing.assert_allclose(features, right(held), atol=TOLERANCE)
    assert {"CHECKPOINT_PREFIX", "CHECKPOINT_DTYPE"} <= log.codes()


def test_a_scope_that_only_some_variables_have_is_no_prefix(tmp_path):
    held = trained(tmp_path, build)
    scope = min(held).split("/")[0] + "/"
    assert not all(k.startswith(scope) for k in held)
    save_values(tmp_path, {k.removeprefix(scope): v for k, v in held.items()}, "another")
    with pytest.raises(FreezeError) as e:
        freeze_here(asked(tmp_path, "another"))
    assert e.value.code == "CHECKPOINT_MISSING_VARIABLES"


def flipped(folder):
    path = folder / "model.ckpt-7.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def cut_short(name):
    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def gone(name):
    return lambda folder: (folder / name).unlink()


DAMAGE = {
    "bit flip": (flipped, "CHECKPOINT_DAMAGED", "checksum"),
    "short data": (cut_short("model.ckpt-7.data-00000-of-00001"), "CHECKPOINT_DAMAGED", "truncated"),
    "short index": (cut_short("model.ckpt-7.index"), "CHECKPOINT_DAMAGED", "corrupt"),
    "no data": (gone("model.ckpt-7.data-00000-of-00001"), "CHECKPOINT_NO_DATA", "missing"),
    "no index": (gone("model.ckpt-7.index"), "CHECKPOINT_NO_INDEX", "index"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_named(run, damage):
    folder, _ = run
    change, code, word = DAMAGE[damage]
    change(folder)
    with pytest.raises(FreezeError, match=word) as e:
        freeze_here(asked(folder))
    assert e.value.code == code


def test_an_incomplete_name_lists_what_is_there(run):
    with pytest.raises(FreezeError, match=r"model\.ckpt-7") as e:
        freeze_here(asked(run[0], "model.ckpt"))
    assert e.value.code == "CHECKPOINT_NOT_FOUND"


def without(*names):
    return lambda held: {k: v for k, v in held.items() if k not in names}


def replaced(name, value):
    return lambda held: {**held, name: value(held[name])}


def nan(value):
    return np.where(np.arange(value.size).reshape(value.shape) == 3, np.nan, value).astype(np.float32)


MISFITS = {
    "missing": (without("fc1/weights", "fc1/bn/beta"), "CHECKPOINT_MISSING_VARIABLES", "fc1/bn/beta"),
    "other model": (lambda held: {"resnet/w": held["fc1/weights"]}, "CHECKPOINT_MISSING_VARIABLES", "resnet/w"),
    "image size": (replaced("fc1/weights", lambda v: np.repeat(v, 4, 0)), "CHECKPOINT_SHAPES", "--image-shape"),
    "broadcast": (replaced("fc1/bn/beta", lambda v: v[:1]), "CHECKPOINT_SHAPES", "broadcast"),
    "not finite": (replaced("fc1/weights", nan), "CHECKPOINT_NOT_FINITE", "NaN"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit_is_refused(run, misfit):
    folder, held = run
    change, code, word = MISFITS[misfit]
    save_values(folder, change(held), "other")
    with pytest.raises(FreezeError, match=word) as e:
        freeze_here(asked(folder, "other"))
    assert e.value.code == code


def test_more_than_a_graph_holds_is_refused_before_reading(tmp_path):
    save_values(tmp_path, {"other": np.zeros(2, np.float32)})
    (tmp_path / "large.py").write_text("""
import tensorflow as tf
def build(images):
    x = tf.reduce_mean(tf.cast(images, tf.float32), [1, 2])
    return tf.matmul(x, tf.compat.v1.get_variable("w", [3, 200_000_000]))
""")
    request = Request(builder=str(tmp_path / "large.py"), checkpoint=tmp_path / "model.ckpt-7", image_shape=SHAPE)
    with pytest.raises(FreezeError, match="2 GiB") as e:
        freeze_here(request)
    assert e.value.code == "TOO_LARGE"


def test_a_builder_that_is_not_the_trained_network_is_refused(run):
    folder, held = run
    np.testing.assert_allclose(freeze_here(asked(folder))[0], right(held), atol=TOLERANCE)
    with pytest.raises(FreezeError, match=r"model\.ckpt-7\.meta") as e:
        freeze_here(asked(folder, options="[..., ::-1]"))
    assert e.value.code == "BUILDER_DIFFERS"


SCRIPTS = {
    "factory": (
        """
from tests.freeze_models import tiny
def factory_fn(image, reuse):
    return tiny(image), None
"""
    ),
    "returned factory": (
        """
from tests.freeze_models import tiny
def _network_factory(weight_decay=1e-8):
    def factory_fn(image, reuse):
        return tiny(image), None
    return factory_fn
"""
    ),
    "module level": (
        """
import tensorflow as tf
from tests.freeze_models import tiny, placeholder
tf.identity(tiny(placeholder()), name="features")
"""
    ),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_understands_other_scripts(run, script):
    folder, held = run
    (folder / "script.py").write_text(SCRIPTS[script])
    request = Request(builder=str(folder / "script.py"), checkpoint=folder / "model.ckpt-7", image_shape=SHAPE)
    np.testing.assert_allclose(freeze_here(request)[0], right(held), atol=TOLERANCE)


OLD_LAYERS = """
import tensorflow.compat.v1 as tf
def build(images):
    x = tf.cast(images, tf.float32) / 255.0
    x = tf.layers.conv2d(x, 8, 3, strides=2, padding="same", activation=tf.nn.relu)
    x = tf.layers.batch_normalization(x, training=True)
    x = tf.layers.dropout(tf.layers.flatten(x), 0.5, training=True)
    return tf.nn.l2_normalize(tf.layers.dense(x, 16, name="output"), 1)
"""


def test_lends_the_layers_that_keras_3_took(tmp_path):
    import tensorflow as tf

    r = np.random.default_rng(2)
    shapes = {"conv2d/kernel": (3, 3, 3, 8), "conv2d/bias": (8,), "output/kernel": (1024, 16), "output/bias": (16,)}
    shapes |= {f"batch_normalization/{k}": (8,) for k in ("gamma", "beta", "moving_mean", "moving_variance")}
    held = {k: r.uniform(0.1, 1, s).astype(np.float32) for k, s in shapes.items()}
    save_values(tmp_path, held)
    (tmp_path / "old.py").write_text(OLD_LAYERS)
    request = Request(builder=str(tmp_path / "old.py"), checkpoint=tmp_path / "model.ckpt-7", image_shape=SHAPE)
    features, _, log = freeze_here(request)
    x = tf.nn.relu(tf.nn.conv2d(IMAGES / np.float32(255), held["conv2d/kernel"], 2, "SAME") + held["conv2d/bias"])
    g, b, m, v = (held[f"batch_normalization/{k}"] for k in ("gamma", "beta", "moving_mean", "moving_variance"))
    x = tf.reshape(tf.nn.batch_normalization(x, m, v, b, g, 1e-3), [5, -1])
    expected = tf.nn.l2_normalize(x @ held["output/kernel"] + held["output/bias"], 1)
    np.testing.assert_allclose(features, expected, atol=TOLERANCE)
    assert {"OLD_LAYERS", "BATCH_NORM_TRAINING", "DROPOUT_REMOVED"} <= log.codes()


FAULTY = {
    "slim": ("import tensorflow.contrib.slim as slim", "DEAD_API", "--network wrn"),
    "contrib": ("import tensorflow as tf\ndef build(x):\n    return tf.contrib.layers.conv2d(x)", "DEAD_API", "tf.nn"),
    "version 1": (
        "import tensorflow as tf\ndef build(x):\n    return tf.get_variable('a', [2])",
        "DEAD_API",
        "compat.v1",
    ),
    "raises": ("def build(x):\n    return x.nothing", "BUILDER_FAILED", "return x.nothing"),
    "syntax": ("def build(x)\n    return x", "BUILDER_FAILED", "def build"),
    "no function": ("value = 3", "BUILDER_FUNCTION", "--builder"),
    "no tensor": ("def build(x):\n    return 3", "BUILDER_RETURNS", "int"),
    "arguments": ("def build(x, depth):\n    return x", "BUILDER_SIGNATURE", "depth"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_faults_of_a_builder_are_explained(tmp_path, fault):
    text, code, word = FAULTY[fault]
    (tmp_path / "b.py").write_text(text)
    with pytest.raises(FreezeError, match=word) as e:
        freeze_here(Request(builder=str(tmp_path / "b.py"), checkpoint=tmp_path / "c", image_shape=SHAPE))
    assert e.value.code == code


@pytest.mark.parametrize("name, variables, count", [("wrn", 68, 2_803_168), ("cosine_metric_learning", 65, 2_802_784)])
def test_published_networks_variable_for_variable(name, variables, count):
    import tensorflow as tf

    from freeze.networks import network

    with tf.Graph().as_default():
        net = network(name)
        features = net.build(tf.compat.v1.placeholder("uint8", [None, *net.input_shape]))
        found = {v.op.name: v.shape.as_list() for v in tf.compat.v1.global_variables()}
    assert features.shape.as_list() == [None, 128]
    assert len(found) == variables and sum(int(np.prod(s)) for s in found.values()) == count
    assert found["conv1_1/conv1_1/bn/moving_mean"] == [32] and found["fc1/weights"] == [16384, 128]
    assert found["conv3_1/1/conv3_1/1/bn/beta"] == [64] and found["conv3_1/projection/weights"] == [1, 1, 32, 64]
    assert found["conv4_3/2/biases"] == [128] and found["conv4_3/bn/beta"] == [128]
    assert "conv2_1/bn/beta" not in found and ("ball/beta" in found) == (name == "wrn")


def test_a_cosine_metric_learning_checkpoint_for_wrn_names_the_right_network(tmp_path):
    import tensorflow as tf

    from freeze.networks import network

    trained(
        tmp_path,
        lambda: network("cosine_metric_learning").build(tf.compat.v1.placeholder("uint8", [None, 128, 64, 3])),
    )
    with pytest.raises(FreezeError, match="--network cosine_metric_learning") as e:
        freeze_here(Request(network="wrn", checkpoint=tmp_path / "model.ckpt-7"))
    assert "ball/moving_mean" in str(e.value)
    features, contract, _ = freeze_here(Request(network="cosine_metric_learning", checkpoint=tmp_path / "model.ckpt-7"))
    assert features.shape == (5, 128) and contract.crop_rule == "aspect" and DIMENSION < 128


def test_a_published_checkpoint_for_a_network_without_its_head_is_refused(tmp_path):
    import tensorflow as tf

    from freeze.errors import Log
    from freeze.load.checkpoint import Checkpoint
    from freeze.load.variables import Wanted, check_head

    held = {k: np.ones(3, np.float32) for k in ("fc1/weights", "ball/beta", "ball/moving_mean", "ball/moving_variance")}
    save_values(tmp_path, held)
    checkpoint = Checkpoint.open(tmp_path / "model.ckpt-7", Log())
    wanted = {k: Wanted(k, k, (3,), tf.float32) for k in held}
    check_head(list(wanted.values()), checkpoint)
    with pytest.raises(FreezeError, match="ball") as e:
        check_head([wanted["fc1/weights"]], checkpoint)
    assert e.value.code == "CHECKPOINT_HEAD_LEFT_OUT" and "--network wrn" in str(e.value)
    save_values(tmp_path, {"fc1/weights": held["fc1/weights"], "ball/mean_vectors": held["ball/beta"]}, "softmax")
    # The classifier's own variables may be left out.
    check_head([wanted["fc1/weights"]], Checkpoint.open(tmp_path / "softmax", Log()))
