"""What the proof allows: as much as rounding moves the features of this network, and no more."""

import numpy as np
import pytest

from freeze.graph.images import structured
from freeze.graph.runner import Runner
from freeze.proof.rounding import FACTOR, LEAST, MOST, allowed, moved_by_last_digits

SHAPE = (16, 16, 3)


def graph(gain):
    """A frozen graph whose features turn on the difference of two nearly equal numbers, `gain` times larger."""
    import tensorflow as tf

    r = np.random.default_rng(2)
    w, far = (r.normal(size=s).astype(np.float32) for s in ((48, 8), (8,)))
    with tf.Graph().as_default() as made:
        images = tf.compat.v1.placeholder(tf.uint8, [None, *SHAPE], name="images")
        x = tf.reshape(tf.reduce_mean(tf.cast(images, tf.float32), 1), [-1, 48]) @ tf.constant(w) / 255.0
        tf.nn.l2_normalize(x + (x + gain * far) - gain * far, 1, name="features")
    return made.as_graph_def()


def test_what_is_allowed_follows_the_condition_of_the_network():
    images = structured(5, SHAPE)
    moved = []
    for made in (graph(0.0), graph(1e4)):
        with Runner(made) as runner:
            moved.append(moved_by_last_digits(made, images, runner.run("features", {"images": images})))
    well, ill = moved
    assert well < 1e-6 < 1e-4 < ill
    assert allowed(well) == LEAST and allowed(ill) == min(FACTOR * ill, MOST)


@pytest.mark.parametrize("moved, limit", [(0.0, LEAST), (1e-5, 4e-5), (1.0, MOST)])
def test_the_limits(moved, limit):
    assert allowed(moved) == pytest.approx(limit)
