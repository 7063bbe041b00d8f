"""Builds one of our own networks (freeze.networks) and gives it a checkpoint: the user's, or the shipped one."""

from __future__ import annotations

from dataclasses import replace

from freeze import networks
from freeze.errors import FreezeError, Log
from freeze.load_builder import from_graph
from freeze.model import Model
from freeze.request import Request
from freeze.tf_quiet import tensorflow


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
    tf = tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, [None, *(request.image_shape or net.input_shape)], name="images")
        features = net.build(images)
    model = from_graph(graph, request, log, {"source": "network", "network": net.name}, images.name, features.name)
    model.colour_order, model.crop_rule, model.max_cosine_distance = (
        net.colour_order,
        net.crop_rule,
        net.max_cosine_distance,
    )
    return model
