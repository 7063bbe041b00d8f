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


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """What is opened here was made here: no trial in a child for each."""
    monkeypatch.setenv("TRACKER_CHILD", "1")


def test_a_stranger_is_tried_in_a_child_first(tmp_path, monkeypatch):
    from detectors import trial

    monkeypatch.delenv("TRACKER_CHILD")
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path / "cache"))
    path = network(tmp_path, [end2end()], names=["a", "b"])
    open_detector(path, device="cpu")
    assert list((tmp_path / "cache").rglob("trials.json"))
    monkeypatch.setattr(trial.child, "run", lambda *args, **kwargs: pytest.fail("tried a second time"))
    open_detector(path, device="cpu")


def network(tmp_path, outputs, names=None, dynamic=False, task="detect"):
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
        helper.set_model_props(
            model, {"names": str(dict(enumerate(names))), "imgsz": str([SIZE[1], SIZE[0]]), "task": task}
        )
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path))
    return path


def edited(path, change):
    """The file with its protobuf message changed."""
    model = onnx.load(str(path))
    change(model)
    path.write_bytes(model.SerializeToString())
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


def apart(scores):
    """Boxes and scores as two outputs."""
    boxes, table = np.zeros((1, A, 4), np.float32), np.full((1, A, 3), scores(0.0), np.float32)
    boxes[0], boxes[0, 5], table[0, 5, 1] = [0, 0, 1, 1], BOX, scores(0.9)
    return [boxes, table]


def shares(boxes):
    """Boxes in the input's pixels as shares of its sides."""
    return boxes / np.tile(SIZE, 2)


def v8_as_shares():
    out = v8()
    out[0, :4] = shares(out[0, :4].T).T
    return out


def detr():
    out = rows(20, 4 + 3)
    out[0, 3, :4], out[0, 3, 5] = shares(np.array(CENTRED)), 0.9
    return out


def turned():
    """An oriented box: the same box turned by a right angle, as its angle says."""
    out = rows(A, 4 + 3 + 1)
    out[0, 7, :4], out[0, 7, 5], out[0, 7, 7] = [36, 34, 16, 24], 0.9, np.pi / 2
    return out.transpose(0, 2, 1)


def wide(extra):
    return np.concatenate([end2end(), np.full((1, 20, extra), 0.5, np.float32)], axis=2)


CASES = {
    "v8": [v8()],
    "v8 transposed": [v8().transpose(0, 2, 1)],
    "v8 with masks": [v8(extra=8), np.zeros((1, 8, 16, 24), np.float32)],
    "v5": [v5()],
    "v5 with its raw heads": [v5(), np.zeros((1, 3, 8, 12, 8), np.float32)],
    "v10": [end2end()],
    "v7 end to end": [batched()],
    "four outputs": four(),
    "boxes and scores apart": apart(float),
    "boxes as shares": [
        np.concatenate([shares(v8()[:, :4].transpose(0, 2, 1)).transpose(0, 2, 1), v8()[:, 4:]], axis=1)
    ],
    "end to end with masks": [wide(32)],
    "end to end with key points": [wide(51)],
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


def logits():
    boxes, scores = apart(lambda p: np.log(max(p, 1e-3) / (1 - p)))
    boxes[0] = [0.5, 0.5, 0.1, 0.1]
    boxes[0, 5] = shares(np.array(CENTRED))
    return [boxes, scores]


STRETCHED = [37.5, 20.3125, 75.0, 32.8125]
"""The box where pictures are stretched to the input: 150/96 and 50/64 of its pixels."""


@pytest.mark.parametrize("outputs", [[detr()], logits()])
def test_transformers_take_pictures_stretched(tmp_path, outputs):
    detector = open_detector(network(tmp_path, outputs, names=["person", "car", "dog"]), tiles="off", confidence=0.3)
    found = detector(Frame(1, 0.0, IMAGE, (150, 50)))
    np.testing.assert_allclose(found.xyxy, [STRETCHED], atol=0.02)
    assert found.class_id.tolist() == [1] and abs(found.score[0] - 0.9) < 1e-3


def test_the_upright_box_around_an_oriented_one(tmp_path):
    path = network(tmp_path, [turned()], names=["person", "car", "dog"], task="obb")
    detector = open_detector(path, tiles="off", confidence=0.3)
    np.testing.assert_allclose(detector(Frame(1, 0.0, IMAGE, (150, 50))).xyxy, [EXPECTED], atol=0.02)
    assert detector.warnings == ["detector net.onnx: of its boxes with angles the boxes alone are used"]


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("kind", ["FLOAT16", "UINT8", "channels last", "batch of 4"])
def test_inputs_of_other_kinds(tmp_path, kind, runtime):
    """What the network is fed shows in the score: 0.9 plus a hundredth of the mean that it is given."""
    pytest.importorskip(runtime)
    path = network(tmp_path, [np.repeat(v8(), 4 if kind == "batch of 4" else 1, axis=0)], names=["a", "b", "c"])

    def change(model):
        given = model.graph.input[0].type.tensor_type
        cast = onnx.helper.make_node("Cast", ["images"], ["as float"], to=onnx.TensorProto.FLOAT)
        if kind in ("FLOAT16", "UINT8"):
            given.elem_type = getattr(onnx.TensorProto, kind)
            model.graph.node.insert(0, cast)
            model.graph.node[1].input[0] = "as float"
        elif kind == "channels last":
            given.shape.dim[1].dim_value, given.shape.dim[3].dim_value = SIZE[1], 3
            given.shape.dim[2].dim_value = SIZE[0]
        else:
            given.shape.dim[0].dim_value = 4
        weight = 1e-2 / (255 if kind == "UINT8" else 1)
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.array(weight, np.float32), "zero"))

    detector = open_detector(edited(path, change), tiles="2x1", confidence=0.5, runtime=runtime, device="cpu")
    white = np.full((64, 96, 3), 255, np.uint8)
    found = detector(Frame(1, 0.0, white, (96, 64)))
    assert len(found) == 3 and detector.runtime.startswith(runtime)
    assert ((found.score > 0.905) & (found.score < 0.911)).all()  # grey borders and empty places darken it


