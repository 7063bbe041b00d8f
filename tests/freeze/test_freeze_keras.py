"""Keras files: what is mended, what is refused, and that the features stay right. SavedModels by their signatures."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freeze import api
from freeze.errors import FreezeError, Log
from freeze.graph.images import structured
from freeze.graph.runner import Runner
from freeze.proof import prove
from freeze.request import Request

pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

SHAPE = (16, 8, 3)
IMAGES = structured(5, SHAPE)
CUSTOM = """
import keras
class Gain(keras.layers.Layer):
    def __init__(self, units, gain=1.5, **kw):
        super().__init__(**kw)
        self.units, self.gain = units, gain
    def build(self, shape):
        self.w = self.add_weight(name="kernel", shape=(shape[-1], self.units), initializer="orthogonal")
    def call(self, z):
        return keras.ops.matmul(z, self.w) + self.gain
"""
LOSES_GAIN = (
    CUSTOM
    + """    def get_config(self):
        return {**super().get_config(), "units": self.units}
"""
)
LOSES_UNITS = (
    CUSTOM
    + """    def get_config(self):
        return super().get_config()
"""
)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fresh process of the proof is tested elsewhere and costs seconds."""
    monkeypatch.setattr(prove, "_reloaded", lambda *args: 0.0)


def model(extra: Callable[[Any], Any] | None = None, training: bool | None = None, unit: bool = True) -> Any:
    """A small encoder with plausible trained values."""
    kw = {} if training is None else {"training": training}
    images = keras.Input(SHAPE, name="images")
    z = keras.layers.Conv2D(4, 3, strides=2, use_bias=False, name="conv")(keras.layers.Rescaling(1 / 255)(images))
    z = keras.layers.BatchNormalization(name="bn")(z, **kw)
    z = keras.layers.Dense(6, name="fc1")(keras.layers.Flatten(name="flat")(z))
    z = extra(z) if extra else z
    made = keras.Model(images, keras.layers.UnitNormalization(name="features")(z) if unit else z)
    random = np.random.default_rng(1)
    for v in made.weights:
        low, high = (0.5, 2.0) if "variance" in v.path or "gamma" in v.path else (-0.5, 0.5)
        v.assign(random.uniform(low, high, tuple(v.shape)))
    return made


def right(made: Any) -> np.ndarray:
    y = np.asarray(made(IMAGES.astype(np.float32), training=False))
    return y / np.linalg.norm(y, axis=1, keepdims=True)  # type: ignore[no-any-return]


def frozen(tmp_path: Path, log: Log | None = None, **options: Any) -> np.ndarray:
    """Features of the frozen file for IMAGES, in batches of 2."""
    import tensorflow as tf

    api.freeze(Request(out=tmp_path / "x.pb", **options), log)
    with Runner(tf.compat.v1.GraphDef.FromString((tmp_path / "x.pb").read_bytes())) as runner:
        return np.concatenate([runner.run("features", {"images": IMAGES[k : k + 2]}) for k in range(0, len(IMAGES), 2)])


def refused(tmp_path: Path, code: str, *words: str, **options: Any) -> None:
    with pytest.raises(FreezeError) as e:
        api.freeze(Request(out=tmp_path / "x.pb", **options))
    assert e.value.code == code
    assert all(w in str(e.value) for w in words), str(e.value)
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_training_true_is_called_for_inference(tmp_path: Path, suffix: str) -> None:
    model(training=True).save(tmp_path / f"m{suffix}")
    log = Log()
    got = frozen(tmp_path, log, keras=tmp_path / f"m{suffix}")
    np.testing.assert_allclose(got, right(model()), atol=1e-5)
    assert "KERAS_TRAINING" in log.codes()
    (tmp_path / "x.pb").unlink()
    (tmp_path / "x.json").unlink()
    refused(tmp_path, "NO_REPAIR", "bn", keras=tmp_path / f"m{suffix}", repair=False)


def custom(tmp_path: Path, source: str, **arguments: Any) -> dict[str, Any]:
    (tmp_path / "layers.py").write_text(source)
    space: dict[str, Any] = {"__name__": "layers"}
    exec(source, space)
    made = model(extra=space["Gain"](5, name="custom", **arguments))
    made.save(tmp_path / "m.keras")
    return {"keras": tmp_path / "m.keras", "custom_objects": tmp_path / "layers.py", "right": right(made)}


