"""Cuts an SSD graph of the TensorFlow Object Detection API before its while-loop post-processing.

What is left takes uint8 RGB images and gives box encodings and class scores; resizing before and decoding after are a
few array operations. Where the anchors follow the shape of the feature maps, images may have any size. Cuts are kept in
the user's cache, keyed by the graph's hash, so that a later run on OpenVINO need not import TensorFlow.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detectors.runners.tensorflow import read_graph
from detectors.ssd_anchors import anchors_at, layers_of
from detectors.views import Size
from tracker.core.files import cache_folder, model_bytes, write_atomic
from tracker.core.tensorflow import import_tensorflow

FORMAT = 2
"""Part of the cached file's name: raise it when the cut changes."""

INPUT, BOXES, SCORES = "image", "encodings", "scores"

OTHER_SIZES = ((320, 192), (288, 416))
"""(width, height) of inputs by which it is seen whether a graph takes any."""

_ENCODINGS_OF = ("Postprocessor/raw_box_encodings", "Squeeze")
_SCORES_OF = ("Postprocessor/raw_box_scores", "Postprocessor/convert_scores")
_NORMALISED, _GRID, _SIZE = "Preprocessor/sub", "Concatenate/concat", "Preprocessor/map/while/ResizeImage/stack"
_CONSTANTS = {
    "multiply": "Preprocessor/mul/x",
    "subtract": "Preprocessor/sub/y",
    "scale_y": "Postprocessor/Decode/truediv/y",
    "scale_x": "Postprocessor/Decode/truediv_1/y",
    "scale_h": "Postprocessor/Decode/truediv_2/y",
    "scale_w": "Postprocessor/Decode/truediv_3/y",
}


@dataclass(frozen=True)
class Cut:
    """A cut graph.

    Attributes
    ----------
    path : Path
        GraphDef from `image` uint8 (N,H,W,3) RGB to `encodings` (N,A,4) and `scores` (N,A,1+classes).
    size : int
        Side of the input that the network was trained with, pixels.
    anchors : (A,4) ndarray of float32
        Y centre, x centre, height, width as shares of that input.
    scales : (4,) ndarray of float32
        The box coder's divisors of y, x, h, w.
    free : bool
        The input may have any size.
    """

    path: Path
    size: int
    anchors: np.ndarray
    scales: np.ndarray
    free: bool
    _at: dict[Size, np.ndarray] = field(default_factory=dict)

    def decode(self, encodings: np.ndarray, rows: np.ndarray, size: Size) -> np.ndarray:
        """Corners (K,4) x1, y1, x2, y2 as shares of an input of `size`, of encodings (K,4) of anchors `rows`.

        Faster R-CNN's box coder (arXiv 1506.01497, eq. 2).
        """
        t, anchor = encodings / self.scales, self._anchors(size)[rows]
        centre = t[:, :2] * anchor[:, 2:] + anchor[:, :2]
        half = np.exp(t[:, 2:]) * anchor[:, 2:] / 2
        return np.hstack([centre - half, centre + half])[:, [1, 0, 3, 2]]

    def _anchors(self, size: Size) -> np.ndarray:
        if size == (self.size, self.size):
            return self.anchors
        if size not in self._at:
            self._at[size] = anchors_at(layers_of(self.anchors, self.size), self.size, size)
        return self._at[size]


def cut_ssd(path: Path, *, unsafe: bool = False) -> Cut | None:
    """The cut of a graph, from the cache or made now; None where the graph is no SSD of the known build."""
    digest = hashlib.sha256(model_bytes(path)).hexdigest()
    target = cache_folder("detectors") / f"ssd-{digest[:16]}-v{FORMAT}.pb"
    side = target.with_suffix(".npz")
    if not target.exists():
        made = _build(read_graph(path, unsafe=unsafe))
        if made is None:
            return None
        graph, arrays = made
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_atomic(side, buffer.getvalue())
        write_atomic(target, graph.SerializeToString())
    with np.load(side, allow_pickle=False) as arrays:
        return Cut(target, int(arrays["size"]), arrays["anchors"], arrays["scales"], bool(arrays["free"]))


def _build(graph: Any) -> tuple[Any, dict[str, np.ndarray]] | None:
    """GraphDef of the cut and the arrays beside it, or None."""
    tf = import_tensorflow()
    nodes = {n.name: n for n in graph.node}
    encodings, scores = (next((n for n in known if n in nodes), None) for known in (_ENCODINGS_OF, _SCORES_OF))
    constants = {key: _constant(tf, nodes.get(name)) for key, name in _CONSTANTS.items()}
    size = _constant(tf, nodes.get(_SIZE))
    if encodings is None or scores is None or _NORMALISED not in nodes or _GRID not in nodes or size is None:
        return None
    if any(v is None for v in constants.values()) or len(set(size.tolist())) != 1:
        return None
    side = int(size[0])
    with tf.Graph().as_default() as whole:
        image = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3), name=INPUT)
        fed = tf.cast(image, tf.float32) * constants["multiply"] - constants["subtract"]
        found = tf.import_graph_def(
            graph, {f"{_NORMALISED}:0": fed}, [f"{n}:0" for n in (encodings, scores, _GRID)], name="net"
        )
        # The anchors depend on nothing but shapes: evaluate them once and keep the numbers.
        with tf.compat.v1.Session(graph=whole, config=tf.compat.v1.ConfigProto(device_count={"GPU": 0})) as session:
            grid = session.run(found[2], {image: np.zeros((1, side, side, 3), np.uint8)})
            anchors = np.hstack([(grid[:, :2] + grid[:, 2:]) / 2, grid[:, 2:] - grid[:, :2]]).astype(np.float32)
            free = _takes_any_size(tf, lambda batch: session.run(found[0], {image: batch}), anchors, side)
        tf.identity(found[0], name=BOXES)
        tf.identity(found[1], name=SCORES)
        cut = tf.compat.v1.graph_util.extract_sub_graph(whole.as_graph_def(), [BOXES, SCORES])
    scales = np.array([constants[f"scale_{k}"] for k in "yxhw"], np.float32)
    return cut, {"size": np.array(side), "anchors": anchors, "scales": scales, "free": np.array(free)}


def _takes_any_size(tf: Any, encodings: Callable[[np.ndarray], np.ndarray], anchors: np.ndarray, side: int) -> bool:
    """Whether the graph gives as many boxes for inputs of other sizes as there would be anchors."""
    layers = layers_of(anchors, side)
    if not layers:
        return False
    try:
        for width, height in OTHER_SIZES:
            found = encodings(np.zeros((1, height, width, 3), np.uint8))
            if found.shape[1] != len(anchors_at(layers, side, (width, height))):
                return False
    except tf.errors.OpError:
        return False
    return True


def _constant(tf: Any, node: Any) -> np.ndarray | None:
    return tf.make_ndarray(node.attr["value"].tensor) if node is not None and node.op == "Const" else None
