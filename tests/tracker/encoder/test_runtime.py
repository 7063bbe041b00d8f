"""The frozen encoder at work, and graphs it must refuse."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.encoders import SHAPE, by_hand, write_encoder
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.runtime import BUCKETS, FrozenEncoder, main
from tracker.errors import DeviceError, EncoderError

CROPS = np.random.default_rng(2).integers(0, 256, (70, *SHAPE), np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder") / "encoder.pb")


@pytest.fixture(scope="module")
def encoder(path):
    with FrozenEncoder.open(path, device="cpu", precision="f32") as opened:
        yield opened


def test_features_are_those_computed_by_hand(encoder):
    np.testing.assert_allclose(encoder.encode(CROPS[:5]), by_hand(CROPS[:5]), atol=2e-5)


@pytest.mark.parametrize("n", [0, 1, 3, 5, 32, 33, 70])
def test_any_number_of_crops(encoder, n):
    features = encoder.encode(CROPS[:n])
    assert features.shape == (n, 8) and features.dtype == np.float32
    np.testing.assert_allclose(features, by_hand(CROPS)[:n], atol=2e-5)


def test_padding_leaves_no_trace(encoder):
    alone = encoder.encode(CROPS[:3])
    encoder.encode(CROPS[40:72])
    np.testing.assert_array_equal(encoder.encode(CROPS[:3]), alone)


def test_embed_cuts_and_encodes(encoder):
    image = np.random.default_rng(4).integers(0, 256, (100, 90, 3), np.uint8)
    boxes = np.array([[10, 10, 40, 70], [-5, 20, 30, 95]], np.float32)
    crops = encoder.crops([(image, boxes)]).copy()
    np.testing.assert_allclose(encoder.embed(image, boxes), by_hand(crops), atol=2e-5)
    assert encoder.embed(image, np.zeros((0, 4))).shape == (0, 8)


def test_old_control_flow_runs(tmp_path):
    path = write_encoder(tmp_path / "old.pb", branches=True)
    with FrozenEncoder.open(path, device="cpu", precision="f32") as encoder:
        np.testing.assert_allclose(encoder.encode(CROPS[:5]), by_hand(CROPS[:5]), atol=2e-5)


def test_attributes(encoder, path):
    assert (encoder.dimension, encoder.input_shape, encoder.device, encoder.precision) == (8, SHAPE, "cpu", "f32")
    assert encoder.path == path and len(encoder.sha256) == 64


@pytest.mark.parametrize("crops", [CROPS.astype(np.float32), CROPS[:, :16], CROPS[0]])
def test_refuses_other_crops(encoder, crops):
    with pytest.raises(EncoderError, match="expected uint8"):
        encoder.encode(crops)


def test_contract_fields_are_followed(tmp_path):
    path = write_encoder(tmp_path / "e.pb", dtype="float32", colour_order="rgb", input_range=(0.0, 255.0))
    with FrozenEncoder.open(path, device="cpu", precision="f32") as encoder:
        np.testing.assert_allclose(encoder.encode(CROPS[:4]), by_hand(CROPS[:4, ..., ::-1]), atol=2e-5)


def test_input_range_scales(tmp_path):
    path = write_encoder(tmp_path / "e.pb", dtype="float32", input_range=(0.0, 1.0))
    with FrozenEncoder.open(path, device="cpu", precision="f32") as encoder:
        np.testing.assert_allclose(encoder.encode(CROPS[:4]), by_hand(CROPS[:4] / 255), atol=2e-5)  # divided twice


def test_bare_graph_is_inferred(tmp_path):
    path = write_encoder(tmp_path / "mars.pb", contract=False)
    with FrozenEncoder.open(path, device="cpu", precision="f32") as encoder:
        c = encoder.contract
        assert (c.input_shape, c.dimension, c.crop_rule, c.colour_order) == (SHAPE, 8, "aspect", "bgr")
        np.testing.assert_allclose(encoder.encode(CROPS[:2]), by_hand(CROPS[:2]), atol=2e-5)


def test_fixed_batch(tmp_path):
    path = write_encoder(tmp_path / "e.pb", batch=4)
    with FrozenEncoder.open(path, device="cpu", precision="f32") as encoder:
        np.testing.assert_allclose(encoder.encode(CROPS[:9]), by_hand(CROPS[:9]), atol=2e-5)


def test_two_encoders_live_side_by_side(tmp_path, encoder):
    with FrozenEncoder.open(write_encoder(tmp_path / "e.pb", l2=False, l2_normalised=False), device="cpu") as other:
        np.testing.assert_allclose(np.linalg.norm(encoder.encode(CROPS[:2]), axis=1), 1, atol=1e-5)
        assert not np.allclose(np.linalg.norm(other.encode(CROPS[:2]), axis=1), 1)


@pytest.mark.parametrize(
    "options, part",
    [
        ({"contract": False, "output_rank": 4}, "expected one of rank 2"),
        ({"output_rank": 4}, "has rank 4"),
        ({"contract": False, "placeholders": 2}, "placeholders: "),
        ({"constant": True}, "same for different crops"),
        ({"l2": False}, "promises unit vectors"),
        ({"dimension": 6}, "features have shape|expected"),
        ({"input_name": "pictures"}, "cannot load"),
        ({"output_name": "out"}, "cannot load"),
        ({"input_dtype": "float32"}, "expected float32 of rank 4"),
        ({"graph_sha256": "0" * 64}, "freeze again"),
    ],
)
def test_refuses_broken_encoders(tmp_path, options, part):
    with pytest.raises(EncoderError, match=part):
        FrozenEncoder.open(write_encoder(tmp_path / "e.pb", **options), device="cpu")


@pytest.mark.parametrize(
    "data, part",
    [
        (b"<!DOCTYPE html><html>404</html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "git-lfs pointer"),
        (b"", "is empty"),
        (b"\x00\x01garbage" * 50, "no frozen graph"),
        (None, "no such file"),
    ],
)
def test_refuses_what_is_no_graph(tmp_path, data, part):
    path = tmp_path / "e.pb"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(EncoderError, match=part):
        FrozenEncoder.open(path, device="cpu")


def test_refuses_a_graph_that_is_cut_off(tmp_path):
    path = write_encoder(tmp_path / "e.pb", contract=False)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EncoderError):
        FrozenEncoder.open(path, device="cpu")


def test_memory_that_runs_out_halves_the_batch(path, monkeypatch):
    import tensorflow as tf

    session, largest = tf.compat.v1.Session, [99]
    made = session._make_callable_from_options  # noqa: SLF001

    def small_memory(self, options):
        run = made(self, options)

        def limited(batch):
            if len(batch) > largest[0]:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return run(batch)

        return limited

    monkeypatch.setattr(session, "_make_callable_from_options", small_memory)
    with FrozenEncoder.open(path, device="cpu", precision="f32") as encoder:
        largest[0] = 6
        np.testing.assert_allclose(encoder.encode(CROPS), by_hand(CROPS), atol=2e-5)
        assert [w for w in encoder.warnings if "no memory for a batch of 32" in w]
        told = len(encoder.warnings)
        assert told == sum(b > 6 for b in BUCKETS)
        np.testing.assert_allclose(encoder.encode(CROPS), by_hand(CROPS), atol=2e-5)
        assert len(encoder.warnings) == told, "what does not fit is tried once"
        largest[0] = 0
        with pytest.raises(EncoderError, match="no memory for a batch of 1"):
            encoder.encode(CROPS[:1])


def test_a_gpu_that_is_not_there_is_refused_with_tensorflows_reason(path):
    import tensorflow as tf

    number = len(tf.config.list_physical_devices("GPU"))
    with pytest.raises(DeviceError, match=rf"TensorFlow sees {number} GPUs \(.{{10,}}\); use --device cpu"):
        FrozenEncoder.open(path, device=f"gpu:{number}")


@pytest.mark.parametrize("device", ["tpu", "gpu:x", "cpu:1", ""])
def test_refuses_unknown_devices(path, device):
    with pytest.raises(DeviceError, match="expected auto, cpu, gpu or gpu:N"):
        FrozenEncoder.open(path, device=device)


def test_fresh_process_loads_and_checks(path, tmp_path, capsys):
    done = subprocess.run(
        [sys.executable, "-m", "tracker.encoder.runtime", str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dimension"] == 8
    (tmp_path / "bad.pb").write_bytes(b"<html>")
    assert main([str(tmp_path / "bad.pb")]) == 1
    assert "HTML page" in capsys.readouterr().err
    assert main([]) == 2


@pytest.mark.parametrize(
    "shape, tail, words",
    [
        ((None, 16, 8, 3), "two", "--output rest --out"),
        ((None, 3, 16, 8), "one", "channels first"),
        ((None, 16, 8, 3), "classes", "softmax over 7 classes.*--output embedding"),
        ((None, 16, 8, 3), "named classes", "softmax over 7 classes.*--output embedding"),
        ((None, 16, 8, 3), "probabilities", "4 probabilities of classes.*freeze inspect .*--output LAYER"),
        ((None, 16, 8, 3), "maps", "expected one of rank 2.*freeze inspect .*--output LAYER"),
        ((None, 16, 8, 3), "numbers", "outputs: none.*freeze inspect .*--output LAYER"),
    ],
)
def test_a_bare_graph_that_does_not_fit_names_the_command_that_cures_it(tmp_path, shape, tail, words):
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, shape, "images")
        x = tf.reshape(tf.reduce_mean(images, (1, 2)), (-1, shape[3]))
        features = tf.identity(x @ tf.ones((shape[3], 4)), "embedding" if "classes" in tail else "features")
        if tail == "two":
            tf.identity(x @ tf.ones((shape[3], 9)), "logits")
            tf.identity(features, "rest")
        if "classes" in tail:
            classes = tf.nn.softmax(tf.nn.bias_add(features @ tf.ones((4, 7)), tf.zeros(7)), name="classes")
        if tail == "named classes":
            tf.identity(classes, "feature")
        if tail == "probabilities":
            shares = tf.exp(features / 255 * [1.0, 2.0, 3.0, 4.0])
            tf.divide(shares, tf.reduce_sum(shares, 1, keepdims=True), name="shares")
        if tail == "maps":
            tf.reshape(features, (-1, 2, 2, 1), name="maps")
        if tail == "numbers":
            tf.cast(features, tf.int32, name="numbers")
    path = tmp_path / "net.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(EncoderError, match=rf"{words}.*net_frozen.pb|{words}.*python -m freeze --graphdef"):
        FrozenEncoder.open(path)
