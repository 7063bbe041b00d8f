"""A detection graph's copy in 8-bit integers for OpenVINO, where activations are bounded by ReLU6.

Post-training quantisation after Jacob et al. (arXiv 1712.05877): weights per output channel and symmetric, activations
per tensor. Ranges come from drawn pictures with a margin, not from anybody's footage: the copy of a graph is the
same everywhere; what ReLU6 bounds needs none. The first depthwise convolution stays as it is: alone it makes half of
the whole error, at a fortieth of the time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.core.openvino import import_openvino

FORMAT = 2
"""Part of the copy's file name: raise it when the copy changes."""
PICTURES, MARGIN = 16, 1.5
WITHIN = 2
"""The part of their range that weights take is one in so many: processors without VNNI add two products in 16 bits,
which more would not fit."""
SIDE = 320
"""Of the pictures for a graph that takes any size, pixels."""
CONVOLUTIONS = ("Convolution", "GroupConvolution")

Tensor = tuple[str, int]
"""A node's name and the number of its output."""


def eight_bit(path: Path) -> Path | None:
    """The copy (.xml, its weights beside it) of the frozen graph `path`, made beside it at the first call.

    None where the graph is of another kind: fewer than half of its convolutions are fed from a ReLU6.
    """
    ov = import_openvino()

    target = path.with_name(f"{path.stem}-i8-{FORMAT}.xml")
    if target.exists():
        return target
    # Folds batch norms into convolutions, which reading alone leaves to the compiler. `ov.convert_model` would do so,
    # too, but takes seconds more and reports the use to its maker.
    from openvino._offline_transformations import apply_moc_transformations

    model = ov.Core().read_model(path)
    apply_moc_transformations(model, cf=False)
    fed = [c.input_value(0) for c in _convolutions(model)]
    if sum(_is_relu6(source) for source in fed) < len(fed) / 2:
        return None
    side = model.input(0).partial_shape[1]
    pictures = drawn_pictures(PICTURES, side.get_length() if side.is_static else SIDE)
    _quantise(model, _ranges(model, pictures))
    part = path.with_name(f".{os.getpid()}-{target.name}")
    ov.save_model(model, part, compress_to_fp16=False)
    part.with_suffix(".bin").replace(target.with_suffix(".bin"))
    part.replace(target)
    return target


def drawn_pictures(count: int, side: int, seed: int = 0) -> list[np.ndarray]:
    """RGB pictures (1, side, side, 3) uint8: clouds of several sizes, figures and lines, more or less sharp."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        image = np.zeros((side, side, 3), np.float32)
        for cells in (4, 10, 30, 100, side):
            noise = rng.normal(0, rng.uniform(5, 45), (cells, cells, 3)).astype(np.float32)
            image += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(image + rng.uniform(60, 190, 3), 0, 255).astype(np.uint8)
        for _ in range(rng.integers(2, 12)):
            _figure(picture, rng)
        pictures.append(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 2)))[None])
    return pictures


def _figure(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Something with a head, a body and legs, and sometimes a pole behind it."""
    height = int(rng.uniform(0.08, 0.75) * len(picture))
    x, y = (int(v) for v in rng.integers(0, len(picture), 2))
    width = height // 8
    head, body, legs, pole = (tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(4))
    if rng.random() < 0.5:
        ends = rng.integers(0, len(picture), (2, 2)).tolist()
        cv2.line(picture, ends[0], ends[1], pole, int(rng.integers(1, 20)))
    cv2.rectangle(picture, (x - width, y - height // 4), (x + width, y + height // 6), body, -1)
    cv2.rectangle(picture, (x - width, y + height // 6), (x + width, y + height // 2), legs, -1)
    cv2.ellipse(picture, (x, y - height // 3), (height // 16, height // 12), 0, 0, 360, head, -1)


def _convolutions(model: Any) -> list[Any]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() in CONVOLUTIONS]


def _key(source: Any) -> Tensor:
    return source.get_node().friendly_name, source.get_index()


def _is_relu6(source: Any) -> bool:
    node = source.get_node()
    return node.get_type_name() == "Clamp" and (node.get_attributes()["min"], node.get_attributes()["max"]) == (0, 6)


def _ranges(model: Any, pictures: list[np.ndarray]) -> dict[Tensor, tuple[float, float]]:
    """Least and greatest value of everything that feeds a convolution."""
    ov = import_openvino()

    watched = model.clone()
    watched.reshape(pictures[0].shape)
    sources = {_key(c.input_value(0)): c.input_value(0) for c in _convolutions(watched)}
    own = len(watched.outputs)
    watched.add_outputs(list(sources.values()))
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(watched, "CPU", options).create_infer_request()
    seen = []
    for picture in pictures:
        request.infer([picture])
        values = [request.get_output_tensor(own + n).data for n in range(len(sources))]
        seen.append([(v.min(), v.max()) for v in values])
    every = np.array(seen, np.float64)
    lows, highs = every[..., 0].min(0), every[..., 1].max(0)
    return {key: (float(low), float(high)) for key, low, high in zip(sources, lows, highs, strict=True)}


def _quantise(model: Any, ranges: dict[Tensor, tuple[float, float]]) -> None:
    """Puts grids of 8 bits at the inputs of all convolutions but one; OpenVINO makes integers of them."""
    from openvino import opset13 as op

    made: dict[Tensor, Any] = {}
    kept = next((c for c in _convolutions(model) if c.get_type_name() == "GroupConvolution"), None)
    for convolution in _convolutions(model):
        if convolution == kept:
            continue
        source, weights = convolution.input_value(0), convolution.input_value(1)
        key = _key(source)
        if key not in made:
            low, high = (op.constant(np.full((1, 1, 1, 1), v, np.float32)) for v in _grid(*ranges[key], source))
            made[key] = op.fake_quantize(source, low, high, low, high, 256)
        values = weights.get_node().data
        first = 2 if convolution.get_type_name() == "GroupConvolution" else 1
        most = np.maximum(np.abs(values).max(axis=tuple(range(first, values.ndim)), keepdims=True), 1e-8)
        low, high = op.constant(-WITHIN * most), op.constant(WITHIN * most)
        convolution.input(1).replace_source_output(op.fake_quantize(weights, low, high, low, high, 255).output(0))
        convolution.input(0).replace_source_output(made[key].output(0))
    model.validate_nodes_and_infer_types()


def _grid(low: float, high: float, source: Any) -> tuple[float, float]:
    """Ends of 256 evenly spaced values, zero one of them, that hold a range with its margin."""
    low, high = low * MARGIN, high * MARGIN
    if _is_relu6(source):
        high = min(high, 6.0)
    if low >= 0:
        return 0.0, max(high, 1e-3)
    zero = min(max(round(-low / (high - low) * 255), 1), 254)
    step = max(-low / zero, high / (255 - zero))
    return -step * zero, step * (255 - zero)