def test_eight_bit_files_run(tmp_path):
    """As ONNX Runtime writes them: the picture is quantised inside, and a convolution of whole numbers follows."""
    helper, kinds = onnx.helper, onnx.TensorProto

    def change(model):
        nodes = [
            helper.make_node("DynamicQuantizeLinear", ["images"], ["xq", "xs", "xz"]),
            helper.make_node("ConvInteger", ["xq", "w", "xz", "wz"], ["ci"], kernel_shape=[8, 8], strides=[8, 8]),
            helper.make_node("Cast", ["ci"], ["cf"], to=kinds.FLOAT),
        ]
        model.graph.initializer.extend([
            onnx.numpy_helper.from_array(np.ones((1, 3, 8, 8), np.uint8), "w"),
            onnx.numpy_helper.from_array(np.uint8(0), "wz"),
        ])  # fmt: skip
        model.graph.node[0].input[0] = "cf"
        for node in reversed(nodes):
            model.graph.node.insert(0, node)

    path = edited(network(tmp_path, [v8()], names=["a", "b", "c"]), change)
    found = open_detector(path, tiles="off", confidence=0.3)(Frame(1, 0.0, IMAGE, (150, 50)))
    np.testing.assert_allclose(found.xyxy, [EXPECTED], atol=0.02)


def outside(place):
    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", place

    return change


def test_weights_outside_the_folder_are_refused(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(secret)
    for place in (str(secret), "../secret.bin", "link.bin", "sub/../../secret.bin"):
        path = edited(network(folder, [v8()]), outside(place))
        with pytest.raises(DetectorError, match="outside the model's folder; refused"):
            open_detector(path)
    with pytest.raises(DetectorError, match=r"weights 'w\.bin' are missing"):
        open_detector(edited(network(folder, [v8()]), outside("w.bin")))
    (folder / "w.bin").write_bytes(bytes(4))
    open_detector(edited(network(folder, [v8()], names=["a", "b", "c"]), outside("w.bin")))


def test_a_place_that_only_some_readers_see_is_refused(tmp_path):
    """Of a key that comes twice in an entry protocol buffers take the last, after a place that is harmless."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(4))
    path = edited(network(folder, [v8()]), outside("w.bin"))
    model = onnx.load(path, load_external_data=False)
    tensors = [t.SerializeToString() for t in model.graph.initializer]
    hidden = b"".join(
        bytes([f << 3 | 2, len(v)]) + v for f, v in ((1, b"x"), (2, b"w.bin"), (1, b"location"), (2, b"/etc"))
    )
    tensors[0] += bytes([13 << 3 | 2, len(hidden)]) + hidden
    del model.graph.initializer[:]
    graph = model.graph.SerializeToString()
    for tensor in tensors:
        graph += bytes([5 << 3 | 2]) + varint(len(tensor)) + tensor
    model.ClearField("graph")
    path.write_bytes(model.SerializeToString() + bytes([7 << 3 | 2]) + varint(len(graph)) + graph)
    assert onnx.load(path, load_external_data=False).graph.initializer[0].external_data[1].value == "/etc"
    with pytest.raises(DetectorError, match="read from '/etc', outside the model's folder; refused"):
        open_detector(path)


def varint(value):
    """A number as protocol buffers write it."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def dims(*given):
    def change(model):
        model.graph.initializer[0].dims[:] = given

    return change


@pytest.mark.parametrize(
    "change, words",
    [
        (dims(1 << 31, 1 << 31), "has the shape"),
        (dims(-1, -5), r"has the shape \[-1, -5\]"),
        (dims(7), "has 4 bytes for the shape"),
        (lambda m: m.graph.ClearField("input"), "no graph, or an input without a name"),
        (lambda m: setattr(m.graph.input[0], "name", ""), "an input without a name"),
        (lambda m: setattr(m.graph.node[0], "op_type", "Surprise"), "net.onnx: OpenVINO cannot"),
    ],
)  # fmt: skip
def test_damaged_files_are_one_line(tmp_path, change, words):
    with pytest.raises(DetectorError, match=words) as caught:
        open_detector(edited(network(tmp_path, [v8()]), change), device="cpu")
    assert "\n" not in str(caught.value)


def test_a_file_that_breaks_off(tmp_path):
    path = network(tmp_path, [v8()])
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.99):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(DetectorError, match=r"net\.onnx"):
            open_detector(path, device="cpu")


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
    assert kind_of((1, 300, 6), names=2, description="Ultralytics RTDETR").kind == "detr"
    assert kind_of((1, 300, 6), names=2, head="RTDETRDecoder").stretched
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
