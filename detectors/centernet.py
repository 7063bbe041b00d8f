"""`coco`: CenterNet (Objects as Points, arXiv 1904.07850) with 80 classes, its graph cut before its peaks are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detectors.network import Candidates, Network, batch_of
from detectors.options import NetworkOptions
from detectors.runners.graphs import open_runner
from detectors.runners.tensorflow import read_graph
from detectors.views import Size
from tracker.core.classes import COCO, ROAD_USERS
from tracker.core.files import write_atomic
from tracker.core.tensorflow import import_tensorflow
from tracker.errors import DetectorError

STRIDE, TRAINED = 4, (512, 512)
"""Pixels of the input between two cells; the input that it was trained with."""
INPUT, HEAT, EXTENTS = "image", "heat", "extents"
AROUND = np.argwhere(np.ones((3, 3))) - 1
"""Rows and columns from a cell to its neighbourhood."""
NEARNESS = np.exp(-(AROUND**2).sum(axis=1) / 2)
USUAL_SHARE = 0.55
"""Mean heat around an object's peak, as a share of it: heat spreads over what is there, what stands alone is noise."""
SLIM = 0.96
"""An object's width as a share of its box's: mirrors, arms and bags reach out. Chosen on PETS09-S2L1 and TUD-Campus."""
BIAS, SLOPE, GROWTH, SIDES = 1.55, 4.61, 4.27, (256, 640)
"""Log-odds that a box is right: bias + slope * log-odds of its score - growth * log of the input's longer side / 512.
Fitted to PETS09-S2L1, TUD-Campus and CDnet-highway-A at these sides, each sequence as much as the others."""
_IMAGES, _HEAT, _EXTENTS = "tower_0/images", "tower_0/keypoints", "tower_0/wh"
_SCORE_WEIGHTS = ("CenternetHead/centernet_cls_output/pointwise_weights", "CenternetHead/centernet_cls_output/biases")


