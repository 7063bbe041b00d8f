"""TensorFlow.js graph models (JSON and weight shards) to frozen GraphDefs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker.core.tensorflow import import_tensorflow
from tracker.errors import DetectorError

_FUSED = {"_FusedConv2D": "Conv2D", "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative"}
_ACTIVATIONS = ("Relu", "Relu6", "Elu", "LeakyRelu", "Sigmoid", "Tanh")
# Attributes that a plain convolution has; the fused one carries more.
_CONVOLUTION = ("T", "strides", "padding", "data_format", "dilations", "explicit_paddings", "use_cudnn_on_gpu")


def to_graph(model_json: bytes, weights: bytes) -> Any:
    """GraphDef with the weights as float32 constants and every fused convolution split into plain ops.

    Parameters
    ----------
    model_json : bytes
        The model's `.json`: topology and the list of weights in order.
    weights : bytes
        All weight shards, one after the other.

    Raises
    ------
    DetectorError
        Not such a model, weights too short, or an op that cannot be split.
    """
    tf = import_tensorflow()
    from google.protobuf import json_format

    try:
        model = json.loads(model_json)
        topology, manifest = model["modelTopology"], model["weightsManifest"]
        # TF.js leaves constants empty, and knows attributes that GraphDef does not.
        graph = json_format.ParseDict({"node": topology["node"]}, tf.compat.v1.GraphDef(), ignore_unknown_fields=True)
    except (ValueError, KeyError, TypeError, json_format.ParseError) as error:
        raise DetectorError(f"not a TensorFlow.js graph model ({error}); fetch it again") from None
    values = read_weights([w for group in manifest for w in group["weights"]], weights)
    frozen = tf.compat.v1.GraphDef()
    frozen.versions.producer = tf.version.GRAPH_DEF_VERSION
    for node in graph.node:
        if node.op == "Const":
            if node.name not in values:
                raise DetectorError(f"constant {node.name} has no weights; fetch the model again")
            _constant(tf, frozen, node.name, values[node.name])
        elif node.op in _FUSED:
            _split(frozen, node)
        else:
            frozen.node.add().CopyFrom(node)
    return frozen


def read_weights(entries: Sequence[dict[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    """Arrays by name, in the types the graph computes in.

    Float16 stands for float32 as it is; uint8 and uint16 stand for floats with a scale and a minimum.
    """
    values, at = {}, 0
    for entry in entries:
        quantised = entry.get("quantization", {})
        stored = np.dtype(quantised.get("dtype", entry["dtype"]))
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if at + count * stored.itemsize > len(data):
            raise DetectorError(f"weights end at byte {len(data)}, in the middle of {entry['name']}; fetch them again")
        array = np.frombuffer(data, stored, count, at).reshape(entry["shape"])
        at += count * stored.itemsize
        if "scale" in quantised:
            array = array * np.float32(quantised["scale"]) + np.float32(quantised["min"])
        values[entry["name"]] = array.astype(entry["dtype"])
    if at != len(data):
        raise DetectorError(f"{len(data)} bytes of weights where the model lists {at}; fetch them again")
    return values


def _constant(tf: Any, graph: Any, name: str, value: np.ndarray) -> None:
    node = graph.node.add(op="Const", name=name)
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum


def _split(graph: Any, fused: Any) -> None:
    """Convolution, bias and activation as nodes of their own; the last one takes the fused node's name."""
    steps = [s.decode() for s in fused.attr["fused_ops"].list.s]
    if steps[:1] != ["BiasAdd"] or len(steps) > 2 or (len(steps) == 2 and steps[1] not in _ACTIVATIONS):
        raise DetectorError(
            f"{fused.op} {fused.name} fuses {steps}; expected BiasAdd and one of {', '.join(_ACTIVATIONS)}"
        )
    names = [f"{fused.name}/conv", *([f"{fused.name}/bias"] if len(steps) == 2 else []), fused.name]
    convolution = graph.node.add(op=_FUSED[fused.op], name=names[0])
    convolution.input.extend(fused.input[:2])
    for key in _CONVOLUTION:
        if key in fused.attr and not (key == "use_cudnn_on_gpu" and convolution.op != "Conv2D"):
            convolution.attr[key].CopyFrom(fused.attr[key])
    bias = graph.node.add(op="BiasAdd", name=names[1])
    bias.input.extend([names[0], fused.input[2]])
    bias.attr["T"].CopyFrom(fused.attr["T"])
    bias.attr["data_format"].CopyFrom(fused.attr["data_format"])
    if len(steps) == 2:
        activation = graph.node.add(op=steps[1], name=fused.name)
        activation.input.append(names[1])
        activation.attr["T"].CopyFrom(fused.attr["T"])
        if steps[1] == "LeakyRelu":
            activation.attr["alpha"].f = fused.attr["leakyrelu_alpha"].f
