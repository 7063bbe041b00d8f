"""Small networks made here: constants and reshapes that answer in the layouts of the YOLO family."""

import numpy as np
import pytest

from detectors.onnx import letterbox
from detectors.onnx_file import OnnxFile, read_onnx
from detectors.onnx_heads import Output, cells, recognise
from detectors.registry import open_detector
from tracker.core.types import Frame
from tracker.errors import DetectorError

onnx = pytest.importorskip("onnx")

SIZE = (96, 64)  # width, height: 96 + 24 + 6 cells
A = cells(SIZE)
IMAGE = np.zeros((50, 150, 3), np.uint8)  # letterboxed by 0.64 to 96x32, 16 rows of border above
BOX = np.array([24.0, 26.0, 48.0, 42.0])  # in the input's pixels
EXPECTED = [37.5, 15.625, 75.0, 40.625]  # in the image's
CENTRED = [36.0, 34.0, 24.0, 16.0]


def network(tmp_path, outputs, names=None, dynamic=False):
    """A network that answers `outputs` whatever it sees: each depends on the input, times zero."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = [1, 3, "height", "width"] if dynamic else [1, 3, SIZE[1], SIZE[0]]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    weights = [onnx.numpy_helper.from_array(np.array(0, np.float32), "zero")]
    for i, output in enumerate(outputs):
        weights.append(onnx.numpy_helper.from_array(output.astype(np.float32), f"value{i}"))
        nodes.append(helper.make_node("Add", [f"value{i}", "nothing"], [f"output{i}"]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info(f"output{i}", kind, o.shape) for i, o in enumerate(outputs)], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if names is not None:
        helper.set_model_props(model, {"names": str(dict(enumerate(names))), "imgsz": str([SIZE[1], SIZE[0]])})
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path))
    return path


def rows(count, columns):
    return np.zeros((1, count, columns), np.float32)


def v8(extra=0):
    out = rows(A, 4 + 3 + extra)
    out[0, 7, :4], out[0, 7, 5], out[0, 7, 7:] = CENTRED, 0.9, 50
    return out.transpose(0, 2, 1)


def v5():
    out = rows(3 * A, 5 + 3)
    out[0, 11, :4], out[0, 11, 4], out[0, 11, 6] = CENTRED, 0.95, 0.9
    return out


def yolox(decoded):
    out = rows(A, 5 + 3)
    cell, stride = 4 * 12 + 4, 8  # row 4, column 4 of the first grid, 12 cells wide
    out[0, cell, :4] = (
        CENTRED if decoded else [36 / stride - 4, 34 / stride - 4, np.log(24 / stride), np.log(16 / stride)]
    )
    out[0, cell, 4], out[0, cell, 6] = 0.95, 0.9
    return out


def end2end():
    out = rows(20, 6)
    out[0, 3] = [*BOX, 0.9, 1]
    return out


def batched():
    return np.array([[0, *BOX, 1, 0.9], [0, 1, 1, 5, 5, 0, 0.01]], np.float32)


def four():
    boxes = np.zeros((1, 10, 4), np.float32)
    boxes[0, 0] = BOX
    score, ids = np.zeros((1, 10), np.float32), np.zeros((1, 10), np.float32)
    score[0, :2], ids[0, :2] = 0.9, 1  # the second lies beyond the count
    return [np.array([[1]], np.float32), boxes, score, ids]


CASES = {
    "v8": [v8()],
    "v8 transposed": [v8().transpose(0, 2, 1)],
    "v8 with masks": [v8(extra=8), np.zeros((1, 8, 16, 24), np.float32)],
    "v5": [v5()],
    "v5 with its raw heads": [v5(), np.zeros((1, 3, 8, 12, 8), np.float32)],
    "v10": [end2end()],
    "v7 end to end": [batched()],
    "four outputs": four(),
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_layout_gives_the_box(tmp_path, case, dynamic):
    path = network(tmp_path, CASES[case], names=["person", "car", "dog"], dynamic=dynamic)
    size = f"{SIZE[0]}x{SIZE[1]}" if dynamic else None
    detector = open_detector(path, tiles="off", confidence=0.3, input_size=size)
    found = detector(Frame(1, 0.0, IMAGE, (150, 50)))
    assert detector.class_names == ("person", "car", "dog") and detector.runtime.startswith("openvino cpu")
    np.testing.assert_allclose(found.xyxy, [EXPECTED], atol=0.02)
    assert found.class_id.tolist() == [1] and 0.8 < found.score[0] <= 0.9001


@pytest.mark.parametrize("decoded", [False, True])
def test_yolox_stands_in_the_upper_left_corner(tmp_path, decoded):
    detector = open_detector(network(tmp_path, [yolox(decoded)]), tiles="off")
    found = detector(Frame(1, 0.0, np.zeros((100, 150, 3), np.uint8), (150, 100)))
    assert detector.class_names == ("class 0", "class 1", "class 2")
    np.testing.assert_allclose(found.xyxy, [BOX / 0.64], atol=0.02)


def test_eighty_classes_without_names_are_coco_and_filtered_to_road_users(tmp_path):
    out = rows(A, 84).transpose(0, 2, 1).copy()
    out[0, :4, 3], out[0, 4 + 2, 3] = CENTRED, 0.9  # a car
    out[0, :4, 9], out[0, 4 + 16, 9] = [20, 20, 10, 10], 0.9  # a dog
    path = network(tmp_path, [out])
    frame = Frame(1, 0.0, IMAGE, (150, 50))
    assert open_detector(path, tiles="off")(frame).class_id.tolist() == [2]
    assert sorted(open_detector(path, tiles="off", classes=["all"])(frame).class_id) == [2, 16]
    assert open_detector(path, tiles="off", classes=["dog"])(frame).class_id.tolist() == [16]


def test_letterbox_keeps_points():
    rng = np.random.default_rng(0)
    for _ in range(20):
        w, h, W, H = rng.integers(5, 300, 4)
        framed, scale, offset = letterbox(np.full((h, w, 3), 255, np.uint8), (W, H), centred=True)
        ys, xs = np.nonzero(framed[..., 0] == 255)
        np.testing.assert_allclose([xs.min(), ys.min()], offset)
        np.testing.assert_allclose([xs.max() + 1, ys.max() + 1], np.array([w, h]) * scale + offset)


def kind_of(*shapes, size=(640, 640), names=0, whole=(), labels=(), **metadata):
    outputs = [Output(labels[i] if labels else f"o{i}", s, i in whole) for i, s in enumerate(shapes)]
    return recognise(outputs, size, names, metadata)


def test_the_shapes_of_real_exports():
    assert kind_of((1, 84, 8400), names=80).kind == "v8"
    assert kind_of((1, 25200, 85)).kind == "v5"
    assert kind_of((1, 8400, 85)).kind == "yolox"
    assert kind_of((1, 300, 6), names=80).kind == "end2end"
    assert kind_of((1, 116, 8400), (1, 32, 160, 160), names=80).classes == 80
    assert kind_of((1, 102000, 85), size=(1280, 1280)).kind == "v5"  # four strides
    assert kind_of((1, 84, 500), size=(320, 320), names=80).kind == "v8"  # two strides
    assert kind_of((1, 85, 8400), names=80, task="obb").angle and kind_of((1, 300, 7), task="obb").kind == "end2end"
    assert kind_of((1, 300, 38), names=80, task="segment").kind == "end2end"
    assert kind_of((1, 300, 84)).kind == kind_of((1, 300, 12), names=8).kind == "detr"
    assert kind_of((1, 300, 6), names=2, head="RTDETRDecoder").kind == "detr"
    assert kind_of((1, 8400, 4), (1, 8400, 80)).kind == "apart"
    assert kind_of((1, 300), (1, 300, 4), (1, 300), whole=(0,)).outputs == (1, 2, 0)
    assert kind_of((7, 4), (7,), (7,), labels=("boxes", "scores", "labels")).outputs == (0, 1, 2)
    assert kind_of((1, 1000)) is None and kind_of((1, 255, 80, 80), (1, 255, 40, 40)) is None


@pytest.mark.parametrize(
    "data, words",
    [
        (b"<!doctype html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"", "empty"),
        (b"garbage that is no model at all", "net.onnx"),
        (b"\x08\x08\x12\xff\xff\xff\xff\x7f", "net.onnx"),
    ],
)
def test_a_file_that_is_no_model(tmp_path, data, words):
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(DetectorError, match=words) as caught:
        open_detector(path)
    assert "\n" not in str(caught.value)


def test_a_network_that_detects_nothing_known(tmp_path):
    with pytest.raises(DetectorError, match=r"outputs are output0 \[1, 10\]; expected .*YOLOX"):
        open_detector(network(tmp_path, [np.zeros((1, 10))]))


def test_metadata_is_read_by_hand(tmp_path):
    path = network(tmp_path, [end2end()], names=["a", "b"])
    about = read_onnx(path.read_bytes(), tmp_path)
    assert about.names == ("a", "b") and about.size == SIZE
    assert [(i.name, i.shape, i.kind) for i in about.inputs] == [("images", (1, 3, 64, 96), 1)]
    free = read_onnx(network(tmp_path, [end2end()], dynamic=True).read_bytes(), tmp_path)
    assert free.inputs[0].shape == (1, 3, None, None)


@pytest.mark.parametrize(
    "text, names",
    [
        ("{0: 'a', 1: 'b'}", ("a", "b")),
        ('{"0": "a", "1": "b"}', ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("{1: 'b'}", ("class 0", "b")),
        ("{0: 'a\\n\\ud800'}", ("a\\n\\ud800",)),
        ("{0: __import__('os')}", ()),
        ("(" * 5000, ()),
        ("7", ()),
    ],
)
def test_class_names_as_people_write_them(text, names):
    assert OnnxFile({"names": text}, ()).names == names