def cut_centernet(graph: Any, classes: np.ndarray | None = None) -> Any:
    """Cut the whole graph before its peaks are found, and free its input's size.

    TopK over a million scores costs more than comparing them with a threshold afterwards, and what the cells around a
    peak say of the object is lost with it. The network is convolutional: its size stood in the placeholder and in three
    doublings of feature maps alone.

    Parameters
    ----------
    graph : GraphDef
        As `detectors.store` keeps it.
    classes : np.ndarray, optional
        Ids (K,) whose scores are computed; None: all 80.

    Returns
    -------
    GraphDef
        From `image` uint8 (N,H,W,3) RGB, sides in multiples of 32, to `heat` (N,H/4,W/4,K), 0 to 1, and `extents`
        (N,H/4,W/4,4), distances to left, top, right, bottom in pixels.

    Raises
    ------
    DetectorError
        The graph has not the nodes of this network.
    """
    tf = import_tensorflow()
    copy = type(graph)()
    copy.CopyFrom(graph)
    nodes = {n.name: n for n in copy.node}
    if missing := [n for n in (_IMAGES, _HEAT, _EXTENTS, *_SCORE_WEIGHTS) if n not in nodes]:
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
            copy, {f"{_IMAGES}:0": tf.cast(image, tf.float32)}, [f"{_HEAT}:0", f"{_EXTENTS}:0"], name="net"
        )
        tf.identity(found[0], name=HEAT)
        tf.identity(found[1], name=EXTENTS)
        return tf.compat.v1.graph_util.extract_sub_graph(cut.as_graph_def(), [HEAT, EXTENTS])


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

    Its scores are probabilities: the larger it sees objects, the less it is trained for them and the surer it must be.
    Where few classes are wanted, the scores of others are not computed: with the default ones a tenth of the time.
    """

    SURE, FAINT = 0.5, 0.03
    NMS = 0.6
    PROBABLE = True

    def __init__(self, path: Path, options: NetworkOptions) -> None:
        options = options if options.classes is not None else replace(options, classes=ROAD_USERS)
        super().__init__("coco", str(path), COCO, options, TRAINED, free=True)
        # Classes that suppress a wanted one are needed, too.
        needed = None if self._wanted is None else np.flatnonzero(np.isin(self._kind, self._kind[self._wanted]))
        self._classes = np.arange(len(COCO)) if needed is None else needed
        self._run = open_runner(_cut_beside(path, needed), INPUT, (HEAT, EXTENTS), options)
        self.runtime, self.concurrency = self._run.name, self._run.concurrency

    def even_score(self, size: Size) -> float | None:
        """A quarter: what goes on for three frames is likelier an object than one box of it is."""
        return 0.25

    def look(self, images: list[np.ndarray], size: Size | None, confidence: float) -> list[Candidates]:
        """Candidates of each picture."""
        heat, extents = self._run(batch_of(images, size or TRAINED))
        side = max(size or TRAINED)
        least = score_of(confidence, side)
        seen = [decode(h, e, least) for h, e in zip(heat, extents, strict=True)]
        return [
            Candidates(slim(s.xyxy), probability(s.score, side), self._classes[s.class_id].astype(np.int32))
            for s in seen
        ]


def _cut_beside(path: Path, classes: np.ndarray | None) -> Path:
    """The cut for some classes, made at its first use."""
    cut = path.with_name(f"heat-{'all' if classes is None else '-'.join(map(str, classes))}.pb")
    if not cut.exists():
        write_atomic(cut, cut_centernet(read_graph(path), classes).SerializeToString(deterministic=True))
    return cut


def slim(xyxy: np.ndarray) -> np.ndarray:
    """Boxes (K,4) as wide as what is in them, about the same middle."""
    spare = (1 - SLIM) / 2 * (xyxy[:, 2] - xyxy[:, 0])
    slimmed: np.ndarray = xyxy + np.outer(spare, (1, 0, -1, 0))
    return slimmed


def probability(score: np.ndarray, side: int) -> np.ndarray:
    """How likely boxes of these scores (K,) are right, with an input of this longer side, pixels."""
    score = np.clip(score, 1e-6, 1 - 1e-6)
    odds = np.log(score / (1 - score))
    right: np.ndarray = 1 / (1 + np.exp(-(_prior(side) + SLOPE * odds)))
    return right


def score_of(likely: float, side: int) -> float:
    """The score of a box that is right with this probability."""
    if not 0 < likely < 1:
        return likely
    odds = (np.log(likely / (1 - likely)) - _prior(side)) / SLOPE
    return float(1 / (1 + np.exp(-odds)))


def _prior(side: int) -> float:
    """Log-odds of a score of one half."""
    return BIAS - GROWTH * float(np.log(np.clip(side, *SIDES) / max(TRAINED)))


def decode(heat: np.ndarray, extents: np.ndarray, confidence: float) -> Candidates:
    """Candidates of one picture: peaks of the heat, and what the cells around each say together.

    Every cell around an object's middle was trained to give its box, and to be warm. So a box is the mean of theirs, by
    heat and nearness, and a score the geometric mean of the peak and of the heat around it.

    Parameters
    ----------
    heat : np.ndarray
        (H,W,C) of a quarter of the input's sides.
    extents : np.ndarray
        (H,W,4) distances from a cell to left, top, right and bottom, the input's pixels.
    confidence : float
        Least score.
    """
    height, width = heat.shape[:2]
    warm = np.flatnonzero(heat.ravel() >= max(confidence * np.sqrt(USUAL_SHARE), 1e-6))
    y, x, class_id = np.unravel_index(warm, heat.shape)
    ys, xs = y[:, None] + AROUND[:, 0], x[:, None] + AROUND[:, 1]
    inside = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
    ys, xs = ys.clip(0, height - 1), xs.clip(0, width - 1)
    around = heat[ys, xs, class_id[:, None]] * inside
    own = heat.ravel()[warm]
    score = np.sqrt(own * around.sum(axis=1) / inside.sum(axis=1) / USUAL_SHARE).clip(0, 1)
    kept = (own >= around.max(axis=1, initial=0)) & (score >= confidence)
    ys, xs, weight = STRIDE * ys[kept], STRIDE * xs[kept], around[kept] * NEARNESS
    left, top, right, bottom = np.moveaxis(extents[ys // STRIDE, xs // STRIDE], 2, 0)
    corners = np.stack([xs - left, ys - top, xs + right, ys + bottom])
    xyxy = (corners * weight).sum(axis=2) / weight.sum(axis=1) + 0.5  # a pixel's middle, from its corner
    return Candidates((xyxy / STRIDE).T / [width, height, width, height], score[kept], class_id[kept].astype(np.int32))
