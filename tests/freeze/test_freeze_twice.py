"""Scripts that build their network twice, for training and for inference: the mistake in all its shapes."""

import ast

import numpy as np
import pytest

from freeze.errors import FreezeError
from freeze.load.script import Script
from freeze.request import Request
from tests.freeze_models import IMAGES, freeze_here, save_values

HEAD = """
import tensorflow as tf
v1 = tf.compat.v1
"""
NETWORK = """
def build_model(inputs, is_training):
    x = v1.layers.conv2d(inputs, 8, 3, strides=2, activation=tf.nn.relu)
    x = v1.layers.batch_normalization(x, training=is_training)
    return v1.layers.dense(v1.layers.flatten(x), 10, name="output")
"""
IMAGE = "x = v1.placeholder(tf.float32, [None, 32, 16, 3])"
SHARED = """
def build_model(inputs, is_training, reuse=None):
    with v1.variable_scope("net", reuse=reuse):
        x = v1.layers.conv2d(inputs, 8, 3, strides=2, activation=tf.nn.relu)
        x = v1.layers.batch_normalization(x, training=is_training)
        return v1.layers.dense(v1.layers.flatten(x), 10, name="output")
"""
CLASS = """
class Net:
    def __init__(self, is_training=True, width=8):
        self.is_training, self.width = is_training, width
    def build(self, inputs):
        x = v1.layers.conv2d(inputs, self.width, 3, strides=2, activation=tf.nn.relu)
        x = v1.layers.batch_normalization(x, training=self.is_training)
        return v1.layers.dense(v1.layers.flatten(x), 10, name="output")
"""
CALLED = """
class Net:
    def __call__(self, inputs, training):
        x = v1.layers.conv2d(inputs, 8, 3, strides=2, activation=tf.nn.relu)
        x = v1.layers.batch_normalization(x, training=training)
        return v1.layers.dense(v1.layers.flatten(x), 10, name="output")
"""
ATTRIBUTES = """
class Net:
    def __init__(self, images, is_training):
        self.maps = v1.layers.conv2d(images, 8, 3, strides=2, activation=tf.nn.relu)
        x = v1.layers.batch_normalization(self.maps, training=is_training)
        self.output = v1.layers.dense(v1.layers.flatten(x), 10, name="output")
"""
LOSS = """
def build_model(inputs, labels, is_training):
    x = v1.layers.conv2d(inputs, 8, 3, strides=2, activation=tf.nn.relu)
    x = v1.layers.batch_normalization(x, training=is_training)
    output = v1.layers.dense(v1.layers.flatten(x), 10, name="output")
    return output, tf.reduce_mean(tf.square(output - labels))
"""
BY_DEFAULT = NETWORK.replace("(inputs, is_training)", "(is_training, inputs=x)")
ON_BY_DEFAULT = NETWORK.replace("is_training):", "is_training=True):")
WORDS = NETWORK.replace("is_training):", "mode):").replace("training=is_training", "training=mode == 'train'")
TWICE = ("train = build_model(x, is_training=True)", "infer = build_model(x, is_training=False)")
TRAINED_BETWEEN = (
    "train = build_model(x, True)",
    "labels = v1.placeholder(tf.int64, [None])",
    "loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=train))",
    "step = v1.train.AdamOptimizer().minimize(loss)",
    "data = open('/nowhere/list.txt').read()",
    "infer = build_model(x, False)",
    "with v1.Session() as s:",
    "    s.run(step)",
)
OWN = NETWORK.replace("(inputs, ", "(", 1).replace(
    ":\n", ":\n    inputs = v1.placeholder(tf.float32, [None, 32, 16, 3])\n", 1
)
OWN_CLASS = ATTRIBUTES.replace("images, is_training", "is_training").replace(
    "        self.maps", "        images = v1.placeholder(tf.float32, [None, 32, 16, 3])\n        self.maps"
)
SHAPES = {
    "as printed": (NETWORK, IMAGE, *TWICE),
    "positions": (NETWORK, IMAGE, "a = build_model(x, True)", "b = build_model(x, False)"),
    "inference first": (NETWORK, IMAGE, "b = build_model(x, False)", "a = build_model(x, True)"),
    "constants": (
        "ON, OFF = True, False\nT = True",
        NETWORK,
        IMAGE,
        "a = build_model(x, T)",
        "b = build_model(x, not T)",
    ),
    "training alone, twice": (NETWORK, IMAGE, "a = build_model(x, True)", "b = build_model(x, True)"),
    "a loss and an optimiser between": (NETWORK, IMAGE, *TRAINED_BETWEEN),
    "reuse": (SHARED, IMAGE, "a = build_model(x, True)", "b = build_model(x, False, reuse=True)"),
    "partials": (
        "import functools",
        NETWORK,
        IMAGE,
        "train_net = functools.partial(build_model, is_training=True)",
        "net = functools.partial(build_model, is_training=False)",
        "a = train_net(x)",
        "b = net(inputs=x)",
    ),
    "partials, reuse": (
        "from functools import partial",
        SHARED,
        IMAGE,
        "train_net = partial(build_model, x)",
        "a = train_net(True)",
        "net = partial(build_model, x, reuse=True, is_training=True)",
        "b = net(is_training=False)",
    ),
    "reuse_variables": (
        NETWORK,
        IMAGE,
        "with v1.variable_scope('net') as scope:",
        "    a = build_model(x, True)",
        "    scope.reuse_variables()",
        "    b = build_model(x, False)",
    ),
    "other scopes": (
        NETWORK,
        IMAGE,
        "with v1.variable_scope('train'):",
        "    a = build_model(x, True)",
        "with v1.variable_scope('infer'):",
        "    b = build_model(x, False)",
    ),
    "a loop": (
        NETWORK,
        IMAGE,
        "outs = {}",
        "for mode in (True, False):",
        "    outs[mode] = build_model(x * 1.0, mode)",
    ),
    "a main function": (NETWORK, "def main():", f"    {IMAGE}", *(f"    {line}" for line in TWICE), "main()"),
    "a class": (CLASS, IMAGE, "a = Net(is_training=True).build(x)", "b = Net(is_training=False).build(x)"),
    "objects": (CLASS, IMAGE, "t = Net()", "i = Net(is_training=False)", "a = t.build(x)", "b = i.build(x)"),
    "the call's own switch": (CALLED, IMAGE, "net = Net()", "a = net(x, training=True)", "b = net(x, training=False)"),
    "built by the constructor": (ATTRIBUTES, IMAGE, "t = Net(x, True)", "i = Net(x, False)"),
    "output and loss": (
        LOSS,
        IMAGE,
        "y = v1.placeholder(tf.float32, [None, 10])",
        "train, loss = build_model(x, y, True)",
        "infer, _ = build_model(x, y, False)",
    ),
    "input by default": (IMAGE, BY_DEFAULT, "a = build_model(True)", "b = build_model(False)"),
    "switch by default": (ON_BY_DEFAULT, IMAGE, "a = build_model(x)", "b = build_model(x, False)"),
    "words": (WORDS, IMAGE, "a = build_model(x, 'train')", "b = build_model(x, 'eval')"),
    "scaled before": (NETWORK, IMAGE.replace("x =", "raw ="), "x = raw * 1.0", *TWICE),
    "a graph of its own": (
        NETWORK,
        "with tf.Graph().as_default():",
        f"    {IMAGE}",
        *(f"    {line}" for line in TWICE),
    ),
    "a graph for each": (
        NETWORK,
        *(f"with tf.Graph().as_default():\n    {IMAGE}\n    {line}" for line in TWICE),
    ),
    "a placeholder of its own": (OWN, "a = build_model(True)", "b = build_model(False)"),
    "modules and files that are not here": (
        "import sys, module_that_is_not_here\nfrom neither_is_this import batches",
        "steps = int(sys.argv[1])\nmodule_that_is_not_here.start()",
        NETWORK,
        IMAGE,
        *TWICE,
    ),
    "the modes of tf.estimator": (
        WORDS.replace("'train'", "tf.estimator.ModeKeys.TRAIN"),
        IMAGE,
        "a = build_model(x, tf.estimator.ModeKeys.TRAIN)",
        "b = build_model(x, tf.estimator.ModeKeys.EVAL)",
    ),
    "features and scores": (
        NETWORK.replace("return ", "f = ") + "    return f, tf.nn.tanh(f[:, :5], name='scores')\n",
        IMAGE,
        "a, a_scores = build_model(x, True)",
        "b, b_scores = build_model(x, False)",
    ),
    "normalised behind": (NETWORK, IMAGE, *TWICE, "emb = tf.nn.l2_normalize(infer, 1, name='emb')"),
}
SCRIPTS = {name: "\n".join([HEAD, *parts, ""]) for name, parts in SHAPES.items()}
SWITCHES = ("is_training", "training", "train", "phase", "phase_train", "mode", "bn_train", "is_inference")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a checkpoint of the network, one with the untrained tower beside it, one under two scopes."""
    folder, r = tmp_path_factory.mktemp("twice"), np.random.default_rng(0)
    shapes = {"conv2d/kernel": (3, 3, 3, 8), "conv2d/bias": (8,)}
    shapes |= {"output/kernel": (15 * 7 * 8, 10), "output/bias": (10,)}
    shapes |= {f"batch_normalization/{k}": (8,) for k in ("gamma", "beta", "moving_mean", "moving_variance")}
    held = {k: (r.uniform(0.1, 1, s) - 0.5 * k.endswith("kernel")).astype(np.float32) for k, s in shapes.items()}
    idle = {k: v[::-1] if k.endswith("kernel") else np.zeros_like(v) for k, v in held.items()}
    idle |= {k: np.ones_like(v) for k, v in held.items() if k.endswith(("gamma", "variance"))}
    head = {k: v for k, v in held.items() if k.startswith("output")}

    def second(values):
        return {k.replace("/", "_1/"): v for k, v in values.items() if k not in head}

    save_values(folder, held)
    save_values(folder, {**held, **second(idle)}, "towers.ckpt-7")
    save_values(folder, {**idle, **head, **second(held)}, "second.ckpt-7")
    save_values(folder, {f"net/{k}": v for k, v in held.items()}, "net.ckpt-7")
    train = {f"train/{k}": v for k, v in held.items()}
    save_values(folder, {**train, **{f"infer/{k}": v for k, v in idle.items()}}, "scopes.ckpt-7")
    save_values(folder, train, "train.ckpt-7")
    return folder, right(held)


def right(v):
    """Features of IMAGES, computed by hand."""
    import tensorflow as tf

    x = tf.nn.relu(tf.nn.conv2d(IMAGES.astype(np.float32), v["conv2d/kernel"], 2, "VALID") + v["conv2d/bias"])
    b = {k: v[f"batch_normalization/{k}"] for k in ("gamma", "beta", "moving_mean", "moving_variance")}
    x = (x - b["moving_mean"]) / np.sqrt(b["moving_variance"] + 1e-3) * b["gamma"] + b["beta"]
    z = tf.reshape(x, [len(x), -1]) @ v["output/kernel"] + v["output/bias"]
    return np.asarray(tf.nn.l2_normalize(z, 1))


def frozen(folder, script, checkpoint="model.ckpt-7", function="", **more):
    path = folder / "script.py"
    path.write_text(script)
    spec = f"{path}:{function}" if function else str(path)
    return freeze_here(Request(builder=spec, checkpoint=folder / checkpoint, image_shape=(32, 16, 3), **more))


@pytest.mark.parametrize("shape", SCRIPTS)
def test_the_call_for_inference_is_frozen(run, shape):
    folder, expected = run
    checkpoint = {"reuse": "net", "reuse_variables": "net", "other scopes": "scopes"}.get(shape, "model")
    features, contract, log = frozen(folder, SCRIPTS[shape], f"{checkpoint}.ckpt-7")
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert shape == "a main function" or "BUILT_TWICE" in log.codes()
    assert "BATCH_NORM_TRAINING" not in log.codes() and contract.dimension == 10


@pytest.mark.parametrize("checkpoint", ["towers", "second"])
def test_the_trained_copy_of_a_checkpoint_is_used(run, checkpoint):
    features, _, log = frozen(run[0], SCRIPTS["as printed"], f"{checkpoint}.ckpt-7")
    np.testing.assert_allclose(features, run[1], atol=1e-5)
    told = next(f for f in log.findings if f.code == "TOWER_CHOSEN")
    assert "as it was initialised" in told.why and told.kind == ("note" if checkpoint == "towers" else "repair")


def test_a_scope_of_training_alone_is_mapped(run):
    features, _, log = frozen(run[0], SCRIPTS["other scopes"], "train.ckpt-7")
    np.testing.assert_allclose(features, run[1], atol=1e-5)
    assert "CHECKPOINT_PREFIX" in log.codes()


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("default", ["", "=True"])
def test_the_function_alone_is_called_with_its_switch_off(run, switch, default):
    value = f"not {switch}" if switch == "is_inference" else switch
    network = NETWORK.replace("is_training)", f"{switch}{default})", 1).replace(
        "training=is_training", f"training={value}"
    )
    script = HEAD + network + "raise SystemExit('the script is not run')\n"
    features, _, log = frozen(run[0], script, function="build_model")
    np.testing.assert_allclose(features, run[1], atol=1e-5)
    assert {"BUILDER_SWITCH", "BUILDER_FLOAT"} <= log.codes()


@pytest.mark.parametrize("script, name", [(OWN, "build_model"), (OWN_CLASS, "Net")])
def test_a_builder_with_a_placeholder_of_its_own_is_given_none(run, script, name):
    features, _, log = frozen(run[0], HEAD + script, function=name)
    np.testing.assert_allclose(features, run[1], atol=1e-5)
    assert "INPUT_CHOSEN" in log.codes()


ONCE = f"""{HEAD}
{IMAGE}
y = v1.layers.conv2d(x, 8, 3, strides=2, activation=tf.nn.relu)
y = v1.layers.batch_normalization(y)
out = v1.layers.dense(v1.layers.flatten(y), 10, name="output")
"""
BEHIND = {
    "restored": "session = v1.Session()\nv1.train.Saver().restore(session, 'nowhere')\nprint(session.run(out))",
    "trained": "loss = tf.reduce_mean(out)\nstep = v1.train.AdamOptimizer().minimize(loss)\n"
    "with v1.Session() as s:\n    for batch in open('nowhere'):\n        s.run(step, {x: batch})",
    "a function that trains": "def fit():\n    with v1.Session() as s:\n        s.run(nothing)\nfit()",
}
BEFORE = {
    "arguments": ("import sys\nsteps = int(sys.argv[1])", "IndexError"),
    "options": ("import argparse\np = argparse.ArgumentParser()\np.add_argument('data')\np.parse_args()", "SystemExit"),
    "a module": ("import module_that_is_not_here as m\nm.start()", "ModuleNotFoundError"),
    "data": ("import numpy as np\nmean = np.load('nowhere.npy').mean()", "FileNotFoundError"),
}


@pytest.mark.parametrize("what", BEHIND)
def test_what_a_script_does_with_its_network_is_not_run(run, what):
    features, _, log = frozen(run[0], f"{ONCE}{BEHIND[what]}\n")
    np.testing.assert_allclose(features, run[1], atol=1e-5)
    assert "BUILDER_LEFT_OUT" in log.codes()


@pytest.mark.parametrize("what", BEFORE)
def test_what_fails_and_is_not_needed_is_left_out_and_told(run, what):
    before, error = BEFORE[what]
    features, _, log = frozen(run[0], before + ONCE)
    np.testing.assert_allclose(features, run[1], atol=1e-5)
    assert any(f.code == "BUILDER_LEFT_OUT" and error in f.why for f in log.findings)


@pytest.mark.parametrize(
    "needed", ["x = x * mean", "out = out * mean", "x = v1.placeholder(tf.float32, [None, steps])"]
)
def test_what_fails_and_is_needed_is_named(run, needed):
    before = "import numpy as np\nmean = np.load('nowhere.npy')\nsteps = int(mean[0])\n"
    line = (
        ONCE.replace(IMAGE, needed)
        if "placeholder" in needed
        else ONCE.replace("y = v1.layers.conv2d", f"{needed}\ny = v1.layers.conv2d")
        if needed.startswith("x")
        else f"{ONCE}{needed}\n"
    )
    with pytest.raises(FreezeError, match=r"BUILDER_FAILED(?s:.*)FileNotFoundError(?s:.*)nowhere.npy"):
        frozen(run[0], before + line)


def test_a_partial_alone_is_called_with_its_switch_off(run):
    text = f"{HEAD}import functools\n{NETWORK}net = functools.partial(build_model, is_training=True)\n"
    features, _, log = frozen(run[0], text, function="net")
    np.testing.assert_allclose(features, run[1], atol=1e-5)
    assert "BUILDER_SWITCH" in log.codes()


def test_a_class_alone_is_made_and_called(run):
    features, _, _ = frozen(run[0], HEAD + CLASS, function="Net")
    np.testing.assert_allclose(features, run[1], atol=1e-5)


def test_heads_of_a_function_are_all_named(run):
    heads = NETWORK.replace("return ", "x = ") + "    return x, tf.nn.tanh(x, name='side')\n"
    with pytest.raises(FreezeError, match=r"OUTPUT_AMBIGUOUS(?s:.*)side"):
        frozen(run[0], HEAD + heads, function="build_model")


def test_a_slice_holds_what_the_call_needs_and_nothing_else():
    script = Script(SCRIPTS["a loss and an optimiser between"], "script.py")
    part = script.for_call(next(c for c in script.calls if c.training is False))
    text = ast.unparse(part.tree)
    assert "build_model(x, False)" in text and "placeholder(tf.float32" in text
    assert not any(word in text for word in ("open(", "loss", "Adam", "train =", "Session"))
