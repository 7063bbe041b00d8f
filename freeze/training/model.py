"""The network in training: variables, batch statistics, one optimiser step, and the averaged weights.

Every piece of state that a step reads is in `state()`, so that saving and restoring it resumes bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from freeze.networks import striped
from freeze.training import losses

MOMENTUM = 0.95
"""Of the moving mean and variance."""
EMA_DECAY = 0.999
BETA_1, BETA_2 = 0.9, 0.999


class TrainLayers:
    """Layers of `striped.describe` with batch statistics (training) or moving ones (evaluation)."""

    def __init__(self, weights: dict[str, tf.Variable], training: bool) -> None:
        self.weights, self.training = weights, training

    def _batch_norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        w = self.weights
        gamma, beta = w[f"{name}/gamma"], w[f"{name}/beta"]
        mean, variance = w[f"{name}/moving_mean"], w[f"{name}/moving_variance"]
        y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
            x,
            gamma,
            beta,
            None if self.training else mean,
            None if self.training else variance,
            epsilon=striped.EPSILON,
            is_training=self.training,
        )
        if self.training:
            mean.assign_sub((1 - MOMENTUM) * (mean - batch_mean))
            variance.assign_sub((1 - MOMENTUM) * (variance - batch_variance))
        return y

    def conv(
        self, name: str, x: tf.Tensor, filters: int, kernel: int, stride: int, shortcut: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Convolution, batch norm, shortcut and ReLU: (N,H,W,C) to (N,H/stride,W/stride,filters)."""
        x = self._batch_norm(name, tf.nn.conv2d(x, self.weights[f"{name}/weights"], stride, "SAME"))
        return tf.nn.relu(x if shortcut is None else x + shortcut)

    def mixed(self, name: str, x: tf.Tensor, filters: int, kernel: int, stride: int) -> tf.Tensor:
        """A convolution whose first half of the channels is normalised by image, the second by batch; then ReLU."""
        w, half = self.weights, filters // 2
        x = tf.nn.conv2d(x, w[f"{name}/weights"], stride, "SAME")
        own, shared = x[..., :half], self._batch_norm(name, x[..., half:])
        mean, variance = tf.nn.moments(own, (1, 2), keepdims=True)
        scale = w[f"{name}/instance/gamma"] * tf.math.rsqrt(variance + striped.EPSILON)
        own = own * scale + (w[f"{name}/instance/beta"] - mean * scale)
        return tf.nn.relu(tf.concat([own, shared], -1))

    def dense(self, name: str, x: tf.Tensor, units: int) -> tf.Tensor:
        """A matrix without bias: (N,C) to (N,units)."""
        return tf.matmul(x, self.weights[f"{name}/weights"])

    def norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Batch norm of vectors (N,C)."""
        return self._batch_norm(name, x[:, None, None, :])[:, 0, 0, :]


def features(weights: dict[str, np.ndarray], crops: np.ndarray, batch: int = 64) -> np.ndarray:
    """uint8 (N,128,64,3) BGR to (N,128) float32, not normalised."""
    layers = TrainLayers({n: tf.constant(v) for n, v in weights.items()}, False)
    parts = [striped.describe(tf.constant(crops[i : i + batch]), layers)[1] for i in range(0, len(crops), batch)]
    return tf.concat(parts, 0).numpy() if parts else np.zeros((0, striped.DIMENSION), np.float32)


class _Declare:
    """Layers that only note which variables the network has."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def _norm(self, name: str, channels: int) -> None:
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            self.shapes[f"{name}/{part}"] = (channels,)

    def conv(
        self, name: str, x: tf.Tensor, filters: int, kernel: int, stride: int, shortcut: tf.Tensor | None = None
    ) -> tf.Tensor:
        self.shapes[f"{name}/weights"] = (kernel, kernel, int(x.shape[-1]), filters)
        self._norm(name, filters)
        return tf.zeros((x.shape[0], -(-x.shape[1] // stride), -(-x.shape[2] // stride), filters))

    def mixed(self, name: str, x: tf.Tensor, filters: int, kernel: int, stride: int) -> tf.Tensor:
        half = filters // 2
        x = self.conv(name, x, filters, kernel, stride)
        self._norm(name, filters - half)
        self.shapes |= {f"{name}/instance/gamma": (half,), f"{name}/instance/beta": (half,)}
        return x

    def dense(self, name: str, x: tf.Tensor, units: int) -> tf.Tensor:
        self.shapes[f"{name}/weights"] = (int(x.shape[-1]), units)
        return tf.zeros((x.shape[0], units))

    def norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        self._norm(name, int(x.shape[-1]))
        return x


def variable_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's variables, as its checkpoint holds them."""
    declared = _Declare()
    striped.describe(tf.zeros((1, *striped.INPUT_SHAPE), tf.uint8), declared)
    return declared.shapes


def initial_weights(seed: int) -> dict[str, np.ndarray]:
    """He initialisation; the last norm of every residual block starts at 0, so that the block starts as identity."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in variable_shapes().items():
        if name.endswith("weights"):
            fan_in = int(np.prod(shape[:-1]))
            weights[name] = rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        else:
            one = name.endswith(("moving_variance", "gamma")) and not name.endswith("second/gamma")
            weights[name] = np.full(shape, float(one), np.float32)
    return weights


class TrainModel:
    """Variables, optimiser (AdamW, 1711.05101) and averaged weights of one training.

    Parameters
    ----------
    classes : int
        Identities to tell apart by softmax.
    teacher_dimension : int
        Length of a teacher's feature, 0 without a teacher.
    weights : dict[str, ndarray] or None
        Start here instead of at random.
    batch_statistics : bool
        Of the batch norms; False keeps the moving ones as they are.
    """

    def __init__(
        self,
        classes: int,
        teacher_dimension: int,
        seed: int,
        weights: dict[str, np.ndarray] | None = None,
        batch_statistics: bool = True,
    ) -> None:
        self.batch_statistics = batch_statistics
        start = initial_weights(seed) if weights is None else weights
        self.network = {name: tf.Variable(value, name=name) for name, value in start.items()}
        rng = np.random.default_rng([seed, 1])
        heads = {"identity": rng.normal(0, 0.01, (striped.DIMENSION, classes))}
        if teacher_dimension:
            heads["teacher"] = rng.normal(0, striped.DIMENSION**-0.5, (striped.DIMENSION, teacher_dimension))
        self.heads = {name: tf.Variable(value.astype(np.float32), name=name) for name, value in heads.items()}
        self.trained = [v for n, v in self.network.items() if "moving_" not in n] + list(self.heads.values())
        self.first = [tf.Variable(tf.zeros_like(v)) for v in self.trained]
        self.second = [tf.Variable(tf.zeros_like(v)) for v in self.trained]
        self.average = {n: tf.Variable(v) for n, v in self.network.items()}
        self.step = tf.Variable(0, dtype=tf.int64)
        self._step_function: Callable[..., Any] = tf.function(self._train, reduce_retracing=True)
        self._embed_function: Callable[..., Any] = tf.function(
            self._features, input_signature=[tf.TensorSpec((None, *striped.INPUT_SHAPE), tf.uint8)]
        )

    def state(self) -> dict[str, tf.Variable]:
        """Everything the next step depends on, by a name of its own."""
        names = [n for n in self.network if "moving_" not in n] + [f"head/{n}" for n in self.heads]
        state = {f"network/{n}": v for n, v in self.network.items()}
        state |= {f"heads/{n}": v for n, v in self.heads.items()}
        state |= {f"average/{n}": v for n, v in self.average.items()}
        state |= {f"first/{n}": v for n, v in zip(names, self.first, strict=True)}
        state |= {f"second/{n}": v for n, v in zip(names, self.second, strict=True)}
        return state | {"step": self.step}

    def _train(
        self, batch: dict[str, tf.Tensor], rate: tf.Tensor, decay: tf.Tensor, teach: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        labels = batch["labels"]
        with tf.GradientTape() as tape:
            embedding, feature = striped.describe(batch["images"], TrainLayers(self.network, self.batch_statistics))
            logits = tf.matmul(feature, self.heads["identity"])
            parts = {
                "identity": losses.identity(logits, labels, batch["possible"]),
                "triplet": losses.hard_triplet(embedding, labels, batch["comparable"]),
            }
            if "teacher" in self.heads:
                parts["teacher"] = losses.teacher(
                    tf.matmul(feature, self.heads["teacher"]), batch["teacher"], batch["taught"]
                )
                parts["relations"] = losses.relations(feature, batch["teacher"], batch["taught"], batch["scene"])
            total = tf.add_n(
                [teach * loss if name in ("teacher", "relations") else loss for name, loss in parts.items()]
            )
        self._apply(tape.gradient(total, self.trained), rate, decay)
        return parts | {"total": total}

    def _apply(self, gradients: list[tf.Tensor], rate: tf.Tensor, decay: tf.Tensor) -> None:
        gradients, _ = tf.clip_by_global_norm(gradients, 10.0)
        self.step.assign_add(1)
        t = tf.cast(self.step, tf.float32)
        for v, m, s, g in zip(self.trained, self.first, self.second, gradients, strict=True):
            if len(v.shape) > 1:
                v.assign_sub(rate * decay * v)
            tf.raw_ops.ResourceApplyAdam(
                var=v.handle,
                m=m.handle,
                v=s.handle,
                beta1_power=BETA_1**t,
                beta2_power=BETA_2**t,
                lr=rate,
                beta1=BETA_1,
                beta2=BETA_2,
                epsilon=1e-8,
                grad=g,
                use_locking=True,
            )
        keep = tf.minimum(EMA_DECAY, (1 + t) / (10 + t))
        for name, v in self.network.items():
            self.average[name].assign_sub((1 - keep) * (self.average[name] - v))

    def train_step(
        self, batch: dict[str, np.ndarray], rate: float, decay: float, teach: float = 1.0
    ) -> dict[str, float]:
        """One step, with the share `teach` of the teacher's losses; the losses it saw, by name."""
        tensors = {name: tf.constant(value) for name, value in batch.items()}
        parts = self._step_function(tensors, tf.constant(rate), tf.constant(decay), tf.constant(teach))
        return {name: float(value) for name, value in parts.items()}

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        _, feature = striped.describe(images, TrainLayers(self.average, False))
        return tf.math.l2_normalize(feature, 1)

    def embed(self, crops: np.ndarray, batch: int = 64) -> np.ndarray:
        """uint8 (N,128,64,3) BGR to (N,128) float32 unit vectors, by the averaged weights."""
        parts = [self._embed_function(tf.constant(crops[i : i + batch])).numpy() for i in range(0, len(crops), batch)]
        return np.concatenate(parts) if parts else np.zeros((0, striped.DIMENSION), np.float32)
