"""A small frozen encoder for tests: one convolution with fixed random weights, features of length 8."""

from pathlib import Path

import numpy as np

from tracker.encoder.contract import Contract, contract_path, sha256

SHAPE = (32, 16, 3)


def graph_def(
    *, dtype="uint8", batch=None, l2=True, output_rank=2, placeholders=1, constant=False, dimension=8, branches=False
):
    """GraphDef of `images` to `features`."""
    import tensorflow as tf

    generator = np.random.default_rng(5)
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(dtype, [batch, *SHAPE], name="images")
        scaled = tf.cast(images, tf.float32) / 255 - 0.5
        weights = tf.constant(generator.normal(size=(3, 3, 3, dimension)).astype(np.float32))
        maps = tf.nn.relu(tf.nn.conv2d(scaled, weights, 2, "SAME"))
        if branches:
            once, twice = tf.raw_ops.Switch(data=maps, pred=tf.reduce_max(maps) < 0)
            maps, _ = tf.raw_ops.Merge(inputs=[twice * 2, once])
        if output_rank == 4:
            tf.identity(maps, name="features")
            return graph.as_graph_def()
        pooled = tf.reduce_mean(maps, [1, 2]) + 1e-3
        if constant:
            pooled = pooled * 0 + 1.0
        for extra in range(1, placeholders):
            pooled = pooled * tf.compat.v1.placeholder(tf.float32, [], name=f"extra{extra}")
        out = tf.nn.l2_normalize(pooled, 1) if l2 else pooled * 3
        tf.identity(out, name="features")
    return graph.as_graph_def()


def write_encoder(path, *, contract=True, **options):
    """Write the graph, and its contract unless `contract` is false; `options` as of `graph_def`, or contract fields."""
    fields = {k: options.pop(k) for k in list(options) if k in Contract.__dataclass_fields__}
    path = Path(path)
    path.write_bytes(graph_def(**options).SerializeToString())
    if contract:
        given = {"graph_sha256": sha256(path), "input_shape": SHAPE, "dimension": 8, **fields}
        given.setdefault("input_dtype", options.get("dtype", "uint8"))
        contract_path(path).write_text(Contract(**given).to_json())
    return path


def by_hand(crops):
    """Features of crops as NumPy computes them, for the default options."""
    generator = np.random.default_rng(5)
    weights = generator.normal(size=(3, 3, 3, 8)).astype(np.float32)
    x = np.pad(crops.astype(np.float32) / 255 - 0.5, ((0, 0), (0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2]
    maps = np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, weights), 0)
    pooled = maps.mean((1, 2)) + 1e-3
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