def test_custom_layer_without_get_config_is_complete(tmp_path: Path) -> None:
    options = custom(tmp_path, CUSTOM, gain=-2.0)
    expected = options.pop("right")
    np.testing.assert_allclose(frozen(tmp_path, **options), expected, atol=1e-5)


def test_get_config_that_loses_an_argument_is_refused_or_told(tmp_path: Path) -> None:
    options = custom(tmp_path, LOSES_GAIN, gain=-2.0)
    expected = options.pop("right")
    refused(tmp_path, "KERAS_CONFIG_DROPPED", "Gain", "gain", "get_config", "custom", **options)
    np.testing.assert_allclose(frozen(tmp_path, bind={"custom.gain": -2.0}, **options), expected, atol=1e-5)


def test_get_config_without_a_needed_argument(tmp_path: Path) -> None:
    options = custom(tmp_path, LOSES_UNITS)
    expected = options.pop("right")
    refused(tmp_path, "KERAS_CONFIG_INCOMPLETE", "Gain", "units", "get_config", **options)
    got = frozen(tmp_path, bind={"custom.units": 5.0, "custom.gain": 1.5}, **options)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_unknown_class_and_function_are_named(tmp_path: Path) -> None:
    options = custom(tmp_path, CUSTOM)
    refused(tmp_path, "KERAS_CUSTOM_CLASS", "Gain", "custom", "--custom-objects", keras=options["keras"])

    def swishy(x: Any) -> Any:
        return x * keras.ops.sigmoid(x)

    model(extra=keras.layers.Activation(swishy, name="act")).save(tmp_path / "f.keras")
    refused(tmp_path, "KERAS_CUSTOM_CLASS", "swishy", "act", keras=tmp_path / "f.keras")


def two_outputs(tmp_path: Path) -> tuple[Path, np.ndarray]:
    one = model()
    made = keras.Model(one.inputs, [one.outputs[0], keras.layers.Dense(3, name="logits")(one.outputs[0])])
    made.save(tmp_path / "two.keras")
    return tmp_path / "two.keras", right(one)


def test_several_outputs(tmp_path: Path) -> None:
    path, expected = two_outputs(tmp_path)
    log = Log()
    np.testing.assert_allclose(frozen(tmp_path, log, keras=path), expected, atol=1e-5)
    assert "OUTPUT_CHOSEN" in log.codes()
    inner = frozen(tmp_path, keras=path, output="fc1")  # any layer may be named
    made = model()
    sub = keras.Model(made.inputs[0], made.get_layer("fc1").output)
    np.testing.assert_allclose(inner, right(sub), atol=1e-5)
    (tmp_path / "x.pb").unlink()
    (tmp_path / "x.json").unlink()
    refused(tmp_path, "OUTPUT_UNKNOWN", "feetures", "features", "logits", keras=path, output="feetures")


def test_second_input_is_refused(tmp_path: Path) -> None:
    one = model()
    camera = keras.Input((2,), name="camera")
    both = keras.layers.Concatenate()([one.outputs[0], camera])
    keras.Model([one.inputs[0], camera], both).save(tmp_path / "m.keras")
    refused(tmp_path, "INPUT_AMBIGUOUS", "camera", "images", keras=tmp_path / "m.keras")
    refused(tmp_path, "KERAS_SEVERAL_INPUTS", "camera", keras=tmp_path / "m.keras", input="images")


SUBCLASS = """
import keras
class Encoder(keras.Model):
    def __init__(self, units, **kw):
        super().__init__(**kw)
        self.units = units
        self.flat, self.fc = keras.layers.Flatten(), keras.layers.Dense(units)
    def call(self, x, training=False):
        return {"features": self.fc(self.flat(x / 255.0)), "brightness": keras.ops.mean(x, (1, 2, 3))}
    def get_config(self):
        return {**super().get_config(), "units": self.units}
"""


