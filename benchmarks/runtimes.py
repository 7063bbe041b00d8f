"""The frozen encoder's graph in other runtimes, on one thread: how far a TensorFlow session is from the best."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.openvino import import_openvino
from tracker.encoder.runtime import FrozenEncoder
from tracker.errors import EncoderError

Encode = Callable[[np.ndarray], np.ndarray]
SAME = {
    "AddV2": "Add",
    "Sub": "Sub",
    "Mul": "Mul",
    "Maximum": "Max",
    "Relu": "Relu",
    "MatMul": "MatMul",
    "Identity": "Identity",
    "BiasAdd": "Add",
}
"""Operations that ONNX has under this name."""
REDUCE = {"Mean": "ReduceMean", "Max": "ReduceMax", "Sum": "ReduceSum"}


def open_runtimes(path: Path) -> dict[str, Encode]:
    """`runtime precision` and a function of crops (N,H,W,3) uint8, for the runtimes that are installed."""
    found: dict[str, Encode] = {}
    for precision in ("f32", "bf16"):
        encoder = FrozenEncoder.open(path, device="cpu", precision=precision, threads=1)
        found[f"ours {precision}"] = encoder.encode
    if find_spec("openvino"):
        found |= {f"openvino {p}": _openvino(path, p) for p in ("f32", "bf16")}
    if find_spec("onnxruntime") and find_spec("onnx"):
        found["onnxruntime f32"] = _onnxruntime(path)
    return found


def _openvino(path: Path, precision: str) -> Encode:
    ov = import_openvino()

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    return lambda crops: np.asarray(request.infer([crops], share_inputs=True)[0])


def _onnxruntime(path: Path) -> Encode:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(to_onnx(path), options, providers=["CPUExecutionProvider"])
    return lambda crops: np.asarray(session.run(None, {session.get_inputs()[0].name: crops})[0])


def to_onnx(path: Path) -> bytes:
    """A frozen graph of the operations that `striped` has, as an ONNX model. Raises EncoderError for others."""
    from tracker.encoder.graph_file import read_graph

    writer = _Writer()
    for node in read_graph(path).node:
        writer.add(node)
    return writer.model()


class _Writer:
    """Writes TensorFlow's nodes as ONNX's; pictures are turned to channels first where ONNX wants them so."""

    def __init__(self) -> None:
        import onnx

        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.input, self.output = "", ""

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = value
        return name

    def add(self, node: Any) -> None:
        import tensorflow as tf

        name, kind = node.name, node.op
        inputs = [i.removesuffix(":0") for i in node.input if not i.startswith("^")]
        if kind == "Const":
            self._constant(name, np.asarray(tf.make_ndarray(node.attr["value"].tensor)))
        elif kind == "Placeholder":
            self.input = name
        elif kind in ("Conv2D", "AvgPool"):
            self._window(node, inputs)
        elif kind == "Square":
            self._node("Mul", inputs * 2, name)
        elif kind == "Rsqrt":
            self._node("Reciprocal", [self._node("Sqrt", inputs, f"{name}/root")], name)
        elif kind == "Cast":
            self._node("Cast", inputs, name, to=self.onnx.TensorProto.FLOAT)
        elif kind == "Reshape":
            shape = self._constant(f"{name}/long", self.constants[inputs[1]].astype(np.int64))
            self._node("Reshape", [inputs[0], shape], name)
        elif kind in REDUCE:
            axes = self._constant(f"{name}/long", np.atleast_1d(self.constants[inputs[1]]).astype(np.int64))
            self._node(REDUCE[kind], [inputs[0], axes], name, keepdims=int(node.attr["keep_dims"].b))
        elif kind == "ConcatV2":
            self._node("Concat", inputs[:-1], name, axis=int(self.constants[inputs[-1]]))
        elif kind in SAME:
            self._node(SAME[kind], inputs, name)
        else:
            raise EncoderError(f"{name} is a {kind}, which the benchmark cannot write as ONNX")
        self.output = name

    def _window(self, node: Any, inputs: list[str]) -> None:
        """A convolution or pooling over pictures, with a transposition before and after."""
        name = node.name
        first = [self._node("Transpose", inputs[:1], f"{name}/first", perm=[0, 3, 1, 2])]
        padding = {"SAME": "SAME_UPPER", "VALID": "VALID"}[node.attr["padding"].s.decode()]
        strides = list(node.attr["strides"].list.i)[1:3]
        if node.op == "Conv2D":
            kernel = np.ascontiguousarray(self.constants[inputs[1]].transpose(3, 2, 0, 1))
            first.append(self._constant(f"{name}/kernel", kernel))
            done = self._node("Conv", first, f"{name}/done", auto_pad=padding, strides=strides)
        else:
            size = list(node.attr["ksize"].list.i)[1:3]
            done = self._node(
                "AveragePool", first, f"{name}/done", auto_pad=padding, strides=strides, kernel_shape=size
            )
        self._node("Transpose", [done], name, perm=[0, 2, 3, 1])

    def model(self) -> bytes:
        helper, types = self.onnx.helper, self.onnx.TensorProto
        given = helper.make_tensor_value_info(self.input, types.UINT8, ["n", None, None, 3])
        made = helper.make_tensor_value_info(self.output, types.FLOAT, ["n", None])
        constants = [self.onnx.numpy_helper.from_array(v, n) for n, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, "encoder", [given], [made], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 9
        return bytes(model.SerializeToString())
