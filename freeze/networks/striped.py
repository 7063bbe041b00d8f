"""`striped`: our appearance encoder, a small dense residual network with stripe pooling.

Shaped for a TensorFlow session on a CPU: few, dense 3x3 convolutions at low resolution behind a strided stem (83 M
multiply-adds and 1.2 M parameters a crop), because a session pays per op. Four horizontal stripes keep apart what
legs and torso wear, as in Sun et al., "Beyond Part Models" (1711.09349), in one short feature instead of six. The
feature is taken after a batch-norm neck: Luo et al., "Bag of Tricks" (1903.07071), section 3.5. In two early
blocks half of the channels are normalised over each crop alone: what a camera adds to all its crops goes, as in IBN-a
of Pan et al., "Two at Once" (1807.09441). The stem has none: its map is large, and a session would pay a tenth for it.
What a camera's exposure does to a whole crop is taken off before it.

One function, `describe`, is the network; who calls it supplies the layers: `Inference` builds the graph to freeze,
with every batch norm folded into its convolution, and `freeze.training.model` builds the same network for training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

NAME = "striped"
INPUT_SHAPE = (128, 64, 3)
DIMENSION = 128
STEM = 24
STAGES = (48, 96, 192)
MIXED_STAGES = (1, 2)
STRIPES = 4
EPSILON = 1e-3
"""Added to every variance."""
CONTRAST, FAINT = 50.0, 100.0
"""Deviation that crops are brought to, and a variance added to theirs, so that noise on a plain one stays small; in
grey levels and their squares."""


class Layers(Protocol):
    """What `describe` builds with."""

    def conv(
        self, name: str, x: tf.Tensor, filters: int, kernel: int, stride: int, shortcut: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Convolution, batch norm, `shortcut` added, ReLU."""
        ...

    def mixed(self, name: str, x: tf.Tensor, filters: int, kernel: int, stride: int) -> tf.Tensor:
        """Convolution, instance norm on the first half of the channels and batch norm on the others, ReLU."""
        ...

    def dense(self, name: str, x: tf.Tensor, units: int) -> tf.Tensor:
        """A matrix product without bias."""
        ...

    def norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Batch norm of (N,D)."""
        ...


def describe(images: tf.Tensor, layers: Layers) -> tuple[tf.Tensor, tf.Tensor]:
    """The network.

    Parameters
    ----------
    images : (N,128,64,3) tf.Tensor
        BGR in 0..255, uint8 or float32.
    layers : Layers
        Builds its layers.

    Returns
    -------
    embedding : (N,128) tf.Tensor of float32
        Before the neck, what a metric loss works on in training.
    feature : (N,128) tf.Tensor of float32
        After it, not yet of unit length.
    """
    import tensorflow as tf

    # A session may be fed any shape, so it forgets the placeholder's; knowing sides lets it fuse the sums of blocks.
    x = levelled(tf.cast(tf.reshape(images, (-1, *INPUT_SHAPE)), tf.float32))
    x = layers.conv("levelled/stem", x, STEM, 5, 2)
    for index, filters in enumerate(STAGES, 1):
        x = layers.conv(f"stage{index}/down", x, filters, 3, 2)
        first = layers.mixed if index in MIXED_STAGES else layers.conv
        inner = first(f"stage{index}/first", x, filters, 3, 1)
        x = layers.conv(f"stage{index}/second", inner, filters, 3, 1, shortcut=x)
    rows, columns, channels = x.shape[1:]
    stripes = tf.reduce_mean(tf.reshape(x, (-1, STRIPES, rows // STRIPES * columns, channels)), 2)
    pooled = tf.concat([tf.reshape(stripes, (-1, STRIPES * channels)), tf.reduce_max(x, (1, 2))], 1)
    embedding = layers.dense("head", pooled, DIMENSION)
    return embedding, layers.norm("neck", embedding)


def levelled(x: tf.Tensor) -> tf.Tensor:
    """Crops brought to mean 0 and one contrast: how a camera was exposed tells nobody apart, colours do.

    Parameters
    ----------
    x : (N,H,W,3) tf.Tensor of float32
        In 0..255.
    """
    import tensorflow as tf

    x -= tf.reduce_mean(x, (1, 2, 3), keepdims=True)
    return x * (CONTRAST * tf.math.rsqrt(tf.reduce_mean(tf.square(x), (1, 2, 3), keepdims=True) + FAINT))


class Inference:
    """Layers on v1 variables, with every batch norm folded in: w' = w·γ/√(σ²+ε), b' = β − μ·γ/√(σ²+ε)."""

    @staticmethod
    def _variable(name: str, shape: list[int], initial: float = 0.0) -> Any:
        import tensorflow as tf

        return tf.compat.v1.get_variable(
            name, shape, tf.float32, tf.compat.v1.constant_initializer(initial), use_resource=True
        )

    def _scale_and_shift(self, name: str, channels: int) -> tuple[Any, Any]:
        import tensorflow as tf

        gamma = self._variable(f"{name}/gamma", [channels], 1.0)
        beta = self._variable(f"{name}/beta", [channels])
        mean = self._variable(f"{name}/moving_mean", [channels])
        variance = self._variable(f"{name}/moving_variance", [channels], 1.0)
        scale = gamma * tf.math.rsqrt(variance + EPSILON)
        return scale, beta - mean * scale

    def conv(
        self, name: str, x: tf.Tensor, filters: int, kernel: int, stride: int, shortcut: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Convolution, batch norm, shortcut and ReLU: (N,H,W,C) to (N,H/stride,W/stride,filters)."""
        import tensorflow as tf

        weights = self._variable(f"{name}/weights", [kernel, kernel, x.shape[-1], filters])
        scale, shift = self._scale_and_shift(name, filters)
        x = tf.nn.bias_add(tf.nn.conv2d(x, weights * scale, stride, "SAME"), shift)
        return tf.nn.relu(x if shortcut is None else x + shortcut)

    def mixed(self, name: str, x: tf.Tensor, filters: int, kernel: int, stride: int) -> tf.Tensor:
        """A convolution whose first half of the channels is normalised by image, the second by batch; then ReLU."""
        import tensorflow as tf

        half = filters // 2
        weights = self._variable(f"{name}/weights", [kernel, kernel, x.shape[-1], filters])
        gamma = self._variable(f"{name}/instance/gamma", [half], 1.0)
        beta = self._variable(f"{name}/instance/beta", [half])
        scale, shift = self._scale_and_shift(name, filters - half)
        x = tf.nn.conv2d(x, weights * tf.concat([tf.ones([half]), scale], 0), stride, "SAME")
        # All channels at once, since cutting them apart costs more: the shared half gets mean 0 and deviation 1.
        # Pooling is the fastest mean over a picture that a session has.
        own = np.repeat(np.array([1, 0], np.float32), [half, filters - half])
        mean = tf.nn.avg_pool2d(x, x.shape[1:3], 1, "VALID") * own
        square = tf.nn.avg_pool2d(tf.square(x), x.shape[1:3], 1, "VALID") * own
        variance = square - tf.square(mean) + (EPSILON * own + (1 - own))
        scales = tf.math.rsqrt(variance) * tf.concat([gamma, tf.ones([filters - half])], 0)
        return tf.nn.relu(x * scales + (tf.concat([beta, shift], 0) - mean * scales))

    def dense(self, name: str, x: tf.Tensor, units: int) -> tf.Tensor:
        """A matrix without bias: (N,C) to (N,units)."""
        import tensorflow as tf

        return tf.matmul(x, self._variable(f"{name}/weights", [x.shape[-1], units]))

    def norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Batch norm of vectors (N,C)."""
        scale, shift = self._scale_and_shift(name, x.shape[-1])
        return x * scale + shift


def build(images: tf.Tensor) -> tf.Tensor:
    """The graph to freeze: uint8 (N,128,64,3) BGR in, unit vectors (N,128) float32 out. Called under a v1 graph."""
    import tensorflow as tf

    _, feature = describe(images, Inference())
    return tf.math.l2_normalize(feature, 1)
