"""Galleries against a list per track: what is kept, and the smallest cosine distance to it."""

import numpy as np
import pytest

from tracker.tracking.gallery import Gallery, normalise


def unit(rng, n, d=8):
    return normalise(rng.normal(size=(n, d)))[0]


@pytest.mark.parametrize("budget", [1, 3, 10])
def test_galleries_keep_the_latest(budget):
    rng = np.random.default_rng(budget)
    gallery, lists, slots = Gallery(budget), {}, np.zeros(0, np.int64)
    for _ in range(60):
        if len(slots) and rng.random() < 0.3:
            gone = rng.integers(len(slots))
            lists.pop(slots[gone])
            gallery.free(slots[[gone]])
            slots = np.delete(slots, gone)
        new = gallery.take(rng.integers(0, 30))
        assert not set(new) & set(slots), "a slot in use was handed out"
        lists.update({s: [] for s in new})
        slots = np.concatenate([slots, new])
        fed = rng.permutation(len(slots))[: rng.integers(0, len(slots) + 1)]
        features = unit(rng, len(fed))
        gallery.add(slots[fed], features)
        for row, feature in zip(fed, features, strict=True):
            lists[slots[row]] = [*lists[slots[row]], feature][-budget:]
        assert gallery.filled(slots).tolist() == [bool(lists[s]) for s in slots]
        asked = unit(rng, 12)
        t, d = np.nonzero(rng.random((len(slots), len(asked))) < rng.choice([0.05, 0.5]))
        expected = [min((1 - f @ asked[j] for f in lists[slots[i]]), default=np.inf) for i, j in zip(t, d, strict=True)]
        np.testing.assert_allclose(gallery.distance(slots, asked, (t, d)), expected, rtol=0, atol=1e-6)


def test_memory_follows_the_most_tracks_at_a_time_not_their_number():
    rng = np.random.default_rng(0)
    gallery = Gallery(4)
    for _ in range(300):
        slots = gallery.take(20)
        gallery.add(slots, unit(rng, 20))
        gallery.free(slots)
    assert len(gallery.ring) < 100


def test_features_without_direction_are_told():
    features = np.array([[3, 4], [0, 0], [np.nan, 1], [np.inf, 0], [1e30, 0], [1e-30, 0]], np.float32)
    found, good = normalise(features)
    assert good.tolist() == [True, False, False, False, True, True]
    np.testing.assert_allclose(found[[0, 4, 5]], [[0.6, 0.8], [1, 0], [1, 0]], rtol=1e-6)
    assert (found[~good] == 0).all()


def test_empty_sets():
    gallery = Gallery(5)
    none = np.zeros(0, np.int64)
    assert gallery.take(0).shape == (0,) and gallery.dimension == 0
    gallery.add(none, np.zeros((0, 8), np.float32))
    assert gallery.distance(gallery.take(3), np.zeros((0, 8), np.float32), (none, none)).shape == (0,)
    assert normalise(np.zeros((0, 8)))[0].shape == (0, 8)
