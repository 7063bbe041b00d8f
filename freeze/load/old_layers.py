"""Lends builders the few `tf.compat.v1.layers` that Keras 3 took away, with TensorFlow 1's variable names."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from freeze.errors import Log
from tracker.core.tensorflow import import_tensorflow


class EstimatorSpec(NamedTuple):
    """What a `model_fn` of tf.estimator returns."""

    mode: str
    predictions: Any = None
    loss: Any = None
    train_op: Any = None
    eval_metric_ops: Any = None
    export_outputs: Any = None


ESTIMATOR = types.SimpleNamespace(
    ModeKeys=types.SimpleNamespace(TRAIN="train", EVAL="eval", PREDICT="infer"), EstimatorSpec=EstimatorSpec
)


@contextlib.contextmanager
def lent(log: Log) -> Iterator[None]:
    """While inside, `tf.compat.v1.layers` and `tf.layers` exist; a note says so if they were used.

    The switches of `tf.estimator.ModeKeys` exist as well, which went with it.
    """
    tf = import_tensorflow()
    used: list[str] = []
    missing = object()
    importlib.import_module("tensorflow.compat.v1")
    # `tf.compat.v1` and `import tensorflow.compat.v1` are two modules
    owners = [tf, *(m for n, m in list(sys.modules.items()) if n.startswith("tensorflow") and n.endswith("compat.v1"))]
    given = {"layers": namespace(used)} | ({} if hasattr(tf, "estimator") else {"estimator": ESTIMATOR})
    before = [(owner, name, vars(owner).get(name, missing)) for owner in owners for name in given]
    for owner, name, _ in before:
        setattr(owner, name, given[name])
    try:
        yield
    finally:
        for owner, name, old in before:
            if old is missing:
                delattr(owner, name)
            else:
                setattr(owner, name, old)
    if used:
        log.repair(
            "OLD_LAYERS",
            sorted(set(used)),
            "tf.compat.v1.layers does not exist under Keras 3: "
            f"{', '.join(sorted(set(used)))} were lent with the same arithmetic and variable names",
        )


def namespace(used: list[str]) -> types.SimpleNamespace:
    """The functions; each call is recorded in `used`."""
    functions: dict[str, Callable[..., Any]] = {
        "conv2d": conv2d,
        "dense": dense,
        "flatten": flatten,
        "batch_normalization": batch_normalization,
        "dropout": dropout,
        "max_pooling2d": max_pooling2d,
        "average_pooling2d": average_pooling2d,
        "separable_conv2d": separable_conv2d,
    }

    def recording(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            used.append(name)
            return function(*args, **kwargs)

        return call

    return types.SimpleNamespace(**{n: recording(n, f) for n, f in functions.items()})


def _pair(n: Any) -> list[int]:
    return [n, n] if isinstance(n, int) else list(n)


def _scope(name: str | None, default: str, reuse: Any) -> Any:
    """TensorFlow 1's layer scope: `name`, or `default`, `default_1`, ... that is not open yet."""
    v1 = import_tensorflow().compat.v1
    if name is None and reuse is True:
        return v1.variable_scope(default, reuse=True)
    return v1.variable_scope(name, default_name=default if name is None else None, reuse=reuse)


def _variable(name: str, shape: list[int], initializer: Any, default: Any, x: Any, trainable: bool = True) -> Any:
    v1 = import_tensorflow().compat.v1
    return v1.get_variable(name, shape, dtype=x.dtype, initializer=initializer or default, trainable=trainable)


