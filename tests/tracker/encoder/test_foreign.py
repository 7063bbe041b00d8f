"""Encoders for other runtimes: opened by their contract, refused where that or the file does not fit."""

import numpy as np
import pytest

from tests.encoders import SHAPE
from tracker.encoder.contract import Contract, contract_path, sha256
from tracker.encoder.foreign import ForeignSession
from tracker.encoder.runtime import FrozenEncoder, trial_crops
from tracker.encoder.trial import tried
from tracker.errors import DeviceError, EncoderError

onnx = pytest.importorskip("onnx")


def model(*, external=False):
    """Mean colour of a crop's rows, of unit length, as ONNX."""
    from onnx import TensorProto, helper

    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [2])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, SHAPE[0] * 3])
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["features"], axis=1, p=2),
    ]
    if external:
        shape.ClearField("int64_data")
        shape.data_location = TensorProto.EXTERNAL
        entry = shape.external_data.add()
        entry.key, entry.value = "location", "/etc/hostname"
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", *SHAPE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", SHAPE[0] * 3])],
        [axes, shape],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def by_hand(crops):
    flat = crops.astype(np.float32).mean(2).reshape(len(crops), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "e.onnx"
    file.write_bytes(model())
    contract_path(file).write_text(Contract(sha256(file), SHAPE, SHAPE[0] * 3, colour_order="rgb").to_json())
    return file


def test_encodes_by_the_contract(path):
    crops = 1 + trial_crops(7, SHAPE) // 2
    with FrozenEncoder.open(path) as encoder:
        assert encoder.device == "cpu" and encoder.precision == "f32" and encoder.dimension == SHAPE[0] * 3
        np.testing.assert_allclose(encoder.encode(crops), by_hand(crops[..., ::-1]), atol=1e-5)
        assert encoder.encode(crops[:0]).shape == (0, SHAPE[0] * 3)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_every_runtime_gives_the_same(path, runtime):
    pytest.importorskip(runtime)
    crops = 1 + trial_crops(3, SHAPE) // 2
    session = ForeignSession(path, 1, runtime)
    np.testing.assert_allclose(session(crops)[0], by_hand(crops), atol=1e-5)
    session.close()
    with pytest.raises(EncoderError, match="closed"):
        session(crops)


def test_what_does_not_fit_is_refused(path, tmp_path):
    with pytest.raises(DeviceError, match="--device cpu"):
        FrozenEncoder.open(path, device="gpu")
    with pytest.raises(EncoderError, match="freeze it in bf16"):
        FrozenEncoder.open(path, precision="bf16")
    with pytest.raises(EncoderError, match=r"gone\.onnx"):
        FrozenEncoder.open(tmp_path / "gone.onnx")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(EncoderError, match="SHA-256"):
        FrozenEncoder.open(path)
    contract_path(path).unlink()
    path.write_bytes(model())
    with pytest.raises(EncoderError, match=r"no contract e\.onnx\.json"):
        FrozenEncoder.open(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(EncoderError, match="cannot load it"):
        FrozenEncoder.open(path)


def test_weights_in_another_file_are_not_opened(path):
    path.write_bytes(model(external=True))
    contract_path(path).unlink()
    with pytest.raises(EncoderError, match="another file"):
        FrozenEncoder.open(path)


def test_weights_that_are_missing_are_named(tmp_path):
    (tmp_path / "net.xml").write_text("<net/>")
    with pytest.raises(EncoderError, match=r"its weights net.bin are missing; put that file beside it"):
        tried(tmp_path / "net.xml")
