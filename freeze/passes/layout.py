"""NCHW operations, which CPUs lack, become NHWC ones between transposes."""

from __future__ import annotations

import numpy as np

from freeze.errors import Finding
from freeze.graph.graphdef import add_const, add_node, copied, replace_tensor
from freeze.job import Job, Passed
from tracker.core.tensorflow import import_tensorflow

OPS = (
    "Conv2D",
    "MaxPool",
    "AvgPool",
    "FusedBatchNorm",
    "FusedBatchNormV2",
    "FusedBatchNormV3",
    "BiasAdd",
    "DepthwiseConv2dNative",
    "DepthToSpace",
    "SpaceToDepth",
)
PER_AXIS = ("strides", "ksize", "dilations")


def make_channels_last(job: Job) -> Passed:
    """Each NCHW operation is wrapped: transpose, the operation in NHWC, transpose back."""
    new, head = copied(job.graph), job.head
    wrapped = [n for n in new.node if n.op in OPS and n.attr["data_format"].s == b"NCHW"]
    if not wrapped:
        return Passed(new, head)
    add_const(new, "freeze_layout/to_nhwc", np.array([0, 2, 3, 1], np.int32))
    add_const(new, "freeze_layout/to_nchw", np.array([0, 3, 1, 2], np.int32))
    for node in wrapped:
        dtype = import_tensorflow().as_dtype(node.attr["T"].type)
        before = add_node(new, f"{node.name}/to_nhwc", "Transpose", [node.input[0], "freeze_layout/to_nhwc"], T=dtype)
        set_perm(before)
        node.input[0] = before.name
        node.attr["data_format"].s = b"NHWC"
        for key in PER_AXIS:
            if key in node.attr and len(node.attr[key].list.i) == 4:
                n, c, h, w = node.attr[key].list.i
                node.attr[key].list.i[:] = [n, h, w, c]
        pads = list(node.attr["explicit_paddings"].list.i)
        if len(pads) == 8:
            node.attr["explicit_paddings"].list.i[:] = pads[:2] + pads[4:] + pads[2:4]
        after = f"{node.name}/to_nchw"
        replace_tensor(new, node.name, after)
        set_perm(add_node(new, after, "Transpose", [node.name, "freeze_layout/to_nchw"], T=dtype))
        if head.removesuffix(":0") == node.name:
            head = after
    why = "NCHW (channels first) runs on GPUs only: computed in NHWC"
    return Passed(new, head, (Finding("LAYOUT_NCHW", why, tuple(n.name for n in wrapped)),))


def set_perm(node: object) -> None:
    """Give a Transpose node the type of its permutation."""
    node.attr["Tperm"].type = import_tensorflow().int32.as_datatype_enum  # type: ignore[attr-defined]
