"""The published DeepSORT appearance network: a wide residual network with 68 variables and 2,803,168 values.

Wojke, Bewley, Paulus, "Simple Online and Realtime Tracking with a Deep Association Metric" (1703.07402), table 1;
pre-activation residual blocks after He et al. (1603.05027), ELU after Clevert et al. (1511.07289). Variable names are
those
of the published checkpoint, scope for scope, so that it restores without a map.
"""

from __future__ import annotations

from typing import Any

from tracker.core.tensorflow import import_tensorflow

EPSILON = 1e-3  # of every batch norm
DIMENSION = 128
BLOCKS = (
    ("conv2_1", 32, False),
    ("conv2_3", 32, False),
    ("conv3_1", 64, True),
    ("conv3_3", 64, False),
    ("conv4_1", 128, True),
    ("conv4_3", 128, False),
)


def batch_norm(x: Any, scope: str) -> Any:
    """Batch norm without gamma on the moving statistics `scope/{beta,moving_mean,moving_variance}`."""
    tf = import_tensorflow()
    v1 = tf.compat.v1
    channels = int(x.shape[-1])
    with v1.variable_scope(scope):
        beta = v1.get_variable("beta", [channels], initializer=v1.zeros_initializer())
        mean = v1.get_variable("moving_mean", [channels], initializer=v1.zeros_initializer(), trainable=False)
        variance = v1.get_variable("moving_variance", [channels], initializer=v1.ones_initializer(), trainable=False)
    if x.shape.rank == 4:
        return v1.nn.fused_batch_norm(x, tf.ones([channels]), beta, mean, variance, epsilon=EPSILON, is_training=False)[
            0
        ]
    return tf.nn.batch_normalization(x, mean, variance, beta, None, EPSILON)


def convolution(
    x: Any, filters: int, scope: str, size: int = 3, stride: int = 1, norm: bool = True, bias: bool = False
) -> Any:
    """Convolution `scope/weights`; with a batch norm it has no bias and is followed by ELU."""
    tf = import_tensorflow()
    v1 = tf.compat.v1
    with v1.variable_scope(scope):
        kernel = v1.get_variable("weights", [size, size, int(x.shape[-1]), filters])
        x = tf.nn.conv2d(x, kernel, stride, "SAME")
        if norm:
            x = tf.nn.elu(batch_norm(x, f"{scope}/bn"))
        elif bias:
            x = tf.nn.bias_add(x, v1.get_variable("biases", [filters], initializer=v1.zeros_initializer()))
    return x


def residual(x: Any, scope: str, filters: int, first: bool = False, widen: bool = False) -> Any:
    """A pre-activation block: [bn, elu], 3x3 conv + bn + elu, 3x3 conv + bias, plus the input.

    The input is projected where it is widened.
    """
    tf = import_tensorflow()
    inner = x if first else tf.nn.elu(batch_norm(x, f"{scope}/bn"))
    inner = convolution(inner, filters, f"{scope}/1", stride=2 if widen else 1)
    inner = convolution(inner, filters, f"{scope}/2", norm=False, bias=True)
    if widen:
        x = convolution(x, filters, f"{scope}/projection", size=1, stride=2, norm=False)
    return x + inner


def backbone(x: Any, pool: str) -> Any:
    """From float pixels [N, 128, 64, 3] to the 128-d output of fc1."""
    tf = import_tensorflow()
    v1 = tf.compat.v1
    x = convolution(x, 32, "conv1_1")
    x = convolution(x, 32, "conv1_2")
    x = tf.nn.max_pool2d(x, 3, 2, pool)
    for k, (scope, filters, widen) in enumerate(BLOCKS):
        x = residual(x, scope, filters, first=k == 0, widen=widen)
    size = int(x.shape[1]) * int(x.shape[2]) * int(x.shape[3])
    x = tf.reshape(x, [-1, size])
    with v1.variable_scope("fc1"):
        x = tf.matmul(x, v1.get_variable("weights", [size, DIMENSION]))
        return tf.nn.elu(batch_norm(x, "fc1/bn"))


def normalised(x: Any) -> Any:
    """x / sqrt(1e-8 + sum of squares), as published."""
    tf = import_tensorflow()
    return tf.divide(x, tf.sqrt(1e-8 + tf.reduce_sum(tf.square(x), 1, keepdims=True)))


def build(images: Any) -> Any:
    """Features [N, 128] of uint8 BGR crops [N, 128, 64, 3]; pixels stay 0..255."""
    tf = import_tensorflow()
    x = backbone(tf.cast(images, tf.float32)[..., ::-1], "VALID")
    return normalised(batch_norm(x, "ball"))
