"""The closed form of adapting: its matrix, and the layers it is folded into."""

import numpy as np

from freeze.training import closed
from freeze.training.crops import Crops
from freeze.training.evaluate import separation
from tracker.core.vectors import unit_vectors

TRACKS, EACH, WIDTH = 24, 10, 16


def scene(seed=0, nuisance=3.0, offset=0.0):
    """Features of tracks that differ in eight directions while pose, in two others, moves every crop more than that."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(TRACKS), EACH)
    centres = np.zeros((TRACKS, WIDTH))
    centres[:, :8] = rng.normal(0, 1, (TRACKS, 8))
    features = centres[identity] + rng.normal(0, 0.3, (len(identity), WIDTH)) + offset
    features[:, 8:10] += rng.normal(0, nuisance, (len(identity), 2))
    zeros, none = np.zeros(len(identity), np.int32), np.zeros(TRACKS, bool)
    crops = Crops(
        np.zeros((len(identity), 1, 1, 3), np.uint8),
        identity.astype(np.int32),
        zeros,
        zeros,
        ~np.eye(TRACKS, dtype=bool),
        none,
        none.copy(),
        np.ones(TRACKS),
        [str(i) for i in range(TRACKS)],
    )
    return features, crops


def area(features, crops, rows):
    return separation(unit_vectors(features[rows]), crops.identity[rows], crops.scene[rows], crops.differ).area()


def test_what_changes_along_a_track_is_weighed_down():
    features, crops = scene()
    whitened = features @ closed.fit(features, crops.identity, 0.0).T
    rest = whitened - np.stack([whitened[crops.identity == i].mean(0) for i in range(TRACKS)])[crops.identity]
    covariance = rest.T @ rest / len(rest)
    np.testing.assert_allclose(covariance, np.eye(WIDTH) * covariance[0, 0], atol=1e-6)


def test_tracks_it_was_not_fitted_to_gain():
    features, crops = scene(offset=2.0)
    learn, judge = np.flatnonzero(crops.identity < 14), np.flatnonzero(crops.identity >= 14)
    mapped = features @ closed.fit(features[learn], crops.identity[learn]).T
    assert area(mapped, crops, judge) > area(features, crops, judge) + 0.05


def test_nothing_to_gain_changes_nothing():
    features, crops = scene(nuisance=0.0)
    features = np.where(np.arange(WIDTH) < 8, features, 0) + np.eye(WIDTH)[8]  # noise alike in all directions
    mapped = features @ closed.fit(features, crops.identity).T
    assert area(mapped, crops, np.arange(len(features))) >= area(features, crops, np.arange(len(features))) - 1e-3


def test_a_single_track_is_survived():
    features, crops = scene()
    one = features[crops.identity == 0]
    assert np.isfinite(closed.fit(one, np.zeros(len(one), int))).all()
    np.testing.assert_allclose(closed.fit(one[:1], np.zeros(1, int)), np.eye(WIDTH) / np.sqrt(closed.SHRINKAGE))


def test_folded_weights_give_the_mapped_features():
    from freeze.training.model import features as features_of
    from freeze.training.model import initial_weights

    rng = np.random.default_rng(1)
    weights = initial_weights(0)
    for part, low in (("gamma", 0.5), ("beta", -1), ("moving_mean", -1), ("moving_variance", 0.5)):
        weights[f"neck/{part}"] = rng.uniform(low, low + 1, 128).astype(np.float32)
    crops = rng.integers(0, 256, (12, 128, 64, 3), np.uint8)
    features = features_of(weights, crops)
    matrix = closed.fit(features, np.arange(12) // 4, 0.3)
    folded = closed.fold(weights, matrix, features)
    np.testing.assert_allclose(unit_vectors(features_of(folded, crops)), unit_vectors(features @ matrix.T), atol=1e-4)
    assert {n: w.shape for n, w in folded.items()} == {n: w.shape for n, w in weights.items()}
