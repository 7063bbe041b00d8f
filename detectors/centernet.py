"""`coco`: CenterNet (Objects as Points, arXiv 1904.07850) with 80 classes, its graph cut before TopK."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detectors.network import Candidates, Network, batch_of
from detectors.options import NetworkOptions
from detectors.runners.graphs import open_runner
from detectors.runners.tensorflow import read_graph
from detectors.views import Size, View
from tracker.core.classes import COCO, ROAD_USERS
from tracker.core.files import write_atomic
from tracker.core.tensorflow import import_tensorflow
from tracker.errors import DetectorError

STRIDE, TRAINED = 4, (512, 512)
"""Pixels of the input between two peaks; the input that it was trained with."""
INPUT, PEAKS, EXTENTS = "image", "peaks", "extents"
_IMAGES, _PEAKS, _EXTENTS = "tower_0/images", "tower_0/mul_1", "tower_0/wh"
_SCORE_WEIGHTS = ("CenternetHead/centernet_cls_output/pointwise_weights", "CenternetHead/centernet_cls_output/biases")


def cut_centernet(graph: Any, classes: np.ndarray | None = None) -> Any:
    """Cut the whole graph before TopK, and free its input's size.

    TopK over a million scores, most of them 0, costs more than comparing them with a threshold afterwards. The network
    is convolutional: its size stood in the placeholder and in three doublings of feature maps alone.

    Parameters
    ----------
    graph : GraphDef
        As `detectors.store` keeps it.
    classes : np.ndarray, optional
        Ids (K,) whose scores are computed; None: all 80.

    Returns
    -------
    GraphDef
        From `image` uint8 (N,H,W,3) RGB, sides in multiples of 32, to `peaks` (N,H/4,W/4,K), scores where they are the
        greatest of their 3x3 neighbourhood and else 0, and `extents` (N,H/4,W/4,4), distances to left, top, right,
        bottom in pixels.

    Raises
    ------
    DetectorError
        The graph has not the nodes of this network.
    """
    tf = import_tensorflow()
    copy = type(graph)()
    copy.CopyFrom(graph)
    nodes = {n.name: n for n in copy.node}
    if missing := [n for n in (_IMAGES, _PEAKS, _EXTENTS, *_SCORE_WEIGHTS) if n not in nodes]:
        raise DetectorError(f"the graph has no node {missing[0]}; expected what `python -m detectors fetch coco` keeps")
    for name in _SCORE_WEIGHTS if classes is not None else ():
        tensor = nodes[name].attr["value"].tensor
        tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(tensor)[..., classes]))
    nodes[_IMAGES].attr["shape"].shape.CopyFrom(tf.TensorShape((None, None, None, 3)).as_proto())
    for node in list(copy.node):
        node.attr.pop("_output_shapes", None)  # inferred for all classes and one size
        if node.op == "ResizeBilinear":
            _double(tf, copy, node)
    with tf.Graph().as_default() as cut:
        image = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3), name=INPUT)
        found = tf.import_graph_def(
            copy, {f"{_IMAGES}:0": tf.cast(image, tf.float32)}, [f"{_PEAKS}:0", f"{_EXTENTS}:0"], name="net"
        )
        tf.identity(found[0], name=PEAKS)
        tf.identity(found[1], name=EXTENTS)
        return tf.compat.v1.graph_util.extract_sub_graph(cut.as_graph_def(), [PEAKS, EXTENTS])


def _double(tf: Any, graph: Any, resize: Any) -> None:
    """Let a ResizeBilinear double whatever it is given, in place of a constant size."""
    with tf.Graph().as_default() as computed:
        given = tf.compat.v1.placeholder(tf.float32, (None, None, None, None), name="given")
        tf.multiply(tf.shape(given)[1:3], 2, name="size")
    prefix = f"{resize.name}/double"
    for node in computed.as_graph_def().node:
        if node.op == "Placeholder":
            continue
        added = graph.node.add()
        added.CopyFrom(node)
        added.name = f"{prefix}/{node.name}"
        added.input[:] = [resize.input[0] if i == "given" else f"{prefix}/{i}" for i in node.input]
    resize.input[1] = f"{prefix}/size"


class CenterNet(Network):
    """The fetched network; `path` is the whole frozen graph, cuts of it stand beside it.

    Where few classes are wanted, the scores of others are not computed: with the default ones a tenth of the time.
    """

    SURE, FAINT = 0.42, 0.30
    EVEN = 0.30
    """Largest score of a box that is as likely an object as not."""

    def __init__(self, path: Path, options: NetworkOptions) -> None:
        options = options if options.classes is not None else replace(options, classes=ROAD_USERS)
        super().__init__("coco", str(path), COCO, options, TRAINED, free=True)
        # Classes that suppress a wanted one are needed, too.
        needed = None if self._wanted is None else np.flatnonzero(np.isin(self._kind, self._kind[self._wanted]))
        self._classes = np.arange(len(COCO)) if needed is None else needed
        self._run = open_runner(_cut_beside(path, needed), INPUT, (PEAKS, EXTENTS), options)
        self.runtime, self.concurrency = self._run.name, self._run.concurrency

    def least(self, view: View) -> float:
        """Where nobody asked for a score: in proportion to the input's side, as the scores of objects are."""
        return self._confidence if self._options.confidence is not None else self._confidence * _share(view)

    def even_score(self, size: Size) -> float | None:
        """Measured on three sequences: 0.21 with an input of 320 pixels, 0.30 and 0.32 with 384."""
        return min(self.EVEN, self.SURE * _share(self.view(size)))

    def look(self, images: list[np.ndarray], size: Size | None, confidence: float) -> list[Candidates]:
        """Candidates of each picture."""
        peaks, extents = self._run(batch_of(images, size or TRAINED))
        seen = [decode(p, e, confidence) for p, e in zip(peaks, extents, strict=True)]
        return [replace(s, class_id=self._classes[s.class_id].astype(np.int32)) for s in seen]


def _share(view: View) -> float:
    """Of the side that it was trained with, a view's: scores of the same objects are less in proportion."""
    return 1.0 if view.size is None else min(1.0, max(view.size) / max(TRAINED))


def _cut_beside(path: Path, classes: np.ndarray | None) -> Path:
    """The cut for some classes, made at its first use."""
    cut = path.with_name(f"free-{'all' if classes is None else '-'.join(map(str, classes))}.pb")
    if not cut.exists():
        write_atomic(cut, cut_centernet(read_graph(path), classes).SerializeToString(deterministic=True))
    return cut


def decode(peaks: np.ndarray, extents: np.ndarray, confidence: float) -> Candidates:
    """Candidates of one picture from `peaks` (H,W,C) and `extents` (H,W,4), of a quarter of the input's sides."""
    flat = np.flatnonzero(peaks.ravel() >= max(confidence, 1e-6))
    y, x, class_id = np.unravel_index(flat, peaks.shape)
    left, top, right, bottom = extents[y, x].T
    xyxy = np.column_stack([x * STRIDE - left, y * STRIDE - top, x * STRIDE + right, y * STRIDE + bottom])
    height, width = peaks.shape[:2]
    xyxy = xyxy / np.array([width, height, width, height]) / STRIDE
    return Candidates(xyxy, peaks.ravel()[flat], class_id.astype(np.int32))