def test_subclassed_model(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(SUBCLASS)
    space: dict[str, Any] = {"__name__": "layers"}
    exec(SUBCLASS, space)
    made = space["Encoder"](5)
    y = np.asarray(made(IMAGES.astype(np.float32))["features"])
    made.save(tmp_path / "m.keras")
    got = frozen(tmp_path, keras=tmp_path / "m.keras", custom_objects=tmp_path / "layers.py")
    np.testing.assert_allclose(got, y / np.linalg.norm(y, axis=1, keepdims=True), atol=1e-5)


def keras2(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Rewrites the configuration of an .h5 file as Keras 2 wrote it; `change` edits its layers."""
    h5py = pytest.importorskip("h5py")

    def plain(value: Any) -> Any:
        if isinstance(value, dict) and value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in ("module", "registered_name", "build_config")}
        return [plain(v) for v in value] if isinstance(value, list) else value

    with h5py.File(path, "r+") as f:
        layers, before = [], None
        for layer in json.loads(f.attrs["model_config"])["config"]["layers"]:
            inner = plain(layer["config"])
            if layer["class_name"] == "InputLayer":
                inner = {"batch_input_shape": [None, *SHAPE], "dtype": "float32", "name": inner["name"]}
            nodes = [[[before, 0, 0, {}]]] if before else []
            before = inner["name"]
            layers.append({"class_name": layer["class_name"], "config": inner, "name": before, "inbound_nodes": nodes})
        change(layers)
        ends = {"input_layers": [["images", 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
        config = {"class_name": "Functional", "config": {"name": "m", "layers": layers, **ends}}
        f.attrs["model_config"] = json.dumps(config)
        f.attrs["keras_version"] = "2.4.0"


def test_keras_2_file_with_its_own_words(tmp_path: Path) -> None:
    made = model(unit=False)
    made.save(tmp_path / "m.h5")

    def old(layers: list[dict[str, Any]]) -> None:
        bn = next(layer for layer in layers if layer["name"] == "bn")
        bn["class_name"], bn["config"]["axis"] = "BatchNormalizationV1", [3]
        bn["config"]["fused"] = True
        conv = next(layer for layer in layers if layer["name"] == "conv")
        conv["config"]["kernel_initializer"]["config"]["dtype"] = "float32"
        call = {"name": "norm", "trainable": True, "dtype": "float32", "function": "math.l2_normalize"}
        node = ["fc1", 0, 0, {"axis": 1}]
        layers.append({"class_name": "TFOpLambda", "config": call, "name": "norm", "inbound_nodes": [node]})

    keras2(tmp_path / "m.h5", old)
    log = Log()
    np.testing.assert_allclose(frozen(tmp_path, log, keras=tmp_path / "m.h5"), right(made), atol=1e-5)
    assert "KERAS_2" in log.codes()


def test_keras_2_argument_without_a_meaning_here(tmp_path: Path) -> None:
    model(unit=False).save(tmp_path / "m.h5")
    keras2(tmp_path / "m.h5", lambda layers: layers[-1]["config"].update(time_major=True))
    refused(tmp_path, "KERAS_2_ARGUMENT", "fc1", "time_major", keras=tmp_path / "m.h5")


@pytest.mark.parametrize("nodes", [[[1]], [["fc1", 0, 0, 5]], [[["fc1"], 7]]])
def test_keras_2_nodes_in_no_form(tmp_path: Path, nodes: Any) -> None:
    model(unit=False).save(tmp_path / "m.h5")
    keras2(tmp_path / "m.h5", lambda layers: layers[-1].update(inbound_nodes=nodes))
    refused(tmp_path, "KERAS_DAMAGED", "fc1", keras=tmp_path / "m.h5")


def test_damaged_keras_file(tmp_path: Path) -> None:
    model().save(tmp_path / "m.keras")
    data = (tmp_path / "m.keras").read_bytes()
    (tmp_path / "m.keras").write_bytes(data[: len(data) // 2])
    refused(tmp_path, "WRONG_FILE", "truncated", keras=tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "n.keras", "w") as archive:
        archive.writestr("config.json", "{")
        archive.writestr("model.weights.h5", b"")
    refused(tmp_path, "KERAS_DAMAGED", "n.keras", keras=tmp_path / "n.keras")


def saved(tmp_path: Path, signatures: dict[str, Callable[[Any, Any], Any]]) -> Path:
    """A SavedModel with these signatures, each a function of a variable and the images."""
    import tensorflow as tf

    module = tf.Module()
    module.w = tf.Variable(np.random.default_rng(2).normal(0, 0.1, (16 * 8 * 3, 6)).astype(np.float32))
    spec = tf.TensorSpec([None, *SHAPE], tf.uint8, name="images")

    def flat(images: Any) -> Any:
        x = tf.reshape(tf.cast(images, tf.float32) / 255, [-1, 16 * 8 * 3])
        return tf.nn.l2_normalize(tf.matmul(x, module.w), 1)

    made = {
        k: tf.function(lambda images, f=f: f(flat(images), images)).get_concrete_function(spec)
        for k, f in signatures.items()
    }
    tf.saved_model.save(module, str(tmp_path / "sm"), signatures=made)
    return tmp_path / "sm"


def test_saved_model_signatures(tmp_path: Path) -> None:
    path = saved(tmp_path, {"encode": lambda y, x: {"features": y}, "classify": lambda y, x: {"logits": y[:, :3]}})
    refused(tmp_path, "SIGNATURE_AMBIGUOUS", "encode", "classify", "signature", saved_model=path)
    refused(tmp_path, "SIGNATURE_UNKNOWN", "encoed", "encode", saved_model=path, signature="encoed")
    got = frozen(tmp_path, saved_model=path, signature="encode")
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    first = (tmp_path / "x.pb").read_bytes()
    frozen(tmp_path, saved_model=path, signature="encode")
    assert (tmp_path / "x.pb").read_bytes() == first  # twice the same bytes


def test_half_precision_graph_is_proved_as_closely_as_half_precision_can_be(tmp_path: Path) -> None:
    import tensorflow as tf

    path = saved(tmp_path, {"serving_default": lambda y, x: {"features": tf.cast(y, tf.float16)}})
    log = Log()
    got = frozen(tmp_path, log, saved_model=path)
    assert got.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    assert "OUTPUT_DTYPE" in log.codes()
    assert json.loads((tmp_path / "x.json").read_text())["proof"]["tolerance"] == prove.HALF_TOLERANCE


def test_both_images_of_a_signature_are_listed(tmp_path: Path) -> None:
    import tensorflow as tf

    class Masked(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE], name=n) for n in ("images", "mask")])
        def encode(self, images: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(images * mask, [1, 2])

    made = Masked()
    tf.saved_model.save(made, str(tmp_path / "sm"), signatures=made.encode)
    said = ("images float32 (None, 16, 8, 3)", "mask float32", "--input images or mask")
    refused(tmp_path, "INPUT_AMBIGUOUS", *said, saved_model=tmp_path / "sm")


def test_saved_model_damage(tmp_path: Path) -> None:
    path = saved(tmp_path, {"serving_default": lambda y, x: {"output_0": y, "output_1": y[:, :3]}})
    refused(tmp_path, "OUTPUT_AMBIGUOUS", "output_0", "output_1", "--output", saved_model=path)
    data = path / "variables" / "variables.data-00000-of-00001"
    whole = data.read_bytes()
    data.write_bytes(whole[:-1] + bytes([whole[-1] ^ 64]))
    refused(tmp_path, "SAVED_MODEL_DAMAGED", "sm", saved_model=path)
    data.unlink()
    refused(tmp_path, "SAVED_MODEL_DAMAGED", "variables", saved_model=path)
    graph = path / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:200])
    refused(tmp_path, "SAVED_MODEL_DAMAGED", "truncated", saved_model=path)


def test_report_and_tensorboard(tmp_path: Path) -> None:
    model(training=True).save(tmp_path / "m.keras")
    options = {"keras": tmp_path / "m.keras", "tensorboard": tmp_path / "board"}
    frozen(tmp_path, report=tmp_path / "r.html", **options)
    page = (tmp_path / "r.html").read_text()
    assert "KERAS_TRAINING" in page
    assert page.count("<svg") == 2
    assert page.count("</svg>") == 2
    assert "Conv2D" in page
    assert sorted(p.parent.name for p in tmp_path.glob("board/*/events*")) == ["after", "before"]
    frozen(tmp_path, report=tmp_path / "r.json", keras=tmp_path / "m.keras")
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["contract"]["dimension"] == 6
    assert record["findings"][0]["code"] == "KERAS_TRAINING"


def test_a_classifier_is_no_encoder(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(3)
    images = keras.Input((16, 8, 3))
    embedding = keras.layers.Dense(8, name="embedding")(keras.layers.GlobalAveragePooling2D()(images))
    classes = keras.layers.Dense(5, activation="softmax", name="identity")(keras.layers.Rescaling(0.01)(embedding))
    made = keras.Model(images, classes)
    made.save(tmp_path / "m.keras")
    refused(tmp_path, "OUTPUT_CLASSES", "5 probabilities", "--output embedding", keras=tmp_path / "m.keras")
    assert frozen(tmp_path, keras=tmp_path / "m.keras", output="embedding").shape[1] == 8
    log = Log()
    frozen(tmp_path, log, keras=tmp_path / "m.keras", output="identity")
    assert "OUTPUT_CLASSES" in log.codes()
