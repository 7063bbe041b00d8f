"""A tiny encoder in TensorFlow 1 style and what a training run leaves of it, for the tests of the freeze stage.

Two convolutions and a dense layer, each with batch norm, under the scopes of the published network; 32x16 crops, 16-d.
"""

from pathlib import Path

import numpy as np

from freeze.errors import Log
from freeze.graph.images import structured

SHAPE = (32, 16, 3)
DIMENSION = 16
IMAGES = structured(5, SHAPE, seed=3)


def _norm(v1, tf, x, training, fused):
    """Batch norm; in training mode its updates go to UPDATE_OPS, or hang in the branch where `training` is a tensor."""
    with v1.variable_scope("bn"):
        c = int(x.shape[-1])
        beta = v1.get_variable("beta", [c], initializer=v1.zeros_initializer())
        mean = v1.get_variable("moving_mean", [c], initializer=v1.zeros_initializer(), trainable=False)
        variance = v1.get_variable("moving_variance", [c], initializer=v1.ones_initializer(), trainable=False)
    fused = fused and x.shape.rank == 4

    def infer():
        if fused:
            return v1.nn.fused_batch_norm(x, tf.ones([c]), beta, mean, variance, epsilon=1e-3, is_training=False)[0]
        return tf.nn.batch_normalization(x, mean, variance, beta, None, 1e-3)

    def train():
        if fused:
            y, m, v = v1.nn.fused_batch_norm(x, tf.ones([c]), beta, epsilon=1e-3, is_training=True)
        else:
            m, v = tf.nn.moments(x, list(range(x.shape.rank - 1)))
            y = tf.nn.batch_normalization(x, m, v, beta, None, 1e-3)
        updates = [v1.assign_sub(old, (old - new) * 0.1).op for old, new in ((mean, m), (variance, v))]
        if isinstance(training, tf.Tensor):
            with tf.control_dependencies(updates):
                return tf.identity(y)
        for update in updates:
            v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, update)
        return y

    if isinstance(training, tf.Tensor):
        return tf.cond(training, train, infer)
    return train() if training else infer()


def tiny(images, training=False, fused=True, dropout=None, norm=True, batch=-1):
    """Features of the images; `dropout(x)` is applied before the dense layer."""
    import tensorflow as tf

    v1 = tf.compat.v1
    x = tf.cast(images, tf.float32) / 255.0
    for scope, stride in (("conv1_1", 2), ("conv2_1", 2)):
        with v1.variable_scope(scope):
            w = v1.get_variable("weights", [3, 3, int(x.shape[-1]), 8])
            x = tf.nn.elu(_norm(v1, tf, tf.nn.conv2d(x, w, stride, "SAME"), training, fused))
    x = tf.reshape(x, [batch, int(x.shape[1] * x.shape[2] * x.shape[3])])
    if dropout is not None:
        x = dropout(x)
    with v1.variable_scope("fc1"):
        x = _norm(v1, tf, tf.matmul(x, v1.get_variable("weights", [int(x.shape[1]), DIMENSION])), training, fused)
    return tf.nn.l2_normalize(x, 1) if norm else x


def placeholder(dtype="uint8", batch=None):
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype, [batch, *SHAPE], name="images")


def values(names_and_shapes, seed=1):
    """Plausible trained values by variable name: moving statistics away from 0 and 1."""
    r = np.random.default_rng(seed)
    out = {}
    for name, shape in sorted(names_and_shapes.items()):
        spread = r.uniform(0.5, 2, shape) if name.endswith("variance") else r.normal(0, 0.3, shape)
        out[name] = spread.astype(np.float32)
    return out


def trained(folder, build, *, seed=1, change=None, ref=False, control_v1=False, name="model.ckpt-7", **saver):
    """Runs `build()` in a graph, gives its variables values and saves checkpoint and MetaGraph; returns the values."""
    import tensorflow as tf

    v1 = tf.compat.v1
    (v1.disable_resource_variables if ref else v1.enable_resource_variables)()
    (v1.disable_control_flow_v2 if control_v1 else v1.enable_control_flow_v2)()
    try:
        config = v1.ConfigProto(allow_soft_placement=True)
        with tf.Graph().as_default() as graph, v1.Session(graph=graph, config=config) as session:
            build()
            variables = v1.global_variables()
            held = values({v.op.name: v.shape.as_list() for v in variables}, seed)
            held.update(change(held) if change else {})
            session.run([v1.assign(v, held[v.op.name]) for v in variables])
            saver.setdefault("var_list", variables)
            v1.train.Saver(**saver).save(session, str(Path(folder) / name))
    finally:
        v1.enable_resource_variables()
        v1.enable_control_flow_v2()
    return held


def save_values(folder, held, name="model.ckpt-7"):
    """A checkpoint that holds exactly these keys."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        keyed = {k: v1.get_variable(f"v{n}", initializer=v) for n, (k, v) in enumerate(held.items())}
        session.run(v1.global_variables_initializer())
        v1.train.Saver(keyed).save(session, str(Path(folder) / name), write_meta_graph=False)


def right(held, images=IMAGES, **options):
    """Features of the inference graph of `tiny` with these values."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        given = placeholder()
        out = tiny(given, **options)
        session.run([v1.assign(v, held[v.op.name]) for v in v1.global_variables()])
        return session.run(out, {given: images})


def freeze_here(request):
    """Everything but the file: (features of IMAGES, contract, log), after the proof in this process."""
    from importlib import import_module

    from freeze import api, compare, export, pipeline
    from freeze.graph.runner import Runner
    from freeze.proof import prove

    log = Log()
    job = pipeline.mended(request, import_module(api.LOADERS[request.source]).load(request, log), log)
    graph_def = pipeline.frozen(job)
    proof = prove.prove(job, graph_def)
    compare.check_against_meta(job, proof)
    data = export.serialised(graph_def)
    with Runner(type(graph_def).FromString(data)) as runner:
        shape = job.input_shape
        images = IMAGES if shape == SHAPE else structured(5, shape)
        features = runner.run("features", {"images": images})
    return features, pipeline.contract(job, data, proof.figures, "f32"), log
