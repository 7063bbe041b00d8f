"""Cuts the graph between input and output, and puts the placeholder `images` (uint8) where the input was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from freeze.errors import FreezeError, Log
from freeze.graph.graphdef import (
    Graph,
    GraphDef,
    add_const,
    add_node,
    copied,
    node_name,
    pruned,
    replace_tensor,
    set_attr,
    vacate,
)
from freeze.graph.shapes import Shapes
from freeze.job import INPUT, Job
from tracker.core.tensorflow import import_tensorflow

SHAPES = "the tracker feeds crops [?, height, width, 3]"


def cut(job: Job) -> Job:
    """A job whose graph is the part of job.full that computes job.output from `images`.

    It knows what the model itself takes, and its log holds what was found here alone.

    Raises
    ------
    FreezeError
        INPUT_NOT_IMAGES, INPUT_SHAPE_UNKNOWN, INPUT_SHAPE_SWAPPED.
    """
    job = replace(job, full=copied(job.full), log=Log())
    _clear_name(job.full, job)
    new = copied(job.full)
    for node in new.node:
        node.device = ""
        if "_output_shapes" in node.attr:  # they may no longer hold after a repair
            del node.attr["_output_shapes"]
    channels_first = _input_form(job.full, job)  # with the shapes that the training program set
    graph = Graph(new)
    tensor, dtype = job.input, job.input_dtype
    height, width, channels = job.input_shape
    for node in new.node:
        for ref in [i for i in node.input if i == "^" + node_name(tensor)]:
            node.input.remove(ref)
    uses = [n.name for n, _ in graph.uses(tensor)]
    add_node(new, INPUT, "Placeholder", dtype=import_tensorflow().uint8, shape=[None, height, width, channels])
    end = _prepared(new, job, dtype, channels_first)
    skip = {n.name for n in new.node} - set(uses)
    replace_tensor(new, tensor, end, skip=skip)
    job.head = job.output
    job.graph = pruned(new, [job.output])
    kept = {n.name for n in job.graph.node}
    if any(n.device for n in job.full.node if n.name in kept):
        job.log.note("DEVICES_CLEARED", "the training run's device placements (such as /gpu:0) were cleared")
    return job


def _clear_name(new: GraphDef, job: Job) -> None:
    """Frees the name `images` in the graph."""
    other = vacate(new, INPUT, "_original")
    if other is None:
        return
    for side in ("input", "output"):
        ref = getattr(job, side)
        if node_name(ref) == INPUT:
            setattr(job, side, other + ref[len(INPUT) :])


def _input_form(graph_def: GraphDef, job: Job) -> bool:
    """Sets job.input_dtype and input_shape from the tensor and --image-shape; True where it is channels first."""
    tensor = Shapes(graph_def).tensor(job.input)
    asked = job.request.image_shape
    if tensor is None or not (tensor.dtype.is_floating or tensor.dtype.is_integer):
        kind = tensor.dtype.name if tensor is not None else "an unknown type"
        raise FreezeError(
            "INPUT_NOT_IMAGES",
            f"the input '{job.input}' is {kind}, not pixels (uint8 or float); {SHAPES}",
            "cut behind the decoding: --input NAME of the decoded image batch",
            [job.input],
        )
    dims: list[Any] = [None] * 4 if tensor.shape.rank is None else tensor.shape.as_list()
    if len(dims) != 4:
        raise FreezeError(
            "INPUT_NOT_IMAGES",
            f"the input '{job.input}' has {len(dims)} dimensions {dims}; {SHAPES}: 4 are needed",
            "name the batch of images with --input",
            [job.input],
        )
    job.input_dtype = tensor.dtype
    first = dims[1] in (1, 3) and dims[3] not in (1, 3)
    known = (dims[2], dims[3], dims[1]) if first else (dims[1], dims[2], dims[3])
    job.input_shape = _shape(known, asked, job)
    job.channels_first = first
    return first


def _shape(known: Any, asked: tuple[int, int, int] | None, job: Job) -> tuple[int, int, int]:
    height, width, channels = known[0], known[1], known[2] or (asked[2] if asked else 3)
    if asked and (height, width) == (asked[1], asked[0]) and height != width:
        raise FreezeError(
            "INPUT_SHAPE_SWAPPED",
            f"height and width are swapped: the graph's input is {height}x{width} (height x width), "
            f"--image-shape says {asked[0]}x{asked[1]}",
            f"give --image-shape {height}x{width}x{channels}",
            [job.input],
        )
    if asked and ((height or asked[0], width or asked[1]) != asked[:2]):
        raise FreezeError(
            "INPUT_SHAPE_DIFFERS",
            f"the graph's input is {height}x{width} (height x width), --image-shape says {asked[0]}x{asked[1]}",
            "leave --image-shape out, or give the graph that was built for it",
            [job.input],
        )
    if (height is None or width is None) and not asked:
        raise FreezeError(
            "INPUT_SHAPE_UNKNOWN",
            f"the input '{job.input}' has no fixed height and width",
            "give the size of the crops the network was trained on: --image-shape HxWx3",
            [job.input],
        )
    height, width = height or asked[0], width or asked[1]  # type: ignore[index]
    if channels != 3:
        raise FreezeError(
            "INPUT_NOT_IMAGES",
            f"the input '{job.input}' has {channels} channels; {SHAPES}",
            "name the image input with --input",
            [job.input],
        )
    if width > height:
        job.log.warn(
            "INPUT_WIDE",
            f"the input is wider ({width}) than high ({height}): persons are higher than wide. If the network was"
            " trained on upright crops, height and width are swapped",
            [job.input],
        )
    return int(height), int(width), int(channels)


def _prepared(new: GraphDef, job: Job, dtype: Any, channels_first: bool) -> str:
    """Adds what turns fed pixels into the model's own input; returns its tensor."""
    tf = import_tensorflow()
    end = INPUT
    job.scale = job.request.scale
    if dtype != tf.uint8:
        middle = tf.float32 if dtype.is_floating else dtype
        node = add_node(new, "images_cast", "Cast", [end], SrcT=tf.uint8, DstT=middle)
        end = node.name
        if job.scale is not None and dtype.is_floating:
            add_const(new, "images_scale/factor", job.scale, middle)
            end = add_node(new, "images_scale", "Mul", [end, "images_scale/factor"], T=middle).name
            job.log.note("INPUT_SCALED", f"pixels are multiplied by {job.scale:.8g} inside the graph: feed 0..255")
        if dtype != middle:
            end = add_node(new, "images_cast_2", "Cast", [end], SrcT=middle, DstT=dtype).name
        job.log.note(
            "INPUT_FLOAT",
            f"the model takes {dtype.name}; the frozen graph takes uint8 pixels 0..255 and converts them inside"
            + ("" if job.scale else " (if it was trained on 0..1, add --scale 1/255)"),
            [job.input],
        )
    elif job.scale is not None:
        raise FreezeError(
            "INPUT_SCALE_UINT8",
            "--scale needs a float input, and the model takes uint8",
            "leave --scale out, or give --dtype float32 with a builder",
            [job.input],
        )
    if channels_first:
        add_const(new, "images_nchw/perm", [0, 3, 1, 2], tf.int32)
        node = add_node(new, "images_nchw", "Transpose", [end, "images_nchw/perm"], T=dtype)
        set_attr(node, "Tperm", tf.int32)
        end = node.name
        job.log.repair(
            "INPUT_NCHW",
            [job.input],
            "the model takes channels first; the frozen graph takes [?, H, W, C] and transposes inside",
        )
    return end