def conv2d(
    inputs: Any,
    filters: int,
    kernel_size: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str = "channels_last",
    dilation_rate: Any = 1,
    activation: Any = None,
    use_bias: bool = True,
    kernel_initializer: Any = None,
    bias_initializer: Any = None,
    kernel_regularizer: Any = None,
    bias_regularizer: Any = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Any:
    """tf.layers.conv2d: variables NAME/kernel [kh, kw, in, out] and NAME/bias."""
    tf = import_tensorflow()
    nchw = data_format == "channels_first"
    with _scope(name, "conv2d", reuse):
        channels = int(inputs.shape[1 if nchw else 3])
        kernel = _variable(
            "kernel", [*_pair(kernel_size), channels, filters], kernel_initializer, None, inputs, trainable
        )
        x = tf.nn.conv2d(
            inputs, kernel, _pair(strides), padding.upper(), "NCHW" if nchw else "NHWC", _pair(dilation_rate)
        )
        if use_bias:
            bias = _variable("bias", [filters], bias_initializer, tf.compat.v1.zeros_initializer(), inputs, trainable)
            x = tf.nn.bias_add(x, bias, "NCHW" if nchw else "NHWC", name="BiasAdd")
        return activation(x) if activation else x


def separable_conv2d(
    inputs: Any,
    filters: int,
    kernel_size: Any,
    strides: Any = 1,
    padding: str = "valid",
    depth_multiplier: int = 1,
    activation: Any = None,
    use_bias: bool = True,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Any:
    """tf.layers.separable_conv2d: NAME/depthwise_kernel, NAME/pointwise_kernel, NAME/bias."""
    tf = import_tensorflow()
    with _scope(name, "separable_conv2d", reuse):
        channels = int(inputs.shape[3])
        depth = _variable(
            "depthwise_kernel", [*_pair(kernel_size), channels, depth_multiplier], None, None, inputs, trainable
        )
        point = _variable(
            "pointwise_kernel", [1, 1, channels * depth_multiplier, filters], None, None, inputs, trainable
        )
        x = tf.nn.separable_conv2d(inputs, depth, point, [1, *_pair(strides), 1], padding.upper())
        if use_bias:
            x = tf.nn.bias_add(
                x,
                _variable("bias", [filters], None, tf.compat.v1.zeros_initializer(), inputs, trainable),
                name="BiasAdd",
            )
        return activation(x) if activation else x


def dense(
    inputs: Any,
    units: int,
    activation: Any = None,
    use_bias: bool = True,
    kernel_initializer: Any = None,
    bias_initializer: Any = None,
    kernel_regularizer: Any = None,
    bias_regularizer: Any = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Any:
    """tf.layers.dense: NAME/kernel [in, units] and NAME/bias."""
    tf = import_tensorflow()
    with _scope(name, "dense", reuse):
        kernel = _variable("kernel", [int(inputs.shape[-1]), units], kernel_initializer, None, inputs, trainable)
        x = (
            tf.matmul(inputs, kernel, name="MatMul")
            if inputs.shape.rank == 2
            else tf.tensordot(inputs, kernel, [[-1], [0]])
        )
        if use_bias:
            x = tf.nn.bias_add(
                x,
                _variable("bias", [units], bias_initializer, tf.compat.v1.zeros_initializer(), inputs, trainable),
                name="BiasAdd",
            )
        return activation(x) if activation else x


def flatten(inputs: Any, name: str | None = None, **_: Any) -> Any:
    """tf.layers.flatten."""
    tf = import_tensorflow()
    size = 1
    for d in inputs.shape.as_list()[1:]:
        size *= int(d)
    return tf.reshape(inputs, [-1, size], name=name or "flatten/Reshape")


def batch_normalization(
    inputs: Any,
    axis: int = -1,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    center: bool = True,
    scale: bool = True,
    training: Any = False,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    fused: Any = None,
    **_: Any,
) -> Any:
    """tf.layers.batch_normalization: NAME/{gamma,beta,moving_mean,moving_variance}.

    With training=True the updates go to UPDATE_OPS.
    """
    tf = import_tensorflow()
    v1 = tf.compat.v1
    rank = inputs.shape.rank
    fusing = {"epsilon": epsilon, "data_format": "NCHW" if rank == 4 and axis == 1 else "NHWC"}
    with _scope(name, "batch_normalization", reuse):
        c = int(inputs.shape[axis])
        ones, zeros = v1.ones_initializer(), v1.zeros_initializer()
        gamma = _variable("gamma", [c], None, ones, inputs, trainable) if scale else tf.ones([c], inputs.dtype)
        beta = _variable("beta", [c], None, zeros, inputs, trainable) if center else tf.zeros([c], inputs.dtype)
        mean = _variable("moving_mean", [c], None, zeros, inputs, False)
        variance = _variable("moving_variance", [c], None, ones, inputs, False)

        def infer() -> Any:
            if rank == 4:
                return v1.nn.fused_batch_norm(inputs, gamma, beta, mean, variance, is_training=False, **fusing)[0]
            return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, epsilon)

        def train() -> Any:
            if rank == 4:
                y, m, v = v1.nn.fused_batch_norm(inputs, gamma, beta, is_training=True, **fusing)
            else:
                m, v = tf.nn.moments(inputs, list(range(rank - 1)))
                y = tf.nn.batch_normalization(inputs, m, v, beta, gamma, epsilon)
            if not isinstance(training, tf.Tensor):
                for old, new in ((mean, m), (variance, v)):
                    v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, v1.assign_sub(old, (old - new) * (1 - momentum)).op)
            return y

        if isinstance(training, tf.Tensor):
            return tf.cond(training, train, infer)
        return train() if training else infer()


def dropout(
    inputs: Any,
    rate: Any = 0.5,
    noise_shape: Any = None,
    seed: Any = None,
    training: Any = False,
    name: str | None = None,
) -> Any:
    """tf.layers.dropout."""
    tf = import_tensorflow()
    if isinstance(training, tf.Tensor):
        return tf.cond(
            training,
            lambda: tf.compat.v1.nn.dropout(inputs, rate=rate, noise_shape=noise_shape, name=name),
            lambda: tf.identity(inputs),
        )
    return (
        tf.compat.v1.nn.dropout(inputs, rate=rate, noise_shape=noise_shape, name=name)
        if training
        else tf.identity(inputs)
    )


def max_pooling2d(
    inputs: Any, pool_size: Any, strides: Any, padding: str = "valid", name: str | None = None, **_: Any
) -> Any:
    """tf.layers.max_pooling2d."""
    return import_tensorflow().nn.max_pool2d(inputs, _pair(pool_size), _pair(strides), padding.upper(), name=name)


def average_pooling2d(
    inputs: Any, pool_size: Any, strides: Any, padding: str = "valid", name: str | None = None, **_: Any
) -> Any:
    """tf.layers.average_pooling2d."""
    return import_tensorflow().nn.avg_pool2d(inputs, _pair(pool_size), _pair(strides), padding.upper(), name=name)


TF1_ROOT = re.compile(r"module 'tensorflow' has no attribute '(\w+)'")


def dead_api(error: BaseException, line: str) -> tuple[str, str] | None:
    """(cause, remedy) where an error comes from an API that TensorFlow has dropped, else None."""
    text = str(error)
    if "contrib" in text or "slim" in text or ("contrib" in line and isinstance(error, (ImportError, AttributeError))):
        return (
            (
                "the builder uses tf.contrib (slim), which TensorFlow 2 does not have, and tf-slim does not import"
                " under Keras 3"
            ),
            (
                "write the layers with tf.nn and tf.compat.v1.get_variable (tf.nn.conv2d, tf.nn.batch_normalization,"
                " tf.nn.elu), keeping the variable names; for the published DeepSORT network use --network wrn (or"
                " cosine_metric_learning): it is built in"
            ),
        )
    if (
        "Keras 3" in text
        or "compat.v1.layers" in text
        or "has no attribute 'layers'" in text
        or "SimpleNamespace" in text
    ):
        return (
            "the builder uses a layer of tf.compat.v1.layers / tf.compat.v1.keras that does not exist under Keras 3",
            (
                "write it with tf.nn and tf.compat.v1.get_variable; lent are conv2d, separable_conv2d, dense, flatten, "
                "batch_normalization, dropout, max_pooling2d and average_pooling2d"
            ),
        )
    found = TF1_ROOT.search(text)
    if found:
        return (
            (
                f"the builder uses tf.{found.group(1)}, a TensorFlow 1 name that TensorFlow 2 keeps under tf.compat.v1"
                " only"
            ),
            f"write `import tensorflow.compat.v1 as tf` at its top, or tf.compat.v1.{found.group(1)}",
        )
    return None
