"""How much rounding alone moves the features of a network: the measure of what its proof may allow.

A frozen graph and the live model multiply and add the same numbers in another order, so they differ by rounding. How
far that reaches the features is a matter of the network, not of its depth. Against float64, a live MobileNetV2 with
random weights is off by 1.7e-5 and its frozen graph by 1.9e-5, with Grappler or without, with batch norm folded or not;
a plain network of twenty convolutions is off by 1e-7. What foretells it is how far the features move when every weight
moves by its last digit (2.4e-5 there): the condition of the network (Higham, "Accuracy and Stability of Numerical
Algorithms", 2002, section 1.6).
"""

from __future__ import annotations

import numpy as np

from freeze.graph.graphdef import GraphDef, const_value, copied
from freeze.graph.runner import Runner
from freeze.job import INPUT, OUTPUT
from tracker.core.tensorflow import import_tensorflow

LEAST = 1e-5
"""Allowed in any case, absolute, on features of unit length."""
MOST = 1e-3
"""Never allowed, however ill the network is conditioned."""
FACTOR = 4.0
"""Of the movement by the last digits; measured between live and frozen was 0.7 of it, on MobileNetV2."""


def moved_by_last_digits(graph_def: GraphDef, images: np.ndarray, features: np.ndarray, seed: int = 1) -> float:
    """Largest change of a feature where every weight goes up or down by one step of float32, at random.

    Parameters
    ----------
    graph_def : GraphDef
        Frozen: its weights are constants.
    images : ndarray
        uint8 (N, H, W, C), as the graph is fed.
    features : ndarray
        (N, D), what the graph gives for them.
    seed : int
        Of the directions.
    """
    with Runner(_shaken(graph_def, seed)) as runner:
        shaken = np.asarray(runner.run(OUTPUT, {INPUT: images}), np.float64)
    return float(np.abs(shaken - features).max())


def allowed(moved: float) -> float:
    """The difference that a proof allows for a network whose features move by `moved`."""
    return float(np.clip(FACTOR * moved, LEAST, MOST))


def _shaken(graph_def: GraphDef, seed: int) -> GraphDef:
    """A copy whose float32 constants of more than one number are each moved by one step."""
    tf = import_tensorflow()
    r, new = np.random.default_rng(seed), copied(graph_def)
    for node in new.node:
        if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum:
            value = const_value(node)
            if value.size > 1:
                towards = np.where(r.random(value.shape) < 0.5, -np.inf, np.inf).astype(np.float32)
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.nextafter(value, towards)))
    return new
