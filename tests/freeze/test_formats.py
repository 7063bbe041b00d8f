"""`--also`: the same encoder for other runtimes, each proved, or not written."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from freeze.errors import FreezeError, Log, UsageError
from freeze.formats import also, calibration
from freeze.formats.run import Model
from freeze.graph.images import structured
from freeze.request import Request
from freeze.training import mine
from tests.encoders import SHAPE, by_hand, graph_def
from tests.freeze.training.test_adapt import SIZE, drawn
from tracker.encoder.contract import Contract, contract_path, sha256

ROOT = Path(__file__).parents[2]
CROPS = structured(5, SHAPE, seed=2)
NAMES = {"openvino": "e.xml", "tflite": "e.tflite", "savedmodel": "e.savedmodel", "onnx": "e.onnx"}
NEEDS = {"onnx": "tf2onnx", "openvino": "openvino"}


def written(folder, *formats, **more):
    contract = Contract("0" * 64, SHAPE, 8)
    log = Log()
    request = Request(network="striped", out=folder / "e.pb", also=formats, **more)
    return also.write_also(request, graph_def(), CROPS, contract, log), log


def needed(name):
    if importlib.util.find_spec(NEEDS.get(name, "tensorflow")) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")


@pytest.mark.parametrize("name", NAMES)
def test_each_format_gives_the_same_features_by_its_contract(tmp_path, name):
    needed(name)
    lost, log = written(tmp_path, name)
    assert not lost, log.findings
    path = tmp_path / NAMES[name]
    np.testing.assert_allclose(Model(name, path)(CROPS), by_hand(CROPS), atol=1e-5)
    contract = Contract.beside(path)
    assert contract.graph_sha256 == sha256(path) and contract.provenance["format"] == name
    assert contract.proof["max_abs_difference"] < 1e-5 and contract.proof["batch_difference"] < 1e-5
    assert {p.name for p in tmp_path.iterdir()} <= {path.name, "e.bin", contract_path(path).name}
    assert written(tmp_path, name)[0] == []  # again, over the old one


def test_a_format_that_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(also, "TOLERANCE", -1.0)
    lost, log = written(tmp_path, "savedmodel")
    assert lost == ["savedmodel"] and [f.code for f in log.findings] == ["FORMAT_DIFFERS"]
    assert not list(tmp_path.iterdir())


def test_an_operation_that_a_converter_lacks_is_named(tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.uint8, [None, *SHAPE], name="images")
        x = tf.reduce_mean(tf.cast(images, tf.float32), 1)[:, :4]
        values = tf.raw_ops.SelfAdjointEigV2(input=tf.matmul(x, x, transpose_b=True), compute_v=False).e
        tf.identity(values, name="features")
    lost, log = [], Log()
    request = Request(network="striped", out=tmp_path / "e.pb", also=("tflite",))
    lost = also.write_also(request, graph.as_graph_def(), CROPS, Contract("0" * 64, SHAPE, 4), log)
    assert lost == ["tflite"] and log.findings[0].code == "FORMAT_FAILED" and "SelfAdjointEigV2" in log.findings[0].why
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Ten identities of four crops each, which differ from one another by little."""
    folder, r = tmp_path_factory.mktemp("crops"), np.random.default_rng(1)
    for n, image in enumerate(structured(10, SHAPE, seed=4)):
        (folder / f"{n:04}").mkdir()
        for k in range(4):
            noisy = np.clip(image + r.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{n:04}" / f"{n + 1:04}_c{k % 2}_{k}.png"), noisy)
    return folder


@pytest.mark.parametrize("name", ["tflite", "openvino"])
def test_eight_bits_are_judged_on_the_given_crops(tmp_path, crops, name):
    needed(name)
    if name == "openvino":
        pytest.importorskip("nncf")
    lost, log = written(tmp_path, name, precision="int8", calibrate=str(crops))
    assert not lost, log.findings
    assert any("40 crops of 10 identities" in f.why for f in log.findings)
    contract = Contract.beside(tmp_path / NAMES[name])
    assert contract.precision == "int8" and contract.proof["inputs"] == 40
    assert contract.proof["rank1"] >= contract.proof["rank1_f32"] - 0.01 and contract.proof["mean_cosine"] > 0.95


def test_crops_of_a_video_are_those_of_its_tracks(tmp_path, monkeypatch, capfd):
    """Nothing is printed: the program that asks says what it found. Following itself is tested where videos adapt."""
    video = drawn(tmp_path / "scene.avi", 6, 90)
    rows = [
        (f + 1, i + 1, x, y, x + 40, y + 75)
        for f in range(90)
        for i in range(6)
        for x, y in [((f - 30 * (i // 3)) * 9 - 50, 10 + 95 * (i % 3))]
        if 0 <= x <= SIZE[0] - 40
    ]
    monkeypatch.setattr(mine, "track", lambda *_: np.array(sorted(rows), float))
    found = calibration.read(str(video), (128, 64, 3), "bgr")
    assert len(set(found.identity)) == 6 and set(found.camera) == {0, 1} and found.crops.shape[1:] == (128, 64, 3)
    assert capfd.readouterr().out == ""


def test_too_few_crops_are_refused(tmp_path, crops):
    one = tmp_path / "one"
    one.mkdir()
    cv2.imwrite(str(one / "a.png"), CROPS[0])
    with pytest.raises(FreezeError, match="CALIBRATION_CROPS"):
        calibration.read(str(one), SHAPE, "bgr")
    bgr, rgb = (calibration.read(str(crops), SHAPE, order) for order in ("bgr", "rgb"))
    assert len(bgr.crops) == 40 and len(set(bgr.identity)) == 10 and set(bgr.camera) == {0, 1}
    np.testing.assert_array_equal(bgr.crops[..., ::-1], rgb.crops)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"also": "onnx,tfjs"}, "onnx,openvino,tflite,savedmodel"),
        ({"precision": "int8", "calibrate": "x"}, "--also openvino or tflite"),
        ({"precision": "int8", "also": "tflite"}, "belong together"),
        ({"calibrate": "x", "also": "tflite"}, "belong together"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        Request.from_options({"network": "striped", **options})


def test_tracking_with_such_an_encoder_loads_no_tensorflow(tmp_path):
    needed("openvino")
    written(tmp_path, "openvino")
    np.save(tmp_path / "crops.npy", CROPS)
    code = (
        "import json, sys, numpy as np\nfrom tracker import FrozenEncoder\nfolder = sys.argv[1]\n"
        "with FrozenEncoder.open(folder + '/e.xml') as e:\n    f = e.encode(np.load(folder + '/crops.npy'))\n"
        "print(json.dumps([f.tolist(), 'tensorflow' in sys.modules, e.device]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    features, loaded, device = json.loads(run.stdout)
    assert not loaded and device == "cpu"
    np.testing.assert_allclose(features, by_hand(CROPS), atol=1e-5)
