"""A Keras model as TensorFlow 1 kept it: a session graph with variables by Keras's names."""

import numpy as np


def variables(layer):
    """Key in a TensorFlow 1 checkpoint (`conv1/kernel`) -> value, of one layer."""
    return {f"{layer.name}/{v.name}": np.asarray(v) for v in layer.variables}


def built(model, images):
    """Output of the functional `model`, built of TensorFlow 1 variables in the default graph, for inference."""
    done = {}
    for layer in model.layers:
        above = [] if layer.__class__.__name__ == "InputLayer" else layer.input
        given = [done[t.name] for t in (above if isinstance(above, list) else [above])]
        done[layer.output.name] = _output(layer, given, images)
    return done[model.output.name]


def _output(layer, given, images):
    """The layer's output from its inputs."""
    import tensorflow as tf

    v1, kind, x = tf.compat.v1, layer.__class__.__name__, given[0] if given else images
    shape = {v.name: v.shape for v in layer.variables}

    def get(name):
        with v1.variable_scope(layer.name):
            return v1.get_variable(name, shape[name], trainable="moving" not in name)

    with v1.name_scope(layer.name + "/"):
        if kind in ("InputLayer", "Dropout"):
            return x
        if kind == "Rescaling":
            return tf.cast(x, tf.float32) * layer.scale + layer.offset
        if kind == "ZeroPadding2D":
            return tf.pad(x, [(0, 0), *layer.padding, (0, 0)])
        if kind == "Conv2D":
            y = tf.nn.conv2d(x, get("kernel"), layer.strides, layer.padding.upper())
            return tf.nn.bias_add(y, get("bias")) if layer.use_bias else y
        if kind == "DepthwiseConv2D":
            return tf.nn.depthwise_conv2d(x, get("kernel"), [1, *layer.strides, 1], layer.padding.upper())
        if kind == "BatchNormalization":
            given = [get(n) for n in ("gamma", "beta", "moving_mean", "moving_variance")]
            return v1.nn.fused_batch_norm(x, *given, epsilon=layer.epsilon, is_training=False)[0]
        if kind in ("ReLU", "Activation"):
            return tf.nn.relu6(x) if getattr(layer, "max_value", None) else tf.nn.relu(x)
        if kind == "Add":
            return tf.add_n(given)
        if kind == "MaxPooling2D":
            return tf.nn.max_pool2d(x, layer.pool_size, layer.strides, layer.padding.upper())
        if kind == "GlobalAveragePooling2D":
            return tf.reduce_mean(x, [1, 2])
        if kind == "Dense":
            return tf.nn.bias_add(tf.matmul(x, get("kernel")), get("bias"), name="BiasAdd")
    raise NotImplementedError(kind)
