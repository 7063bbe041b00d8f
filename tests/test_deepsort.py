"""The paper preset against the per-object oracle, number by number; the contract of `update` and its refusals."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.oracle import Oracle
from tracker import DeepSort, Detections

DATA = os.environ.get("TRACKER_DATA")


def crowd(rng, frames=120, objects=25, dimension=16, area=600):
    """Boxes and features of a crowd that walks, stops being seen, looks alike, and is joined by false positives."""
    position = rng.uniform(0, area, (objects, 2))
    velocity = rng.normal(0, 4, (objects, 2))
    height = rng.uniform(60, 120, objects)
    look = rng.normal(size=(objects, dimension)) + 2 * rng.normal(size=dimension)
    hidden = np.zeros(objects, int)
    for _ in range(frames):
        position += velocity
        velocity = np.where((position < 0) | (position > area), -velocity, velocity)
        hides = (hidden == 0) & (rng.random(objects) < 0.05)
        hidden = np.where(hides, rng.integers(1, 40, objects), np.maximum(hidden - 1, 0))
        seen = np.flatnonzero(hidden == 0)
        false = rng.poisson(1.5)
        centre = np.vstack([position[seen] + rng.normal(0, 2, (len(seen), 2)), rng.uniform(0, area, (false, 2))])
        h = np.concatenate([height[seen] * rng.normal(1, 0.03, len(seen)), rng.uniform(60, 120, false)])
        half = np.column_stack([h * 0.4, h]) / 2
        noise = rng.normal(0, 0.4, (len(seen), dimension))
        feature = np.vstack([look[seen] + noise, rng.normal(size=(false, dimension))])
        order = rng.permutation(len(centre))
        yield np.hstack([centre - half, centre + half]).astype(np.float32)[order], feature.astype(np.float32)[order]


def assert_equal(tracks, expected, frame):
    assert tracks.id.tolist() == [t.id for t in expected], f"frame {frame}"
    assert tracks.detection_index.tolist() == [t.index for t in expected], f"frame {frame}"
    assert tracks.confirmed.tolist() == [t.confirmed for t in expected], f"frame {frame}"
    assert tracks.time_since_update.tolist() == [t.missed for t in expected], f"frame {frame}"
    if expected:
        np.testing.assert_allclose(tracks.xyxy, [t.box() for t in expected], rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("with_features", [True, False])
def test_paper_preset_is_the_oracle(seed, with_features):
    rng = np.random.default_rng(seed)
    overrides = dict(budget=int(rng.integers(1, 20)), max_age=int(rng.integers(1, 40)), n_init=int(rng.integers(1, 5)))
    tracker, oracle = DeepSort.from_preset("paper", **overrides), Oracle(**overrides)
    for frame, (boxes, features) in enumerate(crowd(rng)):
        if frame % 41 == 40:
            boxes, features = boxes[:0], features[:0]
        features = features if with_features else None
        assert_equal(tracker.update(Detections(boxes), features), oracle.update(boxes, features), frame)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="TRACKER_DATA is not set")
@pytest.mark.parametrize(
    "name, frames", [("TUD-Campus", 71), ("ETH-Bahnhof", 150), ("ADL-Rundle-6", 99), ("KITTI-13", 99)]
)
@pytest.mark.parametrize("with_features", [True, False])
def test_paper_preset_is_the_oracle_on_public_detections(name, frames, with_features):
    path = Path(DATA) / "mot" / name / "det" / "det.txt"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    tracker, oracle = DeepSort.from_preset("paper"), Oracle()
    for frame in range(1, frames + 1):
        tlwh = rows[rows[:, 0] == frame, 2:6]
        boxes = np.hstack([tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]]).astype(np.float32)
        features = position_features(boxes) if with_features else None
        assert_equal(tracker.update(Detections(boxes), features), oracle.update(boxes, features), frame)


def position_features(boxes):
    """Features that change slowly along a walk: where a box is and how tall, as random cosine waves."""
    rng = np.random.default_rng(7)
    centre = np.column_stack([boxes[:, :2] + boxes[:, 2:], boxes[:, 3] - boxes[:, 1]])
    return (np.cos(centre @ rng.normal(0, 0.004, (3, 32)) + rng.uniform(0, 6, 32)) + 0.5).astype(np.float32)
