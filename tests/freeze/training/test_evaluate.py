"""Retrieval, separation and the threshold on features worked out by hand."""

import numpy as np
import pytest

from freeze.training.evaluate import Separation, retrieval, separation


def at(*degrees):
    """Unit vectors in the plane."""
    angle = np.radians(np.array(degrees, float))
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def test_retrieval_ranks_other_cameras():
    # Identity 0 is seen at 0° and 10° by two cameras, identity 1 at 4° and 90°.
    found = retrieval(at(0, 10, 4, 90), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    # Query 0 meets 1 (its own, 10°) behind 2 (4°): rank 2. Query 1 meets 2 (6°) first, then 0. Query 2 meets 0 and 1
    # before 3. Query 3 meets 1 (80°), then its own 2 (86°).
    assert found.queries == 4
    assert found.rank1 == 0.0
    np.testing.assert_allclose(found.mean_average_precision, np.mean([1 / 2, 1 / 2, 1 / 3, 1 / 2]), atol=1e-6)


def test_retrieval_leaves_out_the_same_camera_and_the_unknown():
    identity, camera = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 0, 1])
    features = at(0, 0, 20, 5, 60)
    assert retrieval(features, identity, camera).rank1 < 1.0  # 5° is nearer to 0° than the right answer at 20°
    unknown = np.zeros((2, 2), bool)
    assert retrieval(features, identity, camera, unknown).rank1 == 1.0


def test_retrieval_of_nothing():
    found = retrieval(np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, int))
    assert found.queries == 0 and np.isnan(found.rank1)


def test_separation_takes_the_nearest_of_the_gallery():
    features = at(0, 30, 10, 90, 90, 100)
    track = np.array([0, 0, 0, 1, 1, 1])
    apart = separation(features, track, np.zeros(6, int))
    # Galleries are the first half of a track: 0° and 90°; the rest asks.
    np.testing.assert_allclose(np.sort(apart.same), 1 - np.cos(np.radians([0, 10, 10, 30])), atol=1e-6)
    np.testing.assert_allclose(np.sort(apart.other), np.sort(1 - np.cos(np.radians([90, 100, 60, 80]))), atol=1e-6)
    assert apart.area() == 1.0
    assert not len(separation(features, track, np.zeros(6, int), np.zeros((2, 2), bool)).other)
    assert not len(separation(features, track, track).other)


def test_area_counts_ties_half():
    assert Separation(np.array([0.1, 0.2]), np.array([0.2, 0.3])).area() == pytest.approx(1 - 0.5 / 4)
    assert np.isnan(Separation(np.zeros(0), np.ones(3)).area())


def test_threshold_keeps_the_own_and_refuses_most_others():
    rng = np.random.default_rng(0)
    apart = Separation(rng.uniform(0, 0.2, 1000), rng.uniform(0.5, 1.0, 1000))
    assert (apart.same <= apart.threshold()).mean() == pytest.approx(0.9, abs=0.01)
    mixed = Separation(rng.uniform(0, 1.0, 1000), rng.uniform(0, 1.0, 1000))
    assert (mixed.other <= mixed.threshold()).mean() == pytest.approx(0.1, abs=0.01)
    assert np.isnan(Separation(np.zeros(0), np.ones(3)).threshold())


def test_decidability_grows_with_the_margin():
    rng = np.random.default_rng(1)
    same, other = rng.normal(0.1, 0.05, 5000), rng.normal(0.6, 0.05, 5000)
    assert Separation(same, other).decidability() == pytest.approx(10, rel=0.05)
