"""`coco`: CenterNet (Objects as Points, arXiv 1904.07850) with 80 classes, its graph cut before TopK."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detectors.network import Candidates, Network, batch_of
from detectors.options import NetworkOptions
from detectors.runners.graphs import open_runner, read_graph
from tracker.core.classes import COCO, ROAD_USERS
from tracker.core.files import write_atomic
from tracker.core.tensorflow import import_tensorflow

SIZE, STRIDE = 512, 4
INPUT, PEAKS, EXTENTS = "image", "peaks", "extents"
CUT = "cut.pb"
"""File name of the cut beside the whole graph."""
_SCORE_WEIGHTS = ("CenternetHead/centernet_cls_output/pointwise_weights", "CenternetHead/centernet_cls_output/biases")


def cut_centernet(graph: Any, classes: np.ndarray | None = None) -> Any:
    """A GraphDef whose outputs are peaks and extents.

    It takes `image` uint8 (N,512,512,3) RGB and gives `peaks` (N,128,128,K), scores where they are the greatest of
    their 3x3 neighbourhood and else 0, and `extents` (N,128,128,4), distances to left, top, right, bottom in pixels.

    TopK over a million scores, most of them 0, costs more than comparing them with a threshold afterwards.

    Parameters
    ----------
    classes : ndarray or None
        Ids (K,) whose scores are computed; None: all 80.
    """
    tf = import_tensorflow()
    if classes is not None:
        graph = _with_classes(tf, graph, classes)
    with tf.Graph().as_default() as cut:
        image = tf.compat.v1.placeholder(tf.uint8, (None, SIZE, SIZE, 3), name=INPUT)
        found = tf.import_graph_def(
            graph, {"tower_0/images:0": tf.cast(image, tf.float32)}, ["tower_0/mul_1:0", "tower_0/wh:0"], name="net"
        )
        tf.identity(found[0], name=PEAKS)
        tf.identity(found[1], name=EXTENTS)
        return tf.compat.v1.graph_util.extract_sub_graph(cut.as_graph_def(), [PEAKS, EXTENTS])


def _with_classes(tf: Any, graph: Any, classes: np.ndarray) -> Any:
    """A copy whose last layer of scores has the weights of these classes alone."""
    copy = type(graph)()
    copy.CopyFrom(graph)
    nodes = {n.name: n for n in copy.node}
    for name in _SCORE_WEIGHTS:
        tensor = nodes[name].attr["value"].tensor
        tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(tensor)[..., classes]))
    for node in copy.node:  # shapes that were inferred for all classes
        node.attr.pop("_output_shapes", None)
    return copy


class CenterNet(Network):
    """The fetched network; `path` is the whole frozen graph, cuts of it stand beside it.

    Where few classes are wanted, the scores of others are not computed: with the default ones a tenth of the time.
    """

    SURE, FAINT = 0.42, 0.30

    def __init__(self, path: Path, options: NetworkOptions) -> None:
        options = options if options.classes is not None else replace(options, classes=ROAD_USERS)
        super().__init__("coco", str(path), COCO, options, SIZE)
        # Classes that suppress a wanted one are needed, too.
        needed = None if self._wanted is None else np.flatnonzero(np.isin(self._kind, self._kind[self._wanted]))
        self._classes = np.arange(len(COCO)) if needed is None else needed
        self._run = open_runner(_cut_beside(path, needed), INPUT, (PEAKS, EXTENTS), options)
        self.runtime, self.concurrency = self._run.name, self._run.concurrency

    def look(self, images: list[np.ndarray], confidence: float) -> list[Candidates]:
        """Candidates of every picture, uint8 (H,W,3) BGR."""
        peaks, extents = self._run(batch_of(images, SIZE))
        seen = [decode(p, e, confidence) for p, e in zip(peaks, extents, strict=True)]
        return [replace(s, class_id=self._classes[s.class_id].astype(np.int32)) for s in seen]

    def close(self) -> None:
        """Free the network."""
        self._run.close()


def _cut_beside(path: Path, classes: np.ndarray | None) -> Path:
    """The cut for some classes, made at its first use; that for all was made when the graph was fetched."""
    if classes is None:
        return path.with_name(CUT)
    cut = path.with_name(f"cut-{'-'.join(map(str, classes))}.pb")
    if not cut.exists():
        write_atomic(cut, cut_centernet(read_graph(path), classes).SerializeToString(deterministic=True))
    return cut


def decode(peaks: np.ndarray, extents: np.ndarray, confidence: float) -> Candidates:
    """Candidates of one picture from `peaks` (S,S,C) and `extents` (S,S,4)."""
    flat = np.flatnonzero(peaks.ravel() >= max(confidence, 1e-6))
    y, x, class_id = np.unravel_index(flat, peaks.shape)
    left, top, right, bottom = extents[y, x].T
    xyxy = np.column_stack([x * STRIDE - left, y * STRIDE - top, x * STRIDE + right, y * STRIDE + bottom]) / SIZE
    return Candidates(xyxy, peaks.ravel()[flat], class_id.astype(np.int32))
