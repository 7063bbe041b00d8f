"""The networks that ship: their graphs, their weights, and what those are worth."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from freeze import networks
from freeze.networks import colour, striped

NAMES = ("striped", "colour")


@pytest.fixture(scope="module")
def sessions():
    """By name: a function from crops to features, on the shipped weights, unfrozen."""
    import tensorflow as tf

    v1 = tf.compat.v1
    opened, run = [], {}
    for name in NAMES:
        graph = tf.Graph()
        with graph.as_default():
            net = networks.network(name)
            images = v1.placeholder(tf.uint8, [None, *net.input_shape])
            features = net.build(images)
            session = v1.Session(graph=graph)
            if net.checkpoint is not None:
                v1.train.Saver().restore(session, str(net.checkpoint))
        opened.append(session)
        run[name] = lambda crops, s=session, f=features, i=images: s.run(f, {i: crops})
    yield run
    for session in opened:
        session.close()


def dressed(top, bottom, rng, shift=0):
    """A crop of somebody in two colours before a noisy background."""
    crop = rng.integers(90, 130, (128, 64, 3)).astype(np.uint8)
    crop[20:70, 14 + shift : 50 + shift] = top
    crop[70:120, 18 + shift : 46 + shift] = bottom
    return crop


@pytest.mark.parametrize("name", NAMES)
def test_features_are_unit_rows_of_their_own(sessions, name):
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (7, 128, 64, 3)).astype(np.uint8)
    crops[0], crops[1] = 0, 255
    features = sessions[name](crops)
    assert features.dtype == np.float32 and np.isfinite(features).all()
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(sessions[name](crops[2:3]), features[2:3], atol=1e-5)


def test_colours_count_more_than_place(sessions):
    rng = np.random.default_rng(1)
    red_blue, moved, blue_red, green = (
        dressed((40, 40, 200), (180, 60, 30), rng), dressed((40, 40, 200), (180, 60, 30), rng, shift=4),
        dressed((180, 60, 30), (40, 40, 200), rng), dressed((50, 160, 60), (50, 160, 60), rng),
    )  # fmt: skip
    features = sessions["colour"](np.stack([red_blue, moved, blue_red, green]))
    distance = 1 - features[0] @ features.T
    assert distance[1] < distance[2] and distance[1] < distance[3]


def test_exposure_tells_nobody_apart(sessions):
    rng = np.random.default_rng(2)
    crop = dressed((60, 60, 160), (150, 80, 60), rng)
    dark, faint = (crop - 40).astype(np.uint8), (crop * 0.6 + 20).astype(np.uint8)
    somebody_else = dressed((50, 140, 60), (60, 60, 60), rng)
    seen, darker, fainter, other = sessions["striped"](np.stack([crop, dark, faint, somebody_else]))
    assert min(seen @ darker, seen @ fainter) > 0.99 > 0.9 > seen @ other


def test_the_references_of_colour_are_spread():
    targets = colour.references()
    assert targets.shape == (22, 3)
    apart = np.linalg.norm(targets[:, None] - targets, axis=2) + np.eye(22)
    assert apart.min() > colour.WIDTH


def test_the_shipped_checkpoint_is_small_and_of_this_network():
    from freeze.training.files import read_weights
    from freeze.training.model import variable_shapes

    prefix = networks.network("striped").checkpoint
    weights = read_weights(prefix, variable_shapes())
    assert sum(w.size for w in weights.values()) <= 3_000_000
    assert all(np.isfinite(w).all() for w in weights.values())
    files = list(Path(prefix).parent.glob("striped.*"))
    assert sum(f.stat().st_size for f in files) < 5_000_000
    facts = json.loads(prefix.with_name("striped.json").read_text())
    assert 0 < facts["max_cosine_distance"] < 1 and facts["held_out_identities"]


def test_training_and_inference_describe_one_network():
    import tensorflow as tf

    from freeze.training.model import variable_shapes

    with tf.Graph().as_default() as graph:
        striped.build(tf.compat.v1.placeholder(tf.uint8, [None, *striped.INPUT_SHAPE]))
        built = {v.op.name: tuple(v.shape) for v in graph.get_collection("variables")}
    assert built == variable_shapes()


@pytest.mark.data
def test_rank_one_on_identities_held_out(sessions):
    data = os.environ.get("TRACKER_DATA")
    if not data:
        pytest.skip("TRACKER_DATA is not set: no crops of people")
    from benchmarks.encoder import held_out_crops
    from freeze.training.evaluate import retrieval

    crops = held_out_crops(Path(data), None)
    images = np.stack([cv2.resize(c.image, (64, 128)) for c in crops])
    identity = np.unique([c.identity for c in crops], return_inverse=True)[1]
    camera = np.array([c.camera for c in crops])
    found = {name: retrieval(np.concatenate([sessions[name](part) for part in np.array_split(images, 16)]), identity,
                             camera) for name in NAMES}  # fmt: skip
    assert found["striped"].rank1 >= 0.95 and found["striped"].mean_average_precision >= 0.85
    assert found["colour"].rank1 >= 0.55
