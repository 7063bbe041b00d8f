"""Builds one of our own networks (freeze.networks) and gives it a checkpoint: the user's, or the shipped one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from freeze import networks
from freeze.errors import FreezeError, Log
from freeze.load.graph_model import from_graph
from freeze.model import Model
from freeze.request import Request
from tracker.core.tensorflow import import_tensorflow


def load(request: Request, log: Log) -> Model:
    """Raises FreezeError: NETWORK_UNKNOWN, CHECKPOINT_*."""
    net = networks.network(str(request.network))
    if request.checkpoint is None and net.checkpoint is not None:
        request = replace(request, checkpoint=net.checkpoint)
        log.note("SHIPPED_WEIGHTS", f"the weights of '{net.name}' that ship with the program are used")
    if request.checkpoint is None and net.has_variables:
        raise FreezeError(
            "CHECKPOINT_NOT_GIVEN", f"network '{net.name}' ships without weights", "add --checkpoint CKPT", [net.name]
        )
    tf = import_tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, [None, *(request.image_shape or net.input_shape)], name="images")
        features = net.build(images)
    model = from_graph(graph, request, log, {"source": "network", "network": net.name}, images.name, features.name)
    model.colour_order, model.crop_rule, model.max_cosine_distance = (
        net.colour_order,
        net.crop_rule,
        calibrated(request.checkpoint, net.max_cosine_distance),
    )
    return model


def calibrated(checkpoint: Path | None, default: float | None) -> float | None:
    """The matching threshold that our training wrote beside a checkpoint, else the network's own."""
    if checkpoint is None:
        return default
    prefix = checkpoint.name.removesuffix(".index").split(".data-")[0]
    facts = checkpoint.with_name(f"{prefix}.json")
    try:
        value = json.loads(facts.read_text())["max_cosine_distance"]
    except (OSError, ValueError, KeyError, TypeError):
        return default
    return float(value) if isinstance(value, int | float) and 0 < value <= 2 else default
